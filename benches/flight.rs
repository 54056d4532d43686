//! The cost of the wire: calls of Arrow Flight beside the limits of their stack.
//!
//! `cargo bench --workspace --bench flight` prints, with server and client in one process on loopback,
//! - one client: `DoGet` of the latest reading of one key beside a `DoGet` that gives one constant row,
//!   made beforehand, through the generated service of the Flight crate (the limit of the stack);
//! - 64 queries in flight: one `DoGet` a query beside one `DoExchange` for all;
//! - one million rows of all columns, from tail and lake: scanned only, scanned and sent, and beside them
//!   the same rows sent from memory by the Flight crate, to the same client.
//!
//! Both sides of a comparison take turns, round by round. `BAROGRAPH_BENCH_ROUNDS` sets the rounds
//! (default 10).
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Float32Array, Int32Array, RecordBatch};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket as FlightTicket,
};
use barograph_engine::{Durability, Engine, Scan};
use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, FlightSettings, Server, Ticket};
use barograph_lake::{Key, KeySelection, TableSchema, TimeRange};
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{engine_in, instants, readings_table};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tonic::{Request, Response, Status, Streaming};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CITIES: i32 = 15_000;
/// Minutes of every city; with `CITIES` one million rows and a few.
const MINUTES: i64 = 67;
/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const IN_FLIGHT: usize = 64;
const COLUMNS: [&str; 6] =
    ["temperature", "humidity", "pressure", "wind_speed", "wind_direction", "precipitation"];

fn main() {
    let rounds = std::env::var("BAROGRAPH_BENCH_ROUNDS").map_or(10, |s| s.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (engine, ours) = serve(folder.path()).await;
        let rows = ours.get(&whole()).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
        let one = ours.latest("readings", Some(&[Key::new(7)]), None).await.unwrap();
        let constant = serve_constant(vec![one]).await;
        let stored = serve_constant(rows).await;
        one_client(&ours, &constant, rounds).await;
        in_flight(&ours, rounds).await;
        for place in ["tail", "lake"] {
            println!("one million rows of all columns from the {place}, million rows/s, median");
            million(&engine, &ours, &stored, rounds).await;
            engine.flush().await.unwrap();
        }
    });
}

async fn one_client(ours: &Client, constant: &Client, rounds: usize) {
    const QUERIES: usize = 1_000;
    let mut random = SmallRng::seed_from_u64(1);
    let (mut latest, mut limit, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..=rounds {
        let mut round = [Vec::with_capacity(QUERIES), Vec::with_capacity(QUERIES)];
        for _ in 0..QUERIES {
            let ticket =
                Ticket::latest("readings", Some(vec![random.random_range(0..CITIES).into()]));
            for (times, client) in round.iter_mut().zip([ours, constant]) {
                let begun = Instant::now();
                let answer = client.get(&ticket).await.unwrap().collect().await.unwrap();
                times.push(begun.elapsed());
                assert_eq!(answer.num_rows(), 1);
            }
        }
        let [mut ours, mut theirs] = round;
        ratios.push(micros(quantile(&mut ours, 0.5)) / micros(quantile(&mut theirs, 0.5)));
        latest.append(&mut ours);
        limit.append(&mut theirs);
    }
    ratios.remove(0);
    println!("one client, DoGet, µs p50 / p99");
    for (name, times) in [("latest of one key", &mut latest), ("constant row", &mut limit)] {
        let (p50, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        println!("  {name:<20} {:8.1} {:8.1}", micros(p50), micros(p99));
    }
    print_ratios("latest / constant, p50", ratios);
}

async fn in_flight(ours: &Client, rounds: usize) {
    const GETS: usize = 20_000;
    const EXCHANGED: usize = 200_000;
    let (mut get, mut exchange, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let keys = |count| {
            let mut random = SmallRng::seed_from_u64(round as u64);
            (0..count).map(|_| random.random_range(0..CITIES).into()).collect::<Vec<Key>>()
        };
        let asked = keys(GETS);
        let begun = Instant::now();
        stream::iter(asked)
            .map(|key| async move {
                let rows = ours.latest("readings", Some(&[key]), None).await.unwrap();
                assert_eq!(rows.num_rows(), 1);
            })
            .buffer_unordered(IN_FLIGHT)
            .collect::<()>()
            .await;
        get.push(GETS as f64 / begun.elapsed().as_secs_f64());

        let asked = keys(EXCHANGED);
        let begun = Instant::now();
        let ticket = Ticket::latest("readings", Some(vec![]));
        let (requests, mut answers) = ours.exchange(&ticket).await.unwrap();
        let (sent, mut answered) = (&requests, 0);
        for key in &asked[..IN_FLIGHT] {
            sent.keys(&[*key], None).await.unwrap();
        }
        while answered < EXCHANGED {
            let answer = answers.next().await.unwrap().unwrap();
            assert_eq!(answer.rows.unwrap().num_rows(), 1);
            answered += 1;
            if let Some(key) = asked.get(answered + IN_FLIGHT - 1) {
                sent.keys(&[*key], None).await.unwrap();
            }
        }
        exchange.push(EXCHANGED as f64 / begun.elapsed().as_secs_f64());
        ratios.push(exchange[round] / get[round]);
    }
    ratios.remove(0);
    println!("{IN_FLIGHT} in flight, queries/s, median");
    println!("  one DoGet a query    {:10.0}", median(get));
    println!("  one DoExchange       {:10.0}", median(exchange));
    print_ratios("DoExchange / DoGet", ratios);
}

async fn million(engine: &Arc<Engine>, ours: &Client, stored: &Client, rounds: usize) {
    let (mut mine, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut scanned = Vec::new();
    for round in 0..=rounds {
        let begun = Instant::now();
        let batches =
            engine.scan(engine.view("readings").unwrap(), everything()).await.unwrap().batches;
        let rows: usize = batches
            .map_ok(|batch| batch.num_rows())
            .try_fold(0, |a, b| std::future::ready(Ok(a + b)))
            .await
            .unwrap();
        scanned.push(rows as f64 / begun.elapsed().as_secs_f64() / 1e6);
        for (rates, client) in [(&mut mine, ours), (&mut theirs, stored)] {
            let begun = Instant::now();
            let mut answer = client.get(&whole()).await.unwrap();
            let mut rows = 0;
            while let Some(batch) = answer.try_next().await.unwrap() {
                rows += batch.num_rows();
            }
            assert_eq!(rows, CITIES as usize * MINUTES as usize);
            rates.push(rows as f64 / begun.elapsed().as_secs_f64() / 1e6);
        }
        ratios.push(mine[round] / theirs[round]);
    }
    ratios.remove(0);
    println!("  scanned, not sent                              {:6.2}", median(scanned));
    println!("  scanned and sent without copies                {:6.2}", median(mine));
    println!("  from memory through the Flight crate           {:6.2}", median(theirs));
    print_ratios("ours / theirs", ratios);
}

fn everything() -> Scan {
    Scan {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: (2..COLUMNS.len() + 3).collect(),
        filter: None,
        aggregation: None,
        limit: None,
    }
}

fn whole() -> Ticket {
    Ticket::range("readings", RangeRead::default())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn quantile(times: &mut [Duration], q: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * q) as usize]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn print_ratios(name: &str, ratios: Vec<f64>) {
    let min = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let max = ratios.iter().copied().fold(0.0, f64::max);
    println!("  {name}: {:.2} ({min:.2} … {max:.2})", median(ratios));
}

/// Our server with `MINUTES` readings of each city in its tail.
async fn serve(folder: &std::path::Path) -> (Arc<Engine>, Client) {
    let table = readings_table(COLUMNS);
    let engine = engine_in(folder).table(table.clone()).open().await.unwrap();
    let mut random = SmallRng::seed_from_u64(7);
    for minute in 0..MINUTES {
        let batch = readings(&table, minute, &mut random);
        engine.put("readings", batch, "bench", Durability::Memory).await.unwrap();
    }
    let settings = FlightSettings { listen: "127.0.0.1:0".to_owned(), ..FlightSettings::default() };
    let sql = Sql::new(Arc::clone(&engine), SqlSettings::default()).unwrap();
    let server = Server::bind(Arc::clone(&engine), sql, settings).await.unwrap();
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    (engine, Client::connect(&url).await.unwrap())
}

fn readings(table: &TableSchema, minute: i64, random: &mut SmallRng) -> RecordBatch {
    let times = (0..CITIES).map(|_| START + minute * 60_000_000);
    let mut columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new((0..CITIES).collect::<Int32Array>()), instants(times)];
    for _ in COLUMNS {
        let values = (0..CITIES).map(|_| random.random_range(0..1_000) as f32 / 10.0);
        columns.push(Arc::new(values.collect::<Float32Array>()));
    }
    let indexes: Vec<_> = (0..columns.len()).collect();
    RecordBatch::try_new(Arc::new(table.arrow().project(&indexes).unwrap()), columns).unwrap()
}

/// The generated service with batches in memory; one small batch is encoded beforehand.
struct Stored {
    batches: Vec<RecordBatch>,
    encoded: Option<Vec<FlightData>>,
}

async fn serve_constant(batches: Vec<RecordBatch>) -> Client {
    let encoded = FlightDataEncoderBuilder::new()
        .build(stream::iter(batches.clone()).map(Ok))
        .try_collect::<Vec<_>>();
    let encoded = if batches.len() == 1 { Some(encoded.await.unwrap()) } else { None };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .add_service(FlightServiceServer::new(Stored { batches, encoded }))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    Client::connect(&url).await.unwrap()
}

type Answer<T> = Result<Response<BoxStream<'static, Result<T, Status>>>, Status>;

#[tonic::async_trait]
impl FlightService for Stored {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<ActionResult, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(&self, _: Request<FlightTicket>) -> Answer<FlightData> {
        if let Some(encoded) = &self.encoded {
            return Ok(Response::new(stream::iter(encoded.clone()).map(Ok).boxed()));
        }
        let batches = stream::iter(self.batches.clone()).map(Ok);
        let messages = FlightDataEncoderBuilder::new().build(batches).map_err(Status::from);
        Ok(Response::new(messages.boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<HandshakeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<FlightInfo> {
        Err(Status::unimplemented(""))
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<PutResult> {
        Err(Status::unimplemented(""))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<FlightData> {
        Err(Status::unimplemented(""))
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<ActionResult> {
        Err(Status::unimplemented(""))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<ActionType> {
        Err(Status::unimplemented(""))
    }
}
