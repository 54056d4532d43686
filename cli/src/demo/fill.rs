//! The filling of many minutes: readings go through the engine's one way in, at durability `disk`, four minutes at a
//! time, in order of time.
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use barograph_engine::{Durability, Engine, ErrorKind, retry};
use barograph_lake::TimeRange;
use futures::{StreamExt, TryStreamExt, stream};

use super::feed::{Feed, MINUTE};
use super::state::{Gap, State};
use super::weather::Weather;
use crate::Result;
use crate::progress::Progress;
use crate::settings::tables::READINGS;

/// Minutes on their way at one time.
const IN_FLIGHT: usize = 4;
/// Minutes after which the state is written.
const STATE_EVERY: u64 = 30;
/// Where the readings come from, as dead letters name it.
const SOURCE: &str = "demo";

/// The figures of a filling.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filled {
    /// Readings sent, repeated ones included.
    pub sent: u64,
    /// Of those, accepted.
    pub accepted: u64,
    /// Of those, sent to the dead letters.
    pub rejected: u64,
    /// Time it took.
    pub took: Duration,
}

/// Fills the gaps. Everything late is delivered at a gap's end, so that nothing of it is missing.
pub(crate) async fn fill(
    engine: &Arc<Engine>,
    weather: &Arc<Weather>,
    gaps: &[Gap],
    state: &mut State,
) -> Result<Filled> {
    let started = Instant::now();
    let minutes = gaps.iter().map(|gap| minutes_of(gap.range)).sum::<i64>();
    let total = minutes.unsigned_abs() * weather.stations() as u64;
    let mut progress = Progress::new("filling", "readings", total);
    let mut filled = Filled::default();
    for gap in gaps {
        let mut feed = Feed::new(Arc::clone(weather), gap.first);
        let minutes = (0..minutes_of(gap.range)).map(|minute| gap.range.from + minute * MINUTE);
        let mut puts = stream::iter(minutes.map(|minute| feed.arrival(minute)))
            .map(|arrival| async move {
                let arrival = arrival?;
                let batches = std::iter::once(arrival.prompt).chain(arrival.others);
                put_all(engine, batches.collect()).await
            })
            .buffered(IN_FLIGHT);
        let mut done = 0;
        while let Some(put) = puts.next().await {
            filled.add(put?);
            done += 1;
            progress.set(filled.sent);
            if done % STATE_EVERY == 0 {
                let to = gap.range.from + done as i64 * MINUTE;
                state.fill(TimeRange { from: gap.range.from, to })?;
            }
        }
        drop(puts);
        filled.add(put_all(engine, feed.pending(gap.range.to)?).await?);
        state.fill(gap.range)?;
    }
    progress.finish();
    filled.took = started.elapsed();
    Ok(filled)
}

fn minutes_of(range: TimeRange) -> i64 {
    range.to.since(range.from).micros() / MINUTE.micros()
}

/// Puts batches beside each other.
pub(crate) async fn put_all(engine: &Arc<Engine>, batches: Vec<RecordBatch>) -> Result<Filled> {
    let puts = stream::iter(batches).map(|batch| put(engine, batch)).buffer_unordered(IN_FLIGHT);
    puts.try_fold(Filled::default(), |mut sum, put| {
        sum.add(put);
        std::future::ready(Ok(sum))
    })
    .await
}

async fn put(engine: &Arc<Engine>, batch: RecordBatch) -> Result<Filled> {
    let sent = batch.num_rows() as u64;
    loop {
        match engine.put(READINGS, batch.clone(), SOURCE, Durability::Disk).await {
            Ok(ack) => {
                let (accepted, rejected) = (ack.accepted, ack.rejected);
                return Ok(Filled { sent, accepted, rejected, took: Duration::ZERO });
            }
            Err(e) if e.kind() == ErrorKind::Resources => {
                tokio::time::sleep(retry::wait(e.retry_after())).await;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

impl Filled {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
    }
}
