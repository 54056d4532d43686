//! Restrictions held against the rows one by one.

use arrow::array::{ArrayRef, Float32Array, Int32Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Int32Type;
use barograph_access::{Decision, Grant, Verb};
use barograph_lake::schema::{TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{KeySelection, TimeRange};
use proptest::prelude::*;

use super::*;
use crate::{Point, Scan};

fn table() -> Arc<TableSchema> {
    let declaration = TableDeclaration::new("city", "at")
        .column(ValueColumn::new("x", ValueType::Float32))
        .column(ValueColumn::new("dewpoint", ValueType::Float32));
    Arc::new(TableSchema::new("a", declaration).unwrap())
}

fn allowed(grants: &[&str]) -> Allowed {
    let grants = grants.iter().map(|json| serde_json::from_str::<Grant>(json).unwrap()).collect();
    match barograph_access::internal::rights(grants).decide(Verb::Read, "a") {
        Decision::Allow(allowed) => allowed,
        Decision::Deny => panic!("denied"),
    }
}

fn rows() -> RecordBatch {
    let keys: Vec<i32> = (0..40).map(|at| at / 2).collect();
    let times = TimestampMicrosecondArray::from_iter_values(0..40).with_timezone("UTC");
    let values = |by: f32| -> ArrayRef {
        Arc::new(
            (0..40).map(|at| (at % 7 != 0).then_some(at as f32 * by)).collect::<Float32Array>(),
        )
    };
    let at: ArrayRef = Arc::new(times);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(keys)), Arc::clone(&at), values(1.0), values(-1.0), at];
    RecordBatch::try_new(Arc::clone(table().arrow()), columns).unwrap()
}

fn keys_of(rows: &RecordBatch) -> Vec<i32> {
    rows.column(0).as_primitive::<Int32Type>().values().to_vec()
}

proptest! {
    #[test]
    fn every_read_carries_the_keys_and_conditions(
        ranges in proptest::collection::vec((0_i64..20, 0_i64..4), 0..4),
        filter in proptest::option::of(0..30),
        asked in proptest::option::of(proptest::collection::vec(0_i64..20, 0..6)),
    ) {
        let ranges: Vec<_> = ranges
            .into_iter()
            .map(|(from, more)| KeyRange { from: Key::new(from), to: Key::new(from + more) })
            .collect();
        let keys = KeyRanges::new(ranges);
        let filters = filter.map(|most| Arc::from(format!("dewpoint > -{most} OR x IS NULL")));
        let rule = RowRule { keys: Some(keys.clone()), filters: filters.into_iter().collect() };
        let allowed = Allowed { columns: Some(["x".to_owned()].into()), rows: Rows::Some(vec![rule]) };
        let restriction = Restriction::new(&table(), &allowed).unwrap().unwrap();
        let all = rows();
        let gives = |row: usize| {
            let x = all.column(2).as_primitive::<arrow::datatypes::Float32Type>();
            let key = all.column(0).as_primitive::<Int32Type>().value(row);
            keys.contains(Key::from(key))
                && filter.is_none_or(|most| x.is_null(row) || x.value(row) < most as f32)
        };
        let expected: Vec<i32> =
            (0..40).filter(|&row| gives(row)).map(|row| row as i32 / 2).collect();
        let through = restriction.let_through(&all, &[0, 1, 2, 3, 4], 3).unwrap();
        prop_assert_eq!(keys_of(&through), expected.clone());
        prop_assert_eq!(through.num_columns(), 3);

        let selection = match &asked {
            None => KeySelection::All,
            Some(keys) => KeySelection::list(keys.iter().copied()),
        };
        let scan = restriction.scan(Scan::of(selection, TimeRange::ALL));
        let chosen: Vec<i32> = (0..40)
            .filter(|&row| {
                scan.keys.contains(Key::new(row / 2))
                    && scan.filter.as_ref().is_none_or(|filter| {
                        filter.select(&all, &[0, 1, 2, 3, 4]).unwrap().value(row as usize)
                    })
            })
            .map(|row| row as i32 / 2)
            .collect();
        let wanted = |key: &i32| asked.as_ref().is_none_or(|of| of.contains(&i64::from(*key)));
        let expected: Vec<i32> = expected.into_iter().filter(wanted).collect();
        prop_assert_eq!(chosen, expected);

        let asked = asked.map(|keys| keys.into_iter().map(Key::new).collect());
        let point = PointQuery { keys: asked, point: Point::Latest, columns: vec![2] };
        let point = restriction.point(&point);
        if let Some(list) = &point.keys {
            prop_assert!(list.iter().all(|&key| keys.contains(key)));
        }
        prop_assert_eq!(point.columns.len(), 1 + usize::from(filter.is_some()));
    }
}

#[test]
fn a_caller_sees_its_columns_and_no_others() {
    let allowed = allowed(&[r#"{"verbs":["read"],"tables":["a"],"columns":["x","none"]}"#]);
    let restriction = Restriction::new(&table(), &allowed).unwrap().unwrap();
    let names: Vec<_> =
        restriction.visible().arrow().fields().iter().map(|of| of.name().as_str()).collect();
    assert_eq!(names, ["city", "at", "x", "ingested_at"]);
    assert_eq!(restriction.columns(), [0, 1, 2, 4]);
    assert!(restriction.gives_all_rows());
    let error = Predicate::parse("dewpoint > 1", restriction.visible()).unwrap_err().to_string();
    let other = Predicate::parse("dewpaint > 1", restriction.visible()).unwrap_err().to_string();
    assert_eq!(error.replace("dewpoint", "dewpaint"), other);
}

#[test]
fn what_cannot_be_decided_is_not_given() {
    let of = |filter: &str| {
        let grant = format!(r#"{{"verbs":["read"],"tables":["a"],"filter":"{filter}"}}"#);
        Restriction::new(&table(), &allowed(&[&grant]))
    };
    assert!(of("x > 1").is_ok());
    for filter in ["hidden > 1", "x > 1) OR (TRUE", "x", "x = 'a'"] {
        let error = of(filter).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{filter}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    assert!(Restriction::new(&table(), &Allowed::ALL).unwrap().is_none());
}

#[test]
fn rows_of_other_keys_are_not_written() {
    let keys = KeyRanges::new([KeyRange { from: Key::new(3), to: Key::new(5) }]);
    let check = |column: ArrayRef| {
        let rows = RecordBatch::try_from_iter([("city", column)]).unwrap();
        Restriction::check_written(&table(), &rows, &keys)
    };
    check(Arc::new(Int32Array::from(vec![3, 4, 5]))).unwrap();
    check(Arc::new(Int32Array::from(vec![Some(3), None]))).unwrap();
    check(Arc::new(arrow::array::UInt8Array::from(vec![3]))).unwrap();
    let error = check(Arc::new(Int32Array::from(vec![3, 6]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().starts_with("key 6 of table \"a\""), "{error}");
    for column in [
        Arc::new(StringArray::from(vec!["3"])) as ArrayRef,
        Arc::new(Float32Array::from(vec![3.0])),
        Arc::new(arrow::array::UInt64Array::from(vec![u64::MAX])),
    ] {
        assert_eq!(check(column).unwrap_err().kind(), ErrorKind::Denied);
    }
}
