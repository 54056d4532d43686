//! Tests of a rollup: its columns, its windows, its rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;

const HOUR: i64 = MICROS_PER_HOUR;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn source() -> Arc<TableSchema> {
    let declaration = TableDeclaration::new("id", "at")
        .column(ValueColumn::new("temperature", ValueType::Float32).unit("°C"))
        .column(ValueColumn::new("wind_direction", ValueType::Int16).unit("°"))
        .column(ValueColumn::new("wind_speed", ValueType::Float32).unit("m/s"))
        .column(ValueColumn::new("gust_direction", ValueType::Int16).unit("°"))
        .column(ValueColumn::new("flashes", ValueType::Int32))
        .column(ValueColumn::new("note", ValueType::Utf8));
    Arc::new(TableSchema::new("readings", declaration).unwrap())
}

fn rollup(every: &str) -> Result<Rollup> {
    let settings = RollupSettings { of: "readings".to_owned(), every: every.parse().unwrap() };
    Rollup::new("r", &settings, source(), Span::seconds(60))
}

#[test]
fn each_column_has_the_aggregates_that_make_sense_of_it() {
    let rollup = rollup("1h").unwrap();
    let fields = rollup.table().arrow().fields();
    let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
    let number = ["count", "mean", "min", "max", "first", "last", "sum"];
    let of = |column: &str, aggregates: &[&str]| -> Vec<String> {
        aggregates.iter().map(|aggregate| format!("{column}_{aggregate}")).collect()
    };
    let head = ["id", "window_start", "rows", "expected", "completeness"];
    let mut expected: Vec<String> = head.map(str::to_owned).to_vec();
    expected.extend(of("temperature", &number));
    expected.extend(of("wind_direction", &["count", "mean", "first", "last"]));
    expected.extend(of("wind_speed", &number));
    expected.extend(of("gust_direction", &["count", "mean", "first", "last"]));
    expected.extend(of("flashes", &number));
    expected.extend(of("note", &["count", "min", "max", "first", "last"]));
    expected.push("ingested_at".to_owned());
    assert_eq!(names, expected);
    let unit = |name: &str| {
        let at = rollup.table().column(name).unwrap();
        fields[at].metadata().get("unit").cloned()
    };
    assert_eq!(unit("temperature_mean").as_deref(), Some("°C"));
    assert_eq!(unit("temperature_count"), None);
    let means: Vec<_> = rollup
        .aggregation
        .aggregates
        .iter()
        .flat_map(|(_, aggregates)| aggregates)
        .filter(|aggregate| matches!(aggregate, Aggregate::MeanDirection { .. }))
        .collect();
    // wind_speed is column 4 of the source; there is no gust_speed.
    let [wind, gust] = [Some(4), None].map(|speed| Aggregate::MeanDirection { speed });
    assert_eq!(means, [&wind, &gust]);
}

#[test]
fn windows_divide_a_day_or_are_whole_days() {
    for every in ["1h", "2h", "6h", "12h", "1d", "7d"] {
        assert_eq!(rollup(every).unwrap().every(), every.parse::<Span>().unwrap());
    }
    for every in ["30m", "90m", "5h", "36h", "1s"] {
        let error = rollup(every).unwrap_err().to_string();
        assert!(error.contains("rollups.r.every"), "{error}");
    }
    let days = rollup("1d").unwrap();
    let hours = [-25, -1, 0, 23, 24].map(|hour| Hour::of(at(hour * HOUR)).unwrap());
    let windows: Vec<_> = days.windows(&hours).into_iter().collect();
    assert_eq!(windows, [-48 * HOUR, -24 * HOUR, 0, 24 * HOUR].map(at));
    assert_eq!(days.window(at(-1)), TimeRange { from: at(-24 * HOUR), to: at(0) });
}

#[test]
fn an_emptied_window_has_no_rows_and_no_values() {
    let rollup = rollup("1d").unwrap();
    let keys: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let times = TimestampMicrosecondArray::from(vec![0, 24 * HOUR]).with_timezone("UTC");
    let rows = rollup.emptied(keys, Arc::new(times)).unwrap();
    assert_eq!(rows.column(2).as_primitive::<Int64Type>().values(), &[0, 0]);
    assert_eq!(rows.column(3).as_primitive::<Int64Type>().values(), &[1_440, 1_440]);
    assert_eq!(rows.column(4).as_primitive::<Float64Type>().values(), &[0.0, 0.0]);
    assert!(rows.columns().iter().skip(5).all(|column| column.null_count() == 2));
}
