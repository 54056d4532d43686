//! Columns of tables that hold rows, in the real binary: added and widened by declaration over a kill -9, dropped and
//! renamed by `barograph lake alter`, which is killed with -9 at any moment.

mod served;
mod shared;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use barograph_engine::Durability;
use barograph_flight::Client;
use barograph_lake::TimeRange;
use barograph_test_support::instants;

use crate::server::{Server, command};

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const HOUR: i64 = 3_600_000_000;
const HOURS: i64 = 30;
const KEYS: i32 = 3;
/// Long enough for any test.
const PATIENCE: Duration = Duration::from_secs(600);
/// Interval at which a process is checked.
const POLL: Duration = Duration::from_millis(2);
/// No hour lands by itself, and no job runs.
const SETTINGS: [&str; 6] = [
    "--set",
    "engine.lateness=100000h",
    "--set",
    "engine.late_merge_every=100000h",
    "--set",
    "scheduler.enabled=false",
];

/// Declaration of the table, at first and later.
const FIRST: &str = r#"{ name = "temperature", type = "float32", range = [-5, 40] },
    { name = "level", type = "int16" }, { name = "note", type = "utf8" }"#;
const WIDER: &str = r#"{ name = "note", type = "utf8" }, { name = "salinity", type = "float32" },
    { name = "temperature", type = "float64", range = [-5, 40] }, { name = "level", type = "int32" }"#;
const ALTERED: &str = r#"{ name = "level", type = "int64" },
    { name = "water_temperature", type = "float32", range = [-5, 40] }"#;
const ALTER: [&str; 4] = ["--rename", "temperature=water_temperature", "--drop", "note"];

struct Bed {
    folder: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Declares the table with these columns.
    fn declare(&self, columns: &str) -> String {
        let path = self.folder.path().join("settings.toml");
        let text = format!(
            "[tables.buoys]\nkey = \"id\"\ntime = \"at\"\ncolumns = [\n    {columns}\n]\n\n\
             [rollups.buoys_1d]\nof = \"buoys\"\nevery = \"1d\"\n"
        );
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn serve(&self, columns: &str) -> Server {
        let settings = self.declare(columns);
        Server::start(&[&SETTINGS[..], &["--config", &settings]].concat(), &self.data())
    }

    /// Output of a server that does not start.
    fn refused(&self, columns: &str) -> String {
        let settings = self.declare(columns);
        let args = [&SETTINGS[..], &["--config", &settings]].concat();
        let mut server = Server::spawn(&args, &self.data(), &[]);
        server.wait_ready().unwrap_err();
        server.output()
    }

    fn alter(&self, args: &[&str]) -> Output {
        let settings = self.folder.path().join("settings.toml");
        command(&["lake", "alter", "buoys"])
            .args(args)
            .arg("--config")
            .arg(settings)
            .arg("--data")
            .arg(self.data())
            .output()
            .unwrap()
    }

    /// Checks that every file of every table matches the log.
    fn check(&self) {
        let checked = command(&["lake", "check", "--data"]).arg(self.data()).output().unwrap();
        assert!(checked.status.success(), "{}", said(&checked));
    }

    fn versions(&self) -> usize {
        let log = std::fs::read_dir(self.data().join("lake/buoys/_delta_log")).unwrap();
        let names = log.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".json") && !name.starts_with('_')).count()
    }

    /// The columns in the newest commits.
    fn columns(&self) -> String {
        let log = self.data().join("lake/buoys/_delta_log");
        let names = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
        let mut commits: Vec<_> =
            names.filter(|path| path.extension().is_some_and(|of| of == "json")).collect();
        commits.sort();
        let mut texts = commits.iter().map(|path| std::fs::read_to_string(path).unwrap());
        texts.rfind(|text| text.contains("schemaString")).unwrap_or_default()
    }

    /// Number of notes about rewritten files.
    fn notes(&self) -> usize {
        let Ok(folder) = std::fs::read_dir(self.data().join("lake/buoys/_altered")) else {
            return 0;
        };
        // A put that was cut off leaves something under another name.
        let paths = folder.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|of| of == "json")).count()
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn asking<T>(server: &Server, ask: impl AsyncFnOnce(Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { ask(Client::connect(&server.url()).await.unwrap()).await })
}

fn put(server: &Server, rows: RecordBatch) -> (u64, u64) {
    asking(server, async |client| {
        let ack = client.put_batch("buoys", rows, Durability::Disk).await.unwrap();
        (ack.accepted, ack.rejected)
    })
}

fn flush(server: &Server) {
    asking(server, async |client| client.flush().await.unwrap());
}

fn lines(server: &Server, sql: &str) -> Vec<String> {
    asking(server, async |client| {
        let rows = client.sql(sql).await.unwrap().collect().await.unwrap();
        let options = FormatOptions::default().with_null("null");
        let columns: Vec<_> =
            rows.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).unwrap()).collect();
        let line = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>();
        (0..rows.num_rows()).map(|row| line(row).join("|")).collect()
    })
}

/// Rows of every key at an offset in some hours, with additional columns.
fn rows(
    hours: std::ops::Range<i64>,
    offset: i64,
    others: impl Fn(usize) -> Vec<(&'static str, ArrayRef)>,
) -> RecordBatch {
    let at = hours.flat_map(|hour| (0..KEYS).map(move |key| (key, START + hour * HOUR + offset)));
    let (keys, times): (Vec<i32>, Vec<i64>) = at.unzip();
    let mut columns: Vec<(&str, ArrayRef)> = vec![("at", instants(times))];
    columns.extend(others(keys.len()));
    columns.push(("id", Arc::new(Int32Array::from(keys))));
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Rows as the first clients send them.
fn early(hours: std::ops::Range<i64>, offset: i64) -> RecordBatch {
    rows(hours, offset, |count| {
        let tenths = (0..count).map(|n| (n % 7 != 0).then_some(n as f32 / 10.0 % 40.0));
        let levels = (0..count).map(|n| (n % 5 != 0).then_some(n as i16 - 20));
        let notes = (0..count).map(|n| (n % 3 == 0).then(|| format!("note {n}")));
        vec![
            ("temperature", Arc::new(tenths.collect::<Float32Array>())),
            ("level", Arc::new(levels.collect::<Int16Array>())),
            ("note", Arc::new(notes.collect::<StringArray>())),
        ]
    })
}

/// A server whose table has rows in files, late rows, and an hour in the log alone.
fn filled(bed: &Bed) -> Server {
    let server = bed.serve(FIRST);
    assert_eq!(put(&server, early(0..HOURS, 0)).1, 0);
    flush(&server);
    put(&server, early(3..6, 7));
    put(&server, early(HOURS..HOURS + 1, 0));
    server
}

const OF_FIRST: [&str; 3] = [
    "SELECT id, at, CAST(temperature AS FLOAT), level, note FROM buoys WHERE at < '2024-02-01' ORDER BY 1, 2",
    "SELECT count(*), count(temperature), sum(level), min(level), max(note), max(CAST(temperature AS FLOAT)) \
     FROM buoys WHERE at < '2024-02-01'",
    "SELECT id, count(*) FROM buoys WHERE level > 10 AND temperature < 30 AND at < '2024-02-01' GROUP BY 1 ORDER BY 1",
];

#[test]
fn columns_are_added_and_widened_where_rows_are() {
    let bed = Bed::new();
    let server = filled(&bed);
    let landed = bed.versions() - 1;
    let too_high = |count| -> Vec<(&'static str, ArrayRef)> {
        vec![("level", Arc::new(Int32Array::from_value(70_000, count)))]
    };
    // February, to be told from the rows of the first clients.
    assert_eq!(put(&server, rows(31 * 24..31 * 24 + 1, 0, too_high)), (0, KEYS as u64));
    let before: Vec<_> = OF_FIRST.iter().map(|sql| lines(&server, sql)).collect();
    server.kill();

    let server = bed.serve(WIDER);
    let after = |server: &Server| OF_FIRST.map(|sql| lines(server, sql)).to_vec();
    assert_eq!(after(&server), before);
    let names: Vec<_> = asking(&server, async |client| {
        let schema = client.schema("buoys").await.unwrap();
        schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect()
    });
    assert_eq!(
        names[2..6],
        ["note Utf8", "salinity Float32", "temperature Float64", "level Int32"]
    );
    let told = "SELECT count(salinity), count(*) FILTER (WHERE salinity IS NULL) = count(*), \
                count(*) FILTER (WHERE NOT (salinity > 0)) FROM buoys";
    assert_eq!(lines(&server, told), ["0|true|0"]);

    // Clients of both kinds, late and new.
    assert_eq!(put(&server, early(31 * 24 + 2..31 * 24 + 4, 0)).1, 0);
    let wide = |count| -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("salinity", Arc::new(Float32Array::from_value(35.0, count))),
            ("level", Arc::new(Int64Array::from_value(100_000, count))),
            ("temperature", Arc::new(Float64Array::from_value(0.1, count))),
        ]
    };
    assert_eq!(put(&server, rows(31 * 24 + 8..31 * 24 + 10, 0, wide)).1, 0);
    let report =
        asking(&server, async |client| client.redrive("buoys", TimeRange::ALL).await.unwrap());
    assert_eq!((report.accepted, report.rejected), (KEYS as u64, 0));
    let wide = "SELECT count(salinity), max(level), count(*) FILTER (WHERE temperature = 0.1), \
                count(*) FILTER (WHERE level = 70000) FROM buoys";
    let windows = "SELECT sum(salinity_count), max(level_max), sum(rows) FROM live('buoys_1d')";
    let rows = lines(&server, "SELECT count(*) FROM buoys").remove(0);
    for step in 0..3 {
        assert_eq!(after(&server), before, "{step}");
        assert_eq!(lines(&server, wide), ["6|100000|6|3"], "{step}");
        assert_eq!(lines(&server, windows), [format!("6|100000|{rows}")], "{step}");
        if step == 0 {
            flush(&server);
        }
    }
    server.kill();
    let server = bed.serve(WIDER);
    assert_eq!(
        (after(&server), lines(&server, wide).remove(0)),
        (before.clone(), "6|100000|6|3".to_owned())
    );
    // The first landing, before there was any salinity.
    let past =
        format!("SELECT count(*), count(salinity), count(level) > 0 FROM as_of('buoys', {landed})");
    assert_eq!(lines(&server, &past), [format!("{}|0|true", HOURS * i64::from(KEYS))]);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    bed.check();

    // Files from before and after become those of days and a month.
    let folded = command(&["jobs", "run", "compact", "--config"])
        .arg(bed.folder.path().join("settings.toml"))
        .arg("--data")
        .arg(bed.data())
        .output()
        .unwrap();
    assert!(folded.status.success(), "{}", said(&folded));
    bed.check();
    let server = bed.serve(WIDER);
    assert_eq!((after(&server), lines(&server, wide)), (before, vec!["6|100000|6|3".to_owned()]));
    server.kill();

    let versions = bed.versions();
    let printed = bed.refused(FIRST);
    for reason in [
        "column salinity Float32 holds values and is not declared",
        "column level is Int32 and declared as Int16",
        "barograph lake alter buoys --drop",
    ] {
        assert!(printed.contains(reason), "{reason}: {printed}");
    }
    assert_eq!(bed.versions(), versions);
}

#[test]
fn columns_go_and_get_other_names_wherever_it_is_killed() {
    let bed = Bed::new();
    let server = filled(&bed);
    let of_first = "SELECT id, at, temperature, level FROM buoys ORDER BY 1, 2";
    let of_altered = "SELECT id, at, water_temperature, level FROM buoys ORDER BY 1, 2";
    let landed = bed.versions() - 1;
    let whole =
        format!("SELECT * EXCEPT (ingested_at) FROM as_of('buoys', {landed}) ORDER BY 1, 2");
    let (before, first) = (lines(&server, of_first), lines(&server, &whole));
    let rollup = "SELECT id, window_start, rows, temperature_count, temperature_max FROM live('buoys_1d') ORDER BY 1, 2";
    let windows = lines(&server, rollup);

    // Beside a server, and before it is declared: refused, with the reason.
    bed.declare(ALTERED);
    let beside = said(&bed.alter(&ALTER));
    assert!(beside.contains("another process has it open"), "{beside}");
    server.kill();
    bed.declare(FIRST);
    let early = said(&bed.alter(&ALTER));
    assert!(early.contains("\"note\" is to be dropped, but the settings declare it"), "{early}");
    let printed = bed.refused(ALTERED);
    assert!(printed.contains("barograph lake alter buoys --drop"), "{printed}");
    let unknown = said(&bed.alter(&["--drop", "nota"]));
    assert!(unknown.contains("has no column \"nota\""), "{unknown}");
    let half = said(&bed.alter(&ALTER[2..]));
    assert!(half.contains("column temperature Float32 holds values and is not declared"), "{half}");
    let versions = bed.versions();
    let dry = bed.alter(&[&ALTER[..], &["--dry-run"]].concat());
    assert!(dry.status.success() && said(&dry).contains("would be rewritten"), "{}", said(&dry));
    assert_eq!((bed.versions(), bed.notes()), (versions, 0));

    for wanted in [1, 4, 11, HOURS as usize] {
        let mut altering = command(&["lake", "alter", "buoys", "--config"])
            .arg(bed.folder.path().join("settings.toml"))
            .args(ALTER)
            .arg("--data")
            .arg(bed.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while bed.notes() < wanted && altering.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "{wanted}");
            std::thread::sleep(POLL);
        }
        altering.kill().unwrap();
        altering.wait().unwrap();
        bed.check();
    }
    let done = bed.alter(&ALTER);
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(bed.notes(), 0);
    let again = bed.alter(&ALTER);
    assert!(said(&again).contains("nothing was changed"), "{}", said(&again));
    bed.check();

    let server = bed.serve(ALTERED);
    assert_eq!(lines(&server, of_altered), before);
    assert_eq!(lines(&server, &rollup.replace("temperature_", "water_temperature_")), windows);
    // Earlier versions keep their columns.
    assert_eq!(lines(&server, &whole), first);
    flush(&server);
    assert_eq!(lines(&server, of_altered), before);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    bed.check();
    let restored =
        command(&["lake", "restore", "buoys", "--version", &landed.to_string(), "--data"])
            .arg(bed.data())
            .output()
            .unwrap();
    let restored = said(&restored);
    assert!(restored.contains("other columns than the table"), "{restored}");

    // The name that went is a new column.
    let server = bed.serve(&format!(r#"{ALTERED}, {{ name = "note", type = "int32" }}"#));
    assert_eq!(lines(&server, "SELECT count(*) > 0, count(note) FROM buoys"), ["true|0"]);
    assert_eq!(lines(&server, of_altered), before);
    assert_eq!(lines(&server, &whole), first);
}
