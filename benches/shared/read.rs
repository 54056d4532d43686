//! Reads: by one server and by three, after a start over a store as slow as S3, with nothing cached; and the demonstration.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use barograph::Cities;
use barograph_flight::ticket::RangeRead;
use barograph_flight::{Client, Ticket};
use barograph_lake::Key;
use barograph_test_support::store_proxy::{Delay, Faults, StoreProxy};

use crate::options::Options;
use crate::server::{Server, command, instants, number, put, rows, servers, shared};
use crate::store::{Kind, Store};
use crate::table::{Bar, Table, Times, spread};

/// Questions at the same time.
const ASKING: usize = 16;
/// What a request takes over which a cold query is asked.
const REQUEST: Duration = Duration::from_millis(50);
/// Questions whose median is the time of a warm one.
const WARM: usize = 51;
/// Nothing lands by itself.
const UNLANDED: [&str; 2] = ["engine.lateness=4000d", "engine.late_merge_every=4000d"];

pub(crate) async fn latest(options: &Options, minutes: &Arc<Vec<RecordBatch>>, table: &mut Table) {
    println!("latest: {ASKING} questions at a time, at one server and at three");
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let alone = Server::start(folders[0].path().to_str().unwrap(), &shared(&UNLANDED)).0;
    let three = servers(folders[1].path(), &UNLANDED);
    let keys: Vec<Key> =
        Cities::built_in().unwrap().all().iter().map(|city| Key::from(city.id)).collect();
    for to in [&alone, &three[0]] {
        let client = to.client().await;
        let mut position = None;
        for minute in &minutes[..options.minutes] {
            position = Some(put(&client, minute.clone()).await.1.position);
        }
        for server in three.iter().filter(|_| to.address != alone.address) {
            let last = &minutes[options.minutes - 1];
            let ticket = Ticket::latest("readings", None).after(position.unwrap());
            let all = rows(&server.client().await, &ticket).await;
            let newest = instants(last).value(0);
            let is_right = instants(&all).values().iter().all(|&instant| instant == newest);
            assert!(all.num_rows() == last.num_rows() && is_right, "a server answers wrongly");
        }
    }
    let (mut one_rates, mut three_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let mut rates = [0.0; 2];
        for at in [round % 2, 1 - round % 2] {
            let servers = if at == 0 { std::slice::from_ref(&alone) } else { &three[..] };
            rates[at] = answers(servers, &keys, options.length).await;
        }
        println!("  round {round}: one {:.0} answers/s, three {:.0}", rates[0], rates[1]);
        one_rates.push(rates[0]);
        three_rates.push(rates[1]);
        ratios.push(rates[1] / rates[0]);
    }
    let ([one, ..], [three, ..]) = (spread(one_rates), spread(three_rates));
    let [ratio, least, most] = spread(ratios);
    table.add(
        "latest of a city, three servers on the processors of one",
        format!("{three:.0} answers/s"),
        format!("{one:.0} answers/s: one server; ratios {least:.2} … {most:.2}"),
        (ratio, " ×"),
        Bar::AtLeast(1.0),
    );
}

/// Answers a second of servers that are asked for the newest readings of cities.
async fn answers(servers: &[Server], keys: &[Key], length: Duration) -> f64 {
    let begun = Instant::now();
    let mut asking = Vec::new();
    for number in 0..ASKING {
        let client = servers[number % servers.len()].client().await;
        let keys: Vec<Key> = keys.iter().skip(number).step_by(ASKING).cloned().collect();
        asking.push(tokio::spawn(async move {
            let mut answers = 0_u32;
            for key in keys.into_iter().cycle() {
                if begun.elapsed() >= length {
                    break;
                }
                let ticket = Ticket::latest("readings", Some(vec![key]));
                assert_eq!(rows(&client, &ticket).await.num_rows(), 1);
                answers += 1;
            }
            answers
        }));
    }
    let mut answers = 0;
    for asks in asking {
        answers += asks.await.unwrap();
    }
    f64::from(answers) / begun.elapsed().as_secs_f64()
}

pub(crate) async fn restart(options: &Options, minutes: &[RecordBatch], table: &mut Table) {
    let store = Store::start(options.store.as_ref());
    let minutes = &minutes[..options.minutes];
    let count: usize = minutes.iter().map(RecordBatch::num_rows).sum();
    println!("restart: over {} batches, {count} rows, in {}", minutes.len(), store.name);
    let proxy = store.as_slow_as_s3(1);
    let data = format!("s3://lake/restart-{}", std::process::id());
    let settings = [shared(&UNLANDED), store.settings(proxy.address())].concat();
    let server = Server::start(&data, &settings).0;
    let client = server.client().await;
    for batch in minutes {
        put(&client, batch.clone()).await;
    }
    drop(server);
    let mut times = Vec::new();
    for _ in 0..options.rounds {
        let started = Instant::now();
        let server = Server::start(&data, &settings).0;
        let client = server.client().await;
        let counted = number(&client, "SELECT count(*) FROM readings").await;
        times.push(started.elapsed());
        assert_eq!(counted as usize, count);
    }
    let times = Times::of(times);
    let what = format!("start over {count} rows in the log, in {} as slow as S3", store.name);
    let worst = times.at(1.0) / 1e3;
    table.add(&what, times.to_string(), "–".to_owned(), (worst, " s"), Bar::AtMost(5.0));
}

pub(crate) async fn cold(options: &Options, table: &mut Table) {
    let store = Store::start(options.store.as_ref());
    let (hours, cities) = (options.hours, options.cities);
    println!(
        "cold: {hours} hours of one of {cities} cities, {REQUEST:?} a request, over {}",
        store.name
    );
    let delay = Delay { p50: REQUEST, p99: REQUEST };
    let faults = Faults { put_delay: delay, delay, ..Faults::default() };
    let proxy = StoreProxy::start(store.address, 1, faults);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let log = format!("log_folder={}", log.display());
    let data = format!("s3://lake/cold-{}", std::process::id());
    let local = folder.path().join("data");
    let local = local.to_str().unwrap();
    fill(options, &data, &[store.settings(store.address), vec![log.clone()]].concat());
    fill(options, local, &[]);
    let mut first = Vec::new();
    let [mut trips, mut requests, mut ratios] = [const { Vec::new() }; 3];
    for round in 0..options.rounds {
        let settings = [store.settings(proxy.address()), vec![log.clone()]].concat();
        let far = Server::start(&data, &settings).0;
        let near = Server::start(local, &[]).0;
        let clients = [far.client().await, near.client().await];
        let before = proxy.counts().requests;
        let taken = day(&clients[0], round).await;
        requests.push((proxy.counts().requests - before) as f64);
        trips.push(taken.as_secs_f64() / REQUEST.as_secs_f64());
        first.push(taken);
        day(&clients[1], round).await;
        let mut warm = [Vec::new(), Vec::new()];
        for at in (0..2 * WARM).map(|number| number % 2) {
            warm[at].push(day(&clients[at], round).await);
        }
        let [far, near] = warm.map(|times| Times::of(times).at(0.5));
        println!("  round {round}: {taken:?}; again {far:.2} ms, {near:.2} ms in a folder");
        ratios.push(far / near);
    }
    let ([trips, ..], [requests, ..]) = (spread(trips), spread(requests));
    let what =
        format!("{hours} hours of a city, nothing cached, 50 ms a request: time in round trips");
    let limit = format!("{requests:.0} requests to {}", store.name);
    table.add(&what, Times::of(first).to_string(), limit, (trips, " trips"), Bar::AtMost(5.0));
    let [ratio, least, most] = spread(ratios);
    let limit = "a folder".to_owned();
    let figure = format!("ratios {least:.2} … {most:.2}");
    table.add("the same once more", figure, limit, (ratio, " ×"), Bar::AtMost(1.5));
}

/// Asks for all readings of a city, another one each round.
async fn day(client: &Client, round: usize) -> Duration {
    let key = Key::from(Cities::built_in().unwrap().all()[round * 7].id);
    let range = RangeRead { keys: Some(vec![key]), ..RangeRead::default() };
    let ticket = Ticket::range("readings", range).columns(["temperature"]);
    let asked = Instant::now();
    assert!(rows(client, &ticket).await.num_rows() > 100);
    asked.elapsed()
}

pub(crate) fn demo(options: &Options, table: &mut Table) {
    let store = Store::start(Some(&Kind::Ministack));
    println!("demo: {} hours of {} cities", options.hours, options.cities);
    let (mut far, mut near, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let folder = tempfile::tempdir().unwrap();
        let mut times = [0.0; 2];
        for at in [round % 2, 1 - round % 2] {
            let begun = Instant::now();
            if at == 0 {
                let data = format!("s3://lake/demo-{}-{round}", std::process::id());
                let log = format!("log_folder={}", folder.path().join("log").display());
                fill(options, &data, &[store.settings(store.address), vec![log]].concat());
            } else {
                fill(options, folder.path().join("data").to_str().unwrap(), &[]);
            }
            times[at] = begun.elapsed().as_secs_f64();
        }
        println!("  round {round}: {:.1} s, {:.1} s in a folder", times[0], times[1]);
        far.push(times[0]);
        near.push(times[1]);
        ratios.push(times[0] / times[1]);
    }
    let ([far, ..], [near, ..], [ratio, least, most]) = (spread(far), spread(near), spread(ratios));
    let (hours, cities) = (options.hours, options.cities);
    table.add(
        &format!("demo --once of {hours} hours of {cities} cities on ministack"),
        format!("{far:.1} s"),
        format!("{near:.1} s: a folder; ratios {least:.2} … {most:.2}"),
        (ratio, " ×"),
        Bar::AtMost(3.0),
    );
}

/// Has the demonstration fill a lake, check all answers, and end.
fn fill(options: &Options, data: &str, settings: &[String]) {
    let done = command()
        .args(["demo", "--once", "--listen", "127.0.0.1:0", "--data", data])
        .args(["--hours", &options.hours.to_string(), "--cities", &options.cities.to_string()])
        .args(["--set", "store.cache_bytes=0B"])
        .args(settings.iter().flat_map(|setting| ["--set", setting]))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
