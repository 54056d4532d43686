//! The real binary in tests: started on a free port with a data folder of its own, told to stop, or killed. Its output
//! is kept for the message of a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod imports;

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use barograph_engine::Durability;
use barograph_flight::Client;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_barograph");

/// How long a start may take, the replay of a log included, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a graceful stop may take: the server's own `drain_timeout` and a final sync.
const STOP_TIMEOUT: Duration = Duration::from_secs(600);
/// Interval at which a child process is checked.
const POLL: Duration = Duration::from_millis(5);

/// A running `barograph serve`. Killed when dropped.
pub(crate) struct Server {
    process: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    address: Option<SocketAddr>,
}

/// Output of a server so far.
#[derive(Default)]
struct Output {
    state: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Default)]
struct Printed {
    text: String,
    address: Option<SocketAddr>,
    pipes_closed: usize,
}

/// The binary with the arguments of a command, free of the settings in this process's environment.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BAROGRAPH_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

impl Server {
    /// Puts rows into a table, and waits until they have landed.
    pub(crate) fn land(&self, table: &str, rows: RecordBatch) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::connect(&self.url()).await.unwrap();
            client.put_batch(table, rows, Durability::Disk).await.unwrap();
            client.flush().await.unwrap();
        });
    }

    /// Starts `barograph serve` on `data`, with `args` in addition, and waits until it takes calls.
    pub(crate) fn start(args: &[&str], data: &Path) -> Self {
        Self::start_with(args, data, &[])
    }

    /// Like [`Server::start`], with settings by environment variable.
    pub(crate) fn start_with(args: &[&str], data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::spawn(args, data, settings);
        if let Err(why) = server.wait_ready() {
            panic!("server on {} {why}; it printed:\n{}", data.display(), server.output());
        }
        server
    }

    /// Starts `barograph serve` on `data` without waiting; it may not be ready yet, or never be.
    pub(crate) fn spawn(args: &[&str], data: &Path, settings: &[(&str, &str)]) -> Self {
        Self::spawn_at("127.0.0.1:0", args, data, settings)
    }

    /// The same, at another address.
    pub(crate) fn spawn_at(
        listen: &str,
        args: &[&str],
        data: &Path,
        settings: &[(&str, &str)],
    ) -> Self {
        let mut process = command(&["serve", "--listen", listen, "--data"])
            .arg(data)
            .args(args)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {BINARY}: {e}"));
        let output = Arc::new(Output::default());
        let readers = vec![
            collect(process.stdout.take().unwrap(), &output),
            collect(process.stderr.take().unwrap(), &output),
        ];
        Self { process, output, readers, address: None }
    }

    /// Waits until the server has printed its address and takes connections there.
    pub(crate) fn wait_ready(&mut self) -> Result<(), String> {
        let until = Instant::now() + START_TIMEOUT;
        let mut printed = self.output.state.lock().unwrap();
        let address = loop {
            if let Some(address) = printed.address {
                break address;
            }
            if printed.pipes_closed == self.readers.len() {
                drop(printed);
                let status = self.process.wait().map_err(|e| e.to_string())?;
                return Err(format!("ended before it was ready ({status})"));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("did not say where it listens within {START_TIMEOUT:?}"));
            }
            printed = self.output.changed.wait_timeout(printed, left).unwrap().0;
        };
        drop(printed);
        while let Err(error) = TcpStream::connect(address) {
            if Instant::now() >= until {
                return Err(format!("takes no connections on {address}: {error}"));
            }
            thread::sleep(POLL);
        }
        self.address = Some(address);
        Ok(())
    }

    /// Address of the server.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.expect("the server was not waited for")
    }

    /// URL for our own client and command line.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// URL for pyarrow.
    pub(crate) fn grpc_url(&self) -> String {
        format!("grpc://{}", self.address())
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Output so far, stdout and stderr.
    pub(crate) fn output(&self) -> String {
        self.output.state.lock().unwrap().text.clone()
    }

    /// Kills it at once (SIGKILL) and returns its output.
    pub(crate) fn kill(mut self) -> String {
        self.process.kill().expect("kill");
        self.ended();
        self.output()
    }

    /// Asks it to stop (SIGTERM) and waits until it has; returns its exit status and output.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let until = Instant::now() + STOP_TIMEOUT;
        while self.process.try_wait().expect("wait").is_none() {
            if Instant::now() >= until {
                panic!(
                    "server did not stop within {STOP_TIMEOUT:?}; it printed:\n{}",
                    self.output()
                );
            }
            thread::sleep(POLL);
        }
        (self.ended(), self.output())
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("sh");
        assert!(sent.success(), "{kill}: {sent}");
    }

    fn ended(&mut self) -> ExitStatus {
        let status = self.process.wait().expect("wait");
        for reader in self.readers.drain(..) {
            reader.join().expect("reader of output");
        }
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, or been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("pid", &self.pid()).field("address", &self.address).finish()
    }
}

/// Most memory in MiB that a process has taken so far.
pub(crate) fn peak_mib(pid: u32) -> Option<u64> {
    imports::peak(Path::new(&format!("/proc/{pid}/status"))).map(|kib| kib >> 10)
}

/// Reads a pipe to its end in a thread, so that the server never waits for a full pipe.
fn collect(pipe: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line);
            let mut printed = output.state.lock().unwrap();
            printed.text.push_str(&line);
            printed.text.push('\n');
            if printed.address.is_none() {
                printed.address = address_in(&line);
            }
            output.changed.notify_all();
        }
        output.state.lock().unwrap().pipes_closed += 1;
        output.changed.notify_all();
    })
}

/// The loopback address with a port in a line, if there is one; also for the URL of a server at every address.
fn address_in(line: &str) -> Option<SocketAddr> {
    let urls = line.match_indices("http://0.0.0.0:");
    line.match_indices("127.0.0.1:").chain(urls).find_map(|(at, host)| {
        let rest = &line[at + host.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let port = rest[..digits].parse().ok().filter(|port| *port != 0)?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    })
}

#[test]
fn an_address_is_found_in_what_a_server_prints() {
    assert_eq!(address_in("listening on http://127.0.0.1:8815 (gRPC)").unwrap().port(), 8815);
    assert_eq!(address_in("asked for 127.0.0.1:0, got 127.0.0.1:40123.").unwrap().port(), 40_123);
    assert_eq!(address_in("flight.listen = 127.0.0.1:0"), None);
    assert_eq!(address_in("serves d at http://0.0.0.0:8815").unwrap().port(), 8815);
    assert_eq!(address_in("not encrypted address=0.0.0.0:8815"), None);
}

#[test]
fn a_server_starts_again_after_kill_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(&[], folder.path());
    let pid = first.pid();
    assert!(first.url().starts_with("http://127.0.0.1:"));
    first.kill();
    let second = Server::start(&[], folder.path());
    assert_ne!(second.pid(), pid);
    let (status, output) = second.terminate();
    assert!(status.success(), "{status}:\n{output}");
}
