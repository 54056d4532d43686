//! Damage and shortage: flipped bits in log and lake, and a full disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use barograph_engine::{Durability, Engine, ErrorKind, LogSource, ManualClock, Scan};
use barograph_lake::{KeySelection, LakeStore, Result as LakeResult, Span, TimeRange, Timestamp};
use barograph_test_support::{engine_in, landing_on_request};
use futures::TryStreamExt;

use crate::model::{Row, batch, rows, schema};

const MINUTE: i64 = 60_000_000;
/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;

/// The clock stands still, years later, and rows land only on request.
async fn open(folder: &Path, accept_damage: bool) -> barograph_engine::Result<Arc<Engine>> {
    engine_in(folder)
        .settings(landing_on_request())
        .log(LogSource::Folder { path: folder.join("log"), accept_damage })
        .clock(Arc::new(ManualClock::new(Timestamp::from_micros(START) + 1_000 * Span::DAY)))
        .table(schema("readings"))
        .open()
        .await
}

/// `count` rows of ten keys, one a minute, from `first` on.
fn readings(first: i64, count: i64) -> Vec<Row> {
    let row = |i: i64| {
        let reading = (Some((i % 50) as f32), Some((i % 360) as i16), Some(format!("note {i}")));
        ((i % 10) as i32, START + i / 10 * MINUTE, reading)
    };
    (first..first + count).map(row).collect()
}

async fn everything(engine: &Arc<Engine>) -> barograph_engine::Result<Vec<Row>> {
    let scan = Scan {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: vec![2, 3, 4],
        filter: None,
        aggregation: None,
        limit: None,
    };
    let answer = engine.scan(engine.view("readings")?, scan).await?;
    let batches: Vec<_> = answer.batches.try_collect().await?;
    Ok(batches.iter().flat_map(rows).collect())
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| (row.0, row.1));
    rows
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_log_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), false).await.unwrap();
    for first in (0..500).step_by(100) {
        let rows = batch(&readings(first, 100));
        engine.put("readings", rows, "test", Durability::Disk).await.unwrap();
    }
    engine.shutdown().await.unwrap();
    drop(engine);
    let segment = files(&folder.path().join("log"), ".log").pop().unwrap();
    // Inside the second of five groups, behind the segment's header.
    let length = fs::metadata(&segment).unwrap().len() as usize;
    let whole = fs::read(&segment).unwrap();
    let used = whole.iter().rposition(|&byte| byte != 0).unwrap();
    flip(&segment, 4_096 + (used - 4_096) * 3 / 10);
    let error = open(folder.path(), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert!(error.to_string().contains(&name), "{error}");
    assert_eq!(fs::metadata(&segment).unwrap().len() as usize, length, "nothing was cut off");
    let engine = open(folder.path(), true).await.unwrap();
    assert_eq!(engine.recovery().lost.len(), 1, "{:?}", engine.recovery());
    let kept = everything(&engine).await.unwrap();
    let mut expected = readings(0, 500);
    expected.drain(100..200);
    assert_eq!(kept, sorted(expected));
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_a_lake_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), false).await.unwrap();
    let sent = readings(0, 600);
    engine.put("readings", batch(&sent), "test", Durability::Disk).await.unwrap();
    engine.flush().await.unwrap();
    engine.shutdown().await.unwrap();
    drop(engine);
    let file = files(&folder.path().join("lake").join("readings"), ".parquet").pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let mut found_by_reading = 0;
    let flips: Vec<_> = (0..whole.len()).step_by(211).collect();
    for &at in &flips {
        flip(&file, at);
        let engine = open(folder.path(), false).await.unwrap();
        let answer = everything(&engine).await;
        engine.shutdown().await.unwrap();
        drop(engine);
        let findings = check(folder.path()).await;
        match answer {
            Err(_) => found_by_reading += 1,
            Ok(rows) if rows == sorted(sent.clone()) => {}
            Ok(_) => assert!(
                findings.is_err() || !findings.unwrap().is_empty(),
                "a flip at byte {at} gives wrong rows and no finding"
            ),
        }
        fs::write(&file, &whole).unwrap();
    }
    assert!(found_by_reading > flips.len() / 2, "{found_by_reading} of {}", flips.len());
    assert!(check(folder.path()).await.unwrap().is_empty());
}

async fn check(folder: &Path) -> LakeResult<Vec<String>> {
    let store = LakeStore::local(&folder.join("lake"))?.child("readings");
    let (table, snapshot) = barograph_lake::LakeTable::open_existing(store).await?;
    let report = table.check(&snapshot, &mut |_, _| {}).await?;
    let damage = report.findings.iter().filter(|finding| finding.kind.is_damage());
    Ok(damage.map(ToString::to_string).collect())
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(folder.path())
            .status();
        match status {
            Ok(status) if status.success() => Some(Self(folder)),
            _ => {
                println!("not run: this machine does not let the test mount a small file system");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Fills a disk to the last byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(24) else { return };
    let folder = disk.0.path().to_owned();
    let [filler, rest] = ["filler", "rest"].map(|name| folder.join(name));
    let engine = open(&folder, false).await.unwrap();
    let mut acknowledged = Vec::new();
    fs::write(&filler, vec![1; 14 << 20]).unwrap();
    let refused = loop {
        let next = readings(acknowledged.len() as i64, 5_000);
        match engine.put("readings", batch(&next), "test", Durability::Disk).await {
            Ok(_) => acknowledged.extend(next),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 1_000_000, "the disk does not fill");
    };
    assert_eq!(refused.kind(), ErrorKind::Resources, "{refused}");
    assert!(refused.retry_after().is_some(), "{refused}");
    // Landing cannot write either: it says so, and what was acknowledged stays readable.
    fill(&rest);
    assert!(engine.flush().await.is_err());
    assert_eq!(everything(&engine).await.unwrap(), sorted(acknowledged.clone()));
    // With space again, both go on without a restart.
    fs::remove_file(&filler).unwrap();
    fs::remove_file(&rest).unwrap();
    let next = readings(acknowledged.len() as i64, 5_000);
    engine.put("readings", batch(&next), "test", Durability::Disk).await.unwrap();
    acknowledged.extend(next);
    engine.flush().await.unwrap();
    engine.shutdown().await.unwrap();
    drop(engine);
    let engine = open(&folder, false).await.unwrap();
    assert_eq!(everything(&engine).await.unwrap(), sorted(acknowledged));
    engine.shutdown().await.unwrap();
    assert_eq!(check(&folder).await.unwrap(), Vec::<String>::new());
}
