//! The cost of the log beyond that of making the same bytes durable on the disk.
//!
//! Each append stands beside the limit, measured in turns with it in the same run: `pwrite` of as many bytes at the
//! end of one file and `fdatasync`. The bodies are what a batch of 15,000 readings takes (600 KB) and what a single
//! reading takes. A restart, which checks and replays an hour of readings, stands beside reading the same files. Run
//! with `cargo bench -p barograph-cli --bench log [-- FOLDER]`; the folder has to be on the disk in question.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use barograph_engine::log::{Log, LogSettings, Record, SegmentLog};
use barograph_lake::{LogPosition, Timestamp};
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

const BATCH_BYTES: usize = 600_000;
const READING_BYTES: usize = 400;
const ROUNDS: usize = 7;

/// One way to append.
struct Case {
    name: &'static str,
    records: usize,
    body: usize,
    sync: bool,
    /// Appends in a round.
    appends: usize,
}

const CASES: [Case; 6] = [
    Case { name: "1 batch, synced", records: 1, body: BATCH_BYTES, sync: true, appends: 20 },
    Case { name: "4 batches, synced", records: 4, body: BATCH_BYTES, sync: true, appends: 8 },
    Case { name: "1 reading, synced", records: 1, body: READING_BYTES, sync: true, appends: 40 },
    Case { name: "64 readings, synced", records: 64, body: READING_BYTES, sync: true, appends: 40 },
    Case { name: "4 batches, not synced", records: 4, body: BATCH_BYTES, sync: false, appends: 8 },
    Case {
        name: "1 reading, not synced",
        records: 1,
        body: READING_BYTES,
        sync: false,
        appends: 400,
    },
];

fn main() {
    // `cargo bench` passes `--bench`.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let folder = folder.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = folder.join("bench-log");
    let _ = fs::remove_dir_all(&folder);
    println!("log in {}; µs an append: min / median / max", folder.display());
    println!("{:24} {:>26} {:>26}   log / limit", "", "log", "limit");
    for case in &CASES {
        append(&folder, case);
    }
    restart(&folder);
    fs::remove_dir_all(&folder).unwrap();
}

fn records(case: &Case) -> Vec<Record> {
    let mut random = SmallRng::seed_from_u64(7);
    let record = |_| {
        let mut body = vec![0; case.body];
        random.fill_bytes(&mut body);
        Record {
            table: "readings".into(),
            source: "192.168.10.20:54321".to_owned(),
            ingested_at: Timestamp::from_micros(1_795_341_600_000_000),
            rows: 15_000,
            body: Bytes::from(body),
        }
    };
    (0..case.records).map(record).collect()
}

fn open(folder: &Path) -> SegmentLog {
    SegmentLog::open(folder, &LogSettings::default(), LogPosition::new(0), false).unwrap().0
}

/// Appends and the limit in turns, one of each at a time, so that both see the same machine.
fn append(folder: &Path, case: &Case) {
    let records = records(case);
    let mut log = open(&folder.join("log"));
    log.append(&records, true).unwrap();
    let before = log.end().get();
    log.append(&records, true).unwrap();
    let group = (log.end().get() - before) as usize;
    let mut limit = Limit::new(&folder.join("limit"), group);
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut our, mut their) = (Vec::new(), Vec::new());
        for _ in 0..case.appends {
            our.push(timed(|| drop(black_box(log.append(&records, case.sync).unwrap()))));
            their.push(timed(|| limit.append(case.sync)));
        }
        ratios.push(median(&our) / median(&their));
        ours.extend(our);
        theirs.extend(their);
        // What was not synced in this round does not burden the next one.
        log.sync().unwrap();
        limit.file.sync_data().unwrap();
        log.truncate(log.end()).unwrap();
    }
    println!(
        "{:24} {:>26} {:>26}   {:.2} ({:.2}-{:.2}), {:.0} MB/s",
        case.name,
        spread(&ours),
        spread(&theirs),
        median(&ratios),
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
        group as f64 / median(&ours),
    );
    drop(log);
    fs::remove_dir_all(folder).unwrap();
}

/// The same bytes with no log around them.
struct Limit {
    file: File,
    bytes: Vec<u8>,
    offset: u64,
}

impl Limit {
    fn new(path: &Path, group: usize) -> Self {
        let mut bytes = vec![0; group];
        SmallRng::seed_from_u64(8).fill_bytes(&mut bytes);
        let file = File::options().write(true).create(true).truncate(true).open(path).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
        Self { file, bytes, offset: group as u64 }
    }

    fn append(&mut self, sync: bool) {
        self.file.write_all_at(&self.bytes, self.offset).unwrap();
        self.offset += self.bytes.len() as u64;
        if sync {
            self.file.sync_data().unwrap();
        }
    }
}

/// Opening and replaying an hour of readings, 60 batches, beside reading the same files.
fn restart(folder: &Path) {
    let case = Case { name: "", records: 4, body: BATCH_BYTES, sync: true, appends: 15 };
    let path = folder.join("log");
    let mut log = open(&path);
    for _ in 0..case.appends {
        log.append(&records(&case), true).unwrap();
    }
    drop(log);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(timed(|| {
            let mut log = open(&path);
            let mut rows = 0;
            log.replay(LogPosition::new(0), &mut |_, record| {
                rows += u64::from(record.rows);
                Ok(())
            })
            .unwrap();
            assert_eq!(rows, 900_000);
        }));
        theirs.push(timed(|| {
            let mut buffer = vec![0; 256 << 10];
            for entry in fs::read_dir(&path).unwrap() {
                let mut file = File::open(entry.unwrap().path()).unwrap();
                while file.read(&mut buffer).unwrap() > 0 {}
            }
        }));
    }
    println!(
        "{:24} {:>26} {:>26}   {:.2} (check and replay, beside reading once)",
        "restart, 900,000 rows",
        spread(&ours),
        spread(&theirs),
        median(&ours) / median(&theirs)
    );
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    micros(start.elapsed())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn spread(values: &[f64]) -> String {
    let min = values.iter().copied().fold(f64::INFINITY, f64::min);
    let max = values.iter().copied().fold(0.0, f64::max);
    format!("{min:.0} / {:.0} / {max:.0}", median(values))
}
