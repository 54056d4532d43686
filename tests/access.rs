//! Access with the real binary: tokens are made, shown by clients of several kinds, and revoked while a server runs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use barograph_test_support::Authority;

use crate::clients::Python;
use crate::server::{Server, command};

const SETTINGS: &str = r#"
[access.roles.reader]
grants = [{ verbs = ["read"], tables = ["readings", "cities"], columns = ["temperature", "name"], keys = [2988507, "1..9"] }]

[access.roles.writer]
grants = [{ verbs = ["write"], tables = ["readings"] }]

[access.audit]
file = "AUDIT"
"#;

/// Files of a server that asks who calls.
struct Files {
    folder: tempfile::TempDir,
    settings: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (settings, tokens) =
            (folder.path().join("settings.toml"), folder.path().join("tokens.json"));
        let audit = folder.path().join("audit.jsonl");
        let text = SETTINGS.replace("AUDIT", audit.to_str().unwrap());
        let text = format!("[access]\ntokens = {:?}\n{text}", tokens.to_str().unwrap());
        fs::write(&settings, text).unwrap();
        Self { folder, settings }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        command(args).arg("--config").arg(&self.settings).output().unwrap()
    }

    /// Makes a token for a role, in a file.
    fn token(&self, name: &str, role: &str) -> (PathBuf, String) {
        let made = self.run(&["token", "create", name, "--role", role, "--expires", "1d"]);
        assert!(made.status.success(), "{}", text(&made));
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let path = self.path(&format!("{name}.token"));
        fs::write(&path, &token).unwrap();
        (path, token)
    }

    fn serve(&self) -> Server {
        let config = ["--config", self.settings.to_str().unwrap()];
        Server::start(&config, &self.path("data"))
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn asked(server: &Server, args: &[&str], token: Option<&Path>) -> Output {
    let url = server.url();
    let mut command = command(args);
    command.args(["--endpoint", &url]);
    if let Some(token) = token {
        command.arg("--token").arg(token);
    }
    command.output().unwrap()
}

#[test]
fn tokens_count_while_a_server_runs() {
    let files = Files::new();
    let (admin, admin_token) = files.token("operator", "admin");
    let server = files.serve();
    let count = ["sql", "SELECT count(*) AS n FROM cities", "--format", "csv"];
    let denied = asked(&server, &count, None);
    assert!(
        !denied.status.success() && text(&denied).contains("asks who you are"),
        "{}",
        text(&denied)
    );
    let all = asked(&server, &count, Some(&admin));
    assert!(all.status.success(), "{}", text(&all));

    // Made and revoked without a restart.
    let (reader, reader_token) = files.token("dashboard", "reader");
    let until = |done: &dyn Fn(&Output) -> bool| loop {
        let output = asked(&server, &count, Some(&reader));
        if done(&output) {
            return output;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let seen = until(&|output| output.status.success());
    assert_eq!(text(&seen).trim(), "n\n1", "one of the keys is a city");
    let hidden = asked(&server, &["sql", "SELECT country FROM cities"], Some(&reader));
    assert!(!hidden.status.success(), "{}", text(&hidden));
    let variable = command(&count)
        .args(["--endpoint", &server.url()])
        .env("BAROGRAPH_TOKEN", &reader_token)
        .output();
    assert_eq!(text(&variable.unwrap()).trim(), "n\n1");
    let list = files.run(&["token", "list", "--format", "csv"]);
    assert!(text(&list).contains("dashboard") && text(&list).contains("reader"), "{}", text(&list));
    let revoked = files.run(&["token", "revoke", "dashboard"]);
    assert!(revoked.status.success(), "{}", text(&revoked));
    let ended = until(&|output| !output.status.success());
    assert!(text(&ended).contains("not known"), "{}", text(&ended));

    let unknown = files.run(&["token", "create", "x", "--role", "none"]);
    assert!(
        unknown.status.code() == Some(2) && text(&unknown).contains("no role \"none\""),
        "{}",
        text(&unknown)
    );
    let shown = command(&["config", "--config"])
        .arg(&files.settings)
        .env("BAROGRAPH_TOKEN", &admin_token)
        .output()
        .unwrap();
    assert!(shown.status.success(), "{}", text(&shown));
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let records = fs::read_to_string(files.path("audit.jsonl")).unwrap();
    let kept = fs::read_to_string(files.path("tokens.json")).unwrap();
    for secret in [&admin_token, &reader_token] {
        for place in [&text(&shown), &text(&list), &printed, &records, &kept] {
            assert!(!place.contains(secret.as_str()), "a token is shown");
        }
    }
    for expected in [
        "\"identity\":\"operator\"",
        "\"identity\":\"dashboard\"",
        "\"outcome\":\"unauthenticated\"",
    ] {
        assert!(records.contains(expected), "{expected} is not in\n{records}");
    }
}

#[test]
fn others_reach_a_server_only_where_that_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new();
    let start = |more: &[&str]| {
        let args = [&["--set", "flight.allow_unencrypted=true"][..], more].concat();
        let data = folder.path().join("data");
        let mut server = Server::spawn_at("0.0.0.0:0", &args, &data, &[]);
        let ready = server.wait_ready();
        (ready, server.kill())
    };
    let (ready, printed) = start(&[]);
    assert!(ready.is_err() && printed.contains("access.tokens"), "{printed}");
    let (ready, printed) = start(&["--set", "access.anonymous=admin"]);
    assert!(ready.is_ok() && printed.contains("access.anonymous"), "{printed}");
    let (ready, printed) = start(&["--config", files.settings.to_str().unwrap()]);
    assert!(ready.is_ok(), "{printed}");
    let (ready, printed) = start(&["--set", "access.anonymous=nobody"]);
    assert!(ready.is_err() && printed.contains("no role \"nobody\""), "{printed}");
}

#[test]
fn drivers_show_tokens_as_they_show_passwords() {
    let python = Python::ready();
    let files = Files::new();
    let (_, admin) = files.token("operator", "admin");
    let (_, reader) = files.token("dashboard", "reader");
    let server = files.serve();
    let address = server.address().to_string();
    python.run("access.py", &[address.as_ref(), admin.as_ref(), reader.as_ref()], &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
}

#[test]
fn nothing_passes_access_over_http() {
    let python = Python::with(include_str!("clients/requirements-http.txt"));
    let files = Files::new();
    let tokens = [("operator", "admin"), ("dashboard", "reader"), ("sensor", "writer")];
    let tokens = tokens.map(|(name, role)| files.token(name, role).1);
    let server = files.serve();
    let url = server.url();
    let mut arguments: Vec<&OsStr> = vec![url.as_ref()];
    arguments.extend(tokens.iter().map(AsRef::<OsStr>::as_ref));
    python.run("http_access.py", &arguments, &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
    assert!(tokens.iter().all(|token| !output.contains(token.as_str())), "a token is shown");
}

#[test]
fn clients_of_postgresql_see_what_they_are_given() {
    let python = Python::with(include_str!("clients/requirements-postgres.txt"));
    let files = Files::new();
    let tokens = [("operator", "admin"), ("dashboard", "reader")];
    let tokens = tokens.map(|(name, role)| files.token(name, role).1);
    let config = ["--config", files.settings.to_str().unwrap()];
    let listen = [("BAROGRAPH_POSTGRES__LISTEN", "127.0.0.1:0")];
    let server = Server::start_with(&config, &files.path("data"), &listen);
    let port = loop {
        let output = server.output();
        let said = output.split_once("clients of PostgreSQL at 127.0.0.1:");
        if let Some((port, _)) = said.and_then(|(_, rest)| rest.split_once('\n')) {
            break port.to_owned();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let url = server.url();
    let mut arguments: Vec<&OsStr> = vec![port.as_ref(), url.as_ref()];
    arguments.extend(tokens.iter().map(AsRef::<OsStr>::as_ref));
    python.run("postgres_clients.py", &arguments, &server);
    let (status, output) = server.terminate();
    assert!(status.success(), "the server ended with {status}:\n{output}");
    assert!(tokens.iter().all(|token| !output.contains(token.as_str())), "a token is shown");
    let records = fs::read_to_string(files.path("audit.jsonl")).unwrap();
    assert!(records.contains("\"door\":\"postgres\""), "{records}");
}

#[test]
fn a_client_certificate_gives_a_role_that_changes_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let of = authority.sign(folder.path(), "server");
    let ca = authority.write(&path("ca.pem"));
    let client_ca = clients.write(&path("clients.pem"));
    // Its name is that of this machine.
    let own = clients.sign(folder.path(), "gateway");
    let settings = |role: &str| {
        let text = format!(
            "[flight]\ntls_certificate = {:?}\ntls_key = {:?}\ntls_client_ca = {client_ca:?}\n\
             [access]\ncertificates = {{ localhost = [{role:?}] }}\n\
             [access.audit]\nfile = {:?}\n\
             [access.roles.reader]\ngrants = [{{ verbs = [\"read\"], tables = [\"cities\"] }}]\n\
             [access.roles.writer]\ngrants = [{{ verbs = [\"write\"], tables = [\"readings\"] }}]\n",
            of.certificate,
            of.key,
            path("audit.jsonl"),
        );
        fs::write(path("settings.toml"), text).unwrap();
    };
    settings("reader");
    let config = ["--config", &path("settings.toml").display().to_string()].map(str::to_owned);
    let config = config.each_ref().map(String::as_str);
    let server = Server::start(&config, &path("data"));
    let count = || {
        command(&["sql", "SELECT count(*) > 9 AS n FROM cities", "--format", "csv", "--endpoint"])
            .arg(format!("https://{}", server.address()))
            .args(["--ca".as_ref(), ca.as_os_str()])
            .args(["--cert".as_ref(), own.certificate.as_os_str()])
            .args(["--key".as_ref(), own.key.as_os_str()])
            .output()
            .unwrap()
    };
    let until = |done: bool| loop {
        let output = count();
        if output.status.success() == done {
            return text(&output);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let seen = count();
    assert!(seen.status.success() && text(&seen).trim() == "n\ntrue", "{}", text(&seen));
    // One that cannot be used changes nothing, and says so.
    settings("none");
    server.signal("HUP");
    while !server.output().contains("no role \"none\"") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(count().status.success());
    settings("writer");
    server.signal("HUP");
    let denied = until(false);
    assert!(denied.contains("there is no table cities"), "{denied}");
    // Without a signal, too.
    settings("reader");
    until(true);
    let (status, printed) = server.terminate();
    assert!(status.success(), "{printed}");
    let records = fs::read_to_string(path("audit.jsonl")).unwrap();
    for expected in [
        "\"identity\":\"localhost\",\"proof\":\"certificate\"",
        "\"action\":\"settings\",\"tables\":\"\",\"outcome\":\"done\",\"detail\":\"certificates\"",
        "\"action\":\"settings\",\"tables\":\"\",\"outcome\":\"failed\"",
        "\"tables\":\"cities\",\"outcome\":\"denied\"",
    ] {
        assert!(records.contains(expected), "{expected} is not in\n{records}");
    }
}
