//! The takeover: the leader is killed with -9, and a client with three addresses puts again; rows land again.

use std::time::{Duration, Instant};

use arrow::array::AsArray;
use barograph_flight::Client;
use tokio::time::sleep;

use crate::options::Options;
use crate::row;
use crate::server::{Server, number, put, servers, shared};
use crate::table::{Bar, Table, Times};

const HOUR: i64 = 3_600_000_000;
/// Rows land at once, each hour in a file of its own.
const SETTINGS: [&str; 2] = ["engine.lateness=1s", "engine.late_merge_every=200ms"];
/// Batches before the leader is killed.
const BEFORE: i64 = 20;

pub(crate) async fn takeover(options: &Options, table: &mut Table) {
    println!("takeover: the leader is killed with -9, {} times", options.kills);
    let folder = tempfile::tempdir().unwrap();
    let mut servers = servers(folder.path(), &SETTINGS);
    let (mut gaps, mut landings) = (Vec::new(), Vec::new());
    for kill in 0..options.kills {
        // The server that the client asks is by turns the one that dies and another.
        let mut addresses: Vec<_> = servers.iter().map(Server::url).collect();
        addresses.rotate_left(kill % 3);
        let client = Client::connect(&addresses.join(",")).await.unwrap();
        let hour = 2 * kill as i64 * HOUR;
        for at in 0..BEFORE {
            put(&client, row(hour + at)).await;
        }
        let at = leader(&client, &servers).await;
        let killed = Instant::now();
        servers[at].process.kill().unwrap();
        put(&client, row(hour + HOUR)).await;
        gaps.push(killed.elapsed());
        // Nothing of its hour was there before.
        while files(&client, hour + HOUR).await == 0 {
            assert!(killed.elapsed() < Duration::from_secs(60), "nothing lands");
            sleep(Duration::from_millis(20)).await;
        }
        landings.push(killed.elapsed());
        servers[at] = Server::start(folder.path().to_str().unwrap(), &shared(&SETTINGS)).0;
    }
    let (gaps, landings) = (Times::of(gaps), Times::of(landings));
    for (what, times, most) in [
        ("time without an acknowledgement, the leader killed with -9, p99", gaps, 1_000.0),
        ("until rows land again", landings, 5_000.0),
    ] {
        let bar = Bar::AtMost(most);
        table.add(what, times.to_string(), "–".to_owned(), (times.at(0.99), " ms"), bar);
    }
}

/// Files with the rows of the hour that begins so many microseconds after the first.
async fn files(client: &Client, hour: i64) -> i64 {
    let start = (crate::START + hour) / 1_000_000;
    let sql = format!(
        "SELECT count(*) FROM system.files WHERE table_name = 'readings' AND period_start = to_timestamp_seconds({start})"
    );
    number(client, &sql).await
}

/// Which of the servers leads. Entries of those that died stand among the members for a while.
async fn leader(client: &Client, servers: &[Server]) -> usize {
    let text = "SELECT address FROM system.members WHERE role = 'leader'";
    loop {
        let rows = client.sql(text).await.unwrap().collect().await.unwrap();
        let addresses = rows.column(0).as_string::<i32>();
        let leads = |server: &Server| addresses.iter().flatten().any(|it| it == server.address);
        let leaders: Vec<_> = (0..servers.len()).filter(|&at| leads(&servers[at])).collect();
        if let [leader] = leaders[..] {
            return leader;
        }
        sleep(Duration::from_millis(100)).await;
    }
}
