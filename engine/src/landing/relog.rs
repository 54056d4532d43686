//! The release of log space that a few rows hold back: those that stay in the tail for long, such as rows far ahead
//! of time or rows that cannot land, keep every later record, landed or not. They are written to the log again, at
//! its end, and the space before is given back.
//!
//! ```text
//! log   │ a │ landed │ b │ landed │ landed │ landed │ c │         a, b, c: first rows of hours in the tail
//!        └──────────── given back ────────────────┘      └► a' │ b' │
//! ```
//!
//! Of a log that others share they land in place of it.
//!
//! A crash at any point is harmless: a replay that finds both a row and its repetition gives the same table, as the
//! repetition holds the row as it was then, with the instant at which it came.

use std::sync::Arc;

use barograph_lake::{Hour, Key, KeySelection, LogPosition};
use tokio::sync::oneshot;

use super::land::land_hours;
use super::{LanderParts, stopped};
use crate::Result;
use crate::table::Table;
use crate::tail::HourView;
use crate::writer::Relog;

/// Bytes given back for each byte written again, at least.
const GAIN: u64 = 4;
/// Bytes of the tail whose rows are written at a time: what a put may have to wait for.
const BYTES_AT_ONCE: usize = 2 << 20;

/// What is known of an hour's rows in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// None of them stands before.
    first: LogPosition,
    /// What writing them again takes, about.
    bytes: u64,
}

/// Writes rows again that hold back much of the log.
pub(super) async fn relog(parts: &LanderParts) -> Result<()> {
    let least = parts.settings.log.segment_bytes.get() as u64;
    if parts.gauge.bytes() < least {
        return Ok(());
    }
    let mut hours: Vec<(&Arc<Table>, Hour, Held)> = Vec::new();
    for table in &parts.tables {
        let view = table.view.load();
        hours.extend(view.tail.hours().iter().map(|hour| {
            let held = Held { first: hour.first(), bytes: hour.bytes() as u64 };
            (table, hour.hour(), held)
        }));
    }
    hours.sort_by_key(|(_, _, held)| held.first);
    let held: Vec<Held> = hours.iter().map(|(_, _, held)| *held).collect();
    let count = prefix(&held, parts.gauge.end(), least);
    let mut bytes = 0;
    for (table, hour, held) in hours.iter().take(count) {
        let view = table.view.load_full();
        let Some(shown) = view.tail.hour(*hour) else { continue };
        match parts.gauge.is_shared() {
            // Written again, they would come back in a process where they were deleted meanwhile.
            true => drop(land_hours(parts, table, &[*hour]).await?),
            false => again(parts, table, shown).await?,
        }
        bytes += held.bytes;
    }
    if count > 0 {
        tracing::debug!(hours = count, bytes, "rewrote rows that held back space of the log");
    }
    Ok(())
}

/// How many hours to write again, in the order of their first positions, so that most is won; 0 if not enough is.
fn prefix(held: &[Held], end: LogPosition, least: u64) -> usize {
    let Some(floor) = held.first().map(|held| held.first.get()) else { return 0 };
    let mut cost = 0u64;
    let mut best = (0u64, 0);
    for (at, one) in held.iter().enumerate() {
        cost = cost.saturating_add(one.bytes.saturating_mul(GAIN));
        let then = held.get(at + 1).map_or(end.get(), |next| next.first.get());
        let given_back = then.saturating_sub(floor);
        let won = given_back.saturating_sub(cost);
        if given_back >= least && won > best.0 {
            best = (won, at + 1);
        }
    }
    best.1
}

/// Writes the rows of an hour again, some keys at a time.
async fn again(parts: &LanderParts, table: &Arc<Table>, hour: &HourView) -> Result<()> {
    let pieces = pieces(hour);
    let count = pieces.len();
    let mut first = None;
    for (at, keys) in pieces.into_iter().enumerate() {
        if parts.is_stopping() {
            return Err(stopped());
        }
        let (reply, written) = oneshot::channel();
        let (table, hour) = (Arc::clone(table), hour.hour());
        parts.writer.relog(Relog { table, hour, keys, first, last: at + 1 == count, reply })?;
        first = match written.await {
            Ok(position) => Some(position?),
            Err(_) => return Err(parts.writer.status().gone().await),
        };
    }
    Ok(())
}

/// Ranges that hold every key there is, each with few rows of the hour.
fn pieces(hour: &HourView) -> Vec<KeySelection> {
    let row = (hour.bytes() as u64 / hour.rows().max(1)).max(1);
    let most = (BYTES_AT_ONCE as u64 / row).max(1);
    let (mut pieces, mut from, mut rows) = (Vec::new(), Key::MIN, 0);
    for (key, count) in hour.key_counts() {
        if rows > 0 && rows + u64::from(count) > most {
            pieces.push(KeySelection::Range { from, to: key.previous() });
            (from, rows) = (key, 0);
        }
        rows += u64::from(count);
    }
    pieces.push(KeySelection::Range { from, to: Key::MAX });
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use proptest::prelude::*;

    use super::*;

    fn held(list: &[(u64, u64)]) -> Vec<Held> {
        list.iter().map(|&(first, bytes)| Held { first: LogPosition::new(first), bytes }).collect()
    }

    #[test]
    fn few_rows_before_much_that_has_landed_are_written_again() {
        let end = LogPosition::new(1_000);
        assert_eq!(prefix(&held(&[(0, 10)]), end, 500), 1);
        assert_eq!(prefix(&held(&[(0, 10)]), end, 2_000), 0, "too little is given back");
        assert_eq!(prefix(&held(&[(0, 250)]), end, 500), 0, "it costs too much");
        assert_eq!(prefix(&held(&[(0, 10), (5, 10), (900, 90)]), end, 500), 2);
        assert_eq!(prefix(&[], end, 0), 0);
    }

    proptest! {
        #[test]
        fn nothing_else_would_win_more(
            list in prop::collection::vec((0u64..1_000, 0u64..100), 0..12),
            least in 1u64..600,
        ) {
            let mut list = list;
            list.sort_unstable();
            let count = prefix(&held(&list), LogPosition::new(1_000), least);
            let won = |count: usize| {
                let then = list.get(count).map_or(1_000, |next| next.0) as i64;
                let given_back = then - list[0].0 as i64;
                let cost = list.iter().take(count).map(|one| one.1 * GAIN).sum::<u64>() as i64;
                (given_back >= least as i64).then_some(given_back - cost)
            };
            let most = (1..=list.len()).filter_map(won).max().filter(|&most| most > 0);
            prop_assert_eq!(most, (count > 0).then(|| won(count).unwrap()));
        }
    }
}
