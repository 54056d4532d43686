//! Columns that change in a running server: readers and writers go on, no acknowledged row is lost, and a kill -9 at
//! any moment leaves the table as it was before or as it is to be after.

use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, Int16Array, Int32Array};
use barograph_engine::{Durability, ErrorKind};
use barograph_flight::{Client, Ticket};
use barograph_lake::{Key, Span, Timestamp};
use futures::StreamExt;
use tokio::sync::mpsc;

use super::{
    ALTER, ALTERED, Bed, FIRST, HOURS, KEYS, OF_FIRST, PATIENCE, POLL, START, WIDER, asking, early,
    filled, flush, lines, put, rows, said,
};
use crate::server::{Server, command};

/// `barograph lake alter` through a server.
fn altering(server: &Server, args: &[&str]) -> Output {
    command(&["lake", "alter", "buoys", "--endpoint", &server.url()]).args(args).output().unwrap()
}

/// Repeats work until it is stopped, and counts the turns; everything in it has to succeed.
struct Busy {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicI64>,
    thread: JoinHandle<()>,
}

impl Busy {
    fn start<F>(server: &Server, work: impl FnOnce(Client, Turns) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()>,
    {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let turns = Turns { stop: Arc::clone(&stop), done: Arc::clone(&done) };
        let url = server.url();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { work(Client::connect(&url).await.unwrap(), turns).await });
        });
        Self { stop, done, thread }
    }

    /// Waits for some more turns.
    fn goes_on(&self) {
        let (until, begun) = (self.done.load(Ordering::SeqCst) + 3, Instant::now());
        while self.done.load(Ordering::SeqCst) < until {
            assert!(begun.elapsed() < PATIENCE && !self.thread.is_finished(), "it does not go on");
            std::thread::sleep(POLL);
        }
    }

    fn stop(self) -> i64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.done.load(Ordering::SeqCst)
    }
}

struct Turns {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicI64>,
}

impl Turns {
    fn go_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn done(&self) -> i64 {
        self.done.fetch_add(1, Ordering::SeqCst)
    }
}

/// Puts rows in one stream, awaiting an acknowledgement before the next; each turn is a second of March.
async fn writer(client: Client, turns: Turns) {
    let (sender, mut receiver) = mpsc::channel(1);
    let batches = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    let level = |second: i64| {
        rows(60 * 24..60 * 24 + 1, second * 1_000_000, move |count| {
            vec![(
                "level",
                Arc::new(Int16Array::from_value((second % 9) as i16, count)) as ArrayRef,
            )]
        })
    };
    sender.send(level(0)).await.unwrap();
    let mut acks = client.put("buoys", batches, Durability::Disk).await.unwrap();
    loop {
        assert_eq!(acks.next().await.unwrap().unwrap().accepted, KEYS as u64);
        let second = turns.done() + 1;
        if !turns.go_on() {
            return;
        }
        sender.send(level(second)).await.unwrap();
    }
}

/// Asks for the newest level of every key in one exchange.
async fn point_reader(client: Client, turns: Turns) {
    let ticket = Ticket::latest("buoys", None).columns(["note"]);
    let (sender, mut answers) = client.exchange(&ticket).await.unwrap();
    while turns.go_on() {
        sender.keys(&[0, 1, 2].map(Key::new), None).await.unwrap();
        let rows = answers.next().await.unwrap().unwrap().rows.unwrap();
        assert_eq!(rows.num_rows(), KEYS as usize);
        turns.done();
    }
}

/// Queries a range and a statement, whose answers have to be complete.
async fn range_reader(client: Client, turns: Turns) {
    let whole = KEYS as usize * (HOURS as usize + 1);
    let before_february = barograph_flight::ticket::RangeRead {
        to: Some(Timestamp::from_micros(START) + 31 * Span::DAY),
        ..Default::default()
    };
    let ticket = Ticket::range("buoys", before_february).columns(["level"]);
    let sql = "SELECT count(*), count(level) FROM buoys WHERE at < '2024-02-01'";
    while turns.go_on() {
        let rows = client.get(&ticket).await.unwrap().collect().await.unwrap();
        assert_eq!(rows.num_rows(), whole + 9);
        let counted = client.sql(sql).await.unwrap().collect().await.unwrap();
        let count = arrow::array::cast::as_primitive_array::<arrow::datatypes::Int64Type>(
            counted.column(0),
        );
        assert_eq!(count.value(0), whole as i64 + 9);
        turns.done();
    }
}

const OF_MARCH: &str = "SELECT count(*), count(DISTINCT at) FROM buoys WHERE at >= '2024-03-01'";

#[test]
fn columns_are_added_and_widened_beside_who_reads_and_puts() {
    let bed = Bed::new();
    let settings = bed.declare(FIRST);
    let args = ["--set", "engine.late_merge_every=100000h", "--config", &settings];
    let server = Server::start(&args, &bed.data());
    assert_eq!(put(&server, early(0..HOURS, 0)).1, 0);
    flush(&server);
    put(&server, early(3..6, 7));
    put(&server, early(HOURS..HOURS + 1, 0));
    let before: Vec<_> = OF_FIRST.iter().map(|sql| lines(&server, sql)).collect();
    let nothing = said(&altering(&server, &[]));
    assert!(nothing.contains("columns are as declared; nothing was changed"), "{nothing}");

    let busy = [
        Busy::start(&server, writer),
        Busy::start(&server, point_reader),
        Busy::start(&server, range_reader),
    ];
    let other = Ticket::latest("buoys", None).columns(["temperature"]);
    asking(&server, async |client| {
        let (sender, mut answers) = client.exchange(&other).await.unwrap();
        sender.keys(&[Key::new(0)], None).await.unwrap();
        answers.next().await.unwrap().unwrap().rows.unwrap();
        for (columns, what) in
            [(FIRST, "columns are as declared"), (WIDER, "note, salinity, temperature, level")]
        {
            bed.declare(columns);
            let dry = said(&altering(&server, &["--dry-run"]));
            assert!(dry.contains(what), "{dry}");
            let altered = altering(&server, &[]);
            assert!(altered.status.success(), "{}", said(&altered));
            assert!(said(&altered).contains(what), "{}", said(&altered));
        }
        // What it gives has become wider, which its schema cannot say any more.
        sender.keys(&[Key::new(0)], None).await.unwrap();
        let error = answers.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("have changed: open another exchange"), "{error}");
    });
    busy.iter().for_each(Busy::goes_on);

    let wide = |count| -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("salinity", Arc::new(Float32Array::from_value(35.0, count))),
            ("level", Arc::new(Int32Array::from_value(100_000, count))),
        ]
    };
    assert_eq!(put(&server, rows(40 * 24..40 * 24 + 1, 0, wide)), (KEYS as u64, 0));
    let after = |server: &Server| OF_FIRST.map(|sql| lines(server, sql)).to_vec();
    assert_eq!(after(&server), before);
    let told = "SELECT count(salinity), max(level) FROM buoys";
    assert_eq!(lines(&server, told), ["3|100000"]);
    let [writer, points, ranges] = busy;
    points.stop();
    ranges.stop();
    let seconds = writer.stop();
    let of_march = [format!("{}|{seconds}", seconds * i64::from(KEYS))];
    assert_eq!(lines(&server, OF_MARCH), of_march);

    // Jobs go on, over the columns of now.
    flush(&server);
    let windows = "SELECT sum(salinity_count) FROM buoys_1d";
    let begun = Instant::now();
    while lines(&server, windows) != ["3"] {
        assert!(begun.elapsed() < PATIENCE, "the rollup does not follow");
    }

    // What cannot be is refused, and changes nothing.
    let versions = bed.versions();
    bed.declare(FIRST);
    let refused = altering(&server, &[]);
    assert!(!refused.status.success());
    let refused = said(&refused);
    assert!(
        refused.contains("column salinity Float32 holds values and is not declared"),
        "{refused}"
    );
    assert_eq!(bed.versions(), versions);
    assert_eq!(put(&server, early(31 * 24 + 2..31 * 24 + 4, 0)).1, 0);
    server.kill();
    bed.check();
    let server = bed.serve(WIDER);
    assert_eq!((after(&server), lines(&server, OF_MARCH)), (before, of_march.to_vec()));
    assert_eq!(lines(&server, told), ["3|100000"]);
}

#[test]
fn columns_go_and_get_other_names_beside_who_reads_and_puts() {
    let bed = Bed::new();
    let server = filled(&bed);
    let of_first =
        "SELECT id, at, temperature, level FROM buoys WHERE at < '2024-02-01' ORDER BY 1, 2";
    let of_altered = of_first.replace("temperature", "water_temperature");
    let rollup = "SELECT id, window_start, rows, temperature_count, temperature_max FROM live('buoys_1d') \
                  WHERE window_start < '2024-02-01' ORDER BY 1, 2";
    let (before, windows) = (lines(&server, of_first), lines(&server, rollup));
    let landed = bed.versions() - 1;
    let whole =
        format!("SELECT * EXCEPT (ingested_at) FROM as_of('buoys', {landed}) ORDER BY 1, 2");
    let first = lines(&server, &whole);
    let early = said(&altering(&server, &ALTER));
    assert!(early.contains("\"note\" is to be dropped, but the settings declare it"), "{early}");

    let busy = [Busy::start(&server, writer), Busy::start(&server, range_reader)];
    bed.declare(ALTERED);
    let half = said(&altering(&server, &ALTER[2..]));
    assert!(half.contains("column temperature Float32 holds values and is not declared"), "{half}");
    let dry = said(&altering(&server, &[&ALTER[..], &["--dry-run"]].concat()));
    assert!(dry.contains("would be rewritten"), "{dry}");
    assert_eq!(bed.notes(), 0);
    let altered = altering(&server, &ALTER);
    assert!(altered.status.success(), "{}", said(&altered));
    assert!(
        said(&altered).contains("columns temperature, level, note become"),
        "{}",
        said(&altered)
    );
    busy.iter().for_each(Busy::goes_on);
    let again = said(&altering(&server, &ALTER));
    assert!(again.contains("columns are as declared; nothing was changed"), "{again}");
    let [writer, reader] = busy;
    reader.stop();
    let seconds = writer.stop();
    let of_march = [format!("{}|{seconds}", seconds * i64::from(KEYS))];

    for step in 0..2 {
        assert_eq!(lines(&server, &of_altered), before, "{step}");
        assert_eq!(lines(&server, OF_MARCH), of_march, "{step}");
        let windows_now = lines(&server, &rollup.replace("temperature_", "water_temperature_"));
        assert_eq!(windows_now, windows, "{step}");
        assert_eq!(lines(&server, &whole), first, "{step}");
        flush(&server);
    }
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    bed.check();
    let server = bed.serve(ALTERED);
    assert_eq!(lines(&server, &of_altered), before);
    assert_eq!(lines(&server, OF_MARCH), of_march);
}

#[test]
fn a_server_killed_while_it_alters_has_the_columns_from_before_or_after() {
    let bed = Bed::new();
    let mut server = filled(&bed);
    let of_first = "SELECT id, at, temperature, level FROM buoys ORDER BY 1, 2";
    let before = lines(&server, of_first);
    flush(&server);
    for wanted in [1, 9, HOURS as usize] {
        bed.declare(ALTERED);
        let mut asking = ask(&server);
        let begun = Instant::now();
        while bed.notes() < wanted && asking.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "{wanted}");
            std::thread::sleep(POLL);
        }
        server.kill();
        asking.wait().unwrap();
        bed.check();
        if bed.columns().contains("water_temperature") {
            server = bed.serve(ALTERED);
            break;
        }
        server = bed.serve(FIRST);
        assert_eq!(lines(&server, of_first), before);
    }
    // Nobody waits for it any more: what is written stays, and it can be asked again.
    bed.declare(ALTERED);
    let mut left = ask(&server);
    left.kill().unwrap();
    left.wait().unwrap();
    let begun = Instant::now();
    let done = loop {
        let done = altering(&server, &ALTER);
        if !said(&done).contains("columns are being altered already") {
            break done;
        }
        assert!(begun.elapsed() < PATIENCE, "the first does not end");
    };
    assert!(done.status.success(), "{}", said(&done));
    let of_altered = of_first.replace("temperature", "water_temperature");
    assert_eq!(lines(&server, &of_altered), before);
    assert_eq!(bed.notes(), 0);
    server.kill();
    bed.check();
}

/// Begins an alteration through a server.
fn ask(server: &Server) -> Child {
    command(&["lake", "alter", "buoys", "--endpoint", &server.url()])
        .args(ALTER)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
