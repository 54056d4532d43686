//! Tests of SQL expressions: text read as numbers, rows without a value, refusals, and bounds on depth and size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, AsArray, Float64Array, Int32Array, StringArray};
use arrow::datatypes::Float64Type;
use arrow::util::display::array_value_to_string;

use super::*;

/// Columns of text `a`, `b`, `Wind Speed`, `flag`, and of numbers `i`, `x`.
fn data_type(name: &str) -> Option<DataType> {
    match name {
        "a" | "b" | "Wind Speed" | "flag" | "t.m2" => Some(DataType::Utf8),
        "i" => Some(DataType::Int32),
        "x" => Some(DataType::Float64),
        _ => None,
    }
}

fn column(input: &Input) -> ArrayRef {
    let texts = StringArray::from(match input.name.as_str() {
        "a" => vec![Some("10"), Some("9"), None],
        "b" => vec![Some("9"), Some("1.5"), Some("3")],
        "Wind Speed" => vec![Some("36"), Some("72"), Some("0")],
        "flag" => vec![Some("E"), Some("ok"), None],
        "t.m2" => vec![Some("1"), Some("2"), Some("3")],
        "i" => return Arc::new(Int32Array::from(vec![7, 8, 9])),
        _ => return Arc::new(Float64Array::from(vec![0.5, 1.0, -1.0])),
    });
    match input.data_type {
        DataType::Utf8 => Arc::new(texts),
        _ => cast(&texts, &input.data_type).unwrap(),
    }
}

fn values(text: &str) -> Vec<String> {
    let expression = match SqlExpression::new(text, &data_type) {
        Ok(expression) => expression,
        Err(error) => return vec![error.to_string()],
    };
    let inputs = expression.inputs().iter().map(column).collect();
    let mut refused = Vec::new();
    let made = expression
        .evaluate(inputs, 3, &mut |row, reason| refused.push((row, reason)))
        .unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!((made.len(), made.data_type()), (3, expression.data_type()), "{text}");
    (0..3)
        .map(|row| match refused.iter().find(|(other, _)| *other == row) {
            Some(_) => "refused".to_owned(),
            None => array_value_to_string(&made, row).unwrap(),
        })
        .collect()
}

#[test]
fn text_is_a_number_where_one_is_wanted() {
    let mut others = Vec::new();
    for (text, expected) in [
        ("a + b", ["19.0", "10.5", ""]),
        ("a * i", ["70.0", "72.0", ""]),
        ("-a", ["-10.0", "-9.0", ""]),
        ("+a * -(b + 1)", ["-100.0", "-22.5", ""]),
        ("i / 2", ["3.5", "4.0", "4.5"]),
        ("x * (1/2)", ["0.25", "0.5", "-0.5"]),
        ("a > b", ["true", "true", ""]),
        ("a > 9", ["true", "false", ""]),
        ("a IN (9, 11)", ["false", "true", ""]),
        ("a BETWEEN 9 AND 9.5", ["false", "true", ""]),
        ("sqrt(\"Wind Speed\")", ["6.0", "8.48528137423857", "0.0"]),
        ("round(\"Wind Speed\" / 3.6, 1)", ["10.0", "20.0", "0.0"]),
        ("CASE WHEN flag = 'E' THEN NULL ELSE a END", ["", "9", ""]),
        ("CASE WHEN flag = 'E' THEN 0 ELSE b END", ["0.0", "1.5", "3.0"]),
        ("coalesce(a, -1)", ["10.0", "9.0", "-1.0"]),
        ("nvl(a, b)", ["10", "9", "3"]),
        ("nullif(a, 9.0)", ["10.0", "", ""]),
        ("greatest(a, b)", ["10.0", "9.0", "3.0"]),
        ("t.m2 + 1", ["2.0", "3.0", "4.0"]),
        ("\"t.m2\"", ["1", "2", "3"]),
        ("a || '-' || flag", ["10-E", "9-ok", ""]),
        ("upper(flag)", ["E", "OK", ""]),
        ("substr(b, 1, 1)", ["9", "1", "3"]),
        ("flag IS DISTINCT FROM 'E' AND a = 9", ["false", "true", ""]),
        ("5 * 2", ["10.0", "10.0", "10.0"]),
        ("'it''s'", ["it's", "it's", "it's"]),
        ("CAST(b AS INT)", ["9", "refused", "3"]),
        ("dew_point(x, 50) < x", ["true", "true", "true"]),
    ] {
        let found = values(text);
        if found != expected {
            others.push(format!("{text}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[test]
fn a_row_without_a_value_is_refused_by_itself() {
    let expression = SqlExpression::new("CAST(flag AS DOUBLE)", &data_type).unwrap();
    let texts: Vec<_> = (0..1_000).map(|row| if row % 97 == 5 { "x" } else { "1.5" }).collect();
    let mut refused = Vec::new();
    let inputs: Vec<ArrayRef> = vec![Arc::new(StringArray::from(texts))];
    let made = expression.evaluate(inputs, 1_000, &mut |row, _| refused.push(row)).unwrap();
    assert_eq!(refused, (0..1_000).filter(|row| row % 97 == 5).collect::<Vec<_>>());
    assert_eq!(made.as_primitive::<Float64Type>().null_count(), refused.len());
}

#[test]
fn what_is_no_expression_of_a_row_is_said() {
    for (text, part) in [
        ("a +", "Expected"),
        ("c * 2", "there is no column \"c\""),
        ("A * 2", "there is no column \"A\""),
        ("a b", "end of expression"),
        ("a AS b", "did not expect \"b\""),
        ("(SELECT 1)", "a query cannot stand in it"),
        ("a IN (SELECT b)", "a query cannot stand in it"),
        ("sum(a)", "sum"),
        ("now()", "now"),
        ("random()", "random"),
        ("repeat(a, 1000000000)", "repeat"),
        ("$1 + 1", ""),
        ("a + 1; DROP", ""),
        ("nothing(a)", "nothing"),
    ] {
        let error = SqlExpression::new(text, &data_type).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = format!("a{}", " + 1".repeat(40_000));
    assert!(SqlExpression::new(&long, &data_type).is_err());
}

#[test]
fn an_expression_is_bounded_in_depth_and_size() {
    let shapes: [fn(usize) -> String; 6] = [
        |n| vec!["x"; n].join(" + "),
        |n| vec!["x > 0"; n].join(" OR "),
        |n| format!("{}x", "- ".repeat(n)),
        |n| format!("x{}", "::bigint::double".repeat(n / 2)),
        |n| format!("{}x{}", "abs(".repeat(n / 8), ")".repeat(n / 8)),
        |n| format!("{}x{}", "CASE WHEN x > 1 THEN 1 ELSE ".repeat(n / 8), " END".repeat(n / 8)),
    ];
    for shape in shapes {
        let small = std::thread::Builder::new().stack_size(256 << 10);
        let asked = small.spawn(move || {
            let expression = SqlExpression::new(&shape(180), &data_type).unwrap();
            let inputs: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![1.0; 3]))];
            let made = expression.evaluate(inputs, 3, &mut |_, reason| panic!("{reason}")).unwrap();
            assert_eq!(made.len(), 3);
            SqlExpression::new(&shape(2_000), &data_type).unwrap_err().to_string()
        });
        let error = asked.unwrap().join().unwrap();
        assert!(error.contains("allows 200 levels") || error.contains("bytes"), "{error}");
    }
}
