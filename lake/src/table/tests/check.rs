//! Tests of checking: whatever is damaged is found and named.

use std::sync::Arc;

use super::fixture::{Fixture, MIDNIGHT, Row, hour};
use crate::table::{CheckReport, FindingKind};
use crate::{FileEntry, LakeTable, Operation, Snapshot};

async fn findings(table: &LakeTable, snapshot: &Snapshot) -> Vec<(FindingKind, String)> {
    let report: CheckReport = table.check(snapshot, &mut |_, _| {}).await.unwrap();
    report.findings.into_iter().map(|finding| (finding.kind, finding.to_string())).collect()
}

/// Commits a file of `rows` under an entry that `change` has altered, and returns what a check finds.
async fn found_after(
    rows: &[Row],
    change: impl FnOnce(&mut FileEntry),
) -> Vec<(FindingKind, String)> {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let (mut entry, bytes) = fixture.file(hour(0), rows);
    let path = fixture.store().path(&entry.path.to_string());
    fixture.store().object().put_opts(&path, bytes.into(), Default::default()).await.unwrap();
    change(&mut entry);
    let snapshot = base.apply(crate::TableVersion::new(1), &[], vec![Arc::new(entry)]);
    findings(&table, &snapshot).await
}

const SOUND: [Row; 3] = [(1, 0, Some(-1.5)), (1, 60_000_000, None), (2, 0, Some(21.3))];

#[tokio::test]
async fn a_sound_table_has_no_findings() {
    assert!(found_after(&SOUND, |_| {}).await.is_empty());

    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(0), &SOUND).await;
    let two = fixture.land(&table, &one, hour(1), &SOUND).await;
    let mut steps = Vec::new();
    let report = table.check(&two, &mut |done, of| steps.push((done, of))).await.unwrap();
    assert_eq!(steps, [(1, 2), (2, 2)]);
    assert_eq!((report.files, report.rows, report.version), (2, 6, two.version()));
    assert_eq!(report.bytes, two.files().iter().map(|file| file.bytes).sum::<u64>());
    assert!(report.is_sound() && report.findings.is_empty());
}

#[tokio::test]
async fn wrong_entries_are_found() {
    use FindingKind::{RowCountDiffers, SizeDiffers, StatisticDiffers};
    type Change = fn(&mut FileEntry);
    let cases: [(FindingKind, &str, Change); 6] = [
        (SizeDiffers, "expected", |entry| entry.bytes += 1),
        (RowCountDiffers, "4 rows expected, 3 found", |entry| entry.rows = 4),
        (StatisticDiffers, "temperature: 2 nulls expected, 1 found", |entry| {
            entry.columns[2].nulls = 2
        }),
        (StatisticDiffers, "temperature: minimum -1.25 expected, -1.5 found", |entry| {
            entry.columns[2].min = Some((-1.25).into());
        }),
        (StatisticDiffers, "temperature: maximum none expected", |entry| {
            entry.columns[2].max = None
        }),
        (StatisticDiffers, "reading_at: maximum", |entry| {
            entry.columns[1].max = Some("2026-11-22T00:00:59.999999Z".into());
        }),
    ];
    for (kind, text, change) in cases {
        let found = found_after(&SOUND, change).await;
        assert!(found.len() == 1 && found[0].0 == kind, "{kind}: {found:?}");
        assert!(found[0].1.contains(text), "{text}: {found:?}");
    }
}

#[tokio::test]
async fn wrong_rows_are_found() {
    use FindingKind::{OutOfOrder, OutsidePeriod, RepeatedKey};
    let cases: [(FindingKind, &str, &[Row]); 4] = [
        (OutOfOrder, "1 rows, the first of key 1", &[(2, 0, None), (1, 0, None), (3, 0, None)]),
        (OutOfOrder, "key 1 at 2026-11-22T00:00:00Z", &[(1, 5, None), (1, 0, None)]),
        (RepeatedKey, "2 rows, the first of key 1", &[(1, 0, None), (1, 0, None), (1, 0, None)]),
        (OutsidePeriod, "key 1 at 2026-11-22T01:00:00Z", &[(1, 0, None), (1, 3_600_000_000, None)]),
    ];
    for (kind, text, rows) in cases {
        let found = found_after(rows, |_| {}).await;
        assert!(found.len() == 1 && found[0].0 == kind, "{kind}: {found:?}");
        assert!(found[0].1.contains(text), "{text}: {found:?}");
    }
}

#[tokio::test]
async fn missing_damaged_and_left_over_objects_are_found() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let mut snapshot = base;
    for n in [0, 1, 3, 7] {
        snapshot = fixture.land(&table, &snapshot, hour(n), &SOUND).await;
    }
    let local = |n: i64| {
        let path = snapshot.files_of_hour(hour(n)).first().unwrap().path.to_string();
        fixture.store().local_path(&path).unwrap()
    };
    std::fs::remove_file(local(0)).unwrap();
    let whole = std::fs::read(local(1)).unwrap();
    std::fs::write(local(1), &whole[..whole.len() / 2]).unwrap();
    let (orphan, bytes) = fixture.file(hour(5), &SOUND);
    table.write_file(&orphan, bytes).await.unwrap();

    let found = findings(&table, &snapshot).await;
    let kinds: Vec<_> = found.iter().map(|(kind, _)| *kind).collect();
    use FindingKind::{Gap, MissingFile, Orphan, SizeDiffers, Unreadable};
    assert_eq!(kinds, [Gap, Gap, MissingFile, SizeDiffers, Unreadable, Orphan], "{found:?}");
    assert!(found[0].1.contains("2026-11-22T02: no file"), "{found:?}");
    assert!(found[1].1.contains("2026-11-22T04: no file for 3 hours, until 2026-11-22T07"));
    assert!(found[2].1.contains("3 rows are missing"));

    // The orphan of the old snapshot is active in the newest version.
    let next = table
        .commit(&snapshot, &[], vec![Arc::new(orphan)], Operation::Land, MIDNIGHT)
        .await
        .unwrap();
    assert_eq!(next.files().len(), 5);
    let kinds = findings(&table, &snapshot).await.into_iter().map(|(kind, _)| kind);
    assert!(kinds.into_iter().all(|kind| kind != Orphan));
}

#[tokio::test]
async fn every_changed_byte_is_found() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let snapshot = fixture.land(&table, &base, hour(0), &SOUND).await;
    let path = snapshot.files()[0].path.to_string();
    let path = fixture.store().local_path(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut missed = Vec::new();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        let report = table.check(&snapshot, &mut |_, _| {}).await.unwrap();
        if report.is_sound() {
            missed.push(at);
        }
    }
    assert!(missed.is_empty(), "bytes {missed:?} of {}", whole.len());
    std::fs::write(&path, whole).unwrap();
    assert!(findings(&table, &snapshot).await.is_empty());
}

#[tokio::test]
async fn other_columns_and_shared_hours_are_found() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(0), &SOUND).await;
    let (second, bytes) = fixture.file(hour(0), &SOUND);
    table.write_file(&second, bytes).await.unwrap();
    let shared = one.apply(one.version(), &[], vec![Arc::new(second)]);
    let found = findings(&table, &shared).await;
    assert_eq!(found.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [FindingKind::Overlap]);

    let (entry, _) = fixture.file(hour(1), &SOUND);
    let columns = arrow::record_batch::RecordBatch::new_empty(Arc::new(
        fixture.schema().arrow().project(&[0, 1]).unwrap(),
    ));
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(Vec::new(), columns.schema(), None).unwrap();
    writer.write(&columns).unwrap();
    let bytes = writer.into_inner().unwrap();
    let entry = FileEntry { bytes: bytes.len() as u64, ..entry };
    table.write_file(&entry, bytes.into()).await.unwrap();
    let other = base.apply(base.version(), &[], vec![Arc::new(entry)]);
    let found = findings(&table, &other).await;
    assert_eq!(found[0].0, FindingKind::ColumnsDiffer, "{found:?}");
}
