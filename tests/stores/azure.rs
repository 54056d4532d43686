//! The blob server Azurite, from npm, in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use super::several_survive;
use super::{BUCKET, POLL, START_TIMEOUT, Store, every_command_works, free_address, is_checked};
use crate::clients::Python;

/// Node comes with a Python package.
const REQUIREMENTS: &str = include_str!("requirements-azure.txt");
const PACKAGE: &str = "azurite@3.37.0";
/// The account that Azurite has, and its key, which stands in Azurite's documentation.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

impl Store {
    /// A container in Azurite.
    fn azurite() -> Self {
        let programs = Programs::ready();
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let port = address.port().to_string();
        let process = programs
            .node()
            .arg(programs.modules.join("azurite/dist/src/blob/main.js"))
            .args(["--blobPort", &port, "--inMemoryPersistence", "--silent"])
            .args(["--skipApiVersionCheck", "--disableTelemetry"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("azurite");
        let credentials =
            format!("AZURE_STORAGE_ACCOUNT_NAME={ACCOUNT}\nAZURE_STORAGE_ACCOUNT_KEY={KEY}\n");
        let (scheme, root) = ("az", format!("/{ACCOUNT}"));
        let mut store = Self { process, input: None, address, folder, scheme, root, credentials };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/stores/container.cjs");
        let until = Instant::now() + START_TIMEOUT;
        loop {
            let made = programs.node().arg(&script).args([&port, BUCKET, KEY]).status().unwrap();
            if made.success() {
                return store;
            }
            assert!(store.process.try_wait().unwrap().is_none(), "azurite ended");
            assert!(Instant::now() < until, "azurite does not answer");
            thread::sleep(POLL);
        }
    }
}

/// Node, and the packages of Azurite.
struct Programs {
    folder: PathBuf,
    modules: PathBuf,
}

impl Programs {
    /// Installs them below the target folder if they are not there.
    fn ready() -> Self {
        let python = Python::with(REQUIREMENTS);
        let folder = python.interpreter.parent().unwrap().to_owned();
        let home = folder.join("../azurite");
        let programs = Self { folder, modules: home.join("node_modules") };
        std::fs::create_dir_all(&home).unwrap();
        let lock = File::create(home.join("lock")).unwrap();
        lock.lock().unwrap();
        if !home.join("finished").exists() {
            let options = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
            let mut npm = programs.with_path(&programs.folder.join("npm"));
            let done = npm.args(options).arg(&home).arg(PACKAGE).output().unwrap();
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "npm cannot install {PACKAGE}:\n{said}");
            File::create(home.join("finished")).unwrap();
        }
        programs
    }

    fn node(&self) -> Command {
        self.with_path(&self.folder.join("node"))
    }

    fn with_path(&self, program: &Path) -> Command {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(self.folder.clone()).chain(std::env::split_paths(&others));
        let mut command = Command::new(program);
        command.env("PATH", std::env::join_paths(path).unwrap());
        command
    }
}

#[test]
fn a_lake_and_servers_with_a_shared_log_work_on_azure() {
    let store = Store::azurite();
    is_checked(&store);
    every_command_works(&store);
    several_survive(&store, 2);
    assert!(store.said(&["lake", "check", "--data", &store.url("shared")]).contains("sound"));
}
