//! Tests with third-party clients, over a real socket and from the lake's files.
//!
//! Python runs in an environment of its own below the target folder, made once:
//!
//! ```text
//! TARGET/python/HASH-of-requirements-and-Python/   venv, pip install, then the marker `finished`
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod writers;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use barograph_test_support::Authority;

use crate::server::{BINARY, Server, command};

const REQUIREMENTS: &str = include_str!("requirements.txt");
const MISSING: &str = "these tests run other people's clients, which need Python 3 with venv and pip \
                       (on Debian: apt-get install python3 python3-venv python3-pip)";

#[test]
fn pyarrow_flight_clients() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    // Small endpoints, so that small tables have several; and views enough for all that are asked for.
    let settings =
        [("BAROGRAPH_FLIGHT__ENDPOINT_ROWS", "5000"), ("BAROGRAPH_FLIGHT__VIEWS_MAX", "1000")];
    let server = Server::start_with(&[], folder.path(), &settings);
    python.run("flight_clients.py", &[server.grpc_url().as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

#[test]
fn clients_of_the_http_api() {
    let python = Python::with(include_str!("requirements-http.txt"));
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    let text = "[http]\ncors_origins = ['https://page.example']\nbody_bytes_max = '1MiB'\n\
        [http.line_protocol.measurements.weather]\ntable = 'readings'\nkey = 'station'\n\
        columns = { temp = 'temperature', wind = 'wind_speed' }\nignored = ['battery', 'site']\n\
        [http.stations]\nkeys = { KVIENNA1 = 'Vienna,AT', 606F1C2D3E4A5B6C7D8E9F00112233B8 = '3143244' }\n\
        columns = { precipitation = ['rainin', 'hourlyrainin'] }\n";
    fs::write(&settings, text).unwrap();
    let arguments = ["--config", settings.to_str().unwrap()];
    let server = Server::start(&arguments, &folder.path().join("data"));
    python.run("http_api.py", &[server.url().as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

/// The script starts and ends its servers itself.
#[test]
fn the_page_in_a_browser() {
    let python = Python::with(include_str!("requirements-page.txt"));
    let folder = tempfile::tempdir().unwrap();
    let (data, settings) = (folder.path().join("data"), folder.path().join("settings.toml"));
    let filled = command(&["demo", "--once", "--hours", "1", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(filled.status.success(), "{}", text(&filled));
    let tokens = folder.path().join("tokens.json");
    fs::write(&settings, format!("[access]\ntokens = {:?}\n", tokens.to_str().unwrap())).unwrap();
    let made = command(&["token", "create", "operator", "--role", "admin", "--expires", "1d"])
        .arg("--config")
        .arg(&settings)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let token = String::from_utf8(made.stdout).unwrap();
    let arguments: [&OsStr; 4] =
        [BINARY.as_ref(), data.as_ref(), settings.as_ref(), OsStr::new(token.trim())];
    let done = python.output("page.py", &arguments);
    assert!(done.status.success(), "page.py:\n{}", text(&done));
    println!("{}", text(&done));
}

#[test]
fn grafana_reads_by_flight_sql() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    let text = "[tables.roof]\nkey = 'station'\ntime = 'time'\ncolumns = [\
        { name = 'temperature', type = 'float32', unit = '°C' }, { name = 'note', type = 'utf8' }]\n";
    fs::write(&settings, text).unwrap();
    let arguments = ["--config", settings.to_str().unwrap()];
    let server = Server::start(&arguments, &folder.path().join("data"));
    python.run("sql_grafana.py", &[server.grpc_url().as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

#[test]
fn a_server_is_watched_from_a_terminal() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[], folder.path());
    let address = server.address().to_string();
    python.run("watching.py", &[BINARY.as_ref(), address.as_ref()], &server);
}

#[test]
fn prometheus_reads_the_metrics() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("BAROGRAPH_ENGINE__TAIL_BYTES_MAX", "4MiB"),
        ("BAROGRAPH_ENGINE__LATENESS", "4000d"),
        ("BAROGRAPH_SCHEDULER__ENABLED", "false"),
    ];
    let server = Server::start_with(&[], folder.path(), &settings);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/metrics.tsv");
    python.run("metrics.py", &[server.grpc_url().as_ref(), golden.as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

#[test]
fn clients_of_a_server_with_tls() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let of = authority.sign(folder.path(), "server");
    let ca = authority.write(&folder.path().join("ca.pem"));
    let settings = [
        ("BAROGRAPH_FLIGHT__TLS_CERTIFICATE", of.certificate.to_str().unwrap()),
        ("BAROGRAPH_FLIGHT__TLS_KEY", of.key.to_str().unwrap()),
    ];
    let server = Server::start_with(&[], &folder.path().join("data"), &settings);
    let address = server.address().to_string();
    python.run("tls.py", &[address.as_ref(), ca.as_ref()], &server);
    let latest = ["latest", "Paris", "--format", "csv", "--endpoint"];
    let url = format!("https://{address}");
    let trusting = command(&latest).args([&url, "--ca"]).arg(&ca).output().unwrap();
    assert!(trusting.status.success() && text(&trusting).contains("20.5"), "{}", text(&trusting));
    let by_variable =
        command(&latest).arg(&url).env("BAROGRAPH_ENDPOINT_CA", &ca).output().unwrap();
    assert!(by_variable.status.success(), "{}", text(&by_variable));
    let stranger = Authority::new("stranger").write(&folder.path().join("stranger.pem"));
    let strange = command(&latest).args([&url, "--ca"]).arg(stranger).output().unwrap();
    assert!(
        !strange.status.success() && text(&strange).contains("UnknownIssuer"),
        "{}",
        text(&strange)
    );
    let plain = command(&latest).arg(format!("http://{address}")).output().unwrap();
    assert!(text(&plain).contains("this port speaks TLS"), "{}", text(&plain));
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

#[test]
fn reflection_shows_the_protocol_file() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flight/proto");
    let done = Python::ready().output("protocol.py", &[proto.as_ref()]);
    assert!(done.status.success(), "protocol.py:\n{}", text(&done));
}

#[test]
fn deltalake_polars_and_duckdb_read_the_lake() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let expected = folder.path().join("expected.arrow");
    let server = Server::start(&[], &data);
    let url = server.grpc_url();
    python.run("lake_readers.py", &["fill".as_ref(), url.as_ref(), expected.as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
    let lake = data.join("lake");
    let done =
        python.output("lake_readers.py", &["compare".as_ref(), lake.as_ref(), expected.as_ref()]);
    assert!(done.status.success(), "lake_readers.py compare:\n{}", text(&done));
}

/// A table with a column of each type by which readers might skip files.
const SAMPLES: &str = r#"
[tables.samples]
key = "key"
time = "at"
columns = [
  { name = "text", type = "utf8" },
  { name = "single", type = "float32" },
  { name = "double", type = "float64" },
  { name = "short", type = "int16" },
  { name = "seen", type = "timestamp" },
]
"#;

#[test]
fn filters_of_other_engines_find_what_is_in_the_lake() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = folder.path().join("barograph.toml");
    fs::write(&settings, SAMPLES).unwrap();
    let server = Server::start(&["--config", settings.to_str().unwrap()], &data);
    python.run("lake_filters.py", &["fill".as_ref(), server.grpc_url().as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
    let done = python.output("lake_filters.py", &["compare".as_ref(), data.join("lake").as_ref()]);
    assert!(done.status.success(), "lake_filters.py compare:\n{}", text(&done));
}

#[test]
fn tables_of_other_programs_beside_ours_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let filled = command(&[
        "demo",
        "--once",
        "--hours",
        "3",
        "--cities",
        "20",
        "--listen",
        "127.0.0.1:0",
        "--data",
    ])
    .arg(&data)
    .output()
    .unwrap();
    assert!(filled.status.success(), "{}", text(&filled));
    writers::write("beside", &data.join("lake"));
    for args in [
        &["lake", "check"][..],
        &["lake", "files"],
        &["lake", "history"],
        &["jobs", "run", "compact"],
        &["jobs", "run", "sweep"],
        &["jobs", "run", "verify"],
        &["jobs", "run", "expire"],
    ] {
        let done = command(args).arg("--data").arg(&data).output().unwrap();
        let said = text(&done);
        assert!(done.status.success(), "{args:?}: {said}");
        if args[0] == "lake" {
            let named = said.contains("strange%20table") && said.contains("broken");
            assert!(named && said.contains("readings"), "{args:?}: {said}");
        }
    }
    let (status, output) = Server::start(&[], &data).terminate();
    assert!(status.success(), "{output}");
}

#[test]
fn flight_sql_drivers() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flight-sql-conformance.md");
    let server = Server::start(&[], folder.path());
    let arguments = [server.grpc_url(), document.display().to_string()];
    let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
    python.run("sql_clients.py", &arguments, &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

#[test]
fn random_queries_give_what_duckdb_gives() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    // Nothing lands but when the script says so.
    let settings =
        [("BAROGRAPH_ENGINE__LATENESS", "4000d"), ("BAROGRAPH_ENGINE__LATE_MERGE_EVERY", "4000d")];
    let server = Server::start_with(&[], folder.path(), &settings);
    let url = server.grpc_url();
    python.run("sql_random.py", &[url.as_ref()], &server);
    python.run("sql_weather.py", &[url.as_ref()], &server);
}

#[test]
fn a_conversation_in_sql() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&[], folder.path());
    let address = server.address().to_string();
    python.run("sql_shell.py", &[BINARY.as_ref(), address.as_ref()], &server);
}

#[test]
fn every_block_of_the_cookbook_runs() {
    let python = Python::ready();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let demo =
        ["demo", "--once", "--hours", "30", "--cities", "300", "--listen", "127.0.0.1:0", "--data"];
    let filled = command(&demo).arg(&data).output().unwrap();
    assert!(filled.status.success(), "{}", text(&filled));
    let server = Server::start(&[], &data);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cookbook.md");
    python.run("cookbook.py", &[server.grpc_url().as_ref(), page.as_ref()], &server);
}

/// A Python with the required packages.
pub(crate) struct Python {
    pub(crate) interpreter: PathBuf,
}

impl Python {
    pub(crate) fn ready() -> Self {
        Self::with(REQUIREMENTS)
    }

    /// Finds the environment below the target folder or makes it there. Test processes that run at the same time wait
    /// for the one that makes it.
    pub(crate) fn with(requirements: &str) -> Self {
        static VERSION: OnceLock<Vec<u8>> = OnceLock::new();
        let mut hash = DefaultHasher::new();
        (requirements, VERSION.get_or_init(version)).hash(&mut hash);
        let target =
            Path::new(BINARY).ancestors().nth(2).expect("the binary lies in TARGET/PROFILE");
        let folder = target.join("python");
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let home = folder.join(format!("{:016x}", hash.finish()));
        let interpreter = home.join("bin").join("python");
        let finished = home.join("finished");
        if !finished.exists() {
            make(&home, &interpreter, requirements);
            File::create(&finished).unwrap();
        }
        Self { interpreter }
    }

    /// Runs a script of this folder beside a server; fails with the output of both unless it exits with 0.
    pub(crate) fn run(&self, script: &str, args: &[&OsStr], server: &Server) {
        let done = self.output(script, args);
        assert!(
            done.status.success(),
            "{script} ({}):\n{}\nThe server printed:\n{}",
            done.status,
            text(&done),
            server.output()
        );
        println!("{}", text(&done));
    }

    /// Runs a script of this folder.
    pub(crate) fn output(&self, script: &str, args: &[&OsStr]) -> Output {
        let mut command = self.command(script);
        command.args(args);
        command
            .output()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", self.interpreter.display()))
    }

    /// A script of this folder, free of the settings in this process's environment.
    fn command(&self, script: &str) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
        let mut command = Command::new(&self.interpreter);
        for name in ["PYTHONPATH", "PYTHONHOME", "http_proxy", "https_proxy", "grpc_proxy"] {
            command.env_remove(name);
        }
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .arg(scripts.join(script));
        command
    }
}

/// What the system's Python says of itself.
fn version() -> Vec<u8> {
    let probe = ["-c", "import ensurepip, sys, venv; print(sys.version, sys.prefix)"];
    match Command::new("python3").args(probe).output() {
        Err(error) => panic!("cannot run python3 ({error}): {MISSING}"),
        Ok(done) if !done.status.success() => {
            panic!("python3 has no venv: {MISSING}\n{}", text(&done))
        }
        Ok(done) => done.stdout,
    }
}

fn make(home: &Path, interpreter: &Path, packages: &str) {
    // What an interrupted run left behind.
    let _ = fs::remove_dir_all(home);
    let venv = Command::new("python3").args(["-m", "venv"]).arg(home).output().unwrap();
    assert!(venv.status.success(), "python3 -m venv: {MISSING}\n{}", text(&venv));
    let requirements = home.join("requirements.txt");
    fs::write(&requirements, packages).unwrap();
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let pip = Command::new(interpreter).args(quiet).arg(&requirements).output().unwrap();
    assert!(pip.status.success(), "pip cannot install {packages}:\n{}", text(&pip));
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
