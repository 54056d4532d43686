//! TLS over a real socket: who is served, who is refused and why, and certificates that change while calls run.

use std::path::Path;

use barograph_engine::{Durability, ErrorKind};
use barograph_lake::Key;
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{Authority, Identity};
use futures::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Running, batch, open, start};
use crate::ticket::RangeRead;
use crate::{Client, ClientTls, FlightSettings, Result, Server, Ticket, TlsVersion};

fn settings(of: &Identity) -> FlightSettings {
    FlightSettings {
        tls_certificate: Some(of.certificate.clone()),
        tls_key: Some(of.key.clone()),
        ..FlightSettings::default()
    }
}

/// A server with a certificate of `authority`, the files of both in `folder`.
async fn served(authority: &Authority, folder: &Path) -> (Running, ClientTls) {
    let server = start(settings(&authority.sign(folder, "server"))).await;
    (server, ClientTls::default().ca(authority.write(&folder.join("ca.pem"))))
}

async fn connect(server: &Running, tls: &ClientTls) -> Result<Client> {
    Client::connect_with(&format!("https://{}", server.addr), tls).await
}

async fn put(client: &Client, rows: i32) -> Result<()> {
    put_at(client, rows, 0).await
}

async fn put_at(client: &Client, rows: i32, minute: i64) -> Result<()> {
    let rows = batch((0..rows).map(|city| (city, minute, 1.0)));
    client.put_batch("readings", rows, Durability::Disk).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_and_read_goes_through_tls() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    let (server, tls) = served(&authority, folder.path()).await;
    let client = connect(&server, &tls).await.unwrap();
    put(&client, 30_000).await.unwrap();
    let answer = client.get(&Ticket::range("readings", RangeRead::default())).await.unwrap();
    assert_eq!(answer.collect().await.unwrap().num_rows(), 30_000);
    let url = format!("grpc+tls://localhost:{}", server.addr.port());
    let other = Client::connect_with(&url, &tls).await.unwrap();
    let newest = other.latest("readings", Some(&[Key::new(7)]), None).await.unwrap();
    assert_eq!(newest.num_rows(), 1);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_an_expired_one_is_not_trusted() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    let (server, tls) = served(&authority, folder.path()).await;
    let stranger = Authority::new("stranger").write(&folder.path().join("stranger.pem"));
    let error = connect(&server, &ClientTls::default().ca(stranger)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request, "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    let error = connect(&server, &ClientTls::default().ca("no-such.pem")).await.unwrap_err();
    assert!(error.to_string().contains("no-such.pem"), "{error}");
    server.stop().await.unwrap();

    let expired = authority.sign_until(folder.path(), "expired", 2001);
    let server = start(settings(&expired)).await;
    let error = connect(&server, &tls).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request, "{error}");
    assert!(error.to_string().contains("expired"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn clients_without_tls_are_told_that_they_need_it() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    let (server, _) = served(&authority, folder.path()).await;
    let plain = Client::connect(&format!("http://{}", server.addr)).await.unwrap();
    for _ in 0..2 {
        let error = plain.latest("readings", None, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Request, "{error}");
        assert!(error.to_string().contains("this port speaks TLS"), "{error}");
    }
    let mut socket = TcpStream::connect(server.addr).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert!(answer.contains("this port speaks TLS") && !answer.contains("barograph_"), "{answer}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn only_clients_of_the_authority_are_served_where_they_need_certificates() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    let clients = Authority::new("clients");
    let server = start(FlightSettings {
        tls_client_ca: Some(clients.write(&folder.path().join("clients.pem"))),
        ..settings(&authority.sign(folder.path(), "server"))
    })
    .await;
    let tls = ClientTls::default().ca(authority.write(&folder.path().join("ca.pem")));
    let with = |of: Identity| tls.clone().identity(of.certificate, of.key);

    let client = connect(&server, &with(clients.sign(folder.path(), "client"))).await.unwrap();
    put(&client, 3).await.unwrap();

    let stranger = Authority::new("stranger").sign(folder.path(), "stranger");
    let expired = clients.sign_until(folder.path(), "expired", 2001);
    for refused in [tls.clone(), with(stranger), with(expired)] {
        let asked =
            async { connect(&server, &refused).await?.latest("readings", None, None).await };
        asked.await.unwrap_err();
    }
    assert_eq!(client.latest("readings", None, None).await.unwrap().num_rows(), 3);
    let half = ClientTls { key: None, ..with(clients.sign(folder.path(), "half")) };
    assert!(connect(&server, &half).await.unwrap_err().to_string().contains("needs its key"));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_are_used_while_calls_go_on() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    let (server, tls) = served(&authority, folder.path()).await;
    let client = connect(&server, &tls).await.unwrap();
    for minute in 0..10 {
        put_at(&client, 60_000, minute).await.unwrap();
    }
    let whole = Ticket::range("readings", RangeRead::default());
    let mut running = client.get(&whole).await.unwrap();
    let mut rows = running.try_next().await.unwrap().unwrap().num_rows();

    let next = Authority::new("next");
    next.sign(folder.path(), "server");
    let renewed = ClientTls::default().ca(next.write(&folder.path().join("next.pem")));
    // The server looks at its files every few seconds.
    let fresh = loop {
        match connect(&server, &renewed).await {
            Ok(fresh) => break fresh,
            Err(error) => assert!(error.to_string().contains("UnknownIssuer"), "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(connect(&server, &tls).await.is_err(), "its authority is another");
    assert_eq!(fresh.latest("readings", Some(&[Key::new(1)]), None).await.unwrap().num_rows(), 1);
    while let Some(batch) = running.try_next().await.unwrap() {
        rows += batch.num_rows();
    }
    assert_eq!(rows, 600_000);
    put(&client, 1).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_address_that_others_reach_needs_encryption_or_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), &[]).await;
    let bind = |settings: FlightSettings| {
        let sql = Sql::new(engine.clone(), SqlSettings::default()).unwrap();
        Server::bind(
            engine.clone(),
            sql,
            FlightSettings { listen: "0.0.0.0:0".to_owned(), ..settings },
        )
    };
    let error = bind(FlightSettings::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.to_string().contains("flight.allow_unencrypted"), "{error}");
    let allowed = FlightSettings { allow_unencrypted: true, ..FlightSettings::default() };
    assert!(bind(allowed).await.unwrap().url().starts_with("http://0.0.0.0:"));
    let of = Authority::new("authority").sign(folder.path(), "server");
    let server = bind(settings(&of)).await.unwrap();
    assert!(server.is_encrypted() && server.url().starts_with("https://0.0.0.0:"));
    drop(server);
    let error = bind(FlightSettings { tls_key: None, ..settings(&of) }).await.unwrap_err();
    assert!(error.to_string().contains("flight.tls_key is not set"), "{error}");
    let old = FlightSettings { tls_version_min: TlsVersion::V12, ..settings(&of) };
    assert!(bind(old).await.unwrap().is_encrypted());
    engine.shutdown().await.unwrap();
}
