//! Tests of validation: numbers, times and dictionaries of other types than the table's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{
    Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, StringArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int8Type;
use barograph_lake::Timestamp;
use barograph_lake::schema::{TableDeclaration, ValueType};

use super::*;

fn schema() -> TableSchema {
    let column = ValueColumn::new;
    let declaration = TableDeclaration::new("id", "at")
        .column(column("single", ValueType::Float32))
        .column(column("double", ValueType::Float64))
        .column(column("short", ValueType::Int16))
        .column(column("long", ValueType::Int64))
        .column(column("seen", ValueType::Timestamp))
        .column(column("text", ValueType::Utf8));
    TableSchema::new("things", declaration).unwrap()
}

/// What becomes of `values` as the column `name`.
fn check(name: &str, values: impl Array + 'static) -> (Validated, Vec<String>) {
    let rows = values.len();
    let times = TimestampMicrosecondArray::from_value(0, rows).with_timezone("UTC");
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int32Array::from_value(1, rows)) as ArrayRef, false),
        ("at", Arc::new(times), false),
        (name, Arc::new(values), true),
    ])
    .unwrap();
    let rules = Rules { future: Timestamp::MAX, known_keys: None };
    let Validated { accepted, mut rejected } = validate(&schema(), &batch, &rules).unwrap();
    assert_eq!(accepted.num_rows() + rejected.len(), rows);
    let reasons = rejected.take(usize::MAX).into_iter().map(|rejected| rejected.reason).collect();
    (Validated { accepted, rejected }, reasons)
}

fn column<'a>(checked: &'a (Validated, Vec<String>), name: &str) -> &'a ArrayRef {
    checked.0.accepted.column_by_name(name).unwrap()
}

#[test]
fn a_number_that_single_precision_makes_infinite_or_zero_does_not_fit() {
    let sent = vec![1e39, -1e39, 1e-46, 0.1, 3.4e38, 1e-45, 0.0, f64::NAN, f64::INFINITY];
    let checked = check("single", Float64Array::from(sent));
    assert_eq!(checked.1.len(), 3, "{:?}", checked.1);
    assert_eq!(checked.1[0], "single = 1e39 does not fit Float32");
    let held = column(&checked, "single").as_primitive::<Float32Type>();
    assert_eq!(held.values()[..4], [0.1, 3.4e38, 1e-45, 0.0]);
    assert!(held.value(4).is_nan() && held.value(5) == f32::INFINITY, "{held:?}");
    let nulls = check("single", Float64Array::from(vec![None, Some(1.5)]));
    assert_eq!(column(&nulls, "single").null_count(), 1);
}

#[test]
fn numbers_of_other_types_fit_or_are_refused() {
    let (_, reasons) = check("short", Float64Array::from(vec![270.5, f64::NAN, 4e4, -0.0, 270.0]));
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    let (_, reasons) = check("short", Float32Array::from(vec![0.5, -0.0]));
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let (_, reasons) = check("short", Int64Array::from(vec![32_768, -32_768]));
    assert_eq!(reasons, ["short = 32768 does not fit Int16"]);
    let (_, reasons) = check("long", UInt64Array::from(vec![u64::MAX, i64::MAX as u64]));
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let decimals =
        |values: Vec<i128>| Decimal128Array::from(values).with_precision_and_scale(38, 2);
    let (_, reasons) = check("long", decimals(vec![150, 200, 10_i128.pow(30)]).unwrap());
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let checked = check("double", decimals(vec![2_050, -1]).unwrap());
    let held = column(&checked, "double").as_primitive::<Float64Type>();
    assert_eq!(held.values()[..], [20.5, -0.01]);
}

#[test]
fn times_of_other_units_fit_if_they_are_whole_microseconds() {
    let fine = TimestampNanosecondArray::from(vec![1_000, 1_001, -1]).with_timezone("UTC");
    let (_, reasons) = check("seen", fine);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let coarse = TimestampSecondArray::from(vec![i64::MAX / 1_000_000 + 1, 5, i64::MAX]);
    let (_, reasons) = check("seen", coarse);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}

#[test]
fn dictionaries_are_what_they_stand_for() {
    let keys = Int8Array::from(vec![Some(1), None, Some(0), Some(1)]);
    let texts = StringArray::from(vec!["rain", "snow"]);
    let checked = check("text", DictionaryArray::<Int8Type>::new(keys.clone(), Arc::new(texts)));
    let held = column(&checked, "text").as_string::<i32>();
    assert_eq!(held.iter().collect::<Vec<_>>(), [Some("snow"), None, Some("rain"), Some("snow")]);
    let numbers = Arc::new(Float64Array::from(vec![1e39, 270.0]));
    let (_, reasons) =
        check("short", DictionaryArray::<Int8Type>::new(keys.clone(), numbers.clone()));
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    let (_, reasons) = check("single", DictionaryArray::<Int8Type>::new(keys, numbers));
    assert_eq!(reasons, ["single = 1e39 does not fit Float32"]);
}
