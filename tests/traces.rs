//! Traces with the real binary: a collector gets the spans of puts and reads, below those of their callers, in messages that the
//! official ones of OpenTelemetry read.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, Ticket};

use crate::clients::Python;
use crate::server::Server;

/// A collector, on a thread that ends with the process. It has no time for the first request.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&bodies);
        thread::spawn(move || {
            let mut is_first = true;
            for connection in listener.incoming() {
                take(connection.unwrap(), &mut is_first, &kept);
            }
        });
        Self { address, bodies }
    }
}

/// Takes the posts of a connection until it ends.
fn take(mut connection: TcpStream, is_first: &mut bool, kept: &Mutex<Vec<Vec<u8>>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            head.push_str(&line.to_lowercase());
            line.clear();
        }
        if head.is_empty() {
            return;
        }
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(head.contains("content-type: application/x-protobuf"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let status = match std::mem::take(is_first) {
            true => "503 Service Unavailable",
            false => {
                kept.lock().unwrap().push(body);
                "200 OK"
            }
        };
        write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
    }
}

/// The answer to a request over HTTP that is part of a trace.
fn ask(server: &Server, of: &str, body: &str, traceparent: &str) -> String {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    write!(
        socket,
        "{of} HTTP/1.1\r\nHost: h\r\nConnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\ntraceparent: {traceparent}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn spans_reach_a_collector_below_those_of_their_callers() {
    let python = Python::with(include_str!("clients/requirements-traces.txt"));
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::start());
    let endpoint = format!("http://{}", collector.address);
    let settings =
        [("BAROGRAPH_TRACES__ENDPOINT", endpoint.as_str()), ("BAROGRAPH_TRACES__SAMPLED", "1.0")];
    let server = Server::start_with(&[], &folder.path().join("data"), &settings);
    let traced = |of: &str, flags: &str| format!("00-{}-00f067aa0ba902b7-{flags}", of.repeat(32));
    let rows =
        r#"[{"city_id": 2988507, "reading_at": "2026-11-22T10:00:00Z", "temperature": 9.5}]"#;
    let put = ask(&server, "POST /api/v1/tables/readings", rows, &traced("a", "01"));
    assert!(put.starts_with("HTTP/1.1 200"), "{put}");
    let sql =
        "GET /api/v1/sql?q=SELECT%20max(temperature)%20FROM%20readings%20WHERE%20city_id%20%3E%201";
    for (of, flags) in [("b", "01"), ("c", "00")] {
        let read = ask(&server, sql, "", &traced(of, flags));
        assert!(read.starts_with("HTTP/1.1 200") && read.contains("9.5"), "{read}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        assert_eq!(client.latest("readings", None, None).await.unwrap().num_rows(), 1);
        let all = Ticket::range("readings", RangeRead::default());
        assert_eq!(client.get(&all).await.unwrap().collect().await.unwrap().num_rows(), 1);
    });
    let (status, output) = server.terminate();
    assert!(status.success(), "{output}");
    for (at, body) in collector.bodies.lock().unwrap().iter().enumerate() {
        fs::write(folder.path().join(format!("{at}.otlp")), body).unwrap();
    }
    let done = python.output("traces.py", &[folder.path().as_os_str()]);
    let printed = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{printed}\nThe server printed:\n{output}");
}
