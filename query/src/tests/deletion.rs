//! Tests of deletion: deleted rows are gone from every answer, at once and for good, whatever fails on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use barograph_engine::{DeletionReport, DeletionRequest};
use barograph_lake::store::DurableLocal;
use barograph_lake::store::faults::{Fault, FaultPlan, FaultStore, Operation};
use barograph_lake::{Key, TableVersion};

use super::*;

const ALL: &str = "SELECT * FROM readings ORDER BY city_id, reading_at";
const NEWEST: &str = "SELECT city_id, reading_at FROM latest('readings') ORDER BY 1";
const EXPECTED: &str = "SELECT city_id, max(reading_at) FROM readings GROUP BY 1 ORDER BY 1";

/// Some cities over an hour and a half, whose hours are in the lake, in the tail and in both.
fn some() -> DeletionRequest {
    let time = minutes(30, (LANDED_HOURS + 1) * 60);
    let (by, reason) = ("tester".to_owned(), "they asked for it".to_owned());
    DeletionRequest { keys: Some([3, 7, 1_000_000].map(Key::new).to_vec()), time, by, reason }
}

/// The second hour of all cities.
fn hour() -> DeletionRequest {
    let time = minutes(60, 120);
    DeletionRequest { keys: None, time, ..some() }
}

fn condition(asked: &DeletionRequest) -> String {
    let keys = asked.keys.as_ref().map_or("true".to_owned(), |keys| {
        let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
        format!("city_id IN ({})", keys.join(", "))
    });
    let (from, to) = (asked.time.from, asked.time.to);
    format!("({keys} AND reading_at >= TIMESTAMP '{from}' AND reading_at < TIMESTAMP '{to}')")
}

impl Fixture {
    /// The rows that remain when `asked` is deleted, and the number of rows deleted.
    async fn rest(&self, asked: &DeletionRequest) -> (Vec<String>, u64) {
        let condition = condition(asked);
        let rest =
            format!("SELECT * FROM readings WHERE NOT {condition} ORDER BY city_id, reading_at");
        let gone = format!("SELECT count(*) FROM readings WHERE {condition}");
        (self.lines(&rest).await, self.lines(&gone).await[0].parse().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_rows_are_in_no_answer_and_no_replay() {
    let mut fixture = Fixture::new().await;
    let before = fixture.engine.view("readings").unwrap().snapshot.version().get();
    for (n, asked) in [some(), hour()].into_iter().enumerate() {
        fixture.lines(NEWEST).await;
        let (rest, rows) = fixture.rest(&asked).await;
        assert!(rows > 0 && !rest.is_empty());
        let report = fixture.engine.delete("readings", asked.clone()).await.unwrap();
        let version = fixture.engine.view("readings").unwrap().snapshot.version().get();
        assert_eq!((report.rows, report.version), (rows, Some(version)));
        assert_eq!(fixture.lines(ALL).await, rest);
        assert_eq!(fixture.lines(NEWEST).await, fixture.lines(EXPECTED).await);
        let again = fixture.engine.delete("readings", asked).await.unwrap();
        assert_eq!(again, DeletionReport::default(), "there are none left");
        // The log still has the rows.
        fixture.reopen().await;
        assert!(fixture.engine.recovery().landed_rows >= rows);
        assert_eq!(fixture.lines(ALL).await, rest);
        let deletions = fixture.engine.deletions("readings").await.unwrap();
        assert_eq!((deletions.len(), deletions[n].rows), (n + 1, rows));
    }
    assert_eq!(
        fixture
            .lines("SELECT table_name, deleted_by, reason, keys, rows_from FROM system.deletions ORDER BY version")
            .await,
        [
            "readings|tester|they asked for it|3, 7, 1000000|2026-01-01T00:30:00Z",
            "readings|tester|they asked for it|null|2026-01-01T01:00:00Z",
        ]
    );

    // Neither are they read or brought back as what once was.
    let error = fixture.refused(&format!("SELECT * FROM as_of('readings', {before})")).await;
    assert!(error.contains("has rows that were deleted"), "{error}");
    let lake = fixture.lake().await;
    let newest = lake.refresh().await.unwrap();
    let error =
        lake.plan_restore(&newest, TableVersion::new(before)).await.unwrap_err().to_string();
    assert!(error.contains("has rows that were deleted"), "{error}");

    // What comes later is not what was deleted.
    let mut rng = SmallRng::seed_from_u64(21);
    fixture.put(hour_of(&mut rng, 1, 10)).await;
    let rows = fixture.lines(ALL).await;
    fixture.reopen().await;
    assert_eq!(fixture.lines(ALL).await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_fails_anywhere_takes_all_rows_or_none() {
    let (mut failed, mut made) = (0, 0);
    for fault in [Fault::Fail, Fault::LoseReply, Fault::Late] {
        for n in 0.. {
            let (mut fixture, mut faults) = (Fixture::new().await, 0);
            // A whole hour goes, and parts of others.
            for asked in [hour(), some()] {
                let (all, (rest, _)) = (fixture.lines(ALL).await, fixture.rest(&asked).await);
                let store = FaultStore::new(Arc::new(DurableLocal::new()), FaultPlan::none());
                let url = LakeStore::local(&fixture.folder.path().join("lake")).unwrap();
                let lake = LakeStore::with_store(Arc::clone(&store) as _, url.url().clone());
                fixture.engine.shutdown().await.unwrap();
                let settings = fixture.sql.settings().clone();
                (fixture.engine, fixture.sql) =
                    open_at(lake, &fixture.folder, &fixture.clock, settings).await;
                store.set_plan(FaultPlan::none().on(Operation::Put, n, fault));
                let deleted = fixture.engine.delete("readings", asked.clone()).await;
                faults += store.faults();
                store.deliver().await;
                fixture.reopen().await;
                let left = fixture.lines(ALL).await;
                let records = fixture.engine.deletions("readings").await.unwrap();
                let recorded = records.iter().any(|record| record.keys == asked.keys);
                if left == all {
                    assert!(deleted.is_err() && !recorded, "put {n}, {fault:?}: {deleted:?}");
                    failed += 1;
                } else {
                    assert!(left == rest && recorded, "put {n}, {fault:?}: {deleted:?}");
                    made += usize::from(deleted.is_err());
                }
                fixture.engine.delete("readings", asked).await.unwrap();
                assert_eq!(fixture.lines(ALL).await, rest, "put {n}, {fault:?}: asked again");
            }
            if faults == 0 {
                break;
            }
        }
    }
    assert!(failed > 4 && made > 0, "{failed} failed, {made} were made though they failed");
}
