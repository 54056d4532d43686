//! The feed of readings, in the order in which they arrive. Most come in the minute they were measured in; a few
//! stations deliver late, some twice, and now and then one measures nonsense.
//!
//! ```text
//! measured  10:00 … 10:59          11:00 …                     13:30
//! prompt    10:00 … 10:59
//! repeated  10:00 … 10:59, and each once more a minute later
//! late                             (not there)                 the whole hour 10 in one batch
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Float32Array, RecordBatch};
use arrow::compute::concat_batches;
use barograph_lake::{Hour, Span, TimeRange, Timestamp};

use super::weather::{Delivery, Stations, Weather};
use crate::Result;

/// A minute.
pub(crate) const MINUTE: Span = Span::MINUTE;
/// Minute of the hour in which late hours arrive.
const LATE_ARRIVES: Span = Span::seconds(30 * 60);
/// Minute of the hour in which the nonsense is measured, half a minute after the proper reading.
const NONSENSE_AT: Span = Span::seconds(40 * 60 + 30);
/// What a broken thermometer says, °C.
const NONSENSE: f32 = 999.9;
/// Longest time a late hour takes.
const HOURS_LATE: u8 = 3;
/// Hours kept prepared: the current one, the one before (for repeats) and the late ones.
const PREPARED: usize = 2 + HOURS_LATE as usize;

/// The arrivals of one minute.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Readings of this minute.
    pub prompt: RecordBatch,
    /// Repeated, late and nonsensical readings.
    pub others: Vec<RecordBatch>,
}

/// Numbers of readings that a range of minutes delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// Different plausible readings: rows of the table.
    pub rows: u64,
    /// Nonsense: rows of `dead_letters`.
    pub rejected: u64,
}

/// The deliveries of the weather's stations from a first minute on.
#[derive(Debug)]
pub(crate) struct Feed {
    weather: Arc<Weather>,
    first: Timestamp,
    prepared: VecDeque<Arc<Prepared>>,
}

#[derive(Debug)]
struct Prepared {
    hour: Hour,
    prompt: Stations,
    repeated: Stations,
    late: [Stations; HOURS_LATE as usize],
    broken: Stations,
}

impl Feed {
    /// The deliveries of `weather` from `first`, a whole minute, on: nothing measured before comes.
    pub(crate) fn new(weather: Arc<Weather>, first: Timestamp) -> Self {
        Self { weather, first, prepared: VecDeque::new() }
    }

    /// The arrivals of the minute that begins at `minute`.
    pub(crate) fn arrival(&mut self, minute: Timestamp) -> Result<Arrival> {
        let now = self.prepared(hour_of(minute)?)?;
        let mut others = Vec::new();
        let before = minute - MINUTE;
        if before >= self.first {
            let hour = self.prepared(hour_of(before)?)?;
            if !hour.repeated.is_empty() {
                others.push(hour.repeated.batch(before)?);
            }
        }
        if minute - now.hour.start() == LATE_ARRIVES {
            for hours in 1..=HOURS_LATE {
                let from = minute - LATE_ARRIVES - i64::from(hours) * Span::HOUR;
                others.extend(self.late(hour_of(from)?, hours, minute)?);
            }
        }
        let nonsense = now.hour.start() + NONSENSE_AT;
        if (minute..minute + MINUTE).contains(&nonsense) && !now.broken.is_empty() {
            others.push(broken(&now.broken.batch(nonsense)?)?);
        }
        Ok(Arrival { prompt: now.prompt.batch(minute)?, others })
    }

    /// The late readings measured before `end` that no arrival before `end` has brought.
    pub(crate) fn pending(&mut self, end: Timestamp) -> Result<Vec<RecordBatch>> {
        let mut pending = Vec::new();
        for back in 0..=i64::from(HOURS_LATE) {
            let hour = hour_of(end - Span::MICROSECOND - back * Span::HOUR)?;
            for hours in 1..=HOURS_LATE {
                if late_arrival(hour, hours) >= end {
                    pending.extend(self.late(hour, hours, end)?);
                }
            }
        }
        Ok(pending)
    }

    /// The readings that were measured in `range`, whenever they arrived.
    pub(crate) fn expected(&self, range: TimeRange) -> Result<Expected> {
        let mut expected = Expected::default();
        let mut from = range.from;
        while from < range.to {
            let hour = hour_of(from)?;
            let to = hour.end().min(range.to);
            let weather = &self.weather;
            let reporting = weather.count(|id| weather.delivery(id, hour) != Delivery::Missing);
            expected.rows += reporting * (to.since(from).micros() / MINUTE.micros()) as u64;
            let nonsense = hour.start() + NONSENSE_AT;
            if (from..to).contains(&(nonsense - Span::seconds(30))) {
                expected.rejected += weather.count(|id| weather.is_broken(id, hour));
            }
            from = to;
        }
        Ok(expected)
    }

    /// The readings of `hour` that come `hours` late, measured from the first minute on and before `end`.
    fn late(&mut self, hour: Hour, hours: u8, end: Timestamp) -> Result<Option<RecordBatch>> {
        let prepared = self.prepared(hour)?;
        let Some(stations) = prepared.late.get(usize::from(hours) - 1) else { return Ok(None) };
        let minutes = (0..60).map(|m| hour.start() + m * MINUTE);
        let batches: Vec<_> = minutes
            .filter(|minute| (self.first..end).contains(minute))
            .map(|minute| stations.batch(minute))
            .collect::<Result<_>>()?;
        if stations.is_empty() || batches.is_empty() {
            return Ok(None);
        }
        Ok(Some(concat_batches(self.weather.schema(), &batches)?))
    }

    fn prepared(&mut self, hour: Hour) -> Result<Arc<Prepared>> {
        if let Some(found) = self.prepared.iter().find(|prepared| prepared.hour == hour) {
            return Ok(Arc::clone(found));
        }
        let weather = &self.weather;
        let stations = |wanted: &dyn Fn(Delivery) -> bool| {
            weather.stations_in(hour, |id| wanted(weather.delivery(id, hour)))
        };
        let prepared = Arc::new(Prepared {
            hour,
            prompt: stations(&|d| matches!(d, Delivery::Prompt | Delivery::Repeated)),
            repeated: stations(&|d| d == Delivery::Repeated),
            late: std::array::from_fn(|i| {
                stations(&|d| d == Delivery::Late { hours: i as u8 + 1 })
            }),
            broken: weather.stations_in(hour, |id| weather.is_broken(id, hour)),
        });
        self.prepared.truncate(PREPARED - 1);
        self.prepared.push_front(Arc::clone(&prepared));
        Ok(prepared)
    }
}

fn hour_of(instant: Timestamp) -> Result<Hour> {
    Hour::of(instant)
        .ok_or_else(|| crate::Error::usage(format!("{} µs is no date", instant.as_micros())))
}

fn late_arrival(hour: Hour, hours: u8) -> Timestamp {
    hour.start() + i64::from(hours) * Span::HOUR + LATE_ARRIVES
}

/// The readings with a thermometer that says nonsense.
fn broken(readings: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = readings.columns().to_vec();
    let temperature = readings.schema().index_of("temperature")?;
    if let Some(column) = columns.get_mut(temperature) {
        *column = Arc::new(Float32Array::from_value(NONSENSE, readings.num_rows()));
    }
    Ok(RecordBatch::try_new(readings.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::HashSet;

    use arrow::array::AsArray;
    use arrow::datatypes::{Float32Type, Int32Type, TimestampMicrosecondType};

    use super::*;
    use crate::cities::Cities;

    #[test]
    fn what_arrives_is_what_was_expected() {
        let weather = Arc::new(Weather::new(3, &Cities::built_in().unwrap().largest(4_000)));
        let hour: Hour = "2026-11-22T10".parse().unwrap();
        let range = TimeRange { from: hour.start() + 13 * MINUTE, to: hour.start() + 331 * MINUTE };
        let mut feed = Feed::new(weather, range.from);
        let (mut rows, mut seen, mut rejected) = (0, HashSet::new(), 0);
        let mut minute = range.from;
        let mut late = 0;
        let mut see = |batch: &RecordBatch, now: Timestamp| {
            let ids = batch.column(0).as_primitive::<Int32Type>().values();
            let times = batch.column(1).as_primitive::<TimestampMicrosecondType>().values();
            let temperatures = batch.column(2).as_primitive::<Float32Type>();
            for ((id, time), temperature) in ids.iter().zip(times).zip(temperatures) {
                assert!((range.from..now + MINUTE).contains(&Timestamp::from_micros(*time)));
                if temperature == Some(NONSENSE) {
                    rejected += 1;
                    continue;
                }
                rows += 1;
                late += u64::from(now - Timestamp::from_micros(*time) >= Span::HOUR);
                seen.insert((*id, *time));
            }
        };
        while minute < range.to {
            let arrival = feed.arrival(minute).unwrap();
            see(&arrival.prompt, minute);
            arrival.others.iter().for_each(|batch| see(batch, minute));
            minute += MINUTE;
        }
        for batch in feed.pending(range.to).unwrap() {
            see(&batch, range.to);
        }
        let expected = feed.expected(range).unwrap();
        assert_eq!(seen.len() as u64, expected.rows);
        assert_eq!(rejected, expected.rejected);
        assert!(rejected > 0 && late > 0 && rows > seen.len(), "{rejected} {late} {rows}");
    }
}
