//! Imports in tests: the real binary imports files into a server, and as files of the lake of another folder. Both must
//! give the same result.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread;

use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use barograph_flight::Client;

use super::{POLL, Server, command};

/// Output of an import, and rows of the tables after it.
pub(crate) struct Imported {
    pub status: ExitStatus,
    /// Standard output: the summary.
    pub summary: String,
    /// Standard output and error.
    pub said: String,
    /// Most memory that it was seen to take, in KiB.
    pub peak_kib: u64,
    pub rows: Vec<Vec<String>>,
    /// Reasons of dead letters.
    pub letters: Vec<String>,
}

impl Imported {
    /// The figures of the summary over all files: earlier, read, accepted, unreadable, implausible, replaced.
    pub(crate) fn figures(&self) -> [u64; 6] {
        assert!(self.status.success(), "{}", self.said);
        let mut sums = [0; 6];
        for line in self.summary.lines().skip(1) {
            let figures =
                line.rsplit(',').skip(1).take(6).map(|figure| figure.parse::<u64>().unwrap());
            for (sum, figure) in sums.iter_mut().rev().zip(figures) {
                *sum += figure;
            }
        }
        sums
    }
}

/// Imports files into a server, and as files of the lake of another folder; `sql` returns the rows to compare.
pub(crate) fn both(
    settings: &str,
    arguments: &[&str],
    files: &[PathBuf],
    sql: &str,
) -> [Imported; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    [true, false].map(|through_a_log| {
        let folder = tempfile::tempdir().unwrap();
        let (data, config) = (folder.path().join("data"), folder.path().join("settings.toml"));
        std::fs::write(&config, settings).unwrap();
        let config = config.display().to_string();
        let start = || Server::start(&["--config", &config], &data);
        let import = |way: [&str; 2]| {
            let state = folder.path().join("imports.json").display().to_string();
            let fixed = ["--format", "csv", "--config", &config, "--state", &state];
            import(&[&fixed[..], &way, arguments].concat(), files)
        };
        let (ended, server);
        if through_a_log {
            server = start();
            ended = import(["--endpoint", &server.url()]);
        } else {
            ended = import(["--data", &data.display().to_string()]);
            server = start();
        }
        let (rows, letters) = runtime.block_on(async {
            let client = Client::connect(&server.url()).await.unwrap();
            let letters = "SELECT reason FROM dead_letters ORDER BY id";
            (answer(&client, sql).await, answer(&client, letters).await.concat())
        });
        server.kill();
        let Ended { status, said: [summary, error], peak_kib } = ended;
        let said = format!("{summary}{error}");
        Imported { status, summary, said, peak_kib, rows, letters }
    })
}

/// An import that has ended.
struct Ended {
    status: ExitStatus,
    said: [String; 2],
    peak_kib: u64,
}

fn import(arguments: &[&str], files: &[PathBuf]) -> Ended {
    let mut command = command(&["import"]);
    command.args(arguments).args(files).stdin(Stdio::null());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let memory = PathBuf::from(format!("/proc/{}/status", process.id()));
    let pipes: [Box<dyn Read + Send>; 2] =
        [Box::new(process.stdout.take().unwrap()), Box::new(process.stderr.take().unwrap())];
    let readers = pipes.map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(peak(&memory).unwrap_or_default());
        match process.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(POLL),
        }
    };
    Ended { status, said: readers.map(|reader| reader.join().unwrap()), peak_kib }
}

/// Most memory in KiB that a process has taken so far.
pub(crate) fn peak(status: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

async fn answer(client: &Client, sql: &str) -> Vec<Vec<String>> {
    let rows = client.sql(sql).await.unwrap().collect().await.unwrap();
    let cell = |row, column: &ArrayRef| array_value_to_string(column, row).unwrap();
    let row = |row| rows.columns().iter().map(|column| cell(row, column)).collect();
    (0..rows.num_rows()).map(row).collect()
}
