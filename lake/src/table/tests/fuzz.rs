//! Fuzz targets of the Delta log: commits and checkpoints of whichever writer, and what is read of them as text.

use std::sync::Arc;

use barograph_fuzz::Target;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::fixture::{Fixture, MIDNIGHT, hour};
use super::foreign::{add, protocol, remove};
use crate::delta::{FileNote, LogName};
use crate::store::LakeStore;
use crate::{AsOf, ErrorKind, LakeTable, TableVersion};

/// What stands between two commits of an input.
const BETWEEN: &[u8] = b"\n\n";

/// The commits of a table, one after the other, and a checkpoint of the newest.
async fn log() -> (Vec<u8>, Vec<u8>) {
    let fixture = Fixture::new();
    let (table, mut snapshot) = fixture.open().await;
    for n in 0..2 {
        snapshot =
            fixture.land(&table, &snapshot, hour(n), &[(1, 0, Some(0.5)), (2, n, None)]).await;
    }
    let old = snapshot.files()[0].path;
    snapshot = fixture.land(&table, &snapshot, hour(0), &[(7, 1, None)]).await;
    table.checkpoint(&snapshot).await.unwrap();
    let folder = fixture.store().local_path("_delta_log").unwrap();
    let read = |name: String| std::fs::read(folder.join(name)).unwrap();
    let commits = (0..=snapshot.version().get()).map(|version| read(format!("{version:020}.json")));
    let mut commits: Vec<Vec<u8>> = commits.map(|commit| commit.trim_ascii().to_vec()).collect();
    let foreign = [protocol(&["deletionVectors"]), remove(&old.to_string()), add("part-0.parquet")];
    commits.push(foreign.map(|action| action.to_string()).join("\n").into_bytes());
    (commits.join(BETWEEN), read(format!("{:020}.checkpoint.parquet", snapshot.version().get())))
}

/// Opens the table of a store, looks at all that its log tells, and at an earlier version.
async fn opened(store: &LakeStore) -> Result<(), String> {
    // A defect would be an internal error: the kernel runs on a thread of its own, which reports it.
    let refused = |error: crate::Error| {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
        error.to_string()
    };
    let (table, snapshot) = LakeTable::open_existing(store.clone()).await.map_err(refused)?;
    let _ = table.history().await.map_err(refused);
    let _ = table.snapshot_at(TableVersion::new(1)).await.map_err(refused);
    for file in snapshot.files() {
        assert!(file.rows > 0 && file.keys.0 <= file.keys.1);
    }
    let _ = table.version_as_of(AsOf::Time(MIDNIGHT), MIDNIGHT).await.map_err(refused);
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn memory() -> LakeStore {
    let url = "memory:///lake/readings".parse().unwrap();
    LakeStore::with_store(Arc::new(InMemory::new()), url)
}

async fn put(store: &LakeStore, name: &str, bytes: &[u8]) {
    let path = store.path(&format!("_delta_log/{name}"));
    store.object().put(&path, bytes.to_vec().into()).await.unwrap();
}

#[test]
fn fuzz_delta_commits() {
    let runtime = runtime();
    let (commits, _) = runtime.block_on(log());
    let tokens = [
        "{\"add\":",
        "{\"remove\":",
        "{\"metaData\":",
        "{\"protocol\":",
        "{\"txn\":",
        "{\"sidecar\":",
        "{\"domainMetadata\":",
        "null",
        "\"deletionVector\":",
        "\"stats\":\"{}\"",
        "\\u0000",
        "\n",
        "\n\n",
        "\"minReaderVersion\":3",
        "\"readerFeatures\":[\"deletionVectors\"]",
        "\"partitionValues\":{}",
        "delta.columnMapping.mode",
        "\"size\":-1",
        "[[[[[[[[",
        "{\"a\":",
        "\"numRecords\":0",
    ];
    let target =
        Target::new("delta-commits", 250).seeds([commits]).tokens(tokens).bytes_max(32 << 10);
    target.memory(32 << 20, 1_024).run(|input| {
        let store = memory();
        runtime.block_on(async {
            let commits = input.split(|byte| *byte == b'\n').collect::<Vec<_>>();
            let commits = commits.split(|line| line.is_empty());
            for (version, lines) in commits.take(12).enumerate() {
                let name = LogName::commit(TableVersion::new(version as u64)).to_string();
                put(&store, &name, &lines.join(&b'\n')).await;
            }
            opened(&store).await
        })
    });
}

#[test]
fn fuzz_delta_checkpoints() {
    let runtime = runtime();
    let (_, checkpoint) = runtime.block_on(log());
    let target = Target::new("delta-checkpoints", 250).seeds([checkpoint]).bytes_max(64 << 10);
    target.memory(32 << 20, 1_024).run(|input| {
        let store = memory();
        runtime.block_on(async {
            put(&store, "00000000000000000003.checkpoint.parquet", input).await;
            put(&store, "00000000000000000003.json", b"{\"commitInfo\":{}}\n").await;
            opened(&store).await
        })
    });
}

#[test]
fn fuzz_lake_texts() {
    let fixture = Fixture::new();
    let schema = fixture.schema();
    let (entry, _) = fixture.file(hour(3), &[(1, 0, Some(1.0)), (2, 5, None)]);
    let old = entry.path;
    let note = FileNote::encode(schema, &old, &[Arc::new(entry)]).unwrap();
    let times =
        ["2026-11-22T10:00:00.25+01:00", "2026-11-22", "64MiB", "90m", "00000000000000417792"];
    let seeds = times.into_iter().map(|text| text.as_bytes().to_vec());
    let seeds = seeds.chain([note, old.to_string().into_bytes()]);
    let target = Target::new("lake-texts", 40_000).seeds(seeds).bytes_max(4 << 10);
    target.run(|input| {
        let note = FileNote::decode(schema, input).map_err(|error| error.to_string())?;
        if let Some(note) = &note {
            let again = FileNote::encode(schema, &note.old, &note.new);
            // What contradicts itself can be read, and is not written.
            if let Ok(again) = again {
                let again = FileNote::decode(schema, &again).unwrap().unwrap();
                assert_eq!((again.old, again.new), (note.old, note.new.clone()));
            }
        }
        let text = str::from_utf8(input).map_err(|error| error.to_string())?;
        macro_rules! inverse {
            ($($type:ty),*) => {$(
                if let Ok(value) = text.parse::<$type>() {
                    let said = value.to_string();
                    assert_eq!(said.parse::<$type>().ok(), Some(value), "{said}");
                }
            )*};
        }
        inverse!(
            crate::Timestamp,
            crate::Hour,
            crate::FilePath,
            crate::LogPosition,
            TableVersion,
            crate::Size,
            crate::Span,
            LogName,
            crate::LogId
        );
        note.map(drop).ok_or_else(|| "no note".to_owned())
    });
}
