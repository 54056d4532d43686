//! Keys at a URL: they come, change and stay while their server fails.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A server of keys, on a thread that ends with the process.
struct KeyServer {
    address: SocketAddr,
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new((200, String::new()))), Arc::default());
        let server = Self { address, answer: Arc::clone(&answer), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = answer.lock().clone();
                let length = body.len();
                // One that wants no more closes the connection.
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        server
    }

    fn answers(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock() = (status, body.into());
    }

    fn has(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.answers(200, json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn issuer(&self) -> Issuer {
        let settings = JwtSettings {
            keys: None,
            keys_url: Some(format!("http://{}/jwks", self.address)),
            ..settings(Path::new(""))
        };
        settings.check().unwrap();
        Issuer::open(&settings).unwrap().unwrap()
    }
}

/// How often keys were read, and could not be.
fn counts(reloads: &Reloads) -> (u64, u64) {
    let counts = reloads.read().find(|(of, ..)| *of == "keys");
    counts.map(|(_, done, failed)| (done, failed)).unwrap()
}

#[tokio::test]
async fn keys_come_change_and_are_asked_for_early_once() {
    let (server, found, reloads) = (KeyServer::start(), Found::new(), Reloads::default());
    let (first, second, third) = (Signer::ed("first"), Signer::ec("second"), Signer::ed("third"));
    server.has(&[&first]);
    let issuer = server.issuer();
    let (old, new) = (first.sign(&claims()), second.sign(&claims()));
    assert!(found.of(&issuer, &old, NOW).is_err(), "no keys yet");
    issuer.refresh_remote(Span::ZERO, &reloads).await;
    let anna = found.of(&issuer, &old, NOW).unwrap();
    issuer.refresh_remote(Span::seconds(299), &reloads).await;
    assert_eq!(server.asked(), 1);
    // A key that is not known.
    server.has(&[&first, &second]);
    assert!(found.of(&issuer, &new, NOW).is_err());
    issuer.refresh_remote(Span::seconds(299), &reloads).await;
    let ben = found.of(&issuer, &new, NOW).unwrap();
    assert_eq!((server.asked(), counts(&reloads)), (2, (2, 0)));
    // Another one, too soon.
    for _ in 0..3 {
        assert!(found.of(&issuer, &third.sign(&claims()), NOW).is_err());
        issuer.refresh_remote(Span::seconds(500), &reloads).await;
    }
    assert_eq!(server.asked(), 2);
    server.has(&[&second]);
    issuer.refresh_remote(Span::seconds(599), &reloads).await;
    assert!(anna.check(Timestamp::MIN).is_err(), "its key is gone");
    ben.check(Timestamp::MIN).unwrap();
    assert!(Arc::ptr_eq(&ben, &found.of(&issuer, &new, NOW).unwrap()));
}

#[tokio::test]
async fn a_server_that_fails_changes_nothing() {
    let (server, found, reloads) = (KeyServer::start(), Found::new(), Reloads::default());
    let own = Signer::ed("own");
    let token = own.sign(&claims());
    server.answers(503, "later");
    let issuer = server.issuer();
    issuer.refresh_remote(Span::ZERO, &reloads).await;
    assert!(found.of(&issuer, &token, NOW).is_err());
    server.has(&[&own]);
    issuer.refresh_remote(Span::seconds(9), &reloads).await;
    assert_eq!(server.asked(), 1, "it is left alone for a while");
    issuer.refresh_remote(Span::seconds(10), &reloads).await;
    let anna = found.of(&issuer, &token, NOW).unwrap();
    let mut at = 10;
    for (status, body) in [
        (500, String::new()),
        (302, String::new()),
        (200, "{}".to_owned()),
        (200, " ".repeat((1 << 20) + 1)),
    ] {
        server.answers(status, body);
        at += 300;
        issuer.refresh_remote(Span::seconds(at), &reloads).await;
        anna.check(Timestamp::MIN).unwrap();
        assert!(Arc::ptr_eq(&anna, &found.of(&issuer, &token, NOW).unwrap()));
    }
    assert_eq!((server.asked(), counts(&reloads)), (6, (1, 5)));
    let nobody = JwtSettings {
        keys: None,
        keys_url: Some("http://127.0.0.1:1/".to_owned()),
        ..settings(Path::new(""))
    };
    let issuer = Issuer::open(&nobody).unwrap().unwrap();
    issuer.refresh_remote(Span::ZERO, &reloads).await;
    assert!(found.of(&issuer, &token, NOW).is_err());
}
