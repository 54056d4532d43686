#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Float32Array, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::Float32Type;
use barograph_lake::TableSchema;
use barograph_lake::schema::{KeyType, TableDeclaration, ValueColumn, ValueType};

use super::super::input::Numbers;
use super::super::mapping::{Columns, Mapping};
use super::*;

fn table() -> TableSchema {
    let column = |name: &str, value_type| ValueColumn {
        name: name.to_owned(),
        value_type,
        unit: None,
        range: None,
    };
    let declaration = TableDeclaration {
        key: "id".to_owned(),
        key_type: KeyType::Int32,
        time: "at".to_owned(),
        columns: vec![
            column("celsius", ValueType::Float32),
            column("direction", ValueType::Int16),
            column("note", ValueType::Utf8),
        ],
        dimension: None,
    };
    TableSchema::new("weather", declaration).unwrap()
}

fn applied(mapping: &Mapping, columns: Vec<(&str, ArrayRef)>) -> Applied {
    let all = RecordBatch::try_from_iter(columns).unwrap();
    let plan = Plan::new(&table(), mapping, &Columns::Known(all.schema())).unwrap();
    let indexes: Vec<_> =
        plan.needed.iter().map(|name| all.schema().index_of(name).unwrap()).collect();
    let chunk = Chunk {
        columns: all.project(&indexes).unwrap(),
        read: all.num_rows() as u64,
        originals: Originals::Columns(all),
        broken: Vec::new(),
        numbers: Numbers::From(11),
    };
    apply(&plan, chunk).unwrap()
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
    let rules = barograph_engine::validate::Rules { future: i64::MAX, known_keys: None };
    let judged = barograph_engine::validate::validate(&table(), &made.rows, &rules).unwrap();
    assert_eq!(judged.rejected.len(), 2);
    let held = judged.accepted.column(2).as_primitive::<Float32Type>();
    assert_eq!(held.values()[..], [0.0, 215.0]);
}
