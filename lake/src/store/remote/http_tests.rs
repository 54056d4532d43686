//! Tests of the stack over HTTP: what a put comes to after the replies that S3 gives, and how requests are counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, Result};
use parking_lot::Mutex;
use url::Url;

use super::{open, requests};
use crate::Span;
use crate::store::StoreSettings;

/// A reply of a server, one after the other.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Status(u16, &'static str),
    /// The connection is closed without one.
    Nothing,
}

use Reply::{Nothing, Status};

/// A server that gives `replies` in turn; the methods that were asked for are kept.
#[derive(Debug)]
struct Script {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut replies) = (Arc::clone(&asked), VecDeque::from(replies.to_vec()));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let Some(method) = read_request(&connection) else { continue };
                kept.lock().push(method);
                let Some(Status(status, body)) = replies.pop_front() else { continue };
                let reply = format!(
                    "HTTP/1.1 {status} Reason\r\nContent-Length: {}\r\nETag: \"1\"\r\nConnection: close\r\n\
                     Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n{body}",
                    body.len()
                );
                connection.write_all(reply.as_bytes()).unwrap();
            }
        });
        Self { address, asked }
    }

    /// The store over it, whose requests are counted as those of `name`.
    fn store(&self, name: &str) -> Arc<dyn ObjectStore> {
        let settings = StoreSettings {
            endpoint: Some(format!("http://{}", self.address)),
            retries_max: 3,
            retry_timeout: Span::seconds(60),
            ..StoreSettings::default()
        };
        let options = [("aws_skip_signature", "true"), ("aws_region", "nowhere")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        open(&Url::parse("s3://bucket").unwrap(), options, &settings, name).unwrap()
    }
}

/// Reads a request to its end; its method.
fn read_request(connection: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(connection);
    let (mut method, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
        method = method.or_else(|| Some(line.split(' ').next()?.to_uppercase()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    method
}

async fn put(name: &str, replies: &[Reply]) -> (Result<()>, Vec<String>) {
    let script = Script::new(replies);
    let store = script.store(name);
    let put = store.put_opts(&Path::from("log/1"), "mine".into(), PutMode::Create.into()).await;
    let asked = script.asked.lock().clone();
    (put.map(drop), asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_put_comes_to_is_decided_by_what_is_there() {
    let mine = Status(200, "mine");
    let other = Status(200, "that of another");
    for (name, replies, is_put, asked) in [
        ("put", &[Status(200, "")][..], true, "PUT"),
        ("taken", &[Status(412, ""), other], false, "PUT GET"),
        ("error after success", &[Status(500, ""), Status(412, ""), mine], true, "PUT PUT GET"),
        ("error, then taken", &[Status(500, ""), Status(412, ""), other], false, "PUT PUT GET"),
        ("slow down", &[Status(503, ""), Status(503, ""), Status(200, "")], true, "PUT PUT PUT"),
        ("lost reply", &[Nothing, Status(412, ""), mine], true, "PUT PUT GET"),
        (
            "disturbed by a put that failed",
            &[Status(409, ""), Status(404, ""), Status(200, "")],
            true,
            "PUT GET PUT",
        ),
        ("disturbed by a put that won", &[Status(409, ""), other], false, "PUT GET"),
    ] {
        let (put, methods) = put(name, replies).await;
        assert_eq!(methods.join(" "), asked, "{name}: {put:?}");
        match put {
            Ok(()) => assert!(is_put, "{name}"),
            Err(Error::AlreadyExists { .. }) => assert!(!is_put, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_without_an_answer_is_not_known_to_exist_or_not() {
    let (put, methods) = put("never answered", &[Status(500, ""); 100]).await;
    let error = put.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }), "{error}");
    assert!(methods.len() <= 5 * 4, "{} requests", methods.len());
    let (put, methods) = self::put("refused", &[Status(403, "")]).await;
    assert!(matches!(put.unwrap_err(), Error::PermissionDenied { .. }));
    assert_eq!(methods.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_try_is_counted_with_its_bytes_and_price() {
    let script = Script::new(&[Status(503, ""), Status(200, ""), Status(200, "12345")]);
    let store = script.store("counted");
    let path = Path::from("lake/readings/hour/h/1.parquet");
    store.put(&path, "1234".into()).await.unwrap();
    store.get(&Path::from("lake/readings/_delta_log/1.json")).await.unwrap();
    let counts: Vec<_> =
        requests().into_iter().filter(|count| count.asked_by == "counted").collect();
    let [read, written] = counts.as_slice() else { panic!("{counts:?}") };
    assert_eq!((read.verb, read.object, read.requests, read.failed), ("GET", "delta_log", 1, 0));
    assert_eq!((written.verb, written.object, written.requests), ("PUT", "data", 2));
    assert_eq!((written.failed, written.bytes_sent, read.bytes_received), (1, 8, 5));
    assert!((written.price - 2.0 * 5e-6).abs() < 1e-12 && (read.price - 4e-7).abs() < 1e-12);
    assert!(written.waited > std::time::Duration::ZERO);
}
