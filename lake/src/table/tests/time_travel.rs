//! Tests of time travel: versions as they were, restored, and the landed watermarks of hours that are gone.

use std::fs;

use super::fixture::{Fixture, MIDNIGHT, hour};
use crate::{
    AsOf, ErrorKind, LakeTable, LogPosition, Operation, Snapshot, Span, TableVersion, Timestamp,
};

/// Three versions of two hours: one hour, both, and the first with one row more. An hour between commits.
async fn three(fixture: &Fixture) -> (LakeTable, Vec<Snapshot>) {
    let (table, mut snapshot) = fixture.open().await;
    let mut versions = vec![snapshot.clone()];
    let landings: [(i64, &[super::fixture::Row]); 3] =
        [(1, &[(1, 0, None)]), (2, &[(1, 0, None)]), (1, &[(1, 0, None), (2, 0, Some(1.0))])];
    for (n, (of, rows)) in landings.into_iter().enumerate() {
        let (entry, bytes) = fixture.file(hour(of), rows);
        table.write_file(&entry, bytes).await.unwrap();
        let removed: Vec<_> = snapshot.files_of_hour(hour(of)).to_vec();
        let at = committed(n as i64 + 1);
        let added = vec![std::sync::Arc::new(entry)];
        snapshot = table.commit(&snapshot, &removed, added, Operation::Land, at).await.unwrap();
        versions.push(snapshot.clone());
    }
    (table, versions)
}

/// When a version is made; all lie after the creation, which the store's clock tells.
fn committed(version: i64) -> Timestamp {
    Timestamp::from_micros(10 * MIDNIGHT.as_micros()) + version * Span::HOUR
}

#[tokio::test]
async fn every_version_is_read_by_number_and_time() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    for checkpoint in [false, true] {
        if checkpoint {
            table.checkpoint(&versions[3]).await.unwrap();
        }
        for held in &versions {
            let read = table.snapshot_at(held.version()).await.unwrap();
            assert_eq!((read.version(), read.files()), (held.version(), held.files()));
        }
        for (at, version) in [
            (committed(1), 1),
            (committed(2) - Span::MICROSECOND, 1),
            (committed(2), 2),
            (committed(3), 3),
            (committed(9), 3),
        ] {
            let found = table.version_as_of(AsOf::Time(at), committed(9)).await.unwrap();
            assert_eq!(found, TableVersion::new(version), "{at:?}");
        }
    }
    for as_of in [AsOf::Version(TableVersion::new(4)), AsOf::Time(MIDNIGHT - Span::DAY * 9_999)] {
        let error = table.version_as_of(as_of, committed(9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request);
        assert!(error.to_string().contains("versions 0 to 3 are kept"), "{error}");
        assert!(error.to_string().contains("\"readings\""), "{error}");
    }
}

#[tokio::test]
async fn versions_before_the_log_begins_are_named() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    table.checkpoint(&versions[2]).await.unwrap();
    for version in 0..2 {
        let commit = fixture.store().local_path(&format!("_delta_log/{version:020}.json"));
        fs::remove_file(commit.unwrap()).unwrap();
    }
    assert_eq!(table.snapshot_at(TableVersion::new(2)).await.unwrap().files(), versions[2].files());
    for as_of in [AsOf::Version(TableVersion::new(1)), AsOf::Time(committed(2) - Span::MICROSECOND)]
    {
        let error = table.version_as_of(as_of, committed(9)).await.unwrap_err();
        assert!(error.to_string().contains("versions 2 to 3 are kept"), "{error}");
    }
}

#[tokio::test]
async fn a_restored_version_has_the_files_of_the_earlier_one() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    let plan = table.plan_restore(&versions[3], TableVersion::new(1)).await.unwrap();
    assert_eq!((plan.removed.len(), plan.added.len(), plan.rows()), (2, 1, (3, 1)));
    assert_eq!(plan.hours(), [hour(1), hour(2)]);
    let restored = table.restore(&plan, committed(4)).await.unwrap().committed().unwrap();
    assert_eq!((restored.version(), restored.files()), (TableVersion::new(4), versions[1].files()));
    assert_eq!(table.refresh().await.unwrap().files(), versions[1].files());
    let last = table.history().await.unwrap().pop().unwrap();
    assert_eq!((last.operation.as_str(), last.hours), ("RESTORE", Some(plan.hours())));
    // What is restored is restored again, back to where it was.
    let back = table.plan_restore(&restored, TableVersion::new(3)).await.unwrap();
    assert_eq!(
        table.restore(&back, committed(5)).await.unwrap().committed().unwrap().files(),
        versions[3].files()
    );

    let stale = table.restore(&plan, committed(6)).await.unwrap().committed().unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    let same = table.plan_restore(&versions[3], TableVersion::new(3)).await.unwrap_err();
    assert!(same.to_string().contains("nothing to restore"), "{same}");
}

#[tokio::test]
async fn what_was_deleted_is_not_restored() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    let gone = versions[1].files()[0].path.to_string();
    fs::remove_file(fixture.store().local_path(&gone).unwrap()).unwrap();
    let error = table.plan_restore(&versions[3], TableVersion::new(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    for words in ["version 1", "1 files", &gone, "scheduler.removed_files_kept"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn marks_tell_what_has_landed_until_no_log_holds_it() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    // The fixture gives a file as its position the number of its rows.
    let landed = table.landed_through(&versions[3]).await.unwrap();
    assert_eq!(
        (landed.len(), landed[&hour(1)], landed[&hour(2)]),
        (2, LogPosition::new(2), LogPosition::new(1))
    );
    let plan = table.plan_restore(&versions[3], TableVersion::new(1)).await.unwrap();
    let restored = table.restore(&plan, committed(4)).await.unwrap().committed().unwrap();
    assert_eq!(table.landed_through(&restored).await.unwrap(), landed);
    let report = table.check(&restored, &mut |_, _| {}).await.unwrap();
    let orphans = report.findings.iter().filter(|finding| finding.subject.contains("_landed"));
    assert_eq!(orphans.count(), 0, "a watermark is not a file that was left behind");

    table.forget_landed(LogPosition::new(2)).await.unwrap();
    assert_eq!(table.landed_through(&restored).await.unwrap(), landed);
    table.forget_landed(LogPosition::new(3)).await.unwrap();
    let forgotten = table.landed_through(&restored).await.unwrap();
    assert_eq!((forgotten.len(), forgotten[&hour(1)]), (1, LogPosition::new(1)));
}

#[tokio::test]
async fn what_expired_is_known_for_ever() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    let known = async || {
        let opened = fixture.open().await.1;
        let refreshed = table.refresh().await.unwrap();
        assert_eq!(opened.expired_through(), refreshed.expired_through());
        opened.expired_through()
    };
    assert_eq!(known().await, None);
    let after = table
        .expire(&versions[3], &versions[3].files()[..1], committed(4))
        .await
        .unwrap()
        .committed()
        .unwrap();
    assert_eq!(after.files(), &versions[3].files()[1..]);
    let last = table.history().await.unwrap().pop().unwrap();
    assert_eq!((last.operation.as_str(), last.hours.unwrap()), ("EXPIRE", vec![hour(1)]));
    for held in [after.expired_through(), known().await] {
        assert_eq!(held, Some(hour(1)));
    }
    // Other commits and a checkpoint leave it as it is, and an earlier hour does not take it back.
    let (entry, bytes) = fixture.file(hour(0), &[(1, 0, None)]);
    table.write_file(&entry, bytes).await.unwrap();
    let added = vec![std::sync::Arc::new(entry)];
    let late = table.commit(&after, &[], added, Operation::Land, committed(5)).await.unwrap();
    table.checkpoint(&late).await.unwrap();
    for version in 0..late.version().get() {
        let commit = fixture.store().local_path(&format!("_delta_log/{version:020}.json"));
        fs::remove_file(commit.unwrap()).unwrap();
    }
    assert_eq!((late.expired_through(), known().await), (Some(hour(1)), Some(hour(1))));
    let again =
        table.expire(&late, &late.files()[..1], committed(6)).await.unwrap().committed().unwrap();
    assert_eq!((again.expired_through(), known().await), (Some(hour(1)), Some(hour(1))));
    assert_eq!(table.snapshot_at(late.version()).await.unwrap().expired_through(), Some(hour(1)));
}

#[tokio::test]
async fn a_restore_of_what_expired_forgets_that_it_had() {
    let fixture = Fixture::new();
    let (table, versions) = three(&fixture).await;
    let expired = table
        .expire(&versions[3], versions[3].files(), committed(4))
        .await
        .unwrap()
        .committed()
        .unwrap();
    assert_eq!(expired.expired_through(), Some(hour(2)));
    let plan = table.plan_restore(&expired, TableVersion::new(3)).await.unwrap();
    let restored = table.restore(&plan, committed(5)).await.unwrap().committed().unwrap();
    assert_eq!((restored.expired_through(), restored.files()), (None, versions[3].files()));
    assert_eq!(table.refresh().await.unwrap().expired_through(), None);
    let back = table.plan_restore(&restored, TableVersion::new(4)).await.unwrap();
    assert_eq!(
        table.restore(&back, committed(6)).await.unwrap().committed().unwrap().expired_through(),
        Some(hour(2))
    );
}
