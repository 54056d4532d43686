//! Tests of statistics, of names in the log and of racing commits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::Value;

use super::commit::{hours, spans};
use super::log_path::{LogKind, LogName, foreign_checkpoint};
use super::{Commit, Replacement, log, stats};
use crate::register::Put;
use crate::snapshot::ColumnStats;
use crate::table::tests::fixture::{Fixture, hour, wide_schema};
use crate::{
    Change, ErrorKind, FileEntry, FilePath, Key, LogPosition, Operation, Span, TableVersion,
    Timestamp,
};

fn range<T: Clone + PartialOrd>(a: T, b: T) -> (T, T) {
    if b < a { (b, a) } else { (a, b) }
}

fn column(range: Option<(Value, Value)>, nulls: u64) -> ColumnStats {
    let (min, max) = range.unzip();
    ColumnStats { min, max, nulls }
}

prop_compose! {
    fn any_float()(bits in any::<u64>(), plain in -1e6..1e6f64, kind in 0..3) -> f64 {
        let odd = f64::from_bits(bits);
        if kind == 0 && odd.is_finite() { odd } else { plain }
    }
}

prop_compose! {
    fn any_float32()(bits in any::<u32>(), tenths in -1_000..10_000i32, odd in any::<bool>()) -> f64 {
        let float = f32::from_bits(bits);
        f64::from(if odd && float.is_finite() { float } else { tenths as f32 / 10.0 })
    }
}

prop_compose! {
    fn any_entry()(
        hours in -3_000_000..3_000_000i64,
        offsets in (0..3_600_000_000i64, 0..3_600_000_000i64),
        keys in any::<(i64, i64)>(),
        shorts in any::<Option<(i16, i16)>>(),
        longs in any::<Option<(i64, i64)>>(),
        floats in proptest::option::of((any_float32(), any_float32())),
        doubles in proptest::option::of((any_float(), any_float())),
        instants in proptest::option::of((-62_000_000_000_000_000..250_000_000_000_000_000i64, any::<u32>())),
        rows in 1..u64::from(u32::MAX),
        nulls in any::<[u32; 6]>(),
    ) -> FileEntry {
        let start = hours * 3_600_000_000;
        let hour = crate::Hour::of(Timestamp::from_micros(start)).unwrap();
        let times = range(start + offsets.0, start + offsets.1);
        let times = (Timestamp::from_micros(times.0), Timestamp::from_micros(times.1));
        let keys = range(keys.0, keys.1);
        let time = (Value::from(times.0.to_string()), Value::from(times.1.to_string()));
        let of = |nulls: u32| u64::from(nulls);
        FileEntry {
            path: FilePath::new(hour, LogPosition::new(rows)),
            bytes: rows,
            rows,
            keys: (Key::new(keys.0), Key::new(keys.1)),
            times,
            columns: vec![
                column(Some((keys.0.into(), keys.1.into())), 0),
                column(Some(time.clone()), 0),
                column(shorts.map(|(a, b)| range(a, b)).map(|(a, b)| (a.into(), b.into())), of(nulls[0])),
                column(longs.map(|(a, b)| range(a, b)).map(|(a, b)| (a.into(), b.into())), of(nulls[1])),
                column(floats.map(|(a, b)| range(a, b)).map(|(a, b)| (a.into(), b.into())), of(nulls[2])),
                column(doubles.map(|(a, b)| range(a, b)).map(|(a, b)| (a.into(), b.into())), of(nulls[3])),
                column(None, of(nulls[4])),
                column(
                    instants.map(|(at, span)| (
                        Timestamp::from_micros(at).to_string().into(),
                        Timestamp::from_micros(at + i64::from(span)).to_string().into(),
                    )),
                    of(nulls[5]),
                ),
                column(Some(time), 0),
            ],
        }
    }
}

proptest! {
    #[test]
    fn statistics_come_back_exactly(entries in proptest::collection::vec(any_entry(), 1..20)) {
        let schema = wide_schema();
        let documents: Vec<_> =
            entries.iter().map(|entry| stats::encode(&schema, entry).unwrap()).collect();
        let documents: Vec<_> = documents.iter().map(String::as_str).collect();
        let decoded = stats::decode(&schema, &documents, &[]).unwrap();
        prop_assert_eq!(decoded.len(), entries.len());
        for (stats, entry) in decoded.iter().zip(&entries) {
            prop_assert_eq!(stats.rows, entry.rows);
            prop_assert_eq!(stats.keys, entry.keys);
            prop_assert_eq!(stats.times, entry.times);
            prop_assert_eq!(&stats.columns, &entry.columns);
        }
    }

    #[test]
    fn names_of_the_log_are_parsed_as_they_are_written(version in any::<u64>(), kind in 0..3usize) {
        let kind = [LogKind::Commit, LogKind::Checkpoint, LogKind::Checksum][kind];
        let name = LogName { version: TableVersion::new(version), kind };
        prop_assert_eq!(name.to_string().parse(), Ok(name));
    }
}

#[test]
fn foreign_names_of_the_log_are_left_alone() {
    for name in [
        "_last_checkpoint",
        "42.json",
        "00000000000000000042.json.tmp",
        "0000000000000000004x.json",
        "00000000000000000042.checkpoint.0000000001.0000000002.parquet",
        "99999999999999999999.json",
    ] {
        assert_eq!(name.parse::<LogName>(), Err(()), "{name}");
    }
    for (name, version) in [
        ("00000000000000000042.checkpoint.0000000001.0000000002.parquet", Some(42)),
        ("00000000000000000042.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json", Some(42)),
        ("00000000000000000042.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.parquet", Some(42)),
        ("00000000000000000042.checkpoint.parquet", None),
        ("00000000000000000042.checkpoint.x.parquet", None),
        ("00000000000000000001.00000000000000000042.compacted.json", None),
        ("42.checkpoint.0000000001.0000000002.parquet", None),
    ] {
        assert_eq!(foreign_checkpoint(name), version.map(TableVersion::new), "{name}");
    }
}

#[test]
fn damaged_statistics_are_named() {
    let schema = wide_schema();
    let whole = r#"{"numRecords":1,"minValues":{},"maxValues":{},"nullCount":{}}"#;
    for document in ["", "{", "[]", "{}", whole, r#"{"numRecords":"many"}"#, "{}{}"] {
        let error = stats::decode(&schema, &[document], &["hour/x"]).err().expect(document);
        assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
        assert!(error.to_string().contains("hour/x"), "{error}");
    }
}

#[test]
fn an_entry_that_contradicts_itself_is_not_written() {
    let fixture = Fixture::new();
    let (entry, _) = fixture.file(hour(3), &[(1, 0, Some(1.0)), (2, 5, None)]);
    let schema = fixture.schema();
    assert!(stats::encode(schema, &entry).is_ok());
    let wrong: [fn(&mut FileEntry); 5] = [
        |entry| entry.rows = 0,
        |entry| entry.keys.1 = Key::new(7),
        |entry| entry.times.1 += Span::MICROSECOND,
        |entry| drop(entry.columns.pop()),
        |entry| entry.path = FilePath::new(hour(4), LogPosition::new(1)),
    ];
    for change in wrong {
        let mut entry = entry.clone();
        change(&mut entry);
        assert_eq!(stats::encode(schema, &entry).unwrap_err().kind(), ErrorKind::Request);
    }
}

#[tokio::test]
async fn a_repeated_put_meets_its_own_commit() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let [commit, other] = ["one", "other"].map(|nonce| {
        Commit::replace(&Replacement {
            schema: table.schema(),
            declared: None,
            operation: Operation::Land,
            change: &Change::Moved,
            nonce,
            at: Timestamp::UNIX_EPOCH,
            removed: &[],
            added: &[],
            snapshots: [&base; 2],
        })
        .unwrap()
    });
    let (log, version) = (log(table.store()), base.version().get() + 1);
    let name = LogName::commit(TableVersion::new(version));
    assert_eq!(log.path(version), table.store().path(&name.path()));
    assert!(matches!(log.put(version, &commit).await.unwrap(), Put::Made));
    assert!(matches!(log.put(version, &commit).await.unwrap(), Put::Found(_)));
    assert!(matches!(log.put(version, &other).await.unwrap(), Put::Taken));
    let told = table.history().await.unwrap().pop().unwrap();
    assert_eq!(told.nonce.as_deref(), Some("one"));
}

#[test]
fn hours_of_a_change_are_read_as_they_were_written() {
    let [three, four, nine] = [3, 4, 9].map(hour);
    let text = spans(&[three, four, nine]);
    assert_eq!(text, format!("{three}/{} {nine}/{}", four.next(), nine.next()));
    assert_eq!(hours(&text).unwrap(), [three, four, nine]);
    assert_eq!(hours(&spans(&[])).unwrap(), []);
    assert_eq!(hours("2026-11-22T10"), None);
}

#[tokio::test]
async fn the_history_tells_whose_rows_changed() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let hours = [hour(3), hour(4)];
    let keys: Vec<Key> = (-3..253).map(Key::new).collect();
    let landed = Change::of(hours, Some(keys.clone()));
    let commit = async |base, operation, change| {
        let transaction = table.transaction(base, operation, change);
        transaction.commit(Timestamp::UNIX_EPOCH).await.unwrap().committed().unwrap()
    };
    let after = commit(&base, Operation::Land, landed).await;
    let folded = commit(&after, Operation::Compact, Change::Moved).await;
    let many = Change::of([hours[0]], Some((0..257).map(Key::new).collect()));
    let last = commit(&folded, Operation::Land, many).await.version();
    let history = table.history().await.unwrap();
    let told: Vec<_> = history.iter().map(|commit| commit.hours.clone()).collect();
    let [none, both, first] = [&hours[..0], &hours, &hours[..1]].map(|of| Some(of.to_vec()));
    assert_eq!(told, [none.clone(), both, none, first]);
    let told: Vec<_> = history.iter().map(|commit| commit.keys.clone()).collect();
    assert_eq!(told, [None, Some(keys), None, None]);
    for after in base.version().get()..=last.get() {
        let commits = table.commits_between(TableVersion::new(after), last).await.unwrap();
        assert_eq!(commits.as_deref(), history.get(after as usize + 1..));
    }
    let gone = TableVersion::new(last.get() + 1);
    assert_eq!(table.commits_between(last, gone).await.unwrap(), None, "it is not in the log");
}
