//! Tests of windows against a naive grouping.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use barograph_lake::{Span, ValueType};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const TYPES: [(&str, ValueType); 6] = [
    ("small", ValueType::Int16),
    ("wide", ValueType::Int64),
    ("single", ValueType::Float32),
    ("double", ValueType::Float64),
    ("word", ValueType::Utf8),
    ("seen", ValueType::Timestamp),
];

const ALL: [Aggregate; 7] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::First,
    Aggregate::Last,
];

/// Makes the order of the texts that of the numbers they show.
const TEXT_OFFSET: f64 = 1_000.0;

fn table() -> TableSchema {
    let columns: Vec<_> =
        TYPES.iter().map(|(name, of)| json!({ "name": name, "type": of, "unit": "m" })).collect();
    let declaration = json!({ "key": "id", "time": "at", "columns": columns });
    TableSchema::new("samples", serde_json::from_value(declaration).unwrap()).unwrap()
}

/// A row: one number stands for the value of every column; `None` is null in all.
type Row = (i64, i64, Option<f64>);

/// Rows with one value column of type `of`.
fn batch(rows: &[Row], of: ValueType) -> RecordBatch {
    let keys: Int32Array = rows.iter().map(|row| Some(row.0 as i32)).collect();
    let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(row.1)).collect();
    let values = rows.iter().map(|row| row.2);
    let column: ArrayRef = match of {
        ValueType::Int16 => Arc::new(values.map(|v| v.map(|v| v as i16)).collect::<Int16Array>()),
        ValueType::Int32 => Arc::new(values.map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        ValueType::Int64 => Arc::new(values.map(|v| v.map(|v| v as i64)).collect::<Int64Array>()),
        ValueType::Float32 => {
            Arc::new(values.map(|v| v.map(|v| v as f32)).collect::<Float32Array>())
        }
        ValueType::Float64 => Arc::new(values.collect::<Float64Array>()),
        ValueType::Utf8 => Arc::new(
            values.map(|v| v.map(|v| format!("{:08.1}", v + TEXT_OFFSET))).collect::<StringArray>(),
        ),
        ValueType::Timestamp => Arc::new(
            values
                .map(|v| v.map(|v| v as i64))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
    };
    let table = table();
    let at = 2 + TYPES.iter().position(|(_, other)| *other == of).unwrap();
    let schema = table.arrow().project(&[0, 1, at]).unwrap();
    let times = Arc::new(times.with_timezone("UTC"));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(keys), times, column]).unwrap()
}

fn aggregation(of: ValueType, every: i64) -> Aggregation {
    let at = 2 + TYPES.iter().position(|(_, other)| *other == of).unwrap();
    let fits = |aggregate: &Aggregate| {
        of.is_number() || !matches!(aggregate, Aggregate::Sum | Aggregate::Mean)
    };
    let every = Span::from_micros(every);
    Aggregation { every, aggregates: vec![(at, ALL.into_iter().filter(fits).collect())] }
}

/// The value of a cell as a number.
fn cell(column: &ArrayRef, row: usize) -> Option<f64> {
    column.is_valid(row).then(|| match column.data_type() {
        DataType::Utf8 => {
            column.as_string::<i32>().value(row).parse::<f64>().unwrap() - TEXT_OFFSET
        }
        DataType::Float32 => f64::from(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
        DataType::Timestamp(..) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row) as f64
        }
        _ => f64::from(column.as_primitive::<arrow::datatypes::Int16Type>().value(row)),
    })
}

/// NaN is the greatest and equals itself.
fn order(a: &f64, b: &f64) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Every aggregate of the values of a window in order of time.
fn expected(aggregate: Aggregate, values: &[Option<f64>]) -> Option<f64> {
    let values: Vec<f64> = values.iter().copied().flatten().collect();
    let sum = || values.iter().sum::<f64>();
    match aggregate {
        Aggregate::Count => Some(values.len() as f64),
        _ if values.is_empty() => None,
        Aggregate::Sum => Some(sum()),
        Aggregate::Mean => Some(sum() / values.len() as f64),
        Aggregate::Min => values.iter().copied().min_by(order),
        Aggregate::Max => values.iter().copied().max_by(order),
        Aggregate::First => values.first().copied(),
        Aggregate::Last => values.last().copied(),
        Aggregate::MeanDirection { .. } => {
            let east: f64 = values.iter().map(|degrees| degrees.to_radians().sin()).sum();
            let north: f64 = values.iter().map(|degrees| degrees.to_radians().cos()).sum();
            Some(east.atan2(north).to_degrees().rem_euclid(360.0))
        }
    }
}

fn same(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => order(&a, &b).is_eq(),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn check(rows: &[Row], of: ValueType, every: i64, answer: &RecordBatch) {
    let aggregation = aggregation(of, every);
    let mut windows: BTreeMap<(i64, i64), Vec<Option<f64>>> = BTreeMap::new();
    for (key, time, value) in rows {
        windows.entry((*key, time.div_euclid(every) * every)).or_default().push(*value);
    }
    assert_eq!(answer.schema(), aggregation.output_schema(&table()));
    assert_eq!(answer.num_rows(), windows.len());
    let keys = answer.column(0).as_primitive::<Int32Type>();
    let starts = answer.column(1).as_primitive::<TimestampMicrosecondType>();
    for (row, ((key, start), values)) in windows.iter().enumerate() {
        assert_eq!((i64::from(keys.value(row)), starts.value(row)), (*key, *start));
        for (i, aggregate) in aggregation.aggregates[0].1.iter().enumerate() {
            let (found, wanted) = (cell(answer.column(2 + i), row), expected(*aggregate, values));
            assert!(same(found, wanted), "{aggregate}: {found:?}, not {wanted:?}, of {values:?}");
        }
    }
}

/// Values whose sums are exact, so that no order of adding shows.
fn rows(nan: bool) -> impl Strategy<Value = Vec<Row>> {
    let number = (-64i16..64).prop_map(f64::from);
    let value = if nan {
        prop_oneof![number, Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)].boxed()
    } else {
        number.boxed()
    };
    let nullable = prop_oneof![1 => Just(None), 3 => value.prop_map(Some)];
    let rows = proptest::collection::btree_map((-2i64..3, -120i64..120), nullable, 0..300);
    rows.prop_map(|rows| rows.into_iter().map(|((key, time), value)| (key, time, value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn windows_hold_what_grouping_finds(
        rows in rows(false),
        of in proptest::sample::select(TYPES.map(|(_, of)| of).to_vec()),
        every in 1i64..100,
        sources in proptest::collection::vec(0usize..5, 1..300),
        by_time in any::<bool>(),
    ) {
        let table = table();
        let aggregation = aggregation(of, every);
        // Rows come from several sources, cut by time or dealt out at random.
        let mut parts = vec![Vec::new(); 5];
        for (i, row) in rows.iter().enumerate() {
            let source = if by_time {
                ((row.1 + 120) / 60) as usize
            } else {
                sources[i % sources.len()]
            };
            parts[source].push(*row);
        }
        let states: Vec<_> = parts
            .iter()
            .map(|rows| aggregation.partial(&table, &batch(rows, of)).unwrap())
            .collect();
        let combined = aggregation.combine(&table, &states).unwrap();
        check(&rows, of, every, &aggregation.finish(&table, &combined).unwrap());
        // What is combined can be combined again, in any grouping.
        let left = aggregation.combine(&table, &states[..2]).unwrap();
        let right = aggregation.combine(&table, &states[2..]).unwrap();
        let again = aggregation.combine(&table, &[left, right]).unwrap();
        check(&rows, of, every, &aggregation.finish(&table, &again).unwrap());
    }

    #[test]
    fn nan_is_greatest_and_spoils_sums(rows in rows(true), every in 1i64..100) {
        let table = table();
        for of in [ValueType::Float32, ValueType::Float64] {
            let aggregation = aggregation(of, every);
            let state = aggregation.partial(&table, &batch(&rows, of)).unwrap();
            check(&rows, of, every, &aggregation.finish(&table, &state).unwrap());
            let (left, right) = (state.slice(0, state.num_rows() / 2), state.slice(state.num_rows() / 2, state.num_rows().div_ceil(2)));
            let combined = aggregation.combine(&table, &[left, right]).unwrap();
            check(&rows, of, every, &aggregation.finish(&table, &combined).unwrap());
        }
    }
}

#[test]
fn windows_before_the_epoch_begin_at_full_steps() {
    let rows = [(1, -1, Some(1.0)), (1, 0, Some(2.0)), (1, 59, Some(3.0)), (1, 60, Some(4.0))];
    let aggregation = aggregation(ValueType::Int16, 60);
    let state = aggregation.partial(&table(), &batch(&rows, ValueType::Int16)).unwrap();
    let starts = state.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(starts.values().as_ref(), [-60, 0, 60]);
}

#[test]
fn sums_of_integers_are_exact_or_an_error() {
    let table = table();
    let sums =
        Aggregation { every: Span::from_micros(10), aggregates: vec![(3, vec![Aggregate::Sum])] };
    let of = |values: &[(i64, i64)]| {
        let rows: Vec<Row> = values.iter().map(|(time, _)| (1, *time, None)).collect();
        let rows = batch(&rows, ValueType::Int64);
        let column: Int64Array = values.iter().map(|(_, value)| Some(*value)).collect();
        let columns = vec![rows.column(0).clone(), rows.column(1).clone(), Arc::new(column)];
        sums.partial(&table, &RecordBatch::try_new(rows.schema(), columns).unwrap())
    };
    // The sum passes 64 bits on its way and comes back.
    let state = of(&[(0, i64::MAX), (1, i64::MAX), (2, i64::MIN), (3, i64::MIN)]).unwrap();
    assert_eq!(state.column(2).as_primitive::<Int64Type>().value(0), -2);
    assert_eq!(of(&[(0, i64::MAX), (1, 1)]).unwrap_err().kind(), crate::ErrorKind::Request);
    let (a, b) = (of(&[(0, i64::MAX)]).unwrap(), of(&[(1, 1)]).unwrap());
    assert!(sums.combine(&table, &[a.clone(), b]).is_err());
    assert!(sums.combine(&table, &[a, of(&[(11, 1)]).unwrap()]).is_ok());
}

#[test]
fn answers_are_named_and_typed() {
    let aggregation = Aggregation {
        every: Span::from_micros(60),
        aggregates: vec![
            (4, vec![Aggregate::Mean, Aggregate::Max]),
            (2, vec![Aggregate::Sum, Aggregate::Count]),
            (1, vec![Aggregate::Count, Aggregate::Last]),
        ],
    };
    assert_eq!(aggregation.columns(), [4, 2]);
    let table = table();
    let schema = aggregation.output_schema(&table);
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| (field.name().as_str(), field.data_type().clone(), field.metadata().len()))
        .collect();
    assert_eq!(
        fields,
        [
            ("id", DataType::Int32, 0),
            ("window_start", instant(), 0),
            ("single_mean", DataType::Float64, 1),
            ("single_max", DataType::Float32, 1),
            ("small_sum", DataType::Int64, 1),
            ("small_count", DataType::Int64, 0),
            ("at_count", DataType::Int64, 0),
            ("at_last", instant(), 0),
        ]
    );
    let empty = RecordBatch::new_empty(Arc::new(table.arrow().project(&[0, 1, 4, 2]).unwrap()));
    let state = aggregation.partial(&table, &empty).unwrap();
    let state = aggregation.combine(&table, &[state]).unwrap();
    assert_eq!(aggregation.finish(&table, &state).unwrap(), RecordBatch::new_empty(schema));
}

#[test]
fn winds_add_up_as_vectors_in_one_source_or_several() {
    let table = table();
    let winds = |speed| Aggregation {
        every: Span::from_micros(100),
        aggregates: vec![(2, vec![Aggregate::MeanDirection { speed }])],
    };
    assert_eq!(winds(Some(4)).columns(), [2, 4]);
    let rows = |speed: Option<usize>, winds: &[(Option<i16>, Option<f32>)]| {
        let times = (0..winds.len() as i64).map(Some).collect::<TimestampMicrosecondArray>();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1; winds.len()])),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(winds.iter().map(|wind| wind.0).collect::<Int16Array>()),
        ];
        let mut read = vec![0, 1, 2];
        if let Some(speed) = speed {
            columns.push(Arc::new(winds.iter().map(|wind| wind.1).collect::<Float32Array>()));
            read.push(speed);
        }
        RecordBatch::try_new(Arc::new(table.arrow().project(&read).unwrap()), columns).unwrap()
    };
    let mean = |speed, parts: &[&[(Option<i16>, Option<f32>)]]| {
        let aggregation = winds(speed);
        let states = parts.iter().map(|part| aggregation.partial(&table, &rows(speed, part)));
        let states: Vec<_> = states.collect::<Result<_>>().unwrap();
        let state = aggregation.combine(&table, &states).unwrap();
        let answer = aggregation.finish(&table, &state).unwrap();
        let means = answer.column(2).as_primitive::<Float64Type>();
        means.is_valid(0).then(|| (means.value(0) * 1e6).round() / 1e6)
    };
    let north = [(Some(350), Some(1.0)), (Some(10), Some(1.0))];
    assert_eq!(mean(None, &[&north]).map(|mean| mean % 360.0), Some(0.0));
    // 3 m/s from the east and 4 m/s from the south; what lacks one of the two does not count.
    let (east, south) = ((Some(90), Some(3.0)), (Some(180), Some(4.0)));
    let expected = Some(143.130102);
    let unknown = [(None, Some(9.0)), (Some(0), None)];
    assert_eq!(mean(Some(4), &[&[east, south]]), expected);
    assert_eq!(mean(Some(4), &[&[east], &unknown, &[south]]), expected);
    assert_eq!(mean(None, &[&[east], &[south]]), Some(135.0));
    assert_eq!(mean(Some(4), &[&unknown]), None);
    let opposite = [(Some(0), Some(2.0)), (Some(180), Some(2.0))];
    assert_eq!(mean(Some(4), &[&opposite]), None);
    let wrong = winds(Some(6)).check(&table).unwrap_err();
    assert!(wrong.to_string().contains("no numbers"), "{wrong}");
}

#[test]
fn what_cannot_be_aggregated_is_named() {
    let table = table();
    for (every, aggregates, part) in [
        (0, vec![], "longer than zero"),
        (-5, vec![], "longer than zero"),
        (60, vec![(99, vec![Aggregate::Count])], "no column 99"),
        (60, vec![(6, vec![Aggregate::Sum])], "\"word\""),
        (60, vec![(7, vec![Aggregate::Mean])], "\"seen\""),
        (60, vec![(2, vec![Aggregate::Max, Aggregate::Max])], "asked for twice"),
        (60, vec![(2, vec![Aggregate::Max]), (2, vec![Aggregate::Min])], "aggregated twice"),
    ] {
        let every = Span::from_micros(every);
        let error = Aggregation { every, aggregates }.check(&table).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Request);
        assert!(error.to_string().contains(part), "{error}");
    }
}
