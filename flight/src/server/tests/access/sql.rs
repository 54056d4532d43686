//! SQL of a caller who is given a part of a table: every answer is the one that a caller with all rights gets who asks
//! for that part. What it is not given is not there.

use arrow::array::RecordBatch;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{CancelFlightInfoRequest, CancelStatus, FlightClient, FlightInfo};
use barograph_access::Outcome;
use futures::TryStreamExt;
use tonic::transport::Channel;

use super::super::channel;
use super::super::sql::{query, status, texts};
use super::{Guarded, guarded};

pub(super) type SqlClient = FlightSqlServiceClient<Channel>;

/// What the reader is given of the table.
const PART: &str = "(SELECT city_id, reading_at, temperature, ingested_at FROM readings \
                    WHERE city_id IN (1, 2) AND temperature < 100)";
const NEWEST: &str = "(SELECT city_id, reading_at, temperature, ingested_at FROM latest('readings') \
                      WHERE city_id IN (1, 2) AND temperature < 100)";

/// Statements over a table `@`.
const STATEMENTS: &[&str] = &[
    "SELECT * FROM @ ORDER BY 1, 2",
    "SELECT count(*) FROM @",
    "SELECT count(*), min(temperature), max(temperature), min(reading_at), max(city_id) FROM @",
    "SELECT max(temperature) FROM @ WHERE city_id = 3",
    "SELECT count(*) FROM @ WHERE TRUE OR city_id > 0",
    "SELECT count(*) FROM @ WHERE city_id NOT IN (1) OR city_id IS NOT NULL",
    "SELECT city_id, count(*), sum(temperature) FROM @ GROUP BY city_id ORDER BY 1",
    "SELECT date_bin('1 hour', reading_at), avg(temperature), count(*) FROM @ GROUP BY 1 ORDER BY 1",
    "SELECT date_bin('1 minute', reading_at) AS m, max(temperature) FROM @ GROUP BY 1 ORDER BY 1 DESC LIMIT 5",
    "SELECT city_id, date_bin('1 hour', reading_at), avg(temperature), count(*) FROM @ GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT DISTINCT city_id FROM @ ORDER BY 1",
    "SELECT * FROM @ ORDER BY temperature DESC LIMIT 3",
    "SELECT * FROM @ ORDER BY city_id, reading_at LIMIT 3 OFFSET 4",
    "WITH a AS (SELECT * FROM @) SELECT count(*) AS n FROM a UNION ALL SELECT sum(city_id) FROM a ORDER BY 1",
    "SELECT count(*) FROM @ AS a JOIN @ AS b ON a.city_id = b.city_id AND a.reading_at = b.reading_at",
    "SELECT (SELECT max(temperature) FROM @), (SELECT count(*) FROM @)",
    "SELECT count(*) FROM @ AS a WHERE EXISTS (SELECT 1 FROM @ AS b WHERE b.city_id = a.city_id + 1)",
    "SELECT count(*) FROM @ WHERE city_id IN (SELECT city_id + 1 FROM @)",
    "SELECT city_id, reading_at, sum(temperature) OVER (PARTITION BY city_id ORDER BY reading_at) FROM @ ORDER BY 1, 2",
    "SELECT city_id, first_value(temperature ORDER BY reading_at DESC) FROM @ GROUP BY 1 ORDER BY 1",
    "SELECT count(*) FILTER (WHERE temperature > 50) FROM @",
    "SELECT count(DISTINCT reading_at), median(temperature) FROM @",
    "SELECT 1 FROM @ LIMIT 1",
];

fn sql_client(served: &Guarded, channel: Channel, role: &str) -> SqlClient {
    let mut client = FlightSqlServiceClient::new(channel);
    client.set_token(served.token(role).to_owned());
    client
}

pub(super) async fn clients(served: &Guarded) -> (SqlClient, SqlClient) {
    let channel = channel(served.server.addr).await;
    (sql_client(served, channel.clone(), "reader"), sql_client(served, channel, "admin"))
}

async fn both(reader: &mut SqlClient, admin: &mut SqlClient, statement: &str, table: [&str; 2]) {
    let [seen, meant] = table.map(|table| statement.replace('@', table));
    let seen = query(reader, &seen).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    let meant = query(admin, &meant).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    let columns = |rows: &RecordBatch| rows.columns().to_vec();
    assert_eq!(columns(&seen), columns(&meant), "{statement}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_a_table_is_all_there_is_for_its_reader() {
    let served = guarded().await;
    let (mut reader, mut admin) = clients(&served).await;
    // Rows in the tail, then in files, then in both.
    for state in 0..3 {
        for statement in STATEMENTS {
            both(&mut reader, &mut admin, statement, ["readings", PART]).await;
        }
        both(&mut reader, &mut admin, "SELECT * FROM @ ORDER BY 1", ["latest('readings')", NEWEST])
            .await;
        both(&mut reader, &mut admin, "SELECT count(*) FROM @", ["latest('readings')", NEWEST])
            .await;
        if state == 0 {
            served.client("admin").flush().await.unwrap();
        }
        if state == 1 {
            let more = super::readings();
            let durability = barograph_engine::Durability::Disk;
            served
                .client("admin")
                .put_batch("readings", more.slice(0, 20), durability)
                .await
                .unwrap();
        }
    }
    let version = served.server.state().engine.view("readings").unwrap().snapshot.version();
    let then = format!("as_of('readings', {version})");
    let part = PART.replace("FROM readings", &format!("FROM {then}"));
    for statement in STATEMENTS {
        both(&mut reader, &mut admin, statement, [&then, &part]).await;
    }
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_given_is_not_there() {
    let served = guarded().await;
    let (mut reader, mut admin) = clients(&served).await;
    query(&mut admin, "SELECT count(*) FROM secrets, system.files").await.unwrap();
    // The same words for what is hidden and for what does not exist.
    for (hidden, absent, statement) in [
        ("secrets", "sacrets", "SELECT * FROM @"),
        ("secrets", "sacrets", "SELECT count(*) FROM public.@"),
        ("secrets", "sacrets", "SELECT * FROM barograph.public.@"),
        ("secrets", "sacrets", "SELECT * FROM latest('@')"),
        ("secrets", "sacrets", "SELECT * FROM as_of('@', 0)"),
        ("secrets", "sacrets", "SELECT * FROM live('@')"),
        ("secrets", "sacrets", "EXPLAIN SELECT * FROM @"),
        ("secrets", "sacrets", "EXPLAIN ANALYZE SELECT * FROM @"),
        ("secrets", "sacrets", "DESCRIBE @"),
        ("secrets", "sacrets", "SHOW COLUMNS FROM @"),
        ("secrets", "sacrets", "WITH a AS (SELECT * FROM @) SELECT 1"),
        ("secrets", "sacrets", "SELECT (SELECT max(temperature) FROM @)"),
        ("secrets", "sacrets", "SELECT count(*) FROM readings JOIN @ USING (city_id)"),
        ("secrets", "sacrets", "SELECT count(*) FROM readings UNION ALL SELECT count(*) FROM @"),
        ("secrets", "sacrets", "SELECT 1 WHERE EXISTS (SELECT 1 FROM @)"),
        ("dead_letters", "dead_lettars", "SELECT * FROM @"),
        ("dead_letters", "dead_lettars", "SELECT * FROM latest('@')"),
        ("files", "filas", "SELECT * FROM system.@"),
        ("settings", "sattings", "SELECT * FROM system.@"),
        ("audit", "audat", "SELECT * FROM system.@"),
        ("tail", "tbil", "SELECT * FROM system.@"),
        ("completeness", "complateness", "SELECT * FROM system.@"),
        ("humidity", "humadity", "SELECT @ FROM readings"),
        ("humidity", "humadity", "SELECT count(@) FROM readings"),
        ("humidity", "humadity", "SELECT 1 FROM readings WHERE @ > 3"),
        ("humidity", "humadity", "SELECT 1 FROM readings ORDER BY @"),
        ("humidity", "humadity", "SELECT readings.@ FROM readings"),
        ("humidity", "humadity", "SELECT 1 FROM readings AS a JOIN readings AS b ON a.@ = b.@"),
        ("humidity", "humadity", "SELECT @ FROM latest('readings')"),
    ] {
        let said = |of: &str, error: tonic::Status| {
            (error.code(), error.message().to_lowercase().replace(of, "@"))
        };
        let error = async |client: &mut SqlClient, of: &str| {
            status(query(client, &statement.replace('@', of)).await)
        };
        let denied = said(hidden, error(&mut reader, hidden).await);
        let missing = said(absent, error(&mut reader, absent).await);
        assert_eq!(denied, missing, "{statement}");
    }
    for listing in [
        "SHOW TABLES",
        "SELECT table_name FROM information_schema.tables",
        "SELECT table_name FROM information_schema.columns",
    ] {
        let names = texts(&query(&mut reader, listing).await.unwrap(), "table_name");
        assert!(names.iter().any(|name| name == "readings"), "{names:?}");
        for hidden in ["secrets", "dead_letters", "files", "audit"] {
            assert!(!names.iter().any(|name| name == hidden), "{listing}: {names:?}");
        }
    }
    // A plan tells neither the condition that it is restricted by, nor the files that it reads.
    served.client("admin").flush().await.unwrap();
    for statement in [
        "EXPLAIN VERBOSE SELECT * FROM readings",
        "EXPLAIN SELECT count(*), max(temperature) FROM readings",
        "EXPLAIN SELECT city_id, avg(temperature) FROM readings GROUP BY 1",
    ] {
        let plan = texts(&query(&mut reader, statement).await.unwrap(), "plan").concat();
        assert!(plan.contains("restricted"), "{plan}");
        for told in ["temperature < 100", "keys", ".parquet"] {
            assert!(!plan.contains(told), "{told}: {plan}");
        }
    }
    let columns =
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'readings'";
    let columns = texts(&query(&mut reader, columns).await.unwrap(), "column_name");
    assert_eq!(columns, ["city_id", "reading_at", "temperature", "ingested_at"]);
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_its_own_queries_and_an_observer_those_of_all() {
    let served = guarded().await;
    let (mut reader, mut admin) = clients(&served).await;
    query(&mut admin, "SELECT 'of the administrator'").await.unwrap();
    query(&mut reader, "SELECT 'of the reader'").await.unwrap();
    let own = "SELECT user_name, text FROM system.queries";
    let users = texts(&query(&mut reader, own).await.unwrap(), "user_name");
    assert!(users.iter().all(|user| user == "reader-1") && !users.is_empty(), "{users:?}");
    let channel = channel(served.server.addr).await;
    let mut observer = sql_client(&served, channel, "observer");
    let users = texts(&query(&mut observer, own).await.unwrap(), "user_name");
    assert!(users.iter().any(|user| user == "admin-1"), "{users:?}");
    let audit = "SELECT identity FROM system.audit WHERE outcome = 'done'";
    let identities = texts(&query(&mut observer, audit).await.unwrap(), "identity");
    assert!(identities.iter().any(|of| of == "admin-1"), "{identities:?}");
    let error = status(query(&mut observer, "SELECT * FROM readings").await);
    assert!(error.message().contains("there is no table readings"), "{error:?}");
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_give_no_rights() {
    let served = guarded().await;
    let (mut reader, mut admin) = clients(&served).await;
    // What an administrator has planned is planned anew for whoever comes with its ticket.
    let text = "SELECT count(*) AS n, max(city_id) AS most FROM readings".to_owned();
    let info = admin.execute(text.clone(), None).await.unwrap();
    let seen = super::super::sql::fetch(&mut reader, info).await.unwrap();
    let own = query(&mut reader, &text).await.unwrap();
    assert_eq!(seen.columns(), own.columns());
    let info = admin.execute("SELECT * FROM secrets".to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let error = status(reader.do_get(ticket).await.map(drop));
    assert!(error.message().contains("there is no table secrets"), "{error:?}");

    // One cannot cancel what another has asked.
    let cancel = async |role: &str, info: FlightInfo| {
        let mut client = FlightClient::new(channel(served.server.addr).await);
        let token = format!("Bearer {}", served.token(role));
        client.add_header("authorization", &token).unwrap();
        let asked = CancelFlightInfoRequest::new(info);
        client.cancel_flight_info(asked).await.unwrap().status()
    };
    let info = reader.execute("SELECT 1".to_owned(), None).await.unwrap();
    assert_eq!(cancel("observer", info.clone()).await, CancelStatus::NotCancellable);
    assert_eq!(cancel("reader", info).await, CancelStatus::Cancelled);
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_killed_by_its_caller_or_an_administrator_and_runs_for_nobody_else() {
    let served = guarded().await;
    let (mut reader, mut admin) = clients(&served).await;
    let endless = "SELECT a.value + b.value AS n FROM generate_series(1, 1000000) a \
                   CROSS JOIN generate_series(1, 1000000) b";
    for (client, user, others) in [
        (&mut reader, "reader-1", ["observer", "keeper"]),
        (&mut admin, "admin-1", ["observer", "reader"]),
    ] {
        let info = client.execute(endless.to_owned(), None).await.unwrap();
        let mut answer = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        answer.try_next().await.unwrap().unwrap();
        let queries = served.server.state().sql.queries().list();
        let id = queries.iter().find(|query| query.user == user).unwrap().id.to_string();
        for other in others {
            let told = served.client(other).kill(&id).await.unwrap_err().to_string();
            let absent = served.client(other).kill("999999").await.unwrap_err().to_string();
            assert_eq!(told.replace(&id, "999999"), absent, "{other}");
        }
        answer.try_next().await.unwrap().unwrap();
        served.client("admin").kill(&id).await.unwrap();
        let ended = answer.try_collect::<Vec<_>>().await.unwrap_err().to_string();
        assert!(ended.contains("cancelled"), "{ended}");
    }
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_what_is_hidden_is_recorded_as_denied_and_told_nothing() {
    let served = guarded().await;
    let (mut reader, _) = clients(&served).await;
    let recorded = |served: &Guarded| {
        let recent = served.server.state().access.audit().recent();
        recent.first().map(|entry| (entry.outcome, entry.tables.clone())).unwrap()
    };
    for (text, names) in [
        ("SELECT * FROM secrets", "secrets"),
        ("SELECT humidity FROM readings", "humidity"),
        ("SELECT * FROM latest('secrets')", "secrets"),
        ("SELECT * FROM system.audit", "system.audit"),
    ] {
        let missing = text.replace("secrets", "sacrets").replace("humidity", "humadity");
        let missing = missing.replace("audit", "auditor");
        status(reader.execute(text.to_owned(), None).await);
        assert_eq!(recorded(&served), (Outcome::Denied, names.to_owned()), "{text}");
        status(reader.prepare(text.to_owned(), None).await);
        assert_eq!(recorded(&served).0, Outcome::Denied, "{text}");
        status(reader.execute(missing.clone(), None).await);
        if !missing.contains("system") {
            assert_eq!(recorded(&served).0, Outcome::Failed, "{missing}");
        }
    }
    served.server.stop().await.unwrap();
}
