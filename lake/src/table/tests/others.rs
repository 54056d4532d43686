//! What other programs commit to a table, as their commits have it.

use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::fixture::{Fixture, MIDNIGHT, change, hour, value};
use crate::delta::LogName;
use crate::table::FindingKind;
use crate::{
    AsOf, ErrorKind, LakeTable, LogPosition, Snapshot, TableSchema, TableVersion, ValueType,
};

/// Commits what another program would.
async fn commit(fixture: &Fixture, version: u64, actions: &[Value]) {
    let info = json!({"commitInfo": {"timestamp": 0, "operation": "X", "engineInfo": "other:1"}});
    let lines = actions.iter().chain([&info]).map(|action| format!("{action}\n"));
    let path = fixture.store().path(&LogName::commit(TableVersion(version)).path());
    fixture.store().object().put(&path, lines.collect::<String>().into()).await.unwrap();
}

fn remove(path: &str) -> Value {
    json!({"remove": {"path": path, "deletionTimestamp": 0, "dataChange": true}})
}

fn add(path: &str) -> Value {
    json!({"add": {"path": path, "partitionValues": {}, "size": 7, "modificationTime": 0, "dataChange": true}})
}

/// The metadata that stands in the table's first commit, changed.
async fn metadata(fixture: &Fixture, change: impl FnOnce(&mut Value)) -> Value {
    let path = fixture.store().path(&LogName::commit(TableVersion(0)).path());
    let bytes = fixture.store().object().get(&path).await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = lines.find(|line| line.get("metaData").is_some()).unwrap();
    change(&mut found["metaData"]);
    found
}

/// Two hours have landed, which is versions 1 and 2.
async fn two_hours(fixture: &Fixture) -> (LakeTable, Snapshot) {
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
    assert_eq!(newest.others().len(), 1);
    assert!(newest.is_followed());
    // Who serves the table begins at the version of this program, and looks for what came after it.
    let (_, opened) = fixture.open().await;
    assert_eq!((opened.version(), opened.is_followed()), (TableVersion(2), true));
    // Commits of others that do not look into them leave them, and checks note them.
    let three = fixture.land(&table, &newest, hour(2), &[(1, 0, None)]).await;
    assert_eq!((three.others(), three.own()), (newest.others(), None));
    assert_eq!(table.refresh().await.unwrap().others(), newest.others());
    let put = Bytes::from_static(b"1234567").into();
    fixture.store().object().put(&fixture.store().path("part-0 x.parquet"), put).await.unwrap();
    let report = table.check(&three, &mut |_, _| {}).await.unwrap();
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Foreign], "{:?}", report.findings);
    let error = table.snapshot_at(three.version()).await.unwrap_err();
    assert!(error.to_string().contains("part-0%20x.parquet"), "{error}");
    let after = table.take_over(&three, &[], Vec::new(), (&[hour(2)], MIDNIGHT)).await.unwrap();
    assert!(after.others().is_empty());
    assert!(table.refresh().await.unwrap().others().is_empty());
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
        let gone = two.homes(hour(0))[0].path;
        commit(&fixture, 3, &[remove(&gone.to_string())]).await;
        commit(&fixture, 4, &[]).await;
        let newest = table.refresh().await.unwrap();
        assert_eq!(newest.files().len(), 1);
        match by_commit {
            true => drop(table.commit(&newest, &[], vec![], &change("X", MIDNIGHT)).await.unwrap()),
            false => table.mark_taken(&newest).await.unwrap(),
        }
        let landed = table.landed_through(&table.refresh().await.unwrap()).await.unwrap();
        assert_eq!(landed[&hour(0)], LogPosition(2));
        assert_eq!(landed[&hour(1)], LogPosition(1));
    }
}

#[tokio::test]
async fn what_cannot_be_gone_on_from_is_refused_with_its_cure() {
    type Edit = fn(&mut Value);
    let cases: [(&str, Edit); 4] = [
        ("partitioned by city_id", |m| m["partitionColumns"] = json!(["city_id"])),
        ("delta.appendOnly", |m| m["configuration"]["delta.appendOnly"] = json!("true")),
        ("delta.constraints.x", |m| m["configuration"]["delta.constraints.x"] = json!("1 = 1")),
        ("humidity float", |m| {
            let schema = m["schemaString"].as_str().unwrap();
            let mut schema: Value = serde_json::from_str(schema).unwrap();
            let field =
                json!({"name": "humidity", "type": "float", "nullable": true, "metadata": {}});
            schema["fields"].as_array_mut().unwrap().push(field);
            m["schemaString"] = schema.to_string().into();
        }),
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
        assert_eq!((opened.version(), opened.files()), (TableVersion(2), two.files()));
        let (table, base) = LakeTable::open_to_restore(fixture.store().clone()).await.unwrap();
        let plan = table.plan_restore(&base, TableVersion(2)).await.unwrap();
        table.restore(&plan, MIDNIGHT).await.unwrap();
        let (table, restored) = LakeTable::open_existing(fixture.store().clone()).await.unwrap();
        assert_eq!(table.schema(), fixture.schema());
        assert_eq!((restored.files(), restored.others().len()), (two.files(), 0), "{why}");
        assert_eq!(fixture.open().await.1.version(), TableVersion(4));
    }
}

#[tokio::test]
async fn columns_are_added_on_top_of_what_others_committed() {
    let fixture = Fixture::new();
    let (_, two) = two_hours(&fixture).await;
    commit(&fixture, 3, &[remove(&two.homes(hour(0))[0].path.to_string()), add("part-0.parquet")])
        .await;
    let mut declaration = fixture.schema().declaration().clone();
    declaration.columns.push(value("humidity", ValueType::Float32));
    let schema = Arc::new(TableSchema::new("readings", declaration).unwrap());
    let prepared = LakeTable::prepare(fixture.store().clone(), Arc::clone(&schema)).await.unwrap();
    // What the files that went say of the log is known while it is replayed.
    let landed = prepared.table().landed_through(prepared.snapshot().unwrap()).await.unwrap();
    assert_eq!(landed[&hour(0)], LogPosition(2));
    let (table, opened) = prepared.open().await.unwrap();
    assert_eq!((opened.version(), opened.is_followed()), (TableVersion(4), true));
    assert_eq!((opened.files().len(), opened.others().len()), (1, 1));
    let landed = table.landed_through(&opened).await.unwrap();
    assert_eq!(landed[&hour(0)], LogPosition(2));
    assert_eq!(table.refresh().await.unwrap().version(), TableVersion(4));
}
