//! The naive model of the tail: every arrival in a list, answers by sorted maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::*;
use barograph_lake::{
    Hour, Key, KeySelection, KeyType, LogPosition, Span, TableSchema, TimeRange, Timestamp,
};
use serde_json::json;

use crate::tail::{HourView, TailView};

/// A row with one value of every type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub key: Key,
    pub time: Timestamp,
    pub short: Option<i16>,
    pub text: Option<String>,
    pub single: Option<f32>,
    pub int: Option<i32>,
    pub long: Option<i64>,
    pub double: Option<f64>,
    pub stamp: Option<i64>,
    pub note: Option<String>,
    pub ingested_at: Timestamp,
}

#[derive(Debug, Clone)]
struct Arrival {
    number: u64,
    position: LogPosition,
    reading: Reading,
}

/// Tail and view of the model are the same thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    hours: BTreeMap<Hour, Vec<Arrival>>,
    arrivals: u64,
}

pub(super) const ALL_COLUMNS: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

pub(super) fn schema(key_type: KeyType) -> Arc<TableSchema> {
    let names = ["short", "text", "single", "int", "long", "double", "stamp", "note"];
    let types = ["int16", "utf8", "float32", "int32", "int64", "float64", "timestamp", "utf8"];
    let columns: Vec<_> =
        names.iter().zip(types).map(|(name, of)| json!({ "name": name, "type": of })).collect();
    let declaration =
        json!({ "key": "key", "key_type": key_type, "time": "time", "columns": columns });
    let declaration = serde_json::from_value(declaration).unwrap();
    Arc::new(TableSchema::new("every_type", declaration).unwrap())
}

pub(super) fn batch(schema: &TableSchema, rows: &[Reading]) -> RecordBatch {
    let stamps = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
    };
    let key: ArrayRef = match schema.key_type() {
        KeyType::Int32 => {
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.key.get() as i32)))
        }
        KeyType::Int64 => Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.key.get()))),
    };
    let columns: Vec<ArrayRef> = vec![
        key,
        stamps(rows.iter().map(|r| Some(r.time.as_micros())).collect()),
        Arc::new(Int16Array::from_iter(rows.iter().map(|r| r.short))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.text.as_deref()))),
        Arc::new(Float32Array::from_iter(rows.iter().map(|r| r.single))),
        Arc::new(Int32Array::from_iter(rows.iter().map(|r| r.int))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.long))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.double))),
        stamps(rows.iter().map(|r| r.stamp).collect()),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.note.as_deref()))),
        stamps(rows.iter().map(|r| Some(r.ingested_at.as_micros())).collect()),
    ];
    RecordBatch::try_new(Arc::clone(schema.arrow()), columns).unwrap()
}

/// The rows of a batch with all columns.
pub(super) fn readings(batch: &RecordBatch) -> Vec<Reading> {
    fn value<T: ArrowPrimitiveType>(column: &ArrayRef, row: usize) -> Option<T::Native> {
        column.is_valid(row).then(|| column.as_primitive::<T>().value(row))
    }
    fn text(column: &ArrayRef, row: usize) -> Option<String> {
        column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned())
    }
    let c = batch.columns();
    let key = |row| match c[0].data_type() {
        DataType::Int32 => Key::from(value::<Int32Type>(&c[0], row).unwrap()),
        _ => Key::new(value::<Int64Type>(&c[0], row).unwrap()),
    };
    let row = |row| Reading {
        key: key(row),
        time: Timestamp::from_micros(value::<TimestampMicrosecondType>(&c[1], row).unwrap()),
        short: value::<Int16Type>(&c[2], row),
        text: text(&c[3], row),
        single: value::<Float32Type>(&c[4], row),
        int: value::<Int32Type>(&c[5], row),
        long: value::<Int64Type>(&c[6], row),
        double: value::<Float64Type>(&c[7], row),
        stamp: value::<TimestampMicrosecondType>(&c[8], row),
        note: text(&c[9], row),
        ingested_at: Timestamp::from_micros(
            value::<TimestampMicrosecondType>(&c[10], row).unwrap(),
        ),
    };
    (0..batch.num_rows()).map(row).collect()
}

impl Model {
    pub(super) fn append(&mut self, position: LogPosition, rows: &[Reading]) {
        for reading in rows {
            self.arrivals += 1;
            let arrival = Arrival { number: self.arrivals, position, reading: reading.clone() };
            self.hours.entry(Hour::of(reading.time).unwrap()).or_default().push(arrival);
        }
    }

    pub(super) fn landed(&mut self, hour: Hour, view: &Model) {
        let last = view.hours.get(&hour).and_then(|rows| rows.last()).map_or(0, |row| row.number);
        if let Some(rows) = self.hours.get_mut(&hour) {
            rows.retain(|row| row.number > last);
        }
        self.hours.retain(|_, rows| !rows.is_empty());
    }

    pub(super) fn hours(&self) -> Vec<Hour> {
        self.hours.keys().copied().collect()
    }

    pub(super) fn first_position(&self) -> Option<LogPosition> {
        self.hours.values().flatten().map(|row| row.position).min()
    }

    /// Holds every answer of `view` against this model.
    pub(super) fn check(&self, view: &TailView, columns: &[usize]) {
        assert_eq!(view.hours().iter().map(HourView::hour).collect::<Vec<_>>(), self.hours());
        assert_eq!(view.rows(), self.hours.values().map(|rows| rows.len() as u64).sum::<u64>());
        let mut newest: BTreeMap<Key, Reading> = BTreeMap::new();
        for (&hour, arrivals) in &self.hours {
            let view = view.hour(hour).unwrap();
            check_hour(view, arrivals, columns);
            for Arrival { reading, .. } in arrivals {
                let newer = newest.get(&reading.key).is_none_or(|known| reading.time >= known.time);
                if newer {
                    newest.insert(reading.key, reading.clone());
                }
            }
        }
        assert_eq!(view.keys(), newest.keys().copied().collect::<Vec<_>>());
        let asked: Vec<Key> = newest.keys().rev().copied().chain([Key::new(-77)]).collect();
        let latest = view.latest(&asked, &ALL_COLUMNS).unwrap();
        assert_eq!(readings(&latest), newest.values().rev().cloned().collect::<Vec<_>>());
        assert_eq!(view.latest(&asked, columns).unwrap(), latest.project(columns).unwrap());
        for key in asked {
            assert_eq!(view.latest_time(key), newest.get(&key).map(|row| row.time));
        }
    }
}

fn check_hour(view: &HourView, arrivals: &[Arrival], columns: &[usize]) {
    let mut rows = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for Arrival { reading, .. } in arrivals {
        rows.insert((reading.key, reading.time), reading.clone());
        *counts.entry(reading.key).or_insert(0) += 1;
    }
    let keys: BTreeSet<Key> = counts.keys().copied().collect();
    let times: BTreeSet<Timestamp> = rows.keys().map(|&(_, time)| time).collect();
    assert_eq!(view.rows(), arrivals.len() as u64);
    assert_eq!(view.keys(), keys.first().copied().zip(keys.last().copied()));
    assert_eq!(view.times(), times.first().copied().zip(times.last().copied()));
    assert_eq!(view.key_counts(), counts.into_iter().collect::<Vec<_>>());
    let positions = arrivals.iter().map(|row| row.position);
    assert_eq!(Some(view.through()), positions.clone().max());
    assert!(Some(view.first()) <= positions.min());

    let expected = |selection: &KeySelection, range: TimeRange| -> Vec<Reading> {
        let wanted =
            |(key, time): &(Key, Timestamp)| selection.contains(*key) && range.contains(*time);
        rows.iter().filter(|(at, _)| wanted(at)).map(|(_, row)| row.clone()).collect()
    };
    let (low, high) = (keys.first().copied().unwrap(), keys.last().copied().unwrap());
    let (early, late) = (times.first().copied().unwrap(), times.last().copied().unwrap());
    let middle = early + Span::from_micros(late.since(early).micros() / 2);
    let selections = [
        KeySelection::All,
        KeySelection::Range { from: low, to: high },
        KeySelection::Range { from: low.next().unwrap_or(Key::MAX), to: high },
        KeySelection::list(vec![high, low, low, Key::new(-77)]),
        KeySelection::list(Vec::<Key>::new()),
    ];
    let ranges = [
        TimeRange::ALL,
        TimeRange { from: middle, to: late },
        TimeRange { from: early, to: middle },
        TimeRange { from: late, to: late + Span::MICROSECOND },
        TimeRange { from: late, to: early },
    ];
    for selection in &selections {
        for range in ranges {
            let all = view.read(selection, range, &ALL_COLUMNS).unwrap();
            assert_eq!(readings(&all), expected(selection, range));
            assert_eq!(
                view.read(selection, range, columns).unwrap(),
                all.project(columns).unwrap()
            );
        }
    }
    for key in [low, high, Key::new(-77)] {
        for time in [early - Span::MICROSECOND, early, middle, late, late + Span::MICROSECOND] {
            let before = rows.range((key, Timestamp::MIN)..=(key, time)).next_back();
            assert_eq!(view.time_at(key, time), before.map(|(&(_, time), _)| time));
        }
    }
}
