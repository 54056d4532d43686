//! Property tests of the filter: random conditions over random rows, compared with the model.

use std::sync::Arc;

use barograph_lake::ColumnStats;
use barograph_lake::{FileEntry, FilePath, Hour, Key, LogPosition, Timestamp, ValueType};
use proptest::prelude::*;
use serde_json::json;

use super::super::*;
use super::model::{Model, Row, TYPES, Value, all_columns, batch, model, row, schema};

fn parse(model: &Model) -> Predicate {
    let sql = model.sql();
    Predicate::parse(&sql, &schema()).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// What a file's Delta entry says of `rows`.
fn entry(rows: &[Row]) -> FileEntry {
    let columns = TYPES.iter().enumerate().map(|(column, of)| {
        let values: Vec<_> = rows.iter().map(|row| &row[column]).collect();
        let nulls = values.iter().filter(|value| ***value == Value::Null).count() as u64;
        let wholes: Vec<i64> = values
            .iter()
            .filter_map(|value| match value {
                Value::Whole(value) => Some(*value),
                _ => None,
            })
            .collect();
        let floats: Vec<f64> = values
            .iter()
            .filter_map(|value| match value {
                Value::Single(value) => Some(f64::from(*value)),
                Value::Double(value) => Some(*value),
                _ => None,
            })
            .collect();
        let whole = |value: &i64| match of {
            ValueType::Timestamp => json!(Timestamp::from_micros(*value).to_string()),
            _ => json!(value),
        };
        let finite = floats.iter().all(|value| value.is_finite());
        let (min, max) = if !wholes.is_empty() {
            (wholes.iter().min().map(whole), wholes.iter().max().map(whole))
        } else if !floats.is_empty() && finite {
            let min = floats.iter().copied().fold(f64::INFINITY, f64::min);
            let max = floats.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (Some(json!(min)), Some(json!(max)))
        } else {
            (None, None)
        };
        ColumnStats { min, max, nulls }
    });
    FileEntry {
        path: FilePath::new(Hour::of(Timestamp::UNIX_EPOCH).unwrap(), LogPosition::new(1)),
        bytes: 1,
        rows: rows.len() as u64,
        keys: (Key::new(0), Key::new(0)),
        times: (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        columns: columns.collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn selects_what_sql_selects(
        model in model(),
        rows in proptest::collection::vec(row(2), 0..150),
    ) {
        let predicate = parse(&model);
        let bits = predicate.select(&batch(&rows), &all_columns()).unwrap();
        prop_assert_eq!(bits.len(), rows.len());
        for (i, row) in rows.iter().enumerate() {
            prop_assert_eq!(bits.value(i), model.answer(row) == Some(true), "{} of {:?}", predicate, row);
        }
    }

    #[test]
    fn columns_may_stand_in_any_order_and_rows_may_be_a_slice(
        model in model(),
        rows in proptest::collection::vec(row(2), 1..150),
        start in 0usize..100,
    ) {
        let predicate = parse(&model);
        let start = start.min(rows.len() - 1);
        let mut columns = predicate.columns().to_vec();
        columns.reverse();
        // A batch needs a column to have rows.
        if columns.is_empty() {
            columns.push(0);
        }
        let whole = batch(&rows);
        let part = whole.project(&columns).unwrap().slice(start, rows.len() - start);
        let bits = predicate.select(&part, &columns).unwrap();
        let expected = predicate.select(&whole, &all_columns()).unwrap();
        prop_assert_eq!(bits, expected.slice(start, rows.len() - start));
    }

    #[test]
    fn display_parses_to_the_same(model in model()) {
        let predicate = parse(&model);
        let again = Predicate::parse(&predicate.to_string(), &schema()).unwrap();
        prop_assert_eq!(&again, &predicate, "{}", predicate);
    }

    #[test]
    fn pruning_never_drops_a_row_that_matches(
        model in model(),
        rows in (1u32..10).prop_flat_map(|nulls| proptest::collection::vec(row(nulls), 1..5)),
    ) {
        let predicate = parse(&model);
        let any = rows.iter().any(|row| model.answer(row) == Some(true));
        let entry = entry(&rows);
        prop_assert!(!any || predicate.may_match_file(&entry), "{} over {:?}", predicate, rows);
        // Knowing less is never wrong either.
        prop_assert!(!any || predicate.may_match_bounds(rows.len() as u64, &|_| None));
    }
}

#[test]
fn statistics_do_prune() {
    let row = |temperature: Option<f32>, word: &str| -> Row {
        let mut row = vec![Value::Null; TYPES.len()];
        (row[0], row[1], row[10]) = (Value::Whole(7), Value::Whole(0), Value::Whole(5));
        row[5] = temperature.map_or(Value::Null, Value::Single);
        row[8] = Value::Text(word.to_owned());
        row
    };
    let entry = Arc::new(entry(&[row(Some(12.5), "a"), row(Some(31.0), "b"), row(None, "c")]));
    for (text, may) in [
        ("single > 30", true),
        ("single > 31", false),
        ("single >= 31", true),
        ("single < 12.5", false),
        ("single = 12", false),
        ("single = 20", true),
        ("single <> 20", true),
        ("NOT single <= 31", false),
        ("NOT single > 31", true),
        ("single BETWEEN 31.1 AND 40", false),
        ("single NOT BETWEEN 12.5 AND 31", false),
        ("single IN (1, 2, 32)", false),
        ("single IN (1, 13)", true),
        ("single IS NULL", true),
        ("city_id IS NULL", false),
        ("city_id IS NOT NULL", true),
        ("city_id <> 7", false),
        ("city_id NOT IN (7)", false),
        ("small > 0", false),
        ("small IS NOT NULL", false),
        ("NOT small > 0", false),
        ("small IS NULL AND single > 31", false),
        ("small IS NULL OR single > 31", true),
        ("single > 'NaN'", false),
        ("single = 'NaN'", false),
        ("reading_at > '1970-01-01T00:00:01Z'", false),
        ("ingested_at < reading_at", false),
        ("ingested_at > reading_at", true),
        ("single < city_id", false),
        ("word = 'zzz'", true),
        ("FALSE OR NULL", false),
        ("city_id = 99999999999", false),
    ] {
        let predicate = Predicate::parse(text, &schema()).unwrap();
        assert_eq!(predicate.may_match_file(&entry), may, "{text}");
    }
}
