//! Tests of the application of a mapping: texts, numbers, times and decimals, and the rows that are rejected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{
    AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array, TimestampMicrosecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, TimestampMicrosecondType,
};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{TableSchema, Timestamp};
use barograph_query::SqlExpressions;

use super::super::input::Numbers;
use super::super::mapping::{Columns, Mapping};
use super::*;

fn table() -> TableSchema {
    let column = ValueColumn::new;
    let declaration = TableDeclaration::new("id", "at")
        .column(column("celsius", ValueType::Float32))
        .column(column("direction", ValueType::Int16))
        .column(column("note", ValueType::Utf8));
    TableSchema::new("weather", declaration).unwrap()
}

fn applied(mapping: &Mapping, columns: Vec<(&str, ArrayRef)>) -> Applied {
    let all = RecordBatch::try_from_iter(columns).unwrap();
    let plan =
        Plan::new(&table(), mapping, &Columns::Known(all.schema()), &SqlExpressions).unwrap();
    let indexes: Vec<_> =
        plan.needed.iter().map(|name| all.schema().index_of(name).unwrap()).collect();
    let chunk = Chunk {
        columns: all.project(&indexes).unwrap(),
        read: all.num_rows() as u64,
        originals: Originals::Columns(all),
        broken: Vec::new(),
        numbers: Numbers::From(11),
    };
    apply(&plan, chunk, true).unwrap()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn text_is_mapped_converted_and_typed() {
    let mut mapping = Mapping { null: vec!["NA".to_owned()], ..Mapping::default() };
    mapping.map("id=station").unwrap();
    mapping.map("celsius=(temp - 32) / 1.8").unwrap();
    mapping.map("direction=dir").unwrap();
    mapping.map("note='manual'").unwrap();
    mapping.values("station:EWR=1,JFK=2").unwrap();
    let made = applied(
        &mapping,
        vec![
            ("station", texts(&["EWR", "JFK", "EWR"])),
            ("at", texts(&["2013-01-01T06:00:00Z", "2013-01-01 07:00", "1357020000000001"])),
            ("temp", texts(&["39.02", "NA", ""])),
            ("dir", texts(&["270", "90.0", " 0 "])),
        ],
    );
    assert!(made.rejected.is_empty(), "{:?}", made.rejected);
    let rows = made.rows;
    assert_eq!(rows.column(0).as_primitive::<Int32Type>().values(), &[1, 2, 1]);
    let at = rows.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(at.values(), &[1_357_020_000_000_000, 1_357_023_600_000_000, 1_357_020_000_000_001]);
    let celsius = rows.column(2).as_primitive::<Float64Type>().iter();
    assert_eq!(celsius.map(|c| c.map(|c| c as f32)).collect::<Vec<_>>(), [Some(3.9), None, None]);
    assert_eq!(rows.column(3).as_primitive::<Int16Type>().values(), &[270, 90, 0]);
    assert_eq!(rows.column(4).as_string::<i32>().value(2), "manual");
}

#[test]
fn a_row_with_an_unreadable_cell_is_rejected_with_reason_and_original() {
    let mut mapping = Mapping::default();
    mapping.map("id=station").unwrap();
    mapping.map("celsius=temp").unwrap();
    mapping.values("station:EWR=1").unwrap();
    let made = applied(
        &mapping,
        vec![
            ("station", texts(&["EWR", "ORD", "EWR", "EWR", "EWR"])),
            ("at", texts(&["2013-01-01", "2013-01-01", "soon", "2013-01-01", "2013-01-01"])),
            ("temp", texts(&["1", "2", "3", "warm", "NaN"])),
            ("direction", texts(&["1", "2", "3", "40000", "5"])),
        ],
    );
    let reasons: Vec<_> = made.rejected.iter().map(|r| r.reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "id: no value is given for station \"ORD\" (row 12)",
            "at: \"soon\" is not a time like 2026-11-22T10:00:00Z (row 13)",
            "celsius: temp \"warm\" is not a number (row 14)",
            "celsius: temp \"NaN\" is not a number (row 15)",
        ]
    );
    assert_eq!(
        made.rejected[0].row,
        r#"{"station":"ORD","at":"2013-01-01","temp":"2","direction":"2"}"#
    );
    assert_eq!((made.rows.num_rows(), made.read), (1, 5));
}

#[test]
fn typed_columns_pass_untouched_or_are_calculated() {
    let mut mapping = Mapping::default();
    mapping.map("celsius=k - 273.15").unwrap();
    mapping.map("direction=turns * 360").unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let instants: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"));
    let kelvin: ArrayRef = Arc::new(Float32Array::from(vec![Some(273.15), None, Some(300.0)]));
    let turns: ArrayRef = Arc::new(Float64Array::from(vec![0.25, 1.0, 100.0]));
    let made = applied(
        &mapping,
        vec![("id", ids.clone()), ("at", instants.clone()), ("k", kelvin), ("turns", turns)],
    );
    assert_eq!(made.rejected.len(), 1);
    assert_eq!(made.rejected[0].reason, "direction: 36000 does not fit Int16 (row 13)");
    assert_eq!(made.rows.column(0).as_ref(), ids.slice(0, 2).as_ref());
    assert_eq!(made.rows.column(1).as_ref(), instants.slice(0, 2).as_ref());
    let celsius = made.rows.column(2).as_primitive::<Float64Type>();
    assert!(celsius.value(0).abs() < 1e-4 && celsius.is_null(1));
    assert_eq!(made.rows.column(3).as_primitive::<Int16Type>().values(), &[90, 360]);
}

#[test]
fn whole_numbers_and_dates_become_instants() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let seconds: ArrayRef = Arc::new(Int64Array::from(vec![1_357_020_000]));
    let mut mapping = Mapping::default();
    mapping.map("at=seconds*1000000").unwrap();
    let made = applied(&mapping, vec![("id", ids.clone()), ("seconds", seconds)]);
    let at = made.rows.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!((at.value(0), at.timezone()), (1_357_020_000_000_000, Some("UTC")));

    let dates: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![15_706]));
    let made = applied(&Mapping::default(), vec![("id", ids), ("at", dates)]);
    let at = made.rows.column(1).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(at.value(0), 15_706 * 86_400_000_000);
}

#[test]
fn numbers_that_single_precision_cannot_hold_are_refused_and_never_infinite() {
    let at = ["2013-01-01T06:00:00Z"; 4];
    let plain = Mapping::default();
    let sent = vec![
        ("id", texts(&["1", "2", "3", "4"])),
        ("at", texts(&at)),
        ("celsius", texts(&["1e39", "-1e-46", "0.0", "inf"])),
    ];
    let made = applied(&plain, sent.clone());
    assert_eq!(made.rejected.len(), 3, "{:?}", made.rejected);
    assert_eq!(made.rows.column(0).as_primitive::<Int32Type>().values(), &[3]);
    let mut scaled = Mapping::default();
    scaled.map("celsius=celsius * 10").unwrap();
    let mut sent = sent;
    sent[2].1 = texts(&["1e38", "-1e-47", "0.0", "21.5"]);
    let made = applied(&scaled, sent);
    assert!(made.rejected.is_empty(), "the engine judges them: {:?}", made.rejected);
    let rules = barograph_engine::validate::Rules { future: Timestamp::MAX, known_keys: None };
    let judged = barograph_engine::validate::validate(&table(), &made.rows, &rules).unwrap();
    assert_eq!(judged.rejected.len(), 2);
    let held = judged.accepted.column(2).as_primitive::<Float32Type>();
    assert_eq!(held.values()[..], [0.0, 215.0]);
}

fn instants(made: &Applied) -> Vec<Option<i64>> {
    made.rows.column(1).as_primitive::<TimestampMicrosecondType>().iter().collect()
}

fn reasons(made: &Applied) -> Vec<&str> {
    made.rejected.iter().map(|rejected| rejected.reason.as_str()).collect()
}

fn stated(toml: &str) -> Mapping {
    toml::from_str(toml).unwrap()
}

fn whole(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

const MIDNIGHT: i64 = 1_661_990_400_000_000;

#[test]
fn a_time_is_joined_from_several_columns_of_any_type() {
    let mapping = stated("[time]\ncolumns = ['day', 'clock']");
    let made = applied(
        &mapping,
        vec![
            ("id", texts(&["1", "1", "1"])),
            ("day", texts(&["2022-09-01", "2022-09-01", ""])),
            ("clock", texts(&["00:00:00", "24:00", "00:10:00"])),
        ],
    );
    assert_eq!(instants(&made), [Some(MIDNIGHT), Some(MIDNIGHT + 86_400_000_000), None]);
    let mapping =
        stated("[time]\ncolumns = ['year', 'doy', 'hhmm']\nformat = '%Y %j %H%M'\nzone = '+01:00'");
    let hours: ArrayRef = Arc::new(Float64Array::from(vec![100.0, 105.0]));
    let made = applied(
        &mapping,
        vec![
            ("id", whole(&[1, 1])),
            ("year", whole(&[2022, 2022])),
            ("doy", whole(&[244, 244])),
            ("hhmm", hours),
        ],
    );
    assert_eq!(instants(&made), [Some(MIDNIGHT), Some(MIDNIGHT + 300_000_000)]);
    let error = Plan::new(
        &table(),
        &stated("[time]\ncolumns = ['day', 'clock']"),
        &Columns::Known(Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("day", DataType::Utf8, true),
        ]))),
        &SqlExpressions,
    );
    assert!(error.unwrap_err().to_string().contains("\"clock\", which the file does not have"));
}

#[test]
fn nanoseconds_are_refused_or_rounded_alike_in_text_and_types() {
    let ns = [1_661_990_400_000_001_000, 1_661_990_400_000_001_501];
    let typed: ArrayRef = Arc::new(TimestampNanosecondArray::from(ns.to_vec()));
    let text = texts(&["2022-09-01T00:00:00.000001Z", "2022-09-01T00:00:00.000001501Z"]);
    for (unit, at) in [("", typed), ("", text), ("unit = 'ns'", whole(&ns))] {
        let read = |toml: String| {
            applied(&stated(&toml), vec![("id", whole(&[1, 2])), ("at", Arc::clone(&at))])
        };
        let made = read(format!("[time]\n{unit}"));
        assert_eq!(instants(&made), [Some(MIDNIGHT + 1)]);
        assert!(reasons(&made)[0].contains("finer than a µs"), "{:?}", reasons(&made));
        let made = read(format!("[time]\nround = true\n{unit}"));
        assert_eq!(instants(&made), [Some(MIDNIGHT + 1), Some(MIDNIGHT + 2)]);
    }
}

#[test]
fn local_times_without_a_zone_in_their_type_are_of_the_zone_that_is_stated() {
    let zone = stated("[time]\nzone = 'Europe/Brussels'");
    let local: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![MIDNIGHT]));
    let made = applied(&zone, vec![("id", whole(&[1])), ("at", local.clone())]);
    assert_eq!(instants(&made), [Some(MIDNIGHT - 7_200_000_000)]);
    let utc: ArrayRef =
        Arc::new(local.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC"));
    let made = applied(&zone, vec![("id", whole(&[1])), ("at", utc)]);
    assert_eq!(instants(&made), [Some(MIDNIGHT)]);
    let autumn = texts(&["2022-10-30 02:05", "2022-10-30 03:05"]);
    let made = applied(&zone, vec![("id", whole(&[1, 1])), ("at", autumn)]);
    assert_eq!((made.found.ambiguous.rows, made.rows.num_rows()), (1, 2));
}

#[test]
fn typed_times_of_every_unit_are_read_or_refused_and_never_null() {
    use arrow::array::{Date32Array, Date64Array, TimestampMillisecondArray, TimestampSecondArray};
    let s = MIDNIGHT / 1_000_000;
    let all: [ArrayRef; 4] = [
        Arc::new(TimestampSecondArray::from(vec![s, i64::MAX])),
        Arc::new(TimestampMillisecondArray::from(vec![s * 1_000, i64::MAX])),
        Arc::new(Date32Array::from(vec![(s / 86_400) as i32, i32::MAX])),
        Arc::new(Date64Array::from(vec![s * 1_000, i64::MAX])),
    ];
    for at in all {
        let made =
            applied(&Mapping::default(), vec![("id", whole(&[1, 2])), ("at", Arc::clone(&at))]);
        assert_eq!(instants(&made), [Some(MIDNIGHT)], "{:?}", at.data_type());
        assert!(reasons(&made)[0].contains("outside the years"), "{:?}", reasons(&made));
    }
}

#[test]
fn numbers_of_another_unit_are_refused_in_text_and_types() {
    let table = table();
    for at in [whole(&[1_661_990_400, 1_661_990_700]), texts(&["1661990400", "1661990700"])] {
        let all = RecordBatch::try_from_iter([("id", whole(&[1, 2])), ("at", at)]).unwrap();
        let plan =
            Plan::new(&table, &Mapping::default(), &Columns::Known(all.schema()), &SqlExpressions)
                .unwrap();
        let chunk = || Chunk {
            columns: all.clone(),
            read: 2,
            originals: Originals::Columns(all.clone()),
            broken: Vec::new(),
            numbers: Numbers::From(1),
        };
        let error = apply(&plan, chunk(), true).unwrap_err().to_string();
        assert!(error.contains("looks like s since 1970"), "{error}");
        assert!(error.contains("state unit = \"s\" (--time-unit s)"), "{error}");
        assert_eq!(apply(&plan, chunk(), false).unwrap().rejected.len(), 2);
    }
    let made = applied(
        &stated("[time]\nunit = 's'"),
        vec![("id", whole(&[1])), ("at", whole(&[1_661_990_400]))],
    );
    assert_eq!(instants(&made), [Some(MIDNIGHT)]);
}

#[test]
fn what_stands_for_a_missing_value_holds_for_numbers() {
    let at = || texts(&["2022-09-01", "2022-09-02", "2022-09-03"]);
    let temperatures: [ArrayRef; 4] = [
        Arc::new(Float32Array::from(vec![-9999.9, 1.5, -9999.9])),
        Arc::new(Float64Array::from(vec![-9999.9, 1.5, -9999.90])),
        Arc::new(
            Decimal128Array::from(vec![-99_999, 15, -99_999])
                .with_precision_and_scale(8, 1)
                .unwrap(),
        ),
        texts(&["-9999.9", "1.5", "-9999.900"]),
    ];
    let directions: [ArrayRef; 3] = [
        whole(&[-9999, 270, -9999]),
        Arc::new(Float64Array::from(vec![-9999.0, 270.0, -9999.0])),
        texts(&["-9999", "270", "-9999.0"]),
    ];
    for celsius in &temperatures {
        for direction in &directions {
            let made = applied(
                &stated("null = ['-9999', '-9999.9']"),
                vec![
                    ("id", whole(&[1, 2, 3])),
                    ("at", at()),
                    ("celsius", Arc::clone(celsius)),
                    ("direction", Arc::clone(direction)),
                ],
            );
            assert!(made.rejected.is_empty(), "{:?}", made.rejected);
            for column in [2, 3] {
                let column = made.rows.column(column);
                let nulls: Vec<_> = (0..3).map(|row| column.is_null(row)).collect();
                assert_eq!(nulls, [true, false, true], "{column:?}");
            }
        }
    }
    let made = applied(
        &stated("null = ['-9999']\n[columns]\ncelsius = 'k - 273.15'"),
        vec![
            ("id", whole(&[1, 2])),
            ("at", texts(&["2022-09-01"; 2])),
            ("k", whole(&[-9999, 300])),
        ],
    );
    assert!(made.rows.column(2).is_null(0) && made.rows.column(2).is_valid(1));
}

#[test]
fn decimals_become_numbers_of_the_table() {
    let decimal = |values: Vec<i128>, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(20, scale).unwrap())
    };
    let mut mapping = Mapping::default();
    mapping.map("celsius=f / 10").unwrap();
    let made = applied(
        &mapping,
        vec![
            ("id", decimal(vec![10, 20, 30], 1)),
            ("at", texts(&["2022-09-01"; 3])),
            ("f", decimal(vec![1_525, 1_525, 1_525], 2)),
            ("direction", decimal(vec![27_000, 27_050, 4_000_000], 2)),
        ],
    );
    assert_eq!(made.rows.column(0).as_primitive::<Int32Type>().values(), &[1]);
    assert_eq!(made.rows.column(2).as_primitive::<Float64Type>().values(), &[1.525]);
    assert_eq!(made.rows.column(3).as_primitive::<Int16Type>().values(), &[270]);
    assert_eq!(
        reasons(&made),
        [
            "direction: 270.50 does not fit Int16 (row 12)",
            "direction: 40000.00 does not fit Int16 (row 13)"
        ]
    );
}
