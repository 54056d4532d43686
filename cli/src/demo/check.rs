//! The check of the demonstration: its answers are compared with the weather that was sent, and with the lake's files
//! read by another library.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use barograph_engine::Aggregate;
use barograph_flight::ticket::{RangeRead, Windows};
use barograph_flight::{Client, Ticket};
use barograph_jobs::audit::{self, Window};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{FileEntry, Hour, Key, LakeTable, Snapshot, Span, TimeRange, Timestamp};
use futures::TryStreamExt;

use super::feed::{Expected, MINUTE};
use super::weather::{Delivery, Weather};
use crate::cities::City;
use crate::figures::grouped;
use crate::output::say;
use crate::settings::tables::READINGS;
use crate::{Error, Result};

/// Value columns of a reading.
const COLUMNS: [&str; 6] =
    ["temperature", "humidity", "pressure", "wind_speed", "wind_direction", "precipitation"];
/// How far apart two means of the same values may be, relative: they are summed in another order.
const TOLERANCE: f64 = 1e-9;

/// A comparison of answers.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    /// The server.
    pub client: &'a Client,
    /// The weather that was sent.
    pub weather: &'a Weather,
    /// The table's files, which hold everything.
    pub table: &'a LakeTable,
    /// Their snapshot.
    pub snapshot: &'a Snapshot,
    /// The ranges of minutes that are filled, ascending.
    pub filled: Vec<TimeRange>,
    /// Number of rows expected in them.
    pub rows: u64,
    /// Dead letters of this run: expected, acknowledged, and added to the table.
    pub dead_letters: [u64; 3],
}

impl Check<'_> {
    /// Compares everything, and prints the findings.
    ///
    /// # Errors
    /// `Failed`, if anything differs.
    pub(crate) async fn run(&self, city: &City) -> Result<()> {
        say("\nChecks:")?;
        let mut differences = 0;
        let results = [
            ("every reading is in the lake exactly once", self.counts()),
            ("hourly means and counts equal those of polars over the files", self.means().await),
            ("the newest reading of each city is the one that was sent", self.latest().await),
            ("every reading of a city is the one that was sent", self.city(city).await),
            ("implausible readings are in dead_letters", self.letters()),
        ];
        let checks = results.len();
        for (what, result) in results {
            match result {
                Ok(how) => say(format_args!("  ok      {what}: {how}"))?,
                Err(difference) => {
                    differences += 1;
                    say(format_args!("  DIFFERS {what}: {difference}"))?;
                }
            }
        }
        match differences {
            0 => Ok(()),
            _ => Err(Error::failed(format!("{differences} of {checks} checks differ"))),
        }
    }

    fn counts(&self) -> Result<String> {
        let found: u64 =
            self.hours().iter().flat_map(|&hours| self.files(hours)).map(|file| file.rows).sum();
        equal("rows in the lake", found, self.rows)?;
        Ok(format!("{} rows", grouped(found)))
    }

    async fn means(&self) -> Result<String> {
        let (mut rows, mut windows) = (0, 0);
        for hours in self.hours() {
            let files =
                Snapshot::new(self.snapshot.version(), self.files(hours).cloned().collect());
            let expected = audit::means(self.table, &files, "temperature", Span::HOUR).await?;
            rows += expected.iter().map(|window| window.rows).sum::<u64>();
            windows += self.same_means(hours, &expected).await?;
        }
        equal("rows that polars reads", rows, self.rows)?;
        Ok(format!("{} windows", grouped(windows)))
    }

    async fn same_means(&self, hours: TimeRange, expected: &[Window]) -> Result<u64> {
        let windows = Windows {
            every: Span::seconds(3_600),
            aggregates: vec![("temperature".to_owned(), vec![Aggregate::Mean, Aggregate::Count])],
        };
        let (from, to) = (Some(hours.from), Some(hours.to));
        let range = RangeRead { from, to, windows: Some(windows), ..RangeRead::default() };
        let mut answer = self.client.get(&Ticket::range(READINGS, range)).await?;
        let mut all = expected.iter();
        let mut compared = 0;
        while let Some(rows) = answer.try_next().await? {
            let keys = keys(&rows)?;
            let starts = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
            let means = named(&rows, "temperature_mean")?.as_primitive::<Float64Type>();
            let counts = named(&rows, "temperature_count")?.as_primitive::<Int64Type>();
            for row in 0..rows.num_rows() {
                let found = (keys.value(row), starts.value(row));
                let Some(window) = all.next() else {
                    return Err(Error::failed(format!("a window too many: {found:?}")));
                };
                let mean = means.is_valid(row).then(|| means.value(row));
                let near = match (mean, window.mean) {
                    (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * b.abs().max(1.0),
                    (a, b) => a == b,
                };
                let count = counts.value(row).unsigned_abs();
                if found != (window.key.get(), window.start.as_micros())
                    || !near
                    || count != window.values
                {
                    return Err(Error::failed(format!(
                        "{found:?} has mean {mean:?} of {count}, the files {window:?}"
                    )));
                }
                compared += 1;
            }
        }
        equal("windows", compared, expected.len() as u64)?;
        Ok(compared)
    }

    /// The filled ranges, widened to whole hours and merged where they meet.
    fn hours(&self) -> Vec<TimeRange> {
        let mut hours: Vec<TimeRange> = Vec::new();
        for range in &self.filled {
            let from = range.from.floor_to(Span::HOUR);
            let to = (range.to + Span::HOUR - Span::MICROSECOND).floor_to(Span::HOUR);
            match hours.last_mut() {
                Some(last) if from <= last.to => last.to = to,
                _ => hours.push(TimeRange { from, to }),
            }
        }
        hours
    }

    fn files(&self, hours: TimeRange) -> impl Iterator<Item = &Arc<FileEntry>> {
        let files = self.snapshot.files().iter();
        files.filter(move |file| hours.contains(file.path.period().start()))
    }

    fn newest(&self) -> Result<TimeRange> {
        self.filled.last().copied().ok_or_else(|| Error::failed("nothing is filled"))
    }

    async fn latest(&self) -> Result<String> {
        let found = self.client.latest(READINGS, None, Some(&COLUMNS)).await?;
        let newest = self.newest()?.to - MINUTE;
        let (mut compared, mut older) = (0, 0);
        let expected = sent_at(self.weather, newest)?;
        let mut sent = (0..expected.num_rows()).peekable();
        let sent_keys = expected.column(KEY_COLUMN).as_primitive::<Int32Type>();
        let found_keys = keys(&found)?;
        let times = found.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        for row in 0..found.num_rows() {
            let key = Key::new(found_keys.value(row));
            let Some(at) = sent.next_if(|&at| Key::from(sent_keys.value(at)) == key) else {
                // A station that is down has an older reading.
                if Timestamp::from_micros(times.value(row)) >= newest {
                    return Err(Error::failed(format!("{key} has a reading that was not sent")));
                }
                older += 1;
                continue;
            };
            same_row(&found.slice(row, 1), &expected.slice(at, 1))?;
            compared += 1;
        }
        equal("cities", compared, expected.num_rows() as u64)?;
        Ok(format!("{} cities, {older} more that are down", grouped(compared)))
    }

    async fn city(&self, city: &City) -> Result<String> {
        let id = city.id;
        let filled = self.newest()?;
        let range = RangeRead {
            keys: Some(vec![Key::from(id)]),
            from: Some(filled.from),
            to: Some(filled.to),
            ..RangeRead::default()
        };
        let ticket = Ticket::range(READINGS, range).columns(COLUMNS);
        let found = self.client.get(&ticket).await?.collect().await?;
        let mut batches = Vec::new();
        let mut minute = filled.from;
        while minute < filled.to {
            let hour = hour_of(minute)?;
            let end = hour.end().min(filled.to);
            if self.weather.delivery(id, hour) == Delivery::Missing {
                minute = end;
                continue;
            }
            let station = self.weather.stations_in(hour, |station| station == id);
            while minute < end {
                batches.push(station.batch(minute)?);
                minute += MINUTE;
            }
        }
        let expected = concat_batches(self.weather.schema(), &batches)?;
        equal("rows", found.num_rows() as u64, expected.num_rows() as u64)?;
        same_row(&found, &expected)?;
        Ok(format!("{} readings of {}", grouped(found.num_rows() as u64), city.name))
    }

    fn letters(&self) -> Result<String> {
        let [expected, acknowledged, found] = self.dead_letters;
        equal("acknowledged", acknowledged, expected)?;
        equal("rows that came to dead_letters", found, expected)?;
        Ok(format!("{} of them", grouped(found)))
    }
}

/// The readings that a run should deliver.
pub(crate) fn sum(parts: impl Iterator<Item = Result<Expected>>) -> Result<Expected> {
    parts.into_iter().try_fold(Expected::default(), |sum, part| {
        let part = part?;
        Ok(Expected { rows: sum.rows + part.rows, rejected: sum.rejected + part.rejected })
    })
}

/// The readings of `minute` of every station that is not down.
fn sent_at(weather: &Weather, minute: Timestamp) -> Result<RecordBatch> {
    let hour = hour_of(minute)?;
    weather.stations_in(hour, |id| weather.delivery(id, hour) != Delivery::Missing).batch(minute)
}

fn hour_of(instant: Timestamp) -> Result<Hour> {
    Hour::of(instant).ok_or_else(|| Error::failed(format!("{} µs is no date", instant.as_micros())))
}

fn equal(what: &str, found: u64, expected: u64) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::failed(format!("{what}: {} instead of {}", grouped(found), grouped(expected))))
}

fn named<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::failed(format!("the answer has no column {name:?}")))
}

fn keys(rows: &RecordBatch) -> Result<Arc<arrow::array::Int64Array>> {
    let keys = cast(rows.column(KEY_COLUMN), &DataType::Int64)?;
    Ok(Arc::new(keys.as_primitive::<Int64Type>().clone()))
}

/// Whether the readings of `found` and `sent` are the same, value by value.
fn same_row(found: &RecordBatch, sent: &RecordBatch) -> Result<()> {
    for (field, values) in sent.schema().fields().iter().zip(sent.columns()) {
        let there = named(found, field.name())?;
        if there.as_ref() != values.as_ref() {
            let at = found.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
            let differs = (0..values.len())
                .find(|&row| there.slice(row, 1).as_ref() != values.slice(row, 1).as_ref());
            return Err(Error::failed(format!(
                "{} of {} at {} differs",
                field.name(),
                keys(found)?.value(0),
                differs.map_or_else(String::new, |row| Timestamp::from_micros(at.value(row))
                    .to_string())
            )));
        }
    }
    Ok(())
}
