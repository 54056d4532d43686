//! Tests of tables: opening, committing, reading back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod fixture;

mod alter;
mod check;
mod columns;
mod foreign;
mod foreign_log;
mod fuzz;
mod log;
mod names;
mod sweep;
mod time_travel;

use std::sync::Arc;

use fixture::{Fixture, MIDNIGHT, declaration, hour, value, wide_schema};

use crate::store::LakeStore;
use crate::store::faults::{Fault, FaultPlan, FaultStore, Operation as StoreOperation};
use crate::{ErrorKind, Key, LakeTable, Operation, TableSchema, TableVersion, ValueType};

#[tokio::test]
async fn a_table_is_created_once_and_opened_again() {
    let fixture = Fixture::new();
    let missing = LakeTable::open_existing(fixture.store().clone()).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let (_, snapshot) = fixture.open().await;
    assert_eq!(snapshot.version(), TableVersion::new(0));
    let (_, snapshot) = fixture.open().await;
    assert_eq!(snapshot.version(), TableVersion::new(0));
    let (table, _) = LakeTable::open_existing(fixture.store().clone()).await.unwrap();
    assert_eq!(table.schema(), fixture.schema());
}

#[tokio::test]
async fn every_type_of_column_is_declared_as_it_was() {
    let fixture = Fixture::new();
    let schema = Arc::new(wide_schema());
    let store = fixture.store().child("wide");
    LakeTable::open(store.clone(), schema.clone()).await.unwrap();
    let (table, _) = LakeTable::open_existing(store).await.unwrap();
    assert_eq!(*table.schema(), schema);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_openers_agree_on_one_table() {
    let fixture = Fixture::new();
    let openers = (0..16).map(|_| {
        let (store, schema) = (fixture.store().clone(), fixture.schema().clone());
        tokio::spawn(LakeTable::open(store, schema))
    });
    for opened in futures::future::try_join_all(openers).await.unwrap() {
        assert_eq!(opened.unwrap().1.version(), TableVersion::new(0));
    }
}

#[tokio::test]
async fn other_ranges_are_committed() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let landed = fixture.land(&table, &base, hour(0), &[(1, 0, Some(1.5))]).await;

    let mut ranges = declaration();
    ranges.columns[0].range = Some([-100.0, 70.0]);
    let ranges = Arc::new(TableSchema::new("readings", ranges).unwrap());
    let (table, snapshot) = LakeTable::open(fixture.store().clone(), ranges.clone()).await.unwrap();
    assert_eq!(snapshot.version(), TableVersion::new(2));
    assert_eq!(snapshot.files(), landed.files());
    assert_eq!(table.history().await.unwrap()[2].operation, "SET TBLPROPERTIES");
    let (table, _) = LakeTable::open_existing(fixture.store().clone()).await.unwrap();
    assert_eq!(*table.schema(), ranges);
}

#[tokio::test]
async fn a_table_that_never_held_a_row_takes_other_columns() {
    let fixture = Fixture::new();
    let other = Arc::new(wide_schema());
    LakeTable::open(fixture.store().clone(), other).await.unwrap();
    let prepared =
        LakeTable::prepare(fixture.store().clone(), fixture.schema().clone()).await.unwrap();
    assert!(prepared.other_columns().is_some());
    let (stored, _) = LakeTable::open_existing(fixture.store().clone()).await.unwrap();
    assert_ne!(stored.schema(), fixture.schema(), "judging writes nothing");
    let (table, base) = prepared.open().await.unwrap();
    assert_eq!(base.version(), TableVersion::new(1));
    let landed = fixture.land(&table, &base, hour(0), &[(1, 0, Some(1.5))]).await;
    assert_eq!(fixture.open().await.1.files(), landed.files());

    // Rows that have gone are still in earlier versions.
    table.commit(&landed, landed.files(), vec![], Operation::Expire, MIDNIGHT).await.unwrap();
    let refused = LakeTable::open(fixture.store().clone(), Arc::new(wide_schema())).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Request);
    fixture.open().await;
}

#[tokio::test]
async fn judging_a_table_that_there_is_not_makes_nothing() {
    let fixture = Fixture::new();
    let prepared =
        LakeTable::prepare(fixture.store().clone(), fixture.schema().clone()).await.unwrap();
    assert!(prepared.snapshot().is_none() && prepared.other_columns().is_none());
    let missing = LakeTable::open_existing(fixture.store().clone()).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(prepared.open().await.unwrap().1.version(), TableVersion::new(0));
}

#[tokio::test]
async fn what_was_committed_is_read_back() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(1), &[(-7, 1, Some(-3.3)), (5, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(0), &[(1, 123_456, None)]).await;
    let three =
        fixture.land(&table, &two, hour(1), &[(-7, 1, Some(0.1)), (5, 0, Some(1e-30))]).await;
    assert_eq!(three.version(), TableVersion::new(3));
    assert_eq!(three.files().len(), 2);
    let read = table.refresh().await.unwrap();
    assert_eq!((read.version(), read.files()), (three.version(), three.files()));
    let home = read.files_of_hour(hour(1)).first().unwrap();
    assert_eq!(home.keys, (Key::new(-7), Key::new(5)));
    assert_eq!(home.columns[2].max, Some(f64::from(0.1f32).into()));
    assert_eq!((home.columns[3].min.as_ref(), home.columns[3].nulls), (None, 2));

    let empty =
        table.commit(&three, three.files(), vec![], Operation::Expire, MIDNIGHT).await.unwrap();
    assert!(empty.files().is_empty());
    assert!(table.refresh().await.unwrap().files().is_empty());
}

#[tokio::test]
async fn a_change_that_does_not_fit_its_base_is_refused() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(1), &[(1, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(1), &[(1, 0, Some(2.0))]).await;
    let (second, bytes) = fixture.file(hour(1), &[(1, 0, None)]);
    let gone = one.files().to_vec();
    let second = Arc::new(second);
    for (removed, added) in [(gone, vec![]), (vec![], vec![second.clone()])] {
        let refused =
            table.commit(&two, &removed, added, Operation::Land, MIDNIGHT).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Request, "{refused}");
    }
    let twice = vec![second.clone(), second.clone()];
    let refused =
        table.commit(&two, two.files(), twice, Operation::Land, MIDNIGHT).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Request, "{refused}");
    let cut = table.write_file(&second, bytes.slice(1..)).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Request);
    assert_eq!(table.refresh().await.unwrap().version(), two.version());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writers_one_wins_each_version() {
    let fixture = Arc::new(Fixture::new());
    let (table, _) = fixture.open().await;
    let writers = (0..4).map(|writer| {
        let (fixture, table) = (fixture.clone(), table.clone());
        tokio::spawn(async move {
            let mut conflicts = 0;
            for round in 0..5 {
                let mut base = table.refresh().await.unwrap();
                loop {
                    // Each writer adds one reading to the same hour, as landings of late rows do.
                    let mut rows: Vec<_> =
                        base.files_of_hour(hour(0)).first().map_or(vec![], |home| {
                            (0..home.rows as i32).map(|key| (key, 0, None)).collect()
                        });
                    rows.push((rows.len() as i32, 0, Some(writer as f32 * 10.0 + round as f32)));
                    let (entry, bytes) = fixture.file(hour(0), &rows);
                    table.write_file(&entry, bytes).await.unwrap();
                    let added = vec![Arc::new(entry)];
                    match table.commit(&base, base.files(), added, Operation::Land, MIDNIGHT).await
                    {
                        Ok(_) => break,
                        Err(e) if e.kind() == ErrorKind::Conflict => conflicts += 1,
                        Err(e) => panic!("{e}"),
                    }
                    base = table.refresh().await.unwrap();
                }
            }
            conflicts
        })
    });
    let conflicts: u64 = futures::future::try_join_all(writers).await.unwrap().into_iter().sum();
    let last = table.refresh().await.unwrap();
    assert_eq!(last.version(), TableVersion::new(20), "after {conflicts} conflicts");
    assert_eq!(last.files().len(), 1);
    assert_eq!(last.files()[0].rows, 20, "each reading is in the table once");
}

#[tokio::test]
async fn a_commit_that_comes_late_is_found_as_a_conflict_and_a_lost_reply_at_once() {
    let fixture = Fixture::new();
    fixture.open().await;
    let faults = FaultStore::new(fixture.store().object().clone(), FaultPlan::none());
    let store = LakeStore::with_store(faults.clone(), fixture.store().url().clone());
    let (table, base) = LakeTable::open(store, fixture.schema().clone()).await.unwrap();
    let (entry, bytes) = fixture.file(hour(0), &[(1, 0, Some(1.0))]);
    table.write_file(&entry, bytes).await.unwrap();
    let added = vec![Arc::new(entry)];

    faults.set_plan(FaultPlan::none().on(StoreOperation::Put, 0, Fault::Fail).on(
        StoreOperation::Put,
        1,
        Fault::Late,
    ));
    for _ in 0..2 {
        let lost =
            table.commit(&base, &[], added.clone(), Operation::Land, MIDNIGHT).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Store);
    }
    assert_eq!(faults.deliver().await, 1);
    let again =
        table.commit(&base, &[], added.clone(), Operation::Land, MIDNIGHT).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let read = table.refresh().await.unwrap();
    assert_eq!((read.version(), read.files()), (TableVersion::new(1), added.as_slice()));

    faults.set_plan(FaultPlan::none().on(StoreOperation::Put, 0, Fault::LoseReply));
    let after = table.commit(&read, &[], vec![], Operation::Compact, MIDNIGHT).await.unwrap();
    assert_eq!(table.refresh().await.unwrap().version(), after.version());
}

/// The table that `tests/outside.py` reads with other engines, if `BAROGRAPH_OUTSIDE` names a folder or an
/// object store that stays.
#[tokio::test]
async fn a_table_for_other_engines() {
    let fixture = Fixture::outside("readings");
    let (table, mut snapshot) = fixture.open().await;
    for n in 0..6 {
        let rows =
            [(-3, 1, Some(-40.1)), (1, 123_456, None), (1, 3_599_999_999, Some(n as f32 / 3.0))];
        snapshot = fixture.land(&table, &snapshot, hour(n), &rows).await;
        if n == 3 {
            table.checkpoint(&snapshot).await.unwrap();
        }
    }
    let expired = snapshot.files()[..1].to_vec();
    let last =
        table.commit(&snapshot, &expired, vec![], Operation::Expire, MIDNIGHT).await.unwrap();
    let lost =
        table.commit(&snapshot, &expired, vec![], Operation::Expire, MIDNIGHT).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Conflict);
    assert_eq!(table.refresh().await.unwrap().files(), last.files());
    let report = table.check(&last, &mut |_, _| {}).await.unwrap();
    assert!(report.is_sound() && report.findings.len() == 1, "{:?}", report.findings);
}
