//! A real Prometheus scrapes the demonstration and fires an alert of `ops/alerts.yml`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::server::command;

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The real server of metrics. It comes as a package of the system alone, which a test does not change: whoever has it runs
/// this. That rules and dashboard name metrics that exist, and that Python's parser reads them all, is tested in the gate.
#[test]
#[ignore = "needs Prometheus (on Debian: apt-get install --no-install-recommends prometheus) and some minutes"]
fn prometheus_scrapes_the_demonstration_and_fires_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops");
    let rules = ops.join("alerts.yml");
    let checked = Command::new("promtool").args(["check", "rules"]).arg(&rules).output();
    let checked = checked.expect("promtool, which comes with prometheus");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let demo = ["demo", "--hours", "2", "--cities", "50", "--listen", "127.0.0.1:0", "--data"];
    let mut demo = Running(
        command(&demo)
            .arg(folder.path().join("data"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut printed = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let address = printed.find_map(|line| {
        let line = line.unwrap();
        let (_, rest) = line.split_once("http://")?;
        Some(rest.split_whitespace().next()?.trim_matches(['`', '.', ',']).to_owned())
    });
    let address = address.expect("the demonstration prints its address");
    // It stops when nobody reads what it prints.
    thread::spawn(move || printed.for_each(drop));
    let lint = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut lint = lint.unwrap();
    let text = get(&address, "/metrics", "text/plain");
    lint.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let linted = lint.wait_with_output().unwrap();
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stderr));

    // Fifty cities that report once a minute are silent for longer than a second.
    let alerts = fs::read_to_string(&rules).unwrap();
    let hasty = alerts.replace(" > 600\n        for: 5m", " > 1\n        for: 1s");
    assert_ne!(alerts, hasty);
    fs::write(folder.path().join("alerts.yml"), hasty).unwrap();
    let config = fs::read_to_string(ops.join("prometheus.yml")).unwrap();
    let config = config.replace("15s", "1s").replace("127.0.0.1:8815", &address);
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _prometheus = Running(
        Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={own}"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let is_up = "/api/v1/query?query=up%7Bjob%3D%22barograph%22%7D";
    wait_for(&own, is_up, "\"1\"]");
    wait_for(&own, "/api/v1/query?query=barograph_put_rows_total", "\"table\":\"readings\"");
    wait_for(&own, "/api/v1/alerts", "BarographReadingsStale");
    wait_for(
        &own,
        "/api/v1/query?query=ALERTS%7Balertstate%3D%22firing%22%7D",
        "BarographReadingsStale",
    );
    // One that went away is missed.
    drop(demo);
    wait_for(&own, "/api/v1/alerts", "BarographDown");
}

/// Asks again and again until the answer has `text`.
fn wait_for(address: &str, path: &str, text: &str) {
    for _ in 0..600 {
        if TcpStream::connect(address).is_ok() && get(address, path, "*/*").contains(text) {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
    panic!("{path} never has {text}: {}", get(address, path, "*/*"));
}

fn get(address: &str, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
