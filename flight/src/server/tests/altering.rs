//! Tests of alteration: the engine that is served is replaced while calls run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow_flight::flight_service_client::FlightServiceClient;
use barograph_engine::{Durability, ErrorKind};
use barograph_lake::Key;
use barograph_query::Sql;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Notify, mpsc};

use super::read::fill;
use super::{Running, batch, channel, open, rows, start_altered};
use crate::ticket::RangeRead;
use crate::{Alter, AlterProgress, AlterRequest, Error, FlightSettings, Reopening, Result, Ticket};

/// Opens the engine anew with a column more, or says no, when it is let.
#[derive(Debug, Default)]
struct Reopen {
    folder: std::sync::OnceLock<std::path::PathBuf>,
    fails: AtomicBool,
    /// Told when the engine is shut down.
    shut: Notify,
    /// Told when to go on.
    go: Notify,
}

impl Alter for Reopen {
    fn alter(
        self: Arc<Self>,
        asked: AlterRequest,
        reopening: Reopening,
    ) -> BoxFuture<'static, Result<Vec<String>>> {
        Box::pin(async move {
            reopening.report(AlterProgress { table: asked.table.clone(), rows: 1, of: 2 });
            if self.fails.load(Ordering::SeqCst) {
                return Err(Error::request("it cannot be"));
            }
            let reopened = reopening.replace(async {
                reopening.engine().shutdown().await?;
                self.shut.notify_one();
                self.go.notified().await;
                let engine = open(self.folder.get().unwrap(), &["pressure"]).await;
                let sql = Sql::reopened(
                    &reopening.sql(),
                    Arc::clone(&engine),
                    Default::default(),
                    Vec::new(),
                )?;
                Ok((engine, sql))
            });
            reopened.await?;
            Ok(vec![format!("{} is altered", asked.table)])
        })
    }
}

async fn server() -> (Running, Arc<Reopen>) {
    let reopen = Arc::new(Reopen::default());
    let settings = FlightSettings { endpoint_rows: 1_000, endpoints_max: 5, ..Default::default() };
    let server = start_altered(settings, Some(reopen.clone())).await;
    reopen.folder.set(server.folder()).unwrap();
    (server, reopen)
}

fn asked() -> AlterRequest {
    AlterRequest { table: "readings".to_owned(), ..Default::default() }
}

async fn all(server: &Running) -> RecordBatch {
    let ticket = Ticket::range("readings", RangeRead::default());
    server.client.get(&ticket).await.unwrap().collect().await.unwrap()
}

#[tokio::test]
async fn calls_go_on_while_the_engine_is_replaced() {
    let (server, reopen) = server().await;
    let client = &server.client;
    fill(client, 40, 100).await;
    let expected = all(&server).await;
    let plan = client.info(&Ticket::range("readings", RangeRead::default())).await.unwrap();
    assert!(plan.endpoints.len() > 1);
    let one = [Key::new(1)];
    let pressure = || client.latest("readings", Some(&one), Some(&["pressure"]));
    assert_eq!(pressure().await.unwrap_err().kind(), ErrorKind::Request);

    // A put and an exchange that began before, and a range that is being read.
    let (sender, receiver) = mpsc::channel(4);
    let batches = stream::unfold(receiver, async |mut of| Some((of.recv().await?, of)));
    sender.send(batch([(1, 200, 1.0)])).await.unwrap();
    let mut acks = client.put("readings", batches, Durability::Disk).await.unwrap();
    acks.next().await.unwrap().unwrap();
    let latest = Ticket::latest("readings", None);
    let (questions, mut answers) = client.exchange(&latest).await.unwrap();
    questions.keys(&[Key::new(1)], None).await.unwrap();
    let of_one = |rows_of: RecordBatch| rows(&rows_of);
    assert_eq!(of_one(answers.next().await.unwrap().unwrap().rows.unwrap()), [(1, 200, 1.0)]);
    let mut reading = client.get(&Ticket::range("readings", RangeRead::default())).await.unwrap();
    let first = reading.try_next().await.unwrap().unwrap();

    let altering = tokio::spawn({
        let client = client.clone();
        async move {
            let mut told = Vec::new();
            let done = client.alter(&asked(), &mut |progress| told.push(progress)).await;
            (done, told)
        }
    });
    reopen.shut.notified().await;
    // Nothing is put now, and what is read is what there is.
    sender.send(batch([(1, 201, 2.0)])).await.unwrap();
    let mut waiting = std::pin::pin!(acks.next());
    for _ in 0..3 {
        assert_eq!(all(&server).await.num_rows(), 4_001);
        assert!(futures::poll!(&mut waiting).is_pending());
    }
    questions.keys(&[Key::new(1)], None).await.unwrap();
    assert_eq!(of_one(answers.next().await.unwrap().unwrap().rows.unwrap()), [(1, 200, 1.0)]);
    let error = client.alter(&asked(), &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("columns are being altered already"), "{error}");
    let mut raw = FlightServiceClient::new(channel(server.addr).await);
    raw.list_actions(arrow_flight::Empty {}).await.unwrap();

    reopen.go.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap().accepted, 1);
    let (done, told) = altering.await.unwrap();
    assert_eq!(done.unwrap(), ["readings is altered"]);
    assert_eq!(told, [AlterProgress { table: "readings".to_owned(), rows: 1, of: 2 }]);

    assert_eq!(pressure().await.unwrap().num_columns(), 3);
    assert_eq!(all(&server).await.num_rows(), 4_002);
    questions.keys(&[Key::new(1)], None).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap().rows.unwrap();
    assert_eq!((of_one(answer.clone()), answer.num_columns()), (vec![(1, 201, 2.0)], 5));
    let rest: Vec<_> = reading.try_collect().await.unwrap();
    assert_eq!(first.num_rows() + rest.iter().map(RecordBatch::num_rows).sum::<usize>(), 4_001);

    // Endpoints from before give the rows and columns from before.
    let mut parts = Vec::new();
    for endpoint in &plan.endpoints {
        parts.push(client.get_raw(endpoint.clone()).await.unwrap().collect().await.unwrap());
    }
    assert_eq!(arrow::compute::concat_batches(&expected.schema(), &parts).unwrap(), expected);
    drop((sender, questions));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn where_it_cannot_be_what_was_served_is_served_on() {
    let (server, reopen) = server().await;
    fill(&server.client, 2, 2).await;
    reopen.fails.store(true, Ordering::SeqCst);
    let error = server.client.alter(&asked(), &mut |_| {}).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Request, "it cannot be"));
    fill(&server.client, 2, 3).await;
    assert_eq!(all(&server).await.num_rows(), 6);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_without_settings_to_read_says_so() {
    let server = super::start(FlightSettings::default()).await;
    let error = server.client.alter(&asked(), &mut |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("reads its settings only at its start"), "{error}");
    server.stop().await.unwrap();
}
