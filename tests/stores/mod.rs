//! The real binary on an object store: an S3 server from PyPI, in memory, or that of Ceph, or Azurite (`azure`), started by each
//! test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod azure;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use barograph_flight::Client;
use barograph_test_support::store_proxy::{Delay, Faults, StoreProxy};

use crate::clients::Python;
use crate::server::{Server, command};
use crate::several::{self, Site};

const REQUIREMENTS: &str = include_str!("requirements.txt");
/// How long the start of a store may take.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
/// The bucket that each store has.
const BUCKET: &str = "lake";

/// A server with an empty bucket.
struct Store {
    process: Child,
    /// The store stops itself when it is closed.
    input: Option<ChildStdin>,
    address: SocketAddr,
    folder: tempfile::TempDir,
    scheme: &'static str,
    /// What stands in the path of requests before the bucket.
    root: String,
    /// Lines of the file with the credentials.
    credentials: String,
}

impl Store {
    fn start() -> Self {
        let python = Python::with(REQUIREMENTS);
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let process = Command::new(python.interpreter.with_file_name("ministack"))
            .env("GATEWAY_PORT", address.port().to_string())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ministack");
        let mut store = Self::s3(process, None, address, folder);
        let until = Instant::now() + START_TIMEOUT;
        while !store.has_bucket() {
            assert!(store.process.try_wait().unwrap().is_none(), "the store ended");
            assert!(Instant::now() < until, "the store does not answer");
            thread::sleep(POLL);
        }
        store
    }

    /// That of Ceph, which also checks secrets.
    fn ceph() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/stores/radosgw");
        let mut process = Command::new(script)
            .arg(folder.path())
            .args([address.port().to_string(), BUCKET.to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let setup = || std::fs::read_to_string(folder.path().join("setup.log"));
        assert_eq!(ready, "ready\n", "Ceph does not start: {:?}", setup());
        let input = process.stdin.take();
        Self::s3(process, input, address, folder)
    }

    fn s3(
        process: Child,
        input: Option<ChildStdin>,
        address: SocketAddr,
        folder: tempfile::TempDir,
    ) -> Self {
        let text = "AWS_ACCESS_KEY_ID=tester\nAWS_SECRET_ACCESS_KEY=\"not a secret\"\n";
        let (scheme, root, credentials) = ("s3", String::new(), text.to_owned());
        Self { process, input, address, folder, scheme, root, credentials }
    }

    /// Where a lake of a name is.
    fn url(&self, name: &str) -> String {
        format!("{}://{BUCKET}/{name}", self.scheme)
    }

    /// Makes the bucket, as soon as the store answers.
    fn has_bucket(&self) -> bool {
        let Ok(mut connection) = TcpStream::connect(self.address) else { return false };
        let request = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut reply = String::new();
        connection.write_all(request.as_bytes()).is_ok()
            && connection.read_to_string(&mut reply).is_ok()
            && reply.starts_with("HTTP/1.1 200")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Settings and variables of a process that uses the store at `address`.
    fn at(&self, address: SocketAddr) -> (Vec<String>, [(&'static str, String); 3]) {
        let credentials = self.path("credentials");
        std::fs::write(&credentials, &self.credentials).unwrap();
        let settings = [
            format!("store.endpoint=http://{address}{}", self.root),
            format!("store.credentials={}", credentials.display()),
            format!("store.cache_folder={}", self.path("cache").display()),
            format!("log_folder={}", self.path("log").display()),
            "store.region=us-east-1".to_owned(),
            // Files stay as they are while they are looked at.
            "scheduler.enabled=false".to_owned(),
        ];
        let settings = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
        let home = |name: &str| self.path(name).display().to_string();
        let variables = [
            ("HOME", home("home")),
            ("XDG_STATE_HOME", home("state")),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        (settings.collect(), variables)
    }

    /// Runs a command of the binary on the store.
    fn run(&self, address: SocketAddr, args: &[&str]) -> Output {
        let (settings, variables) = self.at(address);
        command(args).args(settings).envs(variables).output().unwrap()
    }

    /// What a command prints that has to succeed.
    fn said(&self, args: &[&str]) -> String {
        let done = self.run(self.address, &[args, &["--set", "store.cache_bytes=0B"]].concat());
        let said =
            [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        assert!(done.status.success(), "{args:?}: {}", said.concat());
        said.concat()
    }

    fn serve(&self, url: &str) -> Server {
        self.serve_with(self.address, url, &[])
    }

    /// One of several servers of a lake, which finds the store at `address`.
    fn serve_shared(&self, address: SocketAddr, url: &str) -> Server {
        self.serve_with(address, url, &several::SETTINGS)
    }

    fn serve_with(
        &self,
        address: SocketAddr,
        url: &str,
        more: &[(&'static str, &'static str)],
    ) -> Server {
        let (mut settings, variables) = self.at(address);
        if !more.is_empty() {
            settings.retain(|setting| !setting.starts_with("log_folder="));
            settings.dedup_by(|a, b| a == "--set" && b == "--set");
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain(more.iter().copied())
            .collect();
        Server::start_with(&settings, Path::new(url), &variables)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.input.take().is_none() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// One that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A proxy before a store that takes the condition out of puts, as some servers ignore it.
fn without_conditions(store: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let condition = b"if-none-match";
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(store) else { return };
            let pipes =
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in pipes {
                thread::spawn(move || {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(read @ 1..) = from.read(&mut bytes) {
                        let bytes = &mut bytes[..read];
                        let found = bytes.windows(condition.len()).position(|it| it == condition);
                        if let Some(at) = found {
                            bytes[at..at + condition.len()].copy_from_slice(b"x-nothing-new");
                        }
                        if to.write_all(bytes).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

#[test]
fn a_store_is_checked_for_what_a_lake_needs() {
    let store = Store::start();
    is_checked(&store);
    is_found_broken(&store);
}

#[test]
fn every_command_works_on_an_object_store() {
    every_command_works(&Store::start());
}

#[test]
fn servers_share_a_log_on_an_object_store() {
    let store = Store::start();
    several_survive(&store, 2);
    assert!(store.said(&["lake", "check", "--data", "s3://lake/shared"]).contains("sound"));
}

#[test]
fn servers_share_a_log_on_a_store_that_refuses_loses_replies_and_carries_out_late() {
    several_survive_faults(&Store::start());
}

#[test]
fn servers_go_on_when_one_is_cut_off_from_the_store() {
    let store = Store::start();
    let proxies = [1, 2, 3].map(|seed| StoreProxy::start(store.address, seed, Faults::default()));
    let url = "s3://lake/parted";
    let start = |at: usize| store.serve_shared(proxies[at].address(), url);
    let cut_off = |at: usize, cut_off| proxies[at].set(Faults { cut_off, ..Faults::default() });
    let run = |args: &[&str]| store.run(store.address, &[args, &["--data", url]].concat());
    several::survive(4, &Site { start: &start, cut_off: Some(&cut_off), run: Some(&run) });
    assert!(proxies.iter().any(|proxy| proxy.counts().faults > 0), "nobody was cut off");
    assert!(store.said(&["lake", "check", "--data", url]).contains("sound"));
}

/// The reference for secrets and for conditional puts under races. Tests install what comes from registries, into the
/// target folder; Ceph comes as packages of the system alone, which a test does not change: whoever has them runs it.
#[test]
#[ignore = "needs packages of the system: apt-get install --no-install-recommends ceph-mon ceph-osd ceph-mgr radosgw"]
fn ceph_is_checked_and_every_command_works_on_it() {
    let store = Store::ceph();
    is_checked(&store);
    every_command_works(&store);
    several_survive(&store, 4);
    several_survive_faults(&store);
}

fn several_survive(store: &Store, rounds: u64) {
    let url = store.url("shared");
    let start = |_| store.serve_shared(store.address, &url);
    let run = |args: &[&str]| store.run(store.address, &[args, &["--data", &url]].concat());
    several::survive(rounds, &Site { start: &start, cut_off: None, run: Some(&run) });
}

/// The same with a store that refuses, loses replies, and carries out late.
fn several_survive_faults(store: &Store) {
    let delay = Delay { p50: Duration::from_millis(2), p99: Duration::from_millis(20) };
    let faults = Faults {
        put_delay: delay,
        delay,
        slow_down: 0.02,
        conflict: 0.03,
        reply_lost: 0.02,
        late: 0.03,
        late_by: Duration::from_millis(300),
        ..Faults::default()
    };
    let proxy = StoreProxy::start(store.address, 1, faults);
    let url = store.url("faulty");
    let start = |_| store.serve_shared(proxy.address(), &url);
    several::survive(2, &Site { start: &start, cut_off: None, run: None });
    let counts = proxy.counts();
    assert!(counts.faults > 0, "{counts:?}");
    println!("{counts:?}");
    assert!(store.said(&["lake", "check", "--data", &url]).contains("sound"));
}

const CHECK: [&str; 5] = ["lake", "check-store", "--format", "csv", "--data"];

fn is_checked(store: &Store) {
    let url = store.url("data");
    let kept = store.run(store.address, &[&CHECK[..], &[url.as_str()]].concat());
    let said = String::from_utf8_lossy(&kept.stdout).into_owned();
    assert!(kept.status.success(), "{said}{}", String::from_utf8_lossy(&kept.stderr));
    assert_eq!(said.matches(",kept,").count(), 8, "{said}");
}

fn is_found_broken(store: &Store) {
    let url = store.url("data");
    let check = [&CHECK[..], &[url.as_str()]].concat();
    let broken = store.run(without_conditions(store.address), &check);
    let said = String::from_utf8_lossy(&broken.stdout).into_owned();
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(said.contains("put if absent,broken,"), "{said}");
    assert!(said.contains("put if absent under a race,broken,"), "{said}");
    assert!(String::from_utf8_lossy(&broken.stderr).contains("does not keep"), "{said}");
    // A server that is not there is not taken for one that breaks its promises.
    let (mut settings, variables) = store.at("127.0.0.1:9".parse().unwrap());
    settings.extend(["--set", "store.retries_max=0"].map(str::to_owned));
    let absent = command(&check).args(settings).envs(variables).output().unwrap();
    let said = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert_eq!(absent.status.code(), Some(1), "{said}");
    assert!(said.contains("did not answer"), "{said}");
}

fn figures(server: &Server, sql: &str) -> Vec<i64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let rows = client.sql(sql).await.unwrap().collect().await.unwrap();
        let figure = |column| {
            let column = rows.column(column).as_primitive::<Int64Type>();
            if column.is_valid(0) { column.value(0) } else { 0 }
        };
        (0..rows.num_columns()).map(figure).collect()
    })
}

/// Requests of the server for data files.
const READS: &str = "SELECT sum(requests), sum(bytes_received) FROM system.requests \
                     WHERE asked_by = 'server' AND object = 'data' AND verb = 'GET'";

fn every_command_works(store: &Store) {
    let url = store.url("weather");
    let url = url.as_str();
    let data = ["--data", url];
    let on = |args: &[&str]| store.said(&[args, &data[..]].concat());
    on(&["demo", "--once", "--hours", "30", "--cities", "40", "--listen", "127.0.0.1:0"]);
    let files = on(&["lake", "files", "--table", "readings", "--format", "csv"]);
    assert!(files.contains("readings,hour/"), "{files}");
    assert!(on(&["lake", "check"]).contains("sound"));
    assert!(on(&["lake", "history", "--format", "csv"]).contains("readings,"));
    on(&["lake", "restore", "readings", "--version", "0", "--dry-run"]);
    for job in ["expire", "verify", "sweep"] {
        on(&["jobs", "run", job]);
    }

    // Nothing is known to a new process: its first query opens files and reads pages.
    let server = store.serve(url);
    let [files] =
        figures(&server, "SELECT count(*) FROM system.files WHERE table_name = 'readings'")
            .try_into()
            .unwrap();
    let query = "SELECT count(temperature) FROM readings WHERE city_id = 1796236";
    let before = figures(&server, READS);
    let counted = figures(&server, query);
    assert!(counted[0] > 1_000, "{counted:?}");
    let cold = figures(&server, READS)[0] - before[0];
    assert!(files >= 20 && cold <= 3 * files, "{cold} requests for {files} files");
    let billed = "SELECT count(*) FROM system.requests WHERE price > 0 AND seconds > 0";
    assert!(figures(&server, billed)[0] >= 3);
    let said = store.said(&["latest", "Shanghai", "--endpoint", &server.url()]);
    assert!(said.contains("Shanghai"), "{said}");
    let (status, output) = server.terminate();
    assert!(status.success(), "{output}");

    // The disk remembers what was read.
    let server = store.serve(url);
    assert_eq!(figures(&server, query), counted);
    let warm = figures(&server, READS);
    assert!(warm[0] * 4 <= cold, "{warm:?} after {cold}");
    let (status, output) = server.terminate();
    assert!(status.success(), "{output}");

    on(&["jobs", "run", "compact"]);
    assert!(on(&["lake", "check"]).contains("sound"));
    let csv = store.path("tide.csv");
    std::fs::write(&csv, "city_id,reading_at,temperature\n1796236,2020-01-01T00:00:00Z,7\n")
        .unwrap();
    on(&["import", "--format", "csv", csv.to_str().unwrap()]);
    assert!(on(&["lake", "check"]).contains("sound"));
}
