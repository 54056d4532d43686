//! The cost of asking who calls: reads with a token over TLS beside the same without either, refusals beside answers, and scrapes.
//!
//! `cargo bench --workspace --bench access` prints, with servers and clients in one process on loopback,
//! - the latest reading of one key over a kept connection: with a token over TLS, and without;
//! - requests a second of 32 callers at a time: with a token that is known, and with one that is not;
//! - how long a scrape of `/metrics` takes, and its share of a processor at one every five seconds.
//!
//! Both sides of a comparison take turns, round by round. `BAROGRAPH_BENCH_ROUNDS` sets the rounds (default 10).
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barograph_access::tokens::{NewToken, create};
use barograph_access::{Access, AccessSettings};
use barograph_engine::{Clock, Durability, Engine, SystemClock};
use barograph_flight::{Client, ClientTls, FlightSettings, Server, access_by};
use barograph_lake::Key;
use barograph_query::{Sql, SqlSettings};
use barograph_test_support::{Authority, Identity, engine_in, readings_table, temperatures};
use futures::future::join_all;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CITIES: i32 = 15_000;
/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;
const MINUTES: i64 = 30;
const AT_ONCE: usize = 32;
const SCRAPED_EVERY: Duration = Duration::from_secs(5);

fn main() {
    let rounds = std::env::var("BAROGRAPH_BENCH_ROUNDS").map_or(10, |s| s.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let (authority, path) = (Authority::new("authority"), folder.path());
        let identity = authority.sign(path, "server");
        let tls = ClientTls::default().ca(authority.write(&path.join("ca.pem")));
        let (access, token) = guarded(path);
        let plain = serve(&path.join("plain"), None, None).await;
        let guarded = serve(&path.join("guarded"), Some(identity), Some(access)).await;
        let open = Client::connect(&plain).await.unwrap();
        let client = Client::connect_with(&guarded, &tls).await.unwrap();
        let known = client.with_token(&token).unwrap();
        one_caller(&open, &known, rounds).await;
        // As a token is, but not one that was made.
        let unknown = client.with_token(&token.replace(['a', '1'], "0")).unwrap();
        many_callers(&known, &unknown, rounds).await;
        let address = plain.trim_start_matches("http://").to_owned();
        tokio::task::spawn_blocking(move || scrapes(&address, rounds)).await.unwrap();
    });
}

/// Access with a token that may do everything.
fn guarded(folder: &Path) -> (Arc<Access>, String) {
    let path = folder.join("tokens.json");
    let new = NewToken {
        name: "bench".to_owned(),
        roles: vec!["admin".to_owned()],
        ..NewToken::default()
    };
    let (token, _) = create(&path, new, SystemClock.now()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = AccessSettings { tokens: Some(path), ..AccessSettings::default() };
    (access_by(&clock, settings).unwrap(), token)
}

/// A server with readings in its tail, by its URL.
async fn serve(folder: &Path, tls: Option<Identity>, access: Option<Arc<Access>>) -> String {
    std::fs::create_dir_all(folder).unwrap();
    let engine = engine_in(folder).table(readings_table(["temperature"])).open().await.unwrap();
    for minute in 0..MINUTES {
        let at = START + minute * 60_000_000;
        let rows = temperatures((0..CITIES).map(|city| (city, at, city as f32 / 100.0)));
        engine.put("readings", rows, "bench", Durability::Memory).await.unwrap();
    }
    let sql = Sql::new(Arc::clone(&engine), SqlSettings::default()).unwrap();
    let settings = FlightSettings {
        listen: "127.0.0.1:0".to_owned(),
        tls_certificate: tls.as_ref().map(|of| of.certificate.clone()),
        tls_key: tls.map(|of| of.key),
        ..FlightSettings::default()
    };
    let server = Server::bind(Arc::<Engine>::clone(&engine), sql, settings).await.unwrap();
    let server = match access {
        Some(access) => server.with_access(access),
        None => server,
    };
    let url = server.url();
    tokio::spawn(server.serve(std::future::pending()));
    url
}

async fn latest(client: &Client, random: &mut SmallRng) -> bool {
    let key = Key::from(random.random_range(0..CITIES));
    client.latest("readings", Some(&[key]), None).await.is_ok_and(|rows| rows.num_rows() == 1)
}

async fn one_caller(open: &Client, known: &Client, rounds: usize) {
    const QUERIES: usize = 1_000;
    let mut random = SmallRng::seed_from_u64(1);
    let mut ratios = Vec::new();
    let mut all = [Vec::new(), Vec::new()];
    // The first round finds nothing warm.
    for round in 0..=rounds {
        let mut times = [Vec::with_capacity(QUERIES), Vec::with_capacity(QUERIES)];
        for _ in 0..QUERIES {
            for (times, client) in times.iter_mut().zip([known, open]) {
                let begun = Instant::now();
                assert!(latest(client, &mut random).await);
                times.push(begun.elapsed());
            }
        }
        if round > 0 {
            let [known, open] = &mut times;
            ratios.push(median(known).as_secs_f64() / median(open).as_secs_f64());
            all.iter_mut().zip(times).for_each(|(all, mut times)| all.append(&mut times));
        }
    }
    let [known, open] = all.each_mut().map(|times| micros(median(times)));
    println!("latest reading of one key, one caller, µs, median");
    println!("  with a token over TLS {known:8.1}\n  without either        {open:8.1}");
    print_ratios(ratios);
}

async fn many_callers(known: &Client, unknown: &Client, rounds: usize) {
    const REQUESTS: usize = 200;
    let mut rates = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..=rounds {
        let mut both = [0.0; 2];
        for (rate, (client, is_known)) in both.iter_mut().zip([(unknown, false), (known, true)]) {
            let begun = Instant::now();
            join_all((0..AT_ONCE as u64).map(async |caller| {
                let mut random = SmallRng::seed_from_u64(caller);
                for _ in 0..REQUESTS {
                    assert_eq!(latest(client, &mut random).await, is_known);
                }
            }))
            .await;
            *rate = (AT_ONCE * REQUESTS) as f64 / begun.elapsed().as_secs_f64();
        }
        if round > 0 {
            ratios.push(both[0] / both[1]);
            rates.iter_mut().zip(both).for_each(|(rates, rate)| rates.push(rate));
        }
    }
    let [refused, served] = rates.map(|mut rates| middle(&mut rates));
    println!("requests of {AT_ONCE} callers at a time, a second, median");
    println!("  refused, as the token is not known {refused:10.0}\n  served {served:38.0}");
    print_ratios(ratios);
}

fn scrapes(address: &str, rounds: usize) {
    let mut times = Vec::new();
    let mut bytes = 0;
    for round in 0..=rounds * 10 {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("barograph_put_rows_total"));
        bytes = answer.len();
        if round > 0 {
            times.push(begun.elapsed());
        }
    }
    let time = median(&mut times);
    let share = time.as_secs_f64() / SCRAPED_EVERY.as_secs_f64();
    println!("a scrape of /metrics, {bytes} bytes, median");
    println!("  {:8.1} µs, {:.3} % of {SCRAPED_EVERY:?}", micros(time), share * 100.0);
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn print_ratios(mut ratios: Vec<f64>) {
    let middle = middle(&mut ratios);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    println!("  ratio {middle:.2} ({least:.2} to {most:.2})");
}
