//! The tour of the demonstration: figures measured through a client, and lines to try.
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

use std::time::{Duration, Instant};

use barograph_engine::Aggregate;
use barograph_flight::ticket::{RangeRead, Windows};
use barograph_flight::{Client, Ticket};
use barograph_lake::{Key, Span, TimeRange};
use futures::TryStreamExt;

use super::fill::Filled;
use crate::Result;
use crate::cities::City;
use crate::figures::{bytes, duration, grouped, rate};
use crate::output::say;
use crate::settings::Settings;
use crate::settings::tables::READINGS;

/// Bytes that a reading takes as a line of text (JSON or CSV with times in full).
const TEXT_BYTES: f64 = 100.0;
/// How often the short queries are asked; their median counts.
const REPEATS: usize = 101;

/// Asks the server and prints how long it takes.
pub(crate) async fn queries(client: &Client, city: &City, day: TimeRange) -> Result<()> {
    let (name, key) = (&city.name, Key::from(city.id));
    let latest = Ticket::latest(READINGS, Some(vec![key]));
    let (took, _) = median(client, &latest, REPEATS).await?;
    say("\nAnswers over Arrow Flight, one client, median:")?;
    say(format_args!("  latest of {name:<34} {:>9}", duration(took)))?;
    let range = RangeRead {
        keys: Some(vec![key]),
        from: Some(day.from),
        to: Some(day.to),
        ..RangeRead::default()
    };
    let (took, rows) = median(client, &Ticket::range(READINGS, range), REPEATS).await?;
    let what = format!("24 h of {name} ({} rows)", grouped(rows));
    say(format_args!("  {what:<44} {:>9}", duration(took)))?;
    let (took, rows) = median(client, &hourly_means(day), 3).await?;
    let what = format!("hourly means of all cities ({} rows)", grouped(rows));
    say(format_args!("  {what:<44} {:>9}", duration(took)))
}

fn hourly_means(time: TimeRange) -> Ticket {
    let windows = Windows {
        every: Span::seconds(3_600),
        aggregates: vec![("temperature".to_owned(), vec![Aggregate::Mean])],
    };
    let (from, to) = (Some(time.from), Some(time.to));
    Ticket::range(READINGS, RangeRead { from, to, windows: Some(windows), ..RangeRead::default() })
}

async fn median(client: &Client, ticket: &Ticket, repeats: usize) -> Result<(Duration, u64)> {
    let mut times = Vec::with_capacity(repeats);
    let mut rows = 0;
    for _ in 0..repeats {
        let started = Instant::now();
        let mut answer = client.get(ticket).await?;
        rows = 0;
        while let Some(batch) = answer.try_next().await? {
            rows += batch.num_rows() as u64;
        }
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok((times.get(repeats / 2).copied().unwrap_or_default(), rows))
}

/// Prints the figures of a filling.
pub(crate) fn filled(filled: &Filled, landing: Duration) -> Result<()> {
    if filled.sent == 0 {
        return say("Nothing to fill: the data reaches to this minute.");
    }
    say(format_args!(
        "Filled {} readings in {}, {} rows/s, each batch durable on disk before it counts.",
        grouped(filled.sent),
        duration(filled.took),
        grouped(rate(filled.sent, filled.took)),
    ))?;
    say(format_args!(
        "  {} accepted (late and repeated ones among them), {} implausible ones to dead_letters",
        grouped(filled.accepted),
        grouped(filled.rejected)
    ))?;
    say(format_args!("  closed hours landed {} later", duration(landing)))
}

/// Prints the figures of the lake.
pub(crate) fn lake(files: usize, rows: u64, size: u64, tail_rows: u64) -> Result<()> {
    let each = size as f64 / rows.max(1) as f64;
    say(format_args!(
        "\nThe lake: {} hourly Parquet files, {} rows, {}: {each:.2} bytes a row, {:.0} times smaller than as text ({TEXT_BYTES:.0} bytes).",
        grouped(files as u64),
        grouped(rows),
        bytes(size),
        TEXT_BYTES / each.max(0.01)
    ))?;
    say(format_args!("The tail: {} rows of hours that are still open.", grouped(tail_rows)))
}

/// Prints lines to copy into a shell.
pub(crate) fn try_it(endpoint: &str, default: &Settings, settings: &Settings) -> Result<()> {
    // Started by cargo, the binary is in nobody's path.
    let program = match std::env::var_os("CARGO") {
        Some(_) => "cargo run --release --".to_owned(),
        None => std::env::args().next().unwrap_or_else(|| "barograph".to_owned()),
    };
    let data = &settings.data;
    let mut at = match endpoint == default.endpoint {
        true => String::new(),
        false => format!(" --endpoint {endpoint}"),
    };
    let grpc = endpoint.replacen("https", "grpc+tls", 1).replacen("http", "grpc", 1);
    let mut connect = format!("'{grpc}'");
    if let Some(ca) = &settings.endpoint_ca {
        let ca = ca.display();
        at.push_str(&format!(" --ca {ca}"));
        connect.push_str(&format!(", tls_root_certs=open('{ca}', 'rb').read()"));
    }
    let data_flag = if *data == default.data { String::new() } else { format!(" --data {data}") };
    say(format_args!(
        "\n\
Try it from another shell, in the same folder:

  {program} latest Paris Tokyo{at}
  {program} range Paris --from -24h --every 1h --agg mean,max --columns temperature{at}
  {program} range --all --from -1h --filter 'temperature > 30' --limit 10{at}
  {program} range --all --table dead_letters --columns reason,row{at}
  {program} lake files --table readings{data_flag}

and from Python (pip install pyarrow):

python3 - <<'END'
import json, pyarrow.flight as flight
client = flight.connect({connect})
ticket = {{'v': 1, 'table': 'readings', 'latest': {{'keys': [2988507, 1850147]}}}}
print(client.do_get(flight.Ticket(json.dumps(ticket))).read_all())
END
"
    ))
}
