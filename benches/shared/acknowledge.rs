//! Acknowledgements: over a store as slow as S3, in a folder, and until another server shows what was acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int32Type;
use barograph_flight::{Client, Ticket};
use barograph_lake::{Key, Span};
use barograph_test_support::later;
use object_store::{ObjectStoreExt, PutPayload};
use tokio::time::{interval, sleep};

use crate::options::Options;
use crate::row;
use crate::server::{SERVERS, Server, instants, put, rows, servers, shared};
use crate::store::Store;
use crate::table::{Bar, Table, Times, spread};

const WRITERS: usize = 4;
/// Batches a second at each server.
const EVERY: Duration = Duration::from_millis(250);
/// Batches at each server that are not counted: connections are made, and one server takes the lead.
const WARM_UP: usize = 8;

pub(crate) async fn ack(options: &Options, minutes: &Arc<Vec<RecordBatch>>, table: &mut Table) {
    let store = Store::start(options.store.as_ref());
    println!("ack: {SERVERS} servers, 4 batches of 15,000 a second each, over {}", store.name);
    let data = format!("s3://lake/ack-{}", std::process::id());
    let proxies: Vec<_> = (0..SERVERS as u64).map(|seed| store.as_slow_as_s3(seed)).collect();
    let start = |address| Server::start(&data, &[shared(&[]), store.settings(address)].concat()).0;
    let servers: Vec<_> = proxies.iter().map(|proxy| start(proxy.address())).collect();
    let raws = format!("s3://lake/raw-{}", std::process::id());
    let mut tasks = Vec::new();
    let begun = Instant::now();
    let length = options.length * options.rounds as u32;
    for (server, proxy) in servers.iter().zip(&proxies) {
        let (client, minutes) = (server.client().await, Arc::clone(minutes));
        let (raw, address) = (store.raw(proxy.address(), &raws), server.address.replace(':', "-"));
        tasks.push(tokio::spawn(async move {
            let (mut times, mut limits) = (Vec::new(), Vec::new());
            let mut ticks = interval(EVERY);
            let body = body(&minutes[0]);
            for (number, minute) in minutes.iter().cycle().enumerate() {
                if begun.elapsed() >= length && times.len() > WARM_UP {
                    break;
                }
                ticks.tick().await;
                times.push(put(&client, minute.clone()).await.0);
                let path = format!("{address}/{number}").into();
                let sent = Instant::now();
                raw.object().put(&path, PutPayload::from(body.clone())).await.unwrap();
                limits.push(sent.elapsed());
            }
            (times.split_off(WARM_UP), limits.split_off(WARM_UP))
        }));
    }
    let (mut times, mut limits) = (Vec::new(), Vec::new());
    for task in tasks {
        let (acknowledged, limit) = task.await.unwrap();
        times.extend(acknowledged);
        limits.extend(limit);
    }
    let (times, limits) = (Times::of(times), Times::of(limits));
    println!("  acknowledgements: {times}\n  PUTs of as many bytes: {limits}");
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let what = format!("acknowledgement over {} as slow as S3, {name}", store.name);
        let [ours, limit] = [&times, &limits].map(|times| times.at(share));
        let figures = [format!("{ours:.1} ms"), format!("{limit:.1} ms: one PUT")];
        let [figure, limit_text] = figures;
        table.add(&what, figure, limit_text, (ours / limit, " ×"), Bar::AtMost(3.0));
    }
}

/// What a batch takes in the log.
fn body(batch: &RecordBatch) -> Vec<u8> {
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

pub(crate) async fn folder(options: &Options, minutes: &Arc<Vec<RecordBatch>>, table: &mut Table) {
    println!("folder: {WRITERS} writers over Flight, batches of {}", minutes[0].num_rows());
    let (mut ours, mut local, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut rates = [0.0; 2];
        // By turns, which of them is first.
        for at in [round % 2, 1 - round % 2] {
            let folder = tempfile::tempdir().unwrap();
            let settings = if at == 0 { shared(&[]) } else { Vec::new() };
            rates[at] = rate(folder.path(), &settings, minutes, options.length).await;
        }
        println!("  round {round}: shared {:.0} rows/s, local {:.0}", rates[0], rates[1]);
        ours.push(rates[0]);
        local.push(rates[1]);
        ratios.push(rates[0] / rates[1]);
    }
    let ([ours, least, most], [local, ..]) = (spread(ours), spread(local));
    let figure = format!("{ours:.0} rows/s ({least:.0} … {most:.0})");
    let what = "rows acknowledged through the shared log in a folder, 4 writers";
    table.add(what, figure.clone(), "–".to_owned(), (ours, " rows/s"), Bar::AtLeast(1e6));
    let [ratio, least, most] = spread(ratios);
    let limit = format!("{local:.0} rows/s: local log; ratios {least:.2} … {most:.2}");
    table.add("the same, beside the local log", figure, limit, (ratio, " ×"), Bar::AtLeast(0.5));
}

/// Rows a second that a server acknowledges.
async fn rate(
    folder: &Path,
    settings: &[String],
    minutes: &Arc<Vec<RecordBatch>>,
    length: Duration,
) -> f64 {
    let (server, _) = Server::start(folder.to_str().unwrap(), settings);
    let begun = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (url, minutes) = (server.url(), Arc::clone(minutes));
            tokio::spawn(async move {
                let client = Client::connect(&url).await.unwrap();
                let mut rows = 0;
                for number in (writer..).step_by(WRITERS) {
                    if begun.elapsed() >= length {
                        break;
                    }
                    let batch = later(&minutes[number % 60], Span::HOUR * (number / 60) as i64);
                    rows += batch.num_rows();
                    put(&client, batch).await;
                }
                rows
            })
        })
        .collect();
    let mut rows = 0;
    for writer in writers {
        rows += writer.await.unwrap();
    }
    rows as f64 / begun.elapsed().as_secs_f64()
}

pub(crate) async fn seen(options: &Options, minutes: &[RecordBatch], table: &mut Table) {
    println!("seen: a batch of {} put at one server, read at another", minutes[0].num_rows());
    let folder = tempfile::tempdir().unwrap();
    let servers = servers(folder.path(), &[]);
    let [first, second, third] = [0, 1, 2].map(|at| servers[at].client());
    let (first, second, third) = (first.await, second.await, third.await);
    // It leads, and the others have time to ask it for what it appends.
    put(&first, row(0)).await;
    sleep(Duration::from_secs(2)).await;
    let mut batches = (0..)
        .map(|hour| Span::HOUR * hour)
        .flat_map(|hour| minutes.iter().map(move |minute| later(minute, hour)));
    for (name, here, there) in [
        ("put at the leader", &first, &second),
        ("put at a follower, which forwards it", &second, &third),
    ] {
        let (mut acknowledged, mut shown, mut asked_for) = (Vec::new(), Vec::new(), Vec::new());
        for (number, batch) in batches.by_ref().take(options.seen).enumerate() {
            let (key, instant) = newest(&batch);
            let (taken, ack) = put(here, batch).await;
            acknowledged.push(taken);
            let asked = Instant::now();
            let key = Some(vec![Key::from(key)]);
            let ticket = Ticket::latest("readings", key).columns(["temperature"]);
            // By turns: whether it is there is asked until it is, or the answer is to show it.
            let (ticket, times) = match number % 2 {
                0 => (ticket, &mut shown),
                _ => (ticket.after(ack.position), &mut asked_for),
            };
            loop {
                let rows = rows(there, &ticket).await;
                if rows.num_rows() > 0 && instants(&rows).value(0) >= instant {
                    break;
                }
                assert!(number % 2 == 0, "an answer after a position does not show it");
                // The servers have the same processors.
                sleep(Duration::from_millis(1)).await;
            }
            times.push(asked.elapsed());
        }
        let [acknowledged, shown, asked_for] = [acknowledged, shown, asked_for].map(Times::of);
        println!(
            "  {name}: acknowledged {acknowledged}\n    shown after it {shown}\n    by its position {asked_for}"
        );
        for (how, times) in [("seen", &shown), ("seen by its position", &asked_for)] {
            let what = format!("{how} at another server, {name}, p99 after its acknowledgement");
            let limit = format!("acknowledgement: {acknowledged}");
            table.add(&what, times.to_string(), limit, (times.at(0.99), " ms"), Bar::AtMost(50.0));
        }
    }
}

/// The first key of a batch with its instant, the same for all.
fn newest(batch: &RecordBatch) -> (i32, i64) {
    let keys = batch.column(0).as_primitive::<Int32Type>();
    (keys.value(0), instants(batch).value(0))
}
