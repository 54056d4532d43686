#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

use super::*;

/// 2026-01-01T00:00:00Z in µs.
const START: i64 = 1_767_225_600_000_000;
const HOUR: i64 = 3_600_000_000;

fn rows(key: &str, keys: ArrayRef, values: Vec<Option<f32>>) -> RecordBatch {
    let unit = HashMap::from([("unit".to_owned(), "°C".to_owned())]);
    let schema = Schema::new(vec![
        Field::new(key, keys.data_type().clone(), false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("temperature", DataType::Float32, true).with_metadata(unit),
    ]);
    let times = (0..values.len() as i64).map(|hour| START + hour * HOUR);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let columns = vec![keys, Arc::new(times) as ArrayRef, Arc::new(Float32Array::from(values))];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn text(rows: &RecordBatch, is_coloured: bool, of_keys: bool) -> String {
    let collected = Collected::new(&rows.schema(), false, of_keys).unwrap();
    let mut plot = Plot { collected, width: 40, is_coloured };
    plot.take(rows).unwrap();
    plot.text()
}

#[test]
fn a_line_rises_between_its_axes() {
    let values = (0..25).map(|hour| Some(hour as f32)).collect();
    let keys = Arc::new(Int64Array::from(vec![7; 25]));
    let plot = text(&rows("station", keys, values), false, true);
    assert!(plot.starts_with("temperature (°C)\n7: min 0, max 24, last 24\n30 ┤\n"), "{plot}");
    assert!(plot.lines().all(|line| line.chars().count() <= 40), "{plot}");
    let last = plot.lines().next_back().unwrap();
    assert!(last.contains("2026-01-01") && last.contains("12:00"), "{plot}");
    assert_eq!(plot.lines().count(), 2 + usize::from(ROWS) + 2, "{plot}");
}

#[test]
fn places_have_charts_of_their_own_unless_there_are_colours() {
    let names = ["Apia", "Suva"].into_iter().cycle().take(12);
    let keys = Arc::new(StringArray::from_iter_values(names));
    let rows = rows("city", keys, (0..12).map(|of| Some(of as f32)).collect());
    let plain = text(&rows, false, false);
    assert_eq!(plain.matches("temperature (°C)").count(), 2, "{plain}");
    assert!(plain.contains("Apia: min 0, max 10, last 10") && !plain.contains('\x1b'), "{plain}");
    let coloured = text(&rows, true, false);
    assert_eq!(coloured.matches("temperature (°C)").count(), 1, "{coloured}");
    assert!(coloured.contains("\x1b[36mApia: ") && coloured.contains("\x1b[33mSuva: "));
}

#[test]
fn what_cannot_be_plotted_is_told() {
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![7, 7]));
    let empty = rows("station", Arc::clone(&keys), vec![None, Some(f32::NAN)]);
    let collected = Collected::new(&empty.schema(), false, true).unwrap();
    let mut plot = Plot { collected, width: 40, is_coloured: false };
    plot.take(&empty).unwrap();
    assert!(plot.text().contains("has no numbers"));
    for (columns, said) in [(&[0, 2][..], "no column of times"), (&[0, 1], "no column of numbers")]
    {
        let rows = empty.project(columns).unwrap();
        let error = Collected::new(&rows.schema(), false, true).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn lines_are_broken_where_readings_are_missing() {
    let with = |values: Vec<Option<f32>>| {
        let keys = Arc::new(Int64Array::from(vec![7; values.len()]));
        text(&rows("station", keys, values), false, true)
    };
    let ends = |gap: usize| {
        let some = |count| std::iter::repeat_n(Some(5.0), count);
        let values = some(10).chain(std::iter::repeat_n(None, gap)).chain(some(10));
        with(values.collect()).chars().filter(|of| ('\u{2801}'..='\u{28ff}').contains(of)).count()
    };
    assert!(ends(20) < ends(0), "{} {}", ends(20), ends(0));
    assert!(!with(vec![Some(1.0)]).is_empty());
}
