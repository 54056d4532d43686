//! Commits of other programs to a table: adopted, marked, or refused with a way out.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::fixture::{Fixture, MIDNIGHT, hour, value};
use crate::delta::LogName;
use crate::table::FindingKind;
use crate::{
    AsOf, ErrorKind, LakeTable, LogPosition, Operation, Snapshot, Span, TableSchema, TableVersion,
    Timestamp, ValueType,
};

/// Commits what another program would.
pub(super) async fn commit(fixture: &Fixture, version: u64, actions: &[Value]) {
    let info = json!({"commitInfo": {"timestamp": 0, "operation": "X", "engineInfo": "other:1"}});
    let lines = actions.iter().chain([&info]).map(|action| format!("{action}\n"));
    let path = fixture.store().path(&LogName::commit(TableVersion::new(version)).path());
    fixture.store().object().put(&path, lines.collect::<String>().into()).await.unwrap();
}

pub(super) fn remove(path: &str) -> Value {
    json!({"remove": {"path": path, "deletionTimestamp": 0, "dataChange": true}})
}

pub(super) fn add(path: &str) -> Value {
    json!({"add": {"path": path, "partitionValues": {}, "size": 7, "modificationTime": 0, "dataChange": true}})
}

/// The metadata that stands in the table's first commit, changed.
async fn metadata(fixture: &Fixture, change: impl FnOnce(&mut Value)) -> Value {
    let path = fixture.store().path(&LogName::commit(TableVersion::new(0)).path());
    let bytes = fixture.store().object().get(&path).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = lines.find(|line| line.get("metaData").is_some()).unwrap();
    change(&mut found["metaData"]);
    found
}

fn with_humidity(metadata: &mut Value) {
    let schema = metadata["schemaString"].as_str().unwrap();
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    let field = json!({"name": "humidity", "type": "float", "nullable": true, "metadata": {}});
    schema["fields"].as_array_mut().unwrap().push(field);
    metadata["schemaString"] = schema.to_string().into();
}

/// A deletion vector of two rows that stands in its entry: a Roaring bitmap of 64 bits with one container of an array.
fn deleted(rows: [u16; 2]) -> Value {
    let words =
        |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut bytes = words(&[1_681_511_377, 1, 0, 0, 12_346, 1]);
    bytes.extend([0_u16, 1].into_iter().flat_map(u16::to_le_bytes));
    bytes.extend(words(&[16]));
    bytes.extend(rows.into_iter().flat_map(u16::to_le_bytes));
    json!({"storageType": "i", "pathOrInlineDv": z85(&bytes), "sizeInBytes": bytes.len(), "cardinality": 2})
}

/// <https://rfc.zeromq.org/spec/32/>
fn z85(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 85] =
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let digits = |word: &[u8]| {
        let word = u32::from_be_bytes(word.try_into().unwrap());
        (0..5).rev().map(move |place| char::from(DIGITS[(word / 85_u32.pow(place) % 85) as usize]))
    };
    bytes.chunks(4).flat_map(digits).collect()
}

/// A protocol of tables with features.
pub(super) fn protocol(features: &[&str]) -> Value {
    json!({"protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features
    }})
}

/// Two hours have landed, which is versions 1 and 2.
pub(super) async fn two_hours(fixture: &Fixture) -> (LakeTable, Snapshot) {
    let (table, base) = fixture.open().await;
    let one = fixture.land(&table, &base, hour(0), &[(1, 0, Some(1.5)), (2, 0, None)]).await;
    let two = fixture.land(&table, &one, hour(1), &[(1, 0, Some(2.5))]).await;
    (table, two)
}

#[tokio::test]
async fn files_of_others_are_kept_beside_ours() {
    let fixture = Fixture::new();
    let (table, two) = two_hours(&fixture).await;
    commit(&fixture, 3, &[add("part-0%20x.parquet")]).await;
    let newest = table.refresh().await.unwrap();
    assert_eq!(newest.files(), two.files());
    assert_eq!(newest.foreign_files().len(), 1);
    assert!(newest.has_foreign_commits());
    // Who serves the table begins at the version of this program, and looks for what came after it.
    let (_, opened) = fixture.open().await;
    assert_eq!((opened.version(), opened.has_foreign_commits()), (TableVersion::new(2), true));
    // Commits of others that do not look into them leave them, and checks note them.
    let three = fixture.land(&table, &newest, hour(2), &[(1, 0, None)]).await;
    assert_eq!((three.foreign_files(), three.own()), (newest.foreign_files(), None));
    assert_eq!(table.refresh().await.unwrap().foreign_files(), newest.foreign_files());
    let put = Bytes::from_static(b"1234567").into();
    fixture.store().object().put(&fixture.store().path("part-0 x.parquet"), put).await.unwrap();
    let report = table.check(&three, &mut |_, _| {}).await.unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Foreign], "{:?}", report.findings);
    let error = table.snapshot_at(three.version()).await.unwrap_err();
    assert!(error.to_string().contains("part-0%20x.parquet"), "{error}");
    let after = table
        .take_over(&three, &[], Vec::new(), &[hour(2)], MIDNIGHT)
        .await
        .unwrap()
        .committed()
        .unwrap();
    assert!(after.foreign_files().is_empty());
    assert!(table.refresh().await.unwrap().foreign_files().is_empty());
    let told = table.history_after(three.version()).await.unwrap();
    assert_eq!(
        told[0].hours,
        Some(vec![hour(2)]),
        "what was computed without these rows is out of date"
    );
    let found = table.version_as_of(AsOf::Version(after.version()), MIDNIGHT).await.unwrap();
    assert_eq!(table.snapshot_at(found).await.unwrap().files(), three.files());
}

#[tokio::test]
async fn rows_that_others_took_away_are_marked_before_anything_is_committed() {
    for by_commit in [true, false] {
        let fixture = Fixture::new();
        let (table, two) = two_hours(&fixture).await;
        let gone = two.files_of_hour(hour(0))[0].path;
        commit(&fixture, 3, &[remove(&gone.to_string())]).await;
        commit(&fixture, 4, &[]).await;
        let newest = table.refresh().await.unwrap();
        assert_eq!(newest.files().len(), 1);
        match by_commit {
            true => drop(
                table.commit(&newest, &[], vec![], Operation::Compact, MIDNIGHT).await.unwrap(),
            ),
            false => table.put_watermarks_of_removed(&newest).await.unwrap(),
        }
        let landed = table.landed_through(&table.refresh().await.unwrap()).await.unwrap();
        assert_eq!(landed[&hour(0)], LogPosition::new(2));
        assert_eq!(landed[&hour(1)], LogPosition::new(1));
    }
}

#[tokio::test]
async fn what_cannot_be_gone_on_from_is_refused_with_its_cure() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 6] = [
        ("partitioned by city_id", |m| m["partitionColumns"] = json!(["city_id"])),
        ("delta.appendOnly", |m| m["configuration"]["delta.appendOnly"] = json!("true")),
        ("delta.constraints.x", |m| m["configuration"]["delta.constraints.x"] = json!("1 = 1")),
        ("columnMapping.mode is name", |m| {
            m["configuration"]["delta.columnMapping.mode"] = json!("name");
        }),
        ("humidity float", with_humidity),
        ("not made by barograph", |m| m["configuration"] = json!({})),
    ];
    for (why, case) in cases {
        let fixture = Fixture::new();
        let (table, two) = two_hours(&fixture).await;
        let other = metadata(&fixture, case).await;
        commit(&fixture, 3, &[other, add("part-0.parquet")]).await;
        for error in [
            table.refresh().await.unwrap_err(),
            LakeTable::open_existing(fixture.store().clone()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Request, "{error}");
            for part in [why, "version 3", "\"readings\"", "lake restore readings --version 2"] {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        }
        let (_, opened) = fixture.open().await;
        assert_eq!((opened.version(), opened.files()), (TableVersion::new(2), two.files()));
        let (table, base) = LakeTable::open_to_restore(fixture.store().clone()).await.unwrap();
        let plan = table.plan_restore(&base, TableVersion::new(2)).await.unwrap();
        table.restore(&plan, MIDNIGHT).await.unwrap().committed().unwrap();
        let (table, restored) = LakeTable::open_existing(fixture.store().clone()).await.unwrap();
        assert_eq!(table.schema(), fixture.schema());
        assert_eq!((restored.files(), restored.foreign_files().len()), (two.files(), 0), "{why}");
        assert_eq!(fixture.open().await.1.version(), TableVersion::new(4));
    }
}

#[tokio::test]
async fn columns_are_added_on_top_of_what_others_committed() {
    let fixture = Fixture::new();
    let (_, two) = two_hours(&fixture).await;
    commit(
        &fixture,
        3,
        &[remove(&two.files_of_hour(hour(0))[0].path.to_string()), add("part-0.parquet")],
    )
    .await;
    let mut declaration = fixture.schema().declaration().clone();
    declaration.columns.push(value("humidity", ValueType::Float32));
    let schema = Arc::new(TableSchema::new("readings", declaration).unwrap());
    let prepared = LakeTable::prepare(fixture.store().clone(), Arc::clone(&schema)).await.unwrap();
    // What the files that went say of the log is known while it is replayed.
    let landed = prepared.table().landed_through(prepared.snapshot().unwrap()).await.unwrap();
    assert_eq!(landed[&hour(0)], LogPosition::new(2));
    let (table, opened) = prepared.open().await.unwrap();
    assert_eq!((opened.version(), opened.has_foreign_commits()), (TableVersion::new(4), true));
    assert_eq!((opened.files().len(), opened.foreign_files().len()), (1, 1));
    let landed = table.landed_through(&opened).await.unwrap();
    assert_eq!(landed[&hour(0)], LogPosition::new(2));
    assert_eq!(table.refresh().await.unwrap().version(), TableVersion::new(4));
}

#[tokio::test]
async fn columns_that_others_added_become_the_tables_by_declaring_them() {
    let fixture = Fixture::new();
    two_hours(&fixture).await;
    let other = metadata(&fixture, with_humidity).await;
    commit(&fixture, 3, &[other, add("part-0.parquet")]).await;
    let error = LakeTable::open_existing(fixture.store().clone()).await.unwrap_err().to_string();
    assert!(error.contains("humidity float; declare them in the settings"), "{error}");
    let open = async |value_type| {
        let mut declaration = fixture.schema().declaration().clone();
        declaration.columns.push(value("humidity", value_type));
        let schema = Arc::new(TableSchema::new("readings", declaration).unwrap());
        LakeTable::open(fixture.store().clone(), schema).await
    };
    let error = open(ValueType::Int16).await.unwrap_err().to_string();
    assert!(error.contains("humidity float, which is not declared so"), "{error}");
    let (table, opened) = open(ValueType::Float32).await.unwrap();
    assert_eq!((opened.version(), opened.foreign_files().len()), (TableVersion::new(4), 1));
    assert_eq!(table.refresh().await.unwrap().files().len(), 2);
}

#[tokio::test]
async fn rows_that_others_deleted_in_a_file_are_not_taken_over_with_it() {
    let fixture = Fixture::new();
    let (table, base) = fixture.open().await;
    let rows: Vec<_> = (0..10).map(|key| (key, 0, None)).collect();
    let one = fixture.land(&table, &base, hour(0), &rows).await;
    let file = one.files()[0].clone();
    let path = file.path.to_string();
    let mut added = add(&path);
    added["add"]["size"] = file.bytes.into();
    added["add"]["deletionVector"] = deleted([0, 7]);
    commit(&fixture, 2, &[protocol(&["deletionVectors"]), remove(&path), added]).await;
    let newest = table.refresh().await.unwrap();
    assert_eq!((newest.files().len(), newest.foreign_files().len()), (0, 1));
    let reader = table.open_foreign(&newest, &newest.foreign_files()[0]).await.unwrap();
    assert_eq!(reader.hours().values().sum::<u64>(), 8);
    let read: Vec<_> = reader.rows(hour(0).range()).unwrap().try_collect().await.unwrap();
    let keys = read.iter().flat_map(|rows| rows.column(0).as_primitive::<Int32Type>().values());
    assert_eq!(keys.copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 8, 9]);
    // Of a file with deleted rows the entry without them is another file.
    let (table, base) = LakeTable::open_to_restore(fixture.store().clone()).await.unwrap();
    let plan = table.plan_restore(&base, one.version()).await.unwrap();
    table.restore(&plan, MIDNIGHT).await.unwrap().committed().unwrap();
    let restored = table.refresh().await.unwrap();
    assert_eq!((restored.files(), restored.foreign_files().len()), (one.files(), 0));
    let landed = table.landed_through(&restored).await.unwrap();
    assert_eq!(landed[&hour(0)], LogPosition::new(10));
}

#[tokio::test]
async fn files_of_which_others_tell_less_are_taken_over() {
    let fixture = Fixture::new();
    let (table, two) = two_hours(&fixture).await;
    let mut again = add(&two.files()[0].path.to_string());
    again["add"]["size"] = two.files()[0].bytes.into();
    commit(&fixture, 3, &[again]).await;
    let newest = table.refresh().await.unwrap();
    assert_eq!((newest.files().len(), newest.foreign_files().len()), (1, 1));
    let reader = table.open_foreign(&newest, &newest.foreign_files()[0]).await.unwrap();
    assert_eq!(reader.hours().values().sum::<u64>(), 2);
    assert!(
        table.unreferenced(&newest, Timestamp::from_micros(i64::MAX / 2)).await.unwrap().is_empty()
    );
}

#[tokio::test]
async fn a_time_between_a_commit_of_others_and_its_take_over_means_what_queries_saw() {
    let fixture = Fixture::new();
    let (table, two) = two_hours(&fixture).await;
    let at = |seconds: i64| MIDNIGHT + Span::seconds(seconds);
    let mut info = json!({"commitInfo": {"operation": "WRITE", "engineInfo": "other:1"}});
    info["commitInfo"]["timestamp"] = at(10).as_millis().into();
    let path = fixture.store().path(&LogName::commit(TableVersion::new(3)).path());
    let text = format!("{info}\n{}\n", add("part-0.parquet"));
    fixture.store().object().put(&path, text.into()).await.unwrap();
    let newest = table.refresh().await.unwrap();
    table
        .take_over(&newest, &[], Vec::new(), &[hour(2)], at(20))
        .await
        .unwrap()
        .committed()
        .unwrap();
    let seen = async |time| table.version_as_of(AsOf::Time(time), at(60)).await.unwrap().get();
    assert_eq!((seen(at(9)).await, seen(at(15)).await, seen(at(20)).await), (2, 2, 4));
    assert_eq!(table.snapshot_at(TableVersion::new(2)).await.unwrap().files(), two.files());
    let error = table.snapshot_at(TableVersion::new(3)).await.unwrap_err().to_string();
    assert!(error.contains("ask for version 4 or a later one"), "{error}");
}

#[tokio::test]
async fn files_that_were_taken_over_are_swept() {
    let fixture = Fixture::new();
    let (table, _) = two_hours(&fixture).await;
    for name in ["part-0 x.parquet", "unknown.parquet"] {
        let path = fixture.store().path(name);
        fixture.store().object().put(&path, Bytes::from_static(b"1234567").into()).await.unwrap();
    }
    commit(&fixture, 3, &[add("part-0%20x.parquet")]).await;
    let newest = table.refresh().await.unwrap();
    let late = Timestamp::from_micros(i64::MAX / 2);
    assert!(table.sweep(&newest, late).await.unwrap().is_empty(), "it is active");
    let after = table
        .take_over(&newest, &[], Vec::new(), &[], MIDNIGHT)
        .await
        .unwrap()
        .committed()
        .unwrap();
    assert_eq!(
        table.sweep(&after, Timestamp::UNIX_EPOCH).await.unwrap(),
        Vec::<String>::new(),
        "it is young"
    );
    assert_eq!(table.sweep(&after, late).await.unwrap(), ["part-0 x.parquet"]);
}
