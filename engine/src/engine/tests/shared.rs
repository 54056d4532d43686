//! Tests of several engines over one log in the store.

use std::sync::Arc;

use barograph_lake::{Key, LakeStore, Span, TimeRange};
use object_store::memory::InMemory;

use super::{HOUR, MINUTE, START, put, rows, table, until};
use crate::{Clock, Engine, EngineSettings, LogSource, SystemClock};

struct Store(Arc<InMemory>);

impl Store {
    async fn open(&self) -> Arc<Engine> {
        let lake = LakeStore::with_store(self.0.clone(), "memory:///lake".parse().unwrap());
        let settings =
            EngineSettings { poll_commits_every: Span::millis(20), ..EngineSettings::default() };
        Engine::builder(lake)
            .settings(settings)
            .log(LogSource::Store { address: String::new() })
            .table(table("readings"))
            .open()
            .await
            .unwrap()
    }
}

async fn comes_to(engine: &Arc<Engine>, expected: &[super::Row], what: &str) {
    let begun = SystemClock.elapsed();
    while rows(engine, "readings").await.unwrap() != expected {
        assert!(SystemClock.elapsed() - begun < Span::seconds(600), "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn tail_rows(engine: &Arc<Engine>) -> u64 {
    let view = engine.view("readings").unwrap();
    view.tail.hours().iter().map(|hour| hour.rows()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_acknowledges_all_see_in_one_order() {
    let store = Store(Arc::default());
    let (a, b) = (store.open().await, store.open().await);
    put(&a, "readings", &[(1, START, 1.0), (2, START, 1.0)]).await.unwrap();
    comes_to(&b, &[(1, START, 1.0), (2, START, 1.0)], "b never followed").await;
    put(&b, "readings", &[(1, START, 2.0)]).await.unwrap();
    // It has not followed, and comes after.
    put(&a, "readings", &[(2, START, 3.0)]).await.unwrap();
    let all = [(1, START, 2.0), (2, START, 3.0)];
    assert_eq!(rows(&a, "readings").await.unwrap(), all);
    comes_to(&b, &all, "b never followed again").await;
    comes_to(&store.open().await, &all, "a start").await;
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_lands_leaves_all_tails_and_lands_once() {
    let store = Store(Arc::default());
    let (a, b) = (store.open().await, store.open().await);
    let early = [(1, START, 1.0), (2, START + MINUTE, 2.0)];
    put(&a, "readings", &early).await.unwrap();
    comes_to(&b, &early, "b never followed").await;
    a.flush().await.unwrap();
    put(&b, "readings", &[(3, START + HOUR, 3.0)]).await.unwrap();
    until("the landed rows stay in b", || tail_rows(&b) == 1).await;
    let all = [(1, START, 1.0), (2, START + MINUTE, 2.0), (3, START + HOUR, 3.0)];
    assert_eq!(rows(&b, "readings").await.unwrap(), all);
    comes_to(&a, &all, "a never followed").await;
    // Both land at once: one loses, and finds nothing left to do.
    let (one, other) = tokio::join!(a.flush(), b.flush());
    assert_eq!(one.unwrap().rows + other.unwrap().rows, 1);
    for engine in [&a, &b] {
        assert_eq!(rows(engine, "readings").await.unwrap(), all);
        let view = engine.view("readings").unwrap();
        let landed: u64 = view.snapshot.files().iter().map(|file| file.rows).sum();
        assert_eq!(landed, 3);
        engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_deletes_no_other_brings_back() {
    let store = Store(Arc::default());
    let (a, b) = (store.open().await, store.open().await);
    let all = [(1, START, 1.0), (2, START, 2.0)];
    put(&a, "readings", &all).await.unwrap();
    comes_to(&b, &all, "b never followed").await;
    let request = crate::DeletionRequest {
        keys: Some(vec![Key::new(1)]),
        time: TimeRange::ALL,
        by: "test".to_owned(),
        reason: "wrong".to_owned(),
    };
    a.delete("readings", request).await.unwrap();
    b.flush().await.unwrap();
    comes_to(&b, &all[1..], "b shows a deleted row").await;
    comes_to(&store.open().await, &all[1..], "a start brings it back").await;
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}
