//! The store of a run: radosgw or ministack, started here, or a server that is there; and the proxy that makes it as slow as S3.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use barograph_lake::store::{LakeStore, StoreSettings};
use barograph_test_support::store_proxy::{Delay, Faults, StoreProxy};

const BUCKET: &str = "lake";
const REQUIREMENTS: &str = "../tests/stores/requirements.txt";
/// Delays of S3 Standard: docs/adr/0033-shared-log.md.
const PUT: Delay = Delay { p50: Duration::from_millis(30), p99: Duration::from_millis(120) };
const OTHER: Delay = Delay { p50: Duration::from_millis(15), p99: Duration::from_millis(60) };

/// Which store is measured.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Ministack,
    Radosgw,
    /// One that is there, with its key and secret.
    At(SocketAddr, [String; 2]),
}

/// A running store with an empty bucket.
pub(crate) struct Store {
    process: Option<Child>,
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Kind {
    pub(crate) fn of(text: &str) -> Self {
        match text {
            "ministack" => Self::Ministack,
            "radosgw" => Self::Radosgw,
            other => {
                let mut parts = other.split(',').map(str::to_owned);
                let mut next = || parts.next().expect("give HOST:PORT,KEY,SECRET");
                Self::At(next().parse().unwrap(), [next(), next()])
            }
        }
    }

    /// The best one that is installed.
    fn best() -> Self {
        let programs = ["ceph-mon", "ceph-osd", "ceph-mgr", "radosgw"];
        match programs.iter().all(|program| Path::new("/usr/bin").join(program).exists()) {
            true => Self::Radosgw,
            false => Self::Ministack,
        }
    }
}

impl Store {
    pub(crate) fn start(kind: Option<&Kind>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        match kind.cloned().unwrap_or_else(Kind::best) {
            Kind::Ministack => Self::ministack(folder),
            Kind::Radosgw => Self::radosgw(folder),
            Kind::At(address, [key, secret]) => {
                let store = Self { process: None, name: "a store", address, folder };
                store.write_credentials(&key, &secret);
                store
            }
        }
    }

    fn ministack(folder: tempfile::TempDir) -> Self {
        let address = free_address();
        let process = Command::new(environment().join("bin/ministack"))
            .env("GATEWAY_PORT", address.port().to_string())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ministack");
        let store = Self { process: Some(process), name: "ministack", address, folder };
        store.write_credentials("bench", "bench");
        let until = Instant::now() + Duration::from_secs(120);
        while !store.has_bucket() {
            assert!(Instant::now() < until, "ministack does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        store
    }

    fn radosgw(folder: tempfile::TempDir) -> Self {
        let address = free_address();
        let mut process = Command::new(here("../tests/stores/radosgw"))
            .arg(folder.path())
            .args([address.port().to_string(), BUCKET.to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "see {}", folder.path().join("setup.log").display());
        let store = Self { process: Some(process), name: "radosgw", address, folder };
        store.write_credentials("tester", "not a secret");
        store
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

    fn write_credentials(&self, key: &str, secret: &str) {
        let text = format!("AWS_ACCESS_KEY_ID={key}\nAWS_SECRET_ACCESS_KEY=\"{secret}\"\n");
        std::fs::write(self.credentials(), text).unwrap();
    }

    fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    /// A proxy that makes it as slow as S3.
    pub(crate) fn as_slow_as_s3(&self, seed: u64) -> StoreProxy {
        let faults = Faults { put_delay: PUT, delay: OTHER, ..Faults::default() };
        StoreProxy::start(self.address, seed, faults)
    }

    /// Settings of a process that finds it at `address`.
    pub(crate) fn settings(&self, address: SocketAddr) -> Vec<String> {
        vec![
            format!("store.endpoint=http://{address}"),
            format!("store.credentials={}", self.credentials().display()),
            "store.region=us-east-1".to_owned(),
        ]
    }

    /// The store itself, found at `address`.
    pub(crate) fn raw(&self, address: SocketAddr, data: &str) -> LakeStore {
        let settings = StoreSettings {
            endpoint: Some(format!("http://{address}")),
            region: Some("us-east-1".to_owned()),
            credentials: Some(self.credentials()),
            cache_bytes: "0B".parse().unwrap(),
            ..StoreSettings::default()
        };
        LakeStore::open_with(data, &settings, "bench").unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Ceph stops itself when its input ends.
        if process.stdin.take().is_none() {
            let _ = process.kill();
        }
        let _ = process.wait();
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// One that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The Python environment with ministack, made below the target folder if it is not there.
fn environment() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_barograph"));
    let home = binary.ancestors().nth(2).unwrap().join("python/bench-store");
    if !home.join("finished").exists() {
        let python = |program: &Path, arguments: &[&str]| {
            let done = Command::new(program).args(arguments).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        python(Path::new("python3"), &["-m", "venv", home.to_str().unwrap()]);
        let requirements = here(REQUIREMENTS);
        let install = ["install", "--quiet", "--requirement", requirements.to_str().unwrap()];
        python(&home.join("bin/pip"), &install);
        std::fs::File::create(home.join("finished")).unwrap();
    }
    home
}
