//! Tests of what the writer promises when appends fail and when it fails itself.

use barograph_lake::Span;

use super::{Bed, START, batch, put, rows, until};
use crate::{Clock, Durability, EngineSettings, ErrorKind};

/// Batches in memory are synced after so long.
const SYNC_WITHIN: Span = Span::millis(200);

#[tokio::test]
async fn a_batch_in_memory_is_synced_though_an_append_to_disk_fails_after_it() {
    let bed = Bed::new(EngineSettings::default());
    let engine = bed.open().await;
    let rows = batch(&[(1, START, 1.0)]);
    let ack = engine.put("readings", rows, "test", Durability::Memory).await.unwrap();
    bed.disk.set_full(true);
    let error = put(&engine, "readings", &[(2, START, 2.0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
    assert!(bed.disk.synced() <= ack.position, "its time has not come");
    bed.clock.set(bed.clock.now() + SYNC_WITHIN);
    until("never synced", || bed.disk.synced() > ack.position).await;
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn batches_in_memory_are_synced_however_soon_the_next_one_comes() {
    let bed = Bed::new(EngineSettings::default());
    let engine = bed.open().await;
    let put = async || {
        let rows = batch(&[(1, START, 1.0)]);
        engine.put("readings", rows, "test", Durability::Memory).await.unwrap().position
    };
    let first = put().await;
    for _ in 1..20 {
        bed.clock.set(bed.clock.now() + Span::millis(10));
        put().await;
    }
    assert!(bed.disk.synced() <= first, "its time has not come");
    bed.clock.set(bed.clock.now() + Span::millis(10));
    put().await;
    until("never synced", || bed.disk.synced() > first).await;
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_panicked_says_so_to_everybody_and_stops() {
    let bed = Bed::new(EngineSettings::default());
    let engine = bed.open().await;
    put(&engine, "readings", &[(1, START, 1.0)]).await.unwrap();
    assert!(engine.failure().is_none());
    bed.disk.set_before_append(|| panic!("the log was set to panic"));
    let failed = tokio::spawn({
        let engine = engine.clone();
        async move { engine.failed().await }
    });
    let told = |error: crate::Error| {
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert!(error.to_string().contains("the writer panicked (the log was set to"), "{error}");
    };
    told(put(&engine, "readings", &[(2, START, 2.0)]).await.unwrap_err());
    bed.disk.set_before_append(|| {});
    told(put(&engine, "tides", &[(2, START, 2.0)]).await.unwrap_err());
    told(engine.flush().await.unwrap_err());
    told(engine.failure().unwrap());
    told(failed.await.unwrap());
    assert_eq!(rows(&engine, "readings").await.unwrap(), [(1, START, 1.0)], "reads go on");
    told(engine.shutdown().await.unwrap_err());
    drop(engine);
    let engine = bed.open().await;
    put(&engine, "readings", &[(2, START, 2.0)]).await.unwrap();
    let all = [(1, START, 1.0), (2, START, 2.0)];
    assert_eq!(rows(&engine, "readings").await.unwrap(), all);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_that_has_stopped_is_a_failure_of_the_engine() {
    let bed = Bed::new(EngineSettings::default());
    let engine = bed.open().await;
    bed.disk.set_sync_fails(true);
    let error = put(&engine, "readings", &[(1, START, 1.0)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = engine.failed().await;
    assert!(error.to_string().contains("has stopped"), "{error}");
    assert!(engine.shutdown().await.is_err());
    assert!(engine.failure().is_some(), "it stays");
}
