//! Logs of other programs: the commits and checkpoints that they leave in the log of a table, readable or not.

use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use super::fixture::{Fixture, MIDNIGHT, hour};
use super::foreign::{add, commit, protocol, remove, two_hours};
use crate::delta::LogName;
use crate::{ErrorKind, LakeTable, TableVersion};

#[tokio::test]
async fn a_version_that_cannot_be_read_is_gone_back_from() {
    let reader = json!({"protocol": {"minReaderVersion": 9, "minWriterVersion": 9}});
    for unknown in [reader, protocol(&["quantum"])] {
        let fixture = Fixture::new();
        let (table, two) = two_hours(&fixture).await;
        let gone = two.files_of_hour(hour(0))[0].path.to_string();
        commit(&fixture, 3, &[unknown, remove(&gone), add("part-0.parquet")]).await;
        commit(&fixture, 4, &[add("part-1.parquet")]).await;
        for error in [
            table.refresh().await.unwrap_err(),
            LakeTable::open_existing(fixture.store().clone()).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Request, "{error}");
            for part in ["version 4", "Unsupported", "lake restore readings --version 2"] {
                assert!(error.to_string().contains(part), "{part} in {error}");
            }
        }
        assert_eq!(fixture.open().await.1.files(), two.files());
        let (table, base) = LakeTable::open_to_restore(fixture.store().clone()).await.unwrap();
        assert_eq!((base.files().len(), base.foreign_files().len()), (1, 2));
        let plan = table.plan_restore(&base, TableVersion::new(2)).await.unwrap();
        table.restore(&plan, MIDNIGHT).await.unwrap().committed().unwrap();
        let restored = table.refresh().await.unwrap();
        assert_eq!((restored.version(), restored.files()), (TableVersion::new(5), two.files()));
        assert!(restored.foreign_files().is_empty());
    }
}

#[tokio::test]
async fn a_commit_that_is_none_is_named() {
    let fixture = Fixture::new();
    let (table, _) = two_hours(&fixture).await;
    commit(&fixture, 3, &[]).await;
    let path = fixture.store().path(&LogName::commit(TableVersion::new(4)).path());
    let text = "{\"commitInfo\":{\"engineInfo\":\"other\"}}\nno JSON\n";
    fixture.store().object().put(&path, text.into()).await.unwrap();
    let error = table.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
    assert!(error.to_string().contains("00000000000000000004.json of another program"), "{error}");
    assert_eq!(fixture.open().await.1.version(), TableVersion::new(2));
}

#[tokio::test]
async fn a_commit_that_is_missing_is_named() {
    let fixture = Fixture::new();
    let (table, two) = two_hours(&fixture).await;
    commit(&fixture, 4, &[]).await;
    for error in [
        table.refresh().await.unwrap_err(),
        LakeTable::open(fixture.store().clone(), fixture.schema().clone()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
        assert!(error.to_string().contains("00000000000000000003.json is missing"), "{error}");
    }
    commit(&fixture, 3, &[]).await;
    assert_eq!(table.refresh().await.unwrap().files(), two.files());
}

/// A checkpoint of the table's newest version, `version`, as other programs may write it, in place of all commits before.
async fn foreign_checkpoint(fixture: &Fixture, version: u64) {
    let mut actions = vec![json!({"checkpointMetadata": {"version": version}})];
    for version in 0..=version {
        let path = fixture.store().path(&LogName::commit(TableVersion::new(version)).path());
        let bytes = fixture.store().object().get(&path).await.unwrap().bytes().await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        actions.extend(lines.filter(|line| line.get("commitInfo").is_none()));
        fixture.store().object().delete(&path).await.unwrap();
    }
    // The newest of each is the one that counts.
    let last = actions.iter().rposition(|action| action.get("protocol").is_some());
    let mut at = 0..;
    actions.retain(|action| {
        let at = at.next();
        action.get("protocol").is_none() || at == last
    });
    let text: String = actions.iter().map(|action| format!("{action}\n")).collect();
    let id = "3a0d65cd-4056-49b8-937b-95f9e3ee90e5";
    let path = fixture.store().path(&format!("_delta_log/{version:020}.checkpoint.{id}.json"));
    fixture.store().object().put(&path, text.into()).await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_of_another_form_is_read() {
    let fixture = Fixture::new();
    let (table, two) = two_hours(&fixture).await;
    commit(&fixture, 3, &[protocol(&["v2Checkpoint"])]).await;
    foreign_checkpoint(&fixture, 3).await;
    commit(&fixture, 4, &[]).await;
    let (again, opened) = fixture.open().await;
    assert_eq!((opened.version(), opened.files()), (TableVersion::new(4), two.files()));
    assert_eq!(again.snapshot_at(TableVersion::new(4)).await.unwrap().files(), two.files());
    let newest = table.refresh().await.unwrap();
    let five = fixture.land(&table, &newest, hour(2), &[(1, 0, None)]).await;
    table.checkpoint(&five).await.unwrap();
    assert_eq!(table.refresh().await.unwrap().files(), five.files());
}

#[tokio::test]
async fn what_others_leave_in_the_log_stops_nothing() {
    let fixture = Fixture::new();
    let (table, two) = two_hours(&fixture).await;
    for (name, text) in [
        ("00000000000000000003.json", ""),
        ("_last_checkpoint", r#"{"version":999,"size":3}"#),
        ("00000000000000000002.crc", "no checksum"),
        (".00000000000000000002.json.crc", ""),
        ("_staged_commits/00000000000000000009.x.json", ""),
        ("_sidecars/x.parquet", ""),
    ] {
        let path = fixture.store().path(&format!("_delta_log/{name}"));
        fixture.store().object().put(&path, text.into()).await.unwrap();
        assert_eq!(table.refresh().await.unwrap().files(), two.files(), "{name}");
        assert_eq!(fixture.open().await.1.files(), two.files(), "{name}");
    }
    let newest = table.refresh().await.unwrap();
    let three = fixture.land(&table, &newest, hour(2), &[(1, 0, None)]).await;
    table.checkpoint(&three).await.unwrap();
    assert_eq!(table.refresh().await.unwrap().files(), three.files());
}
