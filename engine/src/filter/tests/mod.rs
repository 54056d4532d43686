//! Tests of the filter: a predicate means what SQL says, compared with a row-by-row model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fuzz;
mod hostile;
mod model;
mod properties;

use arrow::array::RecordBatch;

use super::*;
use model::{Row, Value, all_columns, batch, schema};

/// The rows of `rows` that `text` selects.
fn selected(text: &str, rows: &[Row]) -> Vec<usize> {
    let predicate =
        Predicate::parse(text, &schema()).unwrap_or_else(|error| panic!("{text}: {error}"));
    let batch: RecordBatch = batch(rows);
    let bits = predicate.select(&batch, &all_columns()).unwrap();
    (0..rows.len()).filter(|&row| bits.value(row)).collect()
}

fn error(text: &str) -> String {
    match Predicate::parse(text, &schema()) {
        Ok(predicate) => panic!("{text} was read as {predicate}"),
        Err(error) => error.to_string(),
    }
}

/// Rows that differ in one column only.
fn rows(column: usize, values: &[Value]) -> Vec<Row> {
    let plain = || {
        let mut row = vec![Value::Null; all_columns().len()];
        (row[0], row[1], row[10]) = (Value::Whole(1), Value::Whole(0), Value::Whole(0));
        row
    };
    values
        .iter()
        .map(|value| {
            let mut row = plain();
            row[column] = value.clone();
            row
        })
        .collect()
}

#[test]
fn integers_compare_exactly_with_decimals() {
    let rows = rows(2, &[Value::Whole(10), Value::Whole(11), Value::Whole(-11), Value::Null]);
    for (text, expected) in [
        ("small > 10.5", vec![1]),
        ("small >= 10.5", vec![1]),
        ("small < 10.5", vec![0, 2]),
        ("small <= 10.999", vec![0, 2]),
        ("small = 10.5", vec![]),
        ("small <> 10.5", vec![0, 1, 2]),
        ("small = 10.0", vec![0]),
        ("small = 1.1e1", vec![1]),
        ("small = 110E-1", vec![1]),
        ("small < -10.5", vec![2]),
        ("small <= -11", vec![2]),
        ("small > -11.5", vec![0, 1, 2]),
        ("small < 99999", vec![0, 1, 2]),
        ("small > 99999", vec![]),
        ("small > -1e400", vec![0, 1, 2]),
        ("small < 1e99999999999999999999", vec![0, 1, 2]),
        ("small > 1e-99999999999999999999", vec![0, 1]),
        ("small = 99999", vec![]),
        ("NOT small = 99999", vec![0, 1, 2]),
        ("11 = small", vec![1]),
        ("10.5 < small", vec![1]),
        ("small IN (10.5, 11, 99999)", vec![1]),
        ("small NOT IN (10.5, 11)", vec![0, 2]),
        ("small BETWEEN 10.5 AND 12", vec![1]),
        ("small NOT BETWEEN 10.5 AND 12", vec![0, 2]),
        ("small BETWEEN 12 AND 10", vec![]),
    ] {
        assert_eq!(selected(text, &rows), expected, "{text}");
    }
}

#[test]
fn single_precision_finds_the_decimal_it_was_written_as() {
    let rows = rows(
        5,
        &[0.1, f32::MAX, f32::NAN, -0.0, f32::NEG_INFINITY]
            .map(Value::Single)
            .into_iter()
            .chain([Value::Null])
            .collect::<Vec<_>>(),
    );
    for (text, expected) in [
        ("single = 0.1", vec![0]),
        ("single <= 0.1", vec![0, 3, 4]),
        ("single < 0.1", vec![3, 4]),
        ("single > 0.1", vec![1, 2]),
        ("single = 0", vec![3]),
        ("single = -0.0", vec![3]),
        ("single >= 0", vec![0, 1, 2, 3]),
        ("single < 1e300", vec![0, 1, 3, 4]),
        ("single > 1e300", vec![2]),
        ("single <= -1e300", vec![4]),
        ("single > -1e300", vec![0, 1, 2, 3]),
        ("single = 1e300", vec![]),
        ("single = 'NaN'", vec![2]),
        ("single >= 'nan'", vec![2]),
        ("single > 'nan'", vec![]),
        ("single < 'NaN'", vec![0, 1, 3, 4]),
        ("single <= 'NaN'", vec![0, 1, 2, 3, 4]),
        ("single <> 'NaN'", vec![0, 1, 3, 4]),
        ("single IN (0.1, 'NaN', 1e300)", vec![0, 2]),
        ("single = '-Infinity'", vec![4]),
        ("single < 'Infinity'", vec![0, 1, 3, 4]),
        ("single = single", vec![0, 1, 2, 3, 4]),
        ("single IS NULL", vec![5]),
    ] {
        assert_eq!(selected(text, &rows), expected, "{text}");
    }
}

#[test]
fn nulls_are_neither_true_nor_false() {
    let rows = rows(2, &[Value::Whole(1), Value::Null]);
    for (text, expected) in [
        ("small = 1", vec![0]),
        ("NOT small = 1", vec![]),
        ("small = 1 OR small <> 1", vec![0]),
        ("small IS NULL", vec![1]),
        ("small IS NOT NULL", vec![0]),
        ("NOT small IS NULL", vec![0]),
        ("small = NULL", vec![]),
        ("small <> NULL OR TRUE", vec![0, 1]),
        ("small IN (1, NULL)", vec![0]),
        ("small NOT IN (2, NULL)", vec![]),
        ("small NOT IN (NULL)", vec![]),
        ("small = 99999 OR city_id = 1", vec![0, 1]),
        ("NOT (small = 99999 AND city_id = 1)", vec![0]),
        ("NULL", vec![]),
        ("NOT NULL", vec![]),
        ("NOT FALSE", vec![0, 1]),
    ] {
        assert_eq!(selected(text, &rows), expected, "{text}");
    }
}

#[test]
fn times_are_read_as_iso_text_or_timestamps() {
    let hour = 3_600_000_000;
    let rows = rows(1, &[Value::Whole(0), Value::Whole(hour), Value::Whole(2 * hour + 1)]);
    for (text, expected) in [
        ("reading_at >= '1970-01-01T01:00:00Z'", vec![1, 2]),
        ("reading_at > TIMESTAMP '1970-01-01 02:00:00'", vec![2]),
        ("reading_at < timestamp '1970-01-01T02:00:00.000001+01:00'", vec![0, 1]),
        ("reading_at <= '1970-01-01T02:00:00.000001Z'", vec![0, 1, 2]),
        ("DATE '1970-01-02' > reading_at", vec![0, 1, 2]),
        ("reading_at BETWEEN '1970-01-01T00:30:00Z' AND '1970-01-01T01:30:00Z'", vec![1]),
        ("reading_at IN ('1970-01-01', '1970-01-01T01:00')", vec![0, 1]),
        ("reading_at = ingested_at", vec![0]),
    ] {
        assert_eq!(selected(text, &rows), expected, "{text}");
    }
}

#[test]
fn text_compares_by_bytes() {
    let rows = rows(8, &["a", "B", "", "it's", "é"].map(|text| Value::Text(text.to_owned())));
    for (text, expected) in [
        ("word = 'a'", vec![0]),
        ("word < 'a'", vec![1, 2]),
        ("word >= 'a'", vec![0, 3, 4]),
        ("word = 'it''s'", vec![3]),
        ("word <> ''", vec![0, 1, 3, 4]),
        ("word IN ('B', 'é', 'x')", vec![1, 4]),
        ("word = word", vec![0, 1, 2, 3, 4]),
    ] {
        assert_eq!(selected(text, &rows), expected, "{text}");
    }
}

#[test]
fn columns_of_different_widths_compare_as_numbers() {
    let mut rows = rows(4, &[Value::Whole(i64::MAX), Value::Whole(-3), Value::Whole(1)]);
    rows[0][6] = Value::Double(9_223_372_036_854_775_807.0); // is 2^63, one more
    rows[1][6] = Value::Double(-2.5);
    rows[2][6] = Value::Double(f64::NAN);
    assert_eq!(selected("wide < double", &rows), vec![0, 1, 2]);
    assert_eq!(selected("double > wide", &rows), vec![0, 1, 2]);
    assert_eq!(selected("double = wide", &rows), Vec::<usize>::new());
    assert_eq!(selected("double <= wide", &rows), Vec::<usize>::new());
    assert_eq!(selected("city_id = wide", &rows), vec![2]);
}

#[test]
fn names_may_be_quoted_qualified_or_words_of_sql() {
    let rows = rows(9, &[Value::Whole(5), Value::Null]);
    for text in [
        "interval IS NOT NULL",
        "\"interval\" IS NOT NULL",
        "INTERVAL is not null",
        "samples.interval IS NOT NULL",
        "interval > DATE '1970-01-01'",
        "-- a comment\n interval /* another */ IS NOT NULL",
    ] {
        assert_eq!(selected(text, &rows), vec![0], "{text}");
    }
}

#[test]
fn errors_name_the_place_and_the_mend() {
    for (text, parts) in [
        ("", vec!["filter"]),
        ("temprature > 30", vec!["temprature", "city_id, reading_at, small", "column 1"]),
        ("small > 1 AND\n bigg < 2", vec!["bigg", "line 2, column 2"]),
        ("\"Small\" > 1", vec!["Small"]),
        ("small > 'ten'", vec!["small (int16)", "'ten'", "without quotes"]),
        ("single > 'ten'", vec!["single (float32)", "without quotes"]),
        ("word > 10", vec!["word (utf8)", "single quotes"]),
        ("reading_at > 10", vec!["reading_at (timestamp)", "2026-11-22T10:00:00Z"]),
        ("reading_at > 'noon'", vec!["reading_at (timestamp)", "noon"]),
        ("reading_at > '1970-01-01T00:00:00.0000001Z'", vec!["finer than a µs"]),
        ("reading_at > small", vec!["reading_at (timestamp)", "small (int16)", "unlike"]),
        ("lower(word) = 'a'", vec!["lower(…)", "column 1", "not supported"]),
        ("word LIKE 'a%'", vec!["LIKE", "column 6", "BETWEEN"]),
        ("small + 1 > 2", vec!["operator +"]),
        ("small", vec!["by itself is not a condition"]),
        ("3", vec!["by itself is not a condition"]),
        ("1 = 1", vec!["compares no column"]),
        ("small = 1 small", vec!["follows the end", "column 11"]),
        ("small = 1; DROP", vec![";", "column 10"]),
        ("small = (1, 2)", vec!["list outside IN"]),
        ("small IN (city_id)", vec!["no columns"]),
        ("small = 1 = 2", vec!["not supported"]),
        ("small > -'x'", vec!["sign"]),
        ("small > 1_000_000_000_000_000_x", vec!["filter"]),
        ("small >", vec!["filter"]),
        ("(small > 1", vec!["filter"]),
        ("small > 'x", vec!["filter", "column"]),
        ("EXISTS (SELECT 1)", vec!["EXISTS(…)"]),
    ] {
        let message = error(text);
        for part in parts {
            assert!(message.contains(part), "{text}\n  said {message:?}\n  without {part:?}");
        }
    }
}
