//! Tests of landing: a fault of the lake holds up nothing else, no row is lost or doubled, and an hour lands by the
//! clock.

use std::time::Duration;

use barograph_lake::store::faults::{Fault, FaultPlan, Operation};
use barograph_lake::{Size, Span};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Bed, HOUR, MINUTE, START, put, rows, until};
use crate::{Engine, EngineSettings, ErrorKind};

fn settings() -> EngineSettings {
    EngineSettings { late_merge_every: Span::millis(0), ..EngineSettings::default() }
}

fn tail_hours(engine: &Engine, table: &str) -> Vec<i64> {
    let view = engine.view(table).unwrap();
    view.tail.hours().iter().map(|hour| (hour.hour().start().as_micros() - START) / HOUR).collect()
}

impl Bed {
    /// The files of a table.
    async fn files(&self, table: &str) -> Vec<Path> {
        let listed: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
        let paths = listed.into_iter().map(|meta| meta.location);
        let of = |path: &Path| {
            path.as_ref().contains(&format!("{table}/")) && path.as_ref().ends_with(".parquet")
        };
        paths.filter(of).collect()
    }

    /// An engine with a landed hour whose file is gone, and a late row for it; the file's place and bytes.
    async fn with_a_lost_file(&self) -> (std::sync::Arc<Engine>, Path, bytes::Bytes) {
        let engine = self.open().await;
        put(&engine, "readings", &[(1, START, 1.0)]).await.unwrap();
        engine.flush().await.unwrap();
        let path = self.files("readings").await.pop().unwrap();
        let bytes = self.objects.get(&path).await.unwrap().bytes().await.unwrap();
        self.objects.delete(&path).await.unwrap();
        put(&engine, "readings", &[(2, START + MINUTE, 2.0)]).await.unwrap();
        (engine, path, bytes)
    }
}

#[tokio::test]
async fn a_lost_file_keeps_its_own_late_rows_from_landing_and_nothing_else() {
    let bed = Bed::new(settings());
    bed.set(START + 9 * HOUR);
    let (engine, path, bytes) = bed.with_a_lost_file().await;
    let others = [(1, START + HOUR, 3.0), (1, START + 2 * HOUR, 4.0)];
    put(&engine, "readings", &others).await.unwrap();
    put(&engine, "tides", &others).await.unwrap();
    let error = engine.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
    assert_eq!(tail_hours(&engine, "readings"), [0]);
    assert_eq!(tail_hours(&engine, "tides"), [0; 0]);

    let faults = engine.landing_faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].table, "readings");
    assert_eq!(faults[0].period.unwrap().start().as_micros(), START);
    let name = path.filename().unwrap();
    assert!(faults[0].files[0].ends_with(name) && faults[0].cure.contains(name), "{faults:?}");
    assert!(faults[0].cure.contains("copy of the lake"), "{faults:?}");

    // What goes on: puts, landing, and after a restart the same again.
    drop(engine);
    let engine = bed.open().await;
    put(&engine, "readings", &[(1, START + 3 * HOUR, 5.0)]).await.unwrap();
    engine.flush().await.unwrap_err();
    assert_eq!(tail_hours(&engine, "readings"), [0], "the late row is not lost");

    bed.objects.put(&path, bytes.into()).await.unwrap();
    engine.flush().await.unwrap();
    assert_eq!(engine.landing_faults(), []);
    assert_eq!(tail_hours(&engine, "readings"), [0; 0]);
    let all = [
        (1, START, 1.0),
        (1, START + HOUR, 3.0),
        (1, START + 2 * HOUR, 4.0),
        (1, START + 3 * HOUR, 5.0),
        (2, START + MINUTE, 2.0),
    ];
    assert_eq!(rows(&engine, "readings").await.unwrap(), all);
    engine.shutdown().await.unwrap();
}

/// Each put of a landing goes wrong in each way; what was under way comes before the next landing, or after it.
#[tokio::test]
async fn a_landing_whose_outcome_is_not_known_loses_no_row_and_doubles_none() {
    let mut doubtful = 0;
    for (fault, comes_first) in
        [(Fault::Fail, true), (Fault::LoseReply, true), (Fault::Late, true), (Fault::Late, false)]
    {
        for nth in 0.. {
            let case = format!("put {nth}, {fault:?}, {comes_first}");
            let bed = Bed::new(settings());
            bed.set(START + 9 * HOUR);
            let engine = bed.open().await;
            put(&engine, "readings", &[(1, START, 1.0), (2, START + HOUR, 2.0)]).await.unwrap();
            engine.flush().await.unwrap();
            // One replaces a row that has landed, one comes beside it.
            put(&engine, "readings", &[(1, START, 3.0), (3, START + MINUTE, 4.0)]).await.unwrap();
            bed.store.set_plan(FaultPlan::none().on(Operation::Put, nth, fault));
            let landed = engine.flush().await;
            let reached = bed.store.faults() > 0;
            bed.store.set_plan(FaultPlan::none());
            let mut all = vec![(1, START, 3.0), (2, START + HOUR, 2.0), (3, START + MINUTE, 4.0)];
            assert_eq!(rows(&engine, "readings").await.unwrap(), all, "{case}");
            if comes_first {
                bed.store.deliver().await;
                assert_eq!(rows(&engine, "readings").await.unwrap(), all, "{case}");
            }
            let error = landed.err().map(|error| error.to_string()).unwrap_or_default();
            doubtful += u64::from(error.contains("it is not known whether version"));
            put(&engine, "readings", &[(4, START + 2 * MINUTE, 5.0)]).await.unwrap();
            all.push((4, START + 2 * MINUTE, 5.0));
            engine.flush().await.unwrap();
            bed.store.deliver().await;
            assert_eq!(tail_hours(&engine, "readings"), [0; 0], "{case}");
            assert_eq!(rows(&engine, "readings").await.unwrap(), all, "{case}");
            engine.shutdown().await.unwrap();
            let engine = bed.open().await;
            assert_eq!(rows(&engine, "readings").await.unwrap(), all, "{case}: opened again");
            engine.shutdown().await.unwrap();
            if !reached {
                break;
            }
        }
    }
    assert_eq!(doubtful, 3, "of three ways nobody can know");
}

#[tokio::test]
async fn a_fault_is_tried_again_by_the_clock_ever_more_seldom() {
    let bed = Bed::new(settings());
    let mut now = START + 9 * HOUR;
    bed.set(now);
    let (engine, path, bytes) = bed.with_a_lost_file().await;
    bed.set(now + 6 * MINUTE);
    now += 6 * MINUTE;
    engine.land_due().await.unwrap_err();
    let tries = || engine.landing_faults()[0].tries;
    let begun = tries();
    for (number, seconds) in [5, 10, 20, 40].into_iter().enumerate() {
        bed.set(now + seconds * 1_000_000 - 1);
        engine.land_due().await.unwrap();
        assert_eq!(tries(), begun + number as u32, "not before its time");
        now += seconds * 1_000_000;
        bed.set(now);
        let _ = engine.land_due().await;
        assert_eq!(tries(), begun + number as u32 + 1, "at its time");
    }
    // A clock that was set back keeps nothing from being tried, and what is mended lands by itself.
    bed.objects.put(&path, bytes.into()).await.unwrap();
    bed.set(START + HOUR);
    let _ = engine.land_due().await;
    until("never landed", || {
        bed.set(bed.clock_now() + 1_000_000);
        engine.landing_faults().is_empty()
    })
    .await;
    assert_eq!(tail_hours(&engine, "readings"), [0; 0]);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn rows_that_cannot_land_leave_room_for_others() {
    let bed = Bed::new(EngineSettings { tail_bytes_max: Size::mebibytes(1), ..settings() });
    bed.set(START + 9 * HOUR);
    let (engine, path, bytes) = bed.with_a_lost_file().await;
    engine.flush().await.unwrap_err();
    let many = |hour: i64, round: i64| -> Vec<_> {
        let at = START + hour * HOUR + round * 1_000;
        (0..500).map(|key| (key, at, round as f32)).collect()
    };
    let mut late = 0;
    let refusal = loop {
        match put(&engine, "readings", &many(0, late)).await {
            Ok(_) => late += 1,
            Err(error) => break error,
        }
        let _ = engine.land_due().await;
        assert!(late < 10_000, "memory has no bound");
    };
    assert_eq!(refusal.kind(), ErrorKind::Resources, "{refusal}");
    assert!(refusal.to_string().contains(path.filename().unwrap()), "{refusal}");
    assert!(refusal.to_string().contains("tail_bytes_max"), "{refusal}");
    for round in 0..100 {
        for (table, hour) in [("readings", 1), ("tides", 0)] {
            let rows = many(hour, round);
            while let Err(error) = put(&engine, table, &rows).await {
                assert_eq!(error.kind(), ErrorKind::Resources, "{error}");
                // Landing makes room.
                engine.land_due().await.unwrap();
            }
        }
    }
    bed.objects.put(&path, bytes.into()).await.unwrap();
    engine.flush().await.unwrap();
    put(&engine, "readings", &many(0, late)).await.unwrap();
    // The first row of the lost file has the key and instant of one of these; the late row beside it has not.
    let expected = (late + 101) as usize * 500 + 1;
    assert_eq!(rows(&engine, "readings").await.unwrap().len(), expected);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_one_fault_of_a_table_and_passes() {
    let bed = Bed::new(settings());
    bed.set(START + 40 * HOUR);
    let engine = bed.open().await;
    bed.store.set_plan(FaultPlan::seeded(1, 1_000, Duration::ZERO));
    let sent: Vec<_> = (0..30).map(|hour| (1, START + hour * HOUR, hour as f32)).collect();
    put(&engine, "readings", &sent).await.unwrap();
    put(&engine, "tides", &sent).await.unwrap();
    let error = engine.flush().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let faults = engine.landing_faults();
    assert_eq!(faults.iter().filter(|fault| fault.period.is_none()).count(), 2, "{faults:?}");
    assert_eq!(rows(&engine, "readings").await.unwrap(), sent);
    bed.store.set_plan(FaultPlan::none());
    engine.flush().await.unwrap();
    assert_eq!(engine.landing_faults(), []);
    assert_eq!(tail_hours(&engine, "tides"), [0; 0]);
    assert_eq!(rows(&engine, "tides").await.unwrap(), sent);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_newest_hour_of_a_table_that_falls_silent_lands_by_the_clock() {
    let bed = Bed::new(settings());
    bed.set(START + 50 * MINUTE);
    let engine = bed.open().await;
    put(&engine, "readings", &[(1, START + 50 * MINUTE, 1.0)]).await.unwrap();
    bed.set(START + HOUR + 5 * MINUTE - 1);
    engine.land_due().await.unwrap();
    assert_eq!(tail_hours(&engine, "readings"), [0]);
    bed.set(START + HOUR + 5 * MINUTE);
    engine.land_due().await.unwrap();
    assert_eq!(tail_hours(&engine, "readings"), [0; 0]);
    // Also of readings of long ago, as long after the first of them, and over a restart.
    bed.set(START + 90 * HOUR);
    put(&engine, "tides", &[(1, START + 7 * HOUR, 1.0)]).await.unwrap();
    engine.land_due().await.unwrap();
    assert_eq!(tail_hours(&engine, "tides"), [7]);
    drop(engine);
    let engine = bed.open().await;
    bed.set(START + 90 * HOUR + 5 * MINUTE);
    engine.land_due().await.unwrap();
    assert_eq!(tail_hours(&engine, "tides"), [0; 0]);
    engine.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_a_long_landing_between_hours() {
    const HOURS: i64 = 1_000;
    let bed = Bed::new(settings());
    bed.set(START + 2 * HOURS * HOUR);
    let engine = bed.open().await;
    let sent: Vec<_> = (0..HOURS).map(|hour| (1, START + hour * HOUR, hour as f32)).collect();
    put(&engine, "readings", &sent).await.unwrap();
    // Each put from the hundredth on waits for longer than it takes to ask for the end.
    let plan = (100..2_000).fold(FaultPlan::none(), |plan, n| {
        plan.on(Operation::Put, n, Fault::Delay(Duration::from_secs(5)))
    });
    bed.store.set_plan(plan);
    let flushing = tokio::spawn({
        let engine = engine.clone();
        async move { engine.flush().await }
    });
    until("no put", || bed.store.count(Operation::Put) > 100).await;
    engine.shutdown().await.unwrap();
    let error = flushing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("shutting down"), "{error}");
    // Some hours that had begun, and a commit of them.
    assert!(bed.store.count(Operation::Put) < 200);
    let left = tail_hours(&engine, "readings").len() as i64;
    assert!(left > HOURS / 2, "{left}");
    assert_eq!(rows(&engine, "readings").await.unwrap(), sent);
    drop(engine);
    bed.store.set_plan(FaultPlan::none());
    let engine = bed.open().await;
    assert_eq!(rows(&engine, "readings").await.unwrap(), sent);
    engine.flush().await.unwrap();
    engine.shutdown().await.unwrap();
}
