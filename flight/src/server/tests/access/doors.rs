//! Every method of Flight by every role: who is let in, and what the others are told.

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Criteria, Empty, FlightClient, FlightDescriptor, HandshakeRequest};
use barograph_engine::{Durability, ErrorKind};
use barograph_lake::{Key, TimeRange};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Code, Request};

use super::super::{batch, channel, rows};
use super::{Guarded, guarded};
use crate::ticket::RangeRead;
use crate::{Client, Error, Ticket};

/// Keys of an answer.
fn keys(rows_of: &arrow::array::RecordBatch) -> Vec<i32> {
    let mut keys: Vec<_> = rows(rows_of).into_iter().map(|row| row.0).collect();
    keys.dedup();
    keys
}

fn all(keys: &[i64]) -> Vec<Key> {
    keys.iter().copied().map(Key::new).collect()
}

async fn read(client: &Client, ticket: &Ticket) -> Result<arrow::array::RecordBatch, Error> {
    client.get(ticket).await?.collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_reads_what_its_caller_is_given() {
    let served = guarded().await;
    let (reader, admin) = (served.client("reader"), served.client("admin"));
    let whole = Ticket::range("readings", RangeRead::default());
    for landed in [false, true] {
        if landed {
            admin.flush().await.unwrap();
        }
        assert_eq!(read(&admin, &whole).await.unwrap().num_rows(), 48);
        let part = read(&reader, &whole).await.unwrap();
        assert_eq!((part.num_rows(), keys(&part)), (22, vec![1, 2]));
        let names: Vec<_> = part.schema().fields().iter().map(|of| of.name().clone()).collect();
        assert_eq!(names, ["city_id", "reading_at", "temperature", "ingested_at"]);
        for ticket in [
            Ticket::latest("readings", None),
            Ticket::latest("readings", Some(all(&[1, 2, 3, 4]))),
            Ticket::at("readings", None, "9999-12-31T00:00:00Z".parse().unwrap()),
        ] {
            assert_eq!(keys(&read(&reader, &ticket).await.unwrap()), [1, 2], "{ticket:?}");
        }
        let other = Ticket::latest("readings", Some(all(&[3])));
        assert_eq!(read(&reader, &other).await.unwrap().num_rows(), 0);
        // The row that is too hot is the newest at that time, and not given.
        let at = barograph_lake::Timestamp::from_micros(super::START + 50 * super::MINUTE);
        let hot = Ticket::at("readings", Some(all(&[1])), at);
        assert_eq!(read(&reader, &hot).await.unwrap().num_rows(), 0);
        assert_eq!(read(&admin, &hot).await.unwrap().num_rows(), 1);
        let or = RangeRead {
            filter: Some("temperature > 0 OR city_id = 3".into()),
            ..RangeRead::default()
        };
        assert_eq!(read(&reader, &Ticket::range("readings", or)).await.unwrap().num_rows(), 22);
        let plan = reader.info(&whole).await.unwrap();
        let batches: Vec<_> = reader.fetch(&plan, 2).try_collect().await.unwrap();
        assert_eq!(batches.iter().map(|rows| rows.num_rows()).sum::<usize>(), 22);
    }
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_tells_nothing_of_what_is_hidden() {
    let served = guarded().await;
    let reader = served.client("reader");
    let said = async |ticket: &Ticket, of: &str| {
        let errors = [
            read(&reader, ticket).await.unwrap_err(),
            reader.info(ticket).await.unwrap_err(),
            reader.plan(ticket).await.unwrap_err(),
        ];
        errors.map(|error| (error.kind(), error.to_string().replace(of, "N")))
    };
    let ticket = |columns: &[&str], filter: Option<&str>| {
        let filter = filter.map(str::to_owned);
        let ticket = Ticket::range("readings", RangeRead { filter, ..RangeRead::default() });
        if columns.is_empty() { ticket } else { ticket.columns(columns.iter().copied()) }
    };
    for (hidden, absent) in [
        (ticket(&["humidity"], None), ticket(&["humadity"], None)),
        (ticket(&[], Some("humidity > 3")), ticket(&[], Some("humadity > 3"))),
    ] {
        assert_eq!(said(&hidden, "humidity").await, said(&absent, "humadity").await);
    }
    for (hidden, absent) in [("secrets", "sacrets"), ("dead_letters", "dead_lettars")] {
        let of =
            |table: &str| [Ticket::range(table, RangeRead::default()), Ticket::latest(table, None)];
        for (hidden_ticket, absent_ticket) in of(hidden).iter().zip(&of(absent)) {
            let told = read(&reader, hidden_ticket).await.unwrap_err();
            let of_absent = read(&reader, absent_ticket).await.unwrap_err();
            assert_eq!(told.kind(), ErrorKind::Denied);
            let replaced = told.to_string().replace(hidden, absent);
            assert_eq!((replaced, told.kind()), (of_absent.to_string(), of_absent.kind()));
        }
        assert_eq!(reader.schema(hidden).await.unwrap_err().kind(), ErrorKind::Denied);
    }
    // One who may see names by a pattern is not told of others.
    let slow = served.client("slow");
    let missing = read(&slow, &Ticket::latest("none", None)).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no table \"none\"");
    let tables = reader.tables().await.unwrap();
    let names: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!((names, tables[0].rows), (vec!["readings"], 0));
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_answers_what_its_caller_is_given() {
    let served = guarded().await;
    let reader = served.client("reader");
    let (sender, mut answers) = reader.exchange(&Ticket::latest("readings", None)).await.unwrap();
    for key in 1..=4 {
        sender.keys(&[Key::new(key)], Some(key as u64)).await.unwrap();
    }
    sender.keys(&all(&[1, 2, 3, 4]), None).await.unwrap();
    drop(sender);
    let mut counts = Vec::new();
    while let Some(answer) = answers.next().await {
        let rows = answer.unwrap().rows.unwrap();
        assert_eq!(rows.num_columns(), 4);
        counts.push(rows.num_rows());
    }
    assert_eq!(counts, [1, 1, 0, 0, 2]);
    let (sender, mut answers) = reader.exchange(&Ticket::latest("secrets", None)).await.unwrap();
    // The exchange may have ended before this is sent.
    let _ = sender.keys(&[Key::new(1)], None).await;
    let error = answers.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_put_and_deleted_by_those_who_may() {
    let served = guarded().await;
    let put = async |role: &str, table: &str, city: i32| {
        let rows = batch([(city, 1_000, 1.0)]);
        served.client(role).put_batch(table, rows, Durability::Memory).await.map(drop)
    };
    let delete = async |role: &str, table: &str, keys: Option<&[i64]>| {
        let keys = keys.map(all);
        served.client(role).delete(table, keys, TimeRange::ALL, "test").await.map(drop)
    };
    let kind = |done: Result<(), Error>| done.err().map(|error| error.kind());
    for (role, table, city, expected) in [
        ("admin", "readings", 3, None),
        ("writer", "readings", 3, None),
        ("writer", "secrets", 3, Some(ErrorKind::Denied)),
        ("writer", "none", 3, Some(ErrorKind::Denied)),
        ("writer", "dead_letters", 3, Some(ErrorKind::Denied)),
        ("tenant", "readings", 2, None),
        ("tenant", "readings", 3, Some(ErrorKind::Denied)),
        ("reader", "readings", 1, Some(ErrorKind::Denied)),
        ("keeper", "readings", 1, Some(ErrorKind::Denied)),
        ("observer", "readings", 1, Some(ErrorKind::Denied)),
        ("peer", "readings", 1, Some(ErrorKind::Denied)),
        ("nobody", "readings", 1, Some(ErrorKind::Denied)),
    ] {
        assert_eq!(kind(put(role, table, city).await), expected, "{role} {table} {city}");
    }
    for (role, table, keys, expected) in [
        ("tenant", "readings", Some(&[3][..]), Some(ErrorKind::Denied)),
        ("tenant", "readings", Some(&[1, 3]), Some(ErrorKind::Denied)),
        ("tenant", "readings", None, Some(ErrorKind::Denied)),
        ("tenant", "secrets", Some(&[1]), Some(ErrorKind::Denied)),
        ("writer", "readings", Some(&[1]), Some(ErrorKind::Denied)),
        ("reader", "readings", Some(&[1]), Some(ErrorKind::Denied)),
        ("keeper", "readings", Some(&[1]), Some(ErrorKind::Denied)),
        ("tenant", "readings", Some(&[2]), None),
        ("admin", "secrets", None, None),
    ] {
        assert_eq!(kind(delete(role, table, keys).await), expected, "{role} {table} {keys:?}");
    }
    served.server.stop().await.unwrap();
}

/// The code of an action by a role; `None` without a token.
async fn action(served: &Guarded, role: Option<&str>, name: &str, body: &str) -> Code {
    let mut client = FlightServiceClient::new(channel(served.server.addr).await);
    let mut request = Request::new(Action::new(name.to_owned(), body.to_owned()));
    if let Some(role) = role {
        let header = format!("Bearer {}", served.token(role)).parse().unwrap();
        request.metadata_mut().insert("authorization", header);
    }
    match client.do_action(request).await {
        Err(status) => status.code(),
        Ok(results) => match results.into_inner().try_next().await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_action_needs_its_verb() {
    let served = guarded().await;
    let redrive = r#"{"table":"readings"}"#;
    let alter = r#"{"table":"readings"}"#;
    let denied = Code::PermissionDenied;
    for (name, body, role, expected) in [
        ("flush", "", "keeper", Code::Ok),
        ("flush", "", "admin", Code::Ok),
        ("flush", "", "reader", denied),
        ("flush", "", "tenant", denied),
        ("flush", "", "observer", denied),
        ("redrive", redrive, "keeper", Code::Ok),
        ("redrive", redrive, "writer", denied),
        ("alter", alter, "keeper", denied),
        ("alter", alter, "tenant", denied),
        ("alter", alter, "admin", Code::InvalidArgument),
        ("barograph.forward", "", "reader", denied),
        ("barograph.forward", "", "keeper", denied),
        (crate::message::GROUPS, "", "reader", denied),
        (crate::message::GROUPS, "", "keeper", denied),
        ("kill", "1", "reader", Code::NotFound),
        ("kill", "1", "admin", Code::NotFound),
        ("version", "", "nobody", Code::Ok),
        ("none", "", "nobody", Code::NotFound),
    ] {
        let name = if name == "barograph.forward" { crate::message::FORWARD } else { name };
        assert_eq!(action(&served, Some(role), name, body).await, expected, "{name} {role}");
    }
    for name in [
        "flush",
        "redrive",
        "alter",
        "kill",
        "plan",
        "version",
        "delete",
        "none",
        crate::message::FORWARD,
        crate::message::GROUPS,
    ] {
        assert_eq!(action(&served, None, name, "").await, Code::Unauthenticated, "{name}");
    }
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_only_health_is_told() {
    let served = guarded().await;
    let channel = channel(served.server.addr).await;
    let mut raw = FlightServiceClient::new(channel.clone());
    let code = |status: tonic::Status| status.code();
    let path = || FlightDescriptor::new_path(vec!["readings".to_owned()]);
    let ticket = arrow_flight::Ticket::new(Ticket::latest("readings", None).to_json());
    let codes = [
        raw.list_flights(Criteria::default()).await.map(drop).map_err(code),
        raw.list_actions(Empty {}).await.map(drop).map_err(code),
        raw.get_flight_info(path()).await.map(drop).map_err(code),
        raw.poll_flight_info(path()).await.map(drop).map_err(code),
        raw.get_schema(path()).await.map(drop).map_err(code),
        raw.do_get(ticket).await.map(drop).map_err(code),
        raw.do_put(futures::stream::empty()).await.map(drop).map_err(code),
        raw.do_exchange(futures::stream::empty()).await.map(drop).map_err(code),
        raw.handshake(futures::stream::iter([HandshakeRequest::default()]))
            .await
            .map(drop)
            .map_err(code),
    ];
    assert_eq!(codes, [Err(Code::Unauthenticated); 9]);
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
    for (path, role, expected) in [
        ("/health", None, 200),
        ("/ready", None, 200),
        ("/version", None, 200),
        ("/metrics", None, 401),
        ("/metrics", Some("reader"), 403),
        ("/metrics", Some("observer"), 200),
        ("/metrics", Some("admin"), 200),
    ] {
        let mut socket = tokio::net::TcpStream::connect(served.server.addr).await.unwrap();
        let token = role.map(|role| format!("Authorization: Bearer {}\r\n", served.token(role)));
        let token = token.unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{token}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path} {role:?}: {answer}");
    }
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_gives_the_header_that_is_sent_from_then_on() {
    let served = guarded().await;
    let channel = channel(served.server.addr).await;
    let mut sql = arrow_flight::sql::client::FlightSqlServiceClient::new(channel.clone());
    let refused = sql.handshake("other", served.token("reader")).await;
    assert!(refused.unwrap_err().to_string().contains("not known under that name"));
    sql.handshake("reader-1", "wrong").await.unwrap_err();
    sql.handshake("reader-1", served.token("reader")).await.unwrap();
    let rows = super::super::sql::query(&mut sql, "SELECT count(*) FROM readings").await.unwrap();
    assert_eq!(rows.num_rows(), 1);
    // Drivers may also send name and token with each call.
    let mut client = FlightClient::new(channel);
    client
        .add_header("authorization", &barograph_access::basic("admin-1", served.token("admin")))
        .unwrap();
    let flights: Vec<_> = client.list_flights("").await.unwrap().try_collect().await.unwrap();
    assert_eq!(flights.len(), 3);
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_ends_what_runs_by_it() {
    let served = guarded().await;
    let reader = served.client("reader");
    let (sender, mut answers) = reader.exchange(&Ticket::latest("readings", None)).await.unwrap();
    sender.keys(&[Key::new(1)], None).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().rows.unwrap().num_rows(), 1);
    barograph_access::tokens::revoke(&served.tokens_file(), "reader-1").unwrap();
    served.server.state().access.refresh().await;
    sender.keys(&[Key::new(1)], None).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap_err().kind(), ErrorKind::Unauthenticated);
    let error = read(&reader, &Ticket::latest("readings", None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    served.server.stop().await.unwrap();
}
