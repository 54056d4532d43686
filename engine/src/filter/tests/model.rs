//! The naive model of the filter: rows of values, conditions as trees, answered one row at a time.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use barograph_lake::{TableSchema, Timestamp, ValueType};
use proptest::prelude::*;
use serde_json::json;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    /// Integers and times.
    Whole(i64),
    Single(f32),
    Double(f64),
    Text(String),
}

pub(super) type Row = Vec<Value>;

/// ```text
/// 0 city_id, 1 reading_at, 2 small, 3 middle, 4 wide, 5 single, 6 double, 7 other, 8 word, 9 interval, 10 ingested_at
/// ```
pub(super) const TYPES: [ValueType; 11] = [
    ValueType::Int32,
    ValueType::Timestamp,
    ValueType::Int16,
    ValueType::Int32,
    ValueType::Int64,
    ValueType::Float32,
    ValueType::Float64,
    ValueType::Float32,
    ValueType::Utf8,
    ValueType::Timestamp,
    ValueType::Timestamp,
];

pub(super) fn schema() -> TableSchema {
    let names = ["small", "middle", "wide", "single", "double", "other", "word", "interval"];
    let columns: Vec<_> = names
        .into_iter()
        .zip(&TYPES[2..])
        .map(|(name, of)| json!({ "name": name, "type": of }))
        .collect();
    let declaration = json!({ "key": "city_id", "time": "reading_at", "columns": columns });
    let declaration = serde_json::from_value(declaration).unwrap();
    TableSchema::new("samples", declaration).unwrap()
}

pub(super) fn all_columns() -> Vec<usize> {
    (0..TYPES.len()).collect()
}

pub(super) fn batch(rows: &[Row]) -> RecordBatch {
    let whole = |value: &Value| match value {
        Value::Whole(value) => Some(*value),
        _ => None,
    };
    let single = |value: &Value| match value {
        Value::Single(value) => Some(*value),
        _ => None,
    };
    let double = |value: &Value| match value {
        Value::Double(value) => Some(*value),
        _ => None,
    };
    let text = |value: &Value| match value {
        Value::Text(value) => Some(value.clone()),
        _ => None,
    };
    let columns = TYPES.iter().enumerate().map(|(column, of)| -> ArrayRef {
        let values = rows.iter().map(|row| &row[column]);
        match of {
            ValueType::Int16 => {
                let values = values.map(|value| whole(value).map(|value| value as i16));
                Arc::new(values.collect::<Int16Array>())
            }
            ValueType::Int32 => {
                let values = values.map(|value| whole(value).map(|value| value as i32));
                Arc::new(values.collect::<Int32Array>())
            }
            ValueType::Int64 => Arc::new(values.map(whole).collect::<Int64Array>()),
            ValueType::Timestamp => Arc::new(
                values.map(whole).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
            ),
            ValueType::Float32 => Arc::new(values.map(single).collect::<Float32Array>()),
            ValueType::Float64 => Arc::new(values.map(double).collect::<Float64Array>()),
            ValueType::Utf8 => Arc::new(values.map(text).collect::<StringArray>()),
        }
    });
    RecordBatch::try_new(schema().arrow().clone(), columns.collect()).unwrap()
}

fn value(of: ValueType) -> BoxedStrategy<Value> {
    let near = prop_oneof![-12i64..12, Just(i64::MIN), Just(i64::MAX), -40_000i64..40_000];
    match of {
        ValueType::Int16 => near.prop_map(|v| Value::Whole(i64::from(v as i16))).boxed(),
        ValueType::Int32 => near.prop_map(|v| Value::Whole(i64::from(v as i32))).boxed(),
        ValueType::Int64 => near.prop_map(Value::Whole).boxed(),
        ValueType::Timestamp => (-3i64..3).prop_map(|v| Value::Whole(v * 1_000_000)).boxed(),
        ValueType::Float32 => prop_oneof![
            6 => (-120i16..120).prop_map(|v| Value::Single(f32::from(v) / 10.0)),
            1 => proptest::sample::select(vec![
                f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, f32::MIN,
            ])
            .prop_map(Value::Single),
        ]
        .boxed(),
        ValueType::Float64 => prop_oneof![
            6 => (-120i16..120).prop_map(|v| Value::Double(f64::from(v) / 10.0)),
            1 => proptest::sample::select(vec![
                f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX,
                9_223_372_036_854_775_808.0, -9_223_372_036_854_775_808.0,
            ])
            .prop_map(Value::Double),
        ]
        .boxed(),
        ValueType::Utf8 => "[ab'é]{0,2}".prop_map(Value::Text).boxed(),
    }
}

/// A row with about as many nulls as `nulls` of ten says, at least one and at most nine.
pub(super) fn row(nulls: u32) -> impl Strategy<Value = Row> {
    let column = |(column, &of): (usize, &ValueType)| match column {
        0 | 1 | 10 => value(of),
        _ => prop_oneof![nulls => Just(Value::Null), (10 - nulls) => value(of)].boxed(),
    };
    TYPES.iter().enumerate().map(column).collect::<Vec<BoxedStrategy<Value>>>()
}

/// A literal: what is written, and what it is.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    text: String,
    /// A number in thousandths.
    thousandths: i128,
    instant: i64,
}

fn literal(of: ValueType) -> BoxedStrategy<Literal> {
    let number = |text: String, thousandths| Literal { text, thousandths, instant: 0 };
    match of {
        ValueType::Timestamp => ((-3i64..3), any::<bool>())
            .prop_map(|(seconds, typed)| {
                let instant = seconds * 1_000_000;
                let word = if typed { "TIMESTAMP " } else { "" };
                let text = format!("{word}'{}'", Timestamp::from_micros(instant));
                Literal { text, thousandths: 0, instant }
            })
            .boxed(),
        ValueType::Utf8 => "[ab'é]{0,2}"
            .prop_map(|text| Literal {
                text: format!("'{}'", text.replace('\'', "''")),
                thousandths: 0,
                instant: 0,
            })
            .boxed(),
        _ => prop_oneof![
            (-12i64..12).prop_map(move |v| number(v.to_string(), i128::from(v) * 1_000)),
            (-120i64..120).prop_map(move |tenths| {
                let text = format!("{}e-1", tenths);
                number(text, i128::from(tenths) * 100)
            }),
            (-12_000i64..12_000).prop_map(move |v| {
                let sign = if v < 0 { "-" } else { "" };
                let text = format!("{sign}{}.{:03}", v.abs() / 1_000, v.abs() % 1_000);
                number(text, i128::from(v))
            }),
            proptest::sample::select(vec![
                "32767",
                "32768",
                "-32768",
                "-32769",
                "2147483647",
                "2147483648",
                "-2147483649",
                "9223372036854775807",
                "9223372036854775808",
                "-9223372036854775808",
                "-9223372036854775809",
                "99999999999999999999",
            ])
            .prop_map(move |text| number(text.to_owned(), text.parse::<i128>().unwrap() * 1_000)),
        ]
        .boxed(),
    }
}

/// A condition of the model.
#[derive(Debug, Clone)]
pub(super) enum Model {
    Constant(Option<bool>),
    IsNull(usize, bool),
    Compare(usize, &'static str, Literal, bool),
    Columns(usize, &'static str, usize),
    Between(usize, Literal, Literal, bool),
    Among(usize, Vec<Option<Literal>>, bool),
    Not(Box<Model>),
    And(Vec<Model>),
    Or(Vec<Model>),
}

const OPS: [&str; 7] = ["=", "<>", "!=", "<", "<=", ">", ">="];

pub(super) fn model() -> impl Strategy<Value = Model> {
    let op = || proptest::sample::select(OPS.to_vec());
    let like: Vec<(usize, usize)> = (0..TYPES.len())
        .flat_map(|a| (0..TYPES.len()).map(move |b| (a, b)))
        .filter(|&(a, b)| TYPES[a] == TYPES[b] || TYPES[a].is_number() && TYPES[b].is_number())
        .collect();
    let compare = (0..TYPES.len())
        .prop_flat_map(move |column| (Just(column), op(), literal(TYPES[column]), any::<bool>()));
    let between = (0..TYPES.len()).prop_flat_map(|column| {
        let side = || literal(TYPES[column]);
        (Just(column), side(), side(), any::<bool>())
    });
    let among = (0..TYPES.len()).prop_flat_map(|column| {
        let item = prop_oneof![1 => Just(None), 9 => literal(TYPES[column]).prop_map(Some)];
        (Just(column), proptest::collection::vec(item, 1..50), any::<bool>())
    });
    let leaf = prop_oneof![
        1 => proptest::option::of(any::<bool>()).prop_map(Model::Constant),
        2 => (0..TYPES.len(), any::<bool>()).prop_map(|(column, not)| Model::IsNull(column, not)),
        8 => compare.prop_map(|(column, op, literal, mirror)| {
            Model::Compare(column, op, literal, mirror)
        }),
        3 => (proptest::sample::select(like), op()).prop_map(|((a, b), op)| Model::Columns(a, op, b)),
        2 => between.prop_map(|(column, low, high, not)| Model::Between(column, low, high, not)),
        2 => among.prop_map(|(column, list, not)| Model::Among(column, list, not)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|model| Model::Not(Box::new(model))),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Model::And),
            proptest::collection::vec(inner, 2..4).prop_map(Model::Or),
        ]
    })
}

impl Model {
    pub(super) fn sql(&self) -> String {
        let schema = schema();
        let name = |column: usize| schema.arrow().field(column).name().clone();
        let not = |not: bool| if not { "NOT " } else { "" };
        let list = |models: &[Self], word: &str| {
            let parts: Vec<_> = models.iter().map(|model| format!("({})", model.sql())).collect();
            parts.join(word)
        };
        match self {
            Self::Constant(answer) => match answer {
                Some(true) => "true".to_owned(),
                Some(false) => "FALSE".to_owned(),
                None => "NULL".to_owned(),
            },
            Self::IsNull(column, negated) => format!("{} IS {}NULL", name(*column), not(*negated)),
            Self::Compare(column, op, literal, false) => {
                format!("{} {op} {}", name(*column), literal.text)
            }
            Self::Compare(column, op, literal, true) => {
                let mirrored = match *op {
                    "<" => ">",
                    "<=" => ">=",
                    ">" => "<",
                    ">=" => "<=",
                    same => same,
                };
                format!("{} {mirrored} {}", literal.text, name(*column))
            }
            Self::Columns(a, op, b) => format!("{} {op} {}", name(*a), name(*b)),
            Self::Between(column, low, high, negated) => {
                let (low, high) = (&low.text, &high.text);
                format!("{} {}BETWEEN {low} AND {high}", name(*column), not(*negated))
            }
            Self::Among(column, items, negated) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| item.as_ref().map_or("NULL", |literal| &literal.text))
                    .collect();
                format!("{} {}IN ({})", name(*column), not(*negated), items.join(", "))
            }
            Self::Not(model) => format!("NOT ({})", model.sql()),
            Self::And(models) => list(models, " AND "),
            Self::Or(models) => list(models, " or "),
        }
    }

    /// SQL's answer for one row.
    pub(super) fn answer(&self, row: &Row) -> Option<bool> {
        match self {
            Self::Constant(answer) => *answer,
            Self::IsNull(column, negated) => Some((row[*column] == Value::Null) != *negated),
            Self::Compare(column, op, literal, _) => {
                order(*column, &row[*column], literal).map(|order| holds(op, order))
            }
            Self::Columns(a, op, b) => {
                order_values(&row[*a], &row[*b]).map(|order| holds(op, order))
            }
            Self::Between(column, low, high, negated) => {
                let low = order(*column, &row[*column], low)?;
                let high = order(*column, &row[*column], high)?;
                Some((low.is_ge() && high.is_le()) != *negated)
            }
            Self::Among(column, items, negated) => {
                let equal = |item: &Option<Literal>| match item {
                    Some(literal) => order(*column, &row[*column], literal).map(Ordering::is_eq),
                    None => None,
                };
                let any = or(items.iter().map(equal));
                any.map(|any| any != *negated)
            }
            Self::Not(model) => model.answer(row).map(|answer| !answer),
            Self::And(models) => {
                or(models.iter().map(|model| model.answer(row).map(|answer| !answer)))
                    .map(|answer| !answer)
            }
            Self::Or(models) => or(models.iter().map(|model| model.answer(row))),
        }
    }
}

fn or(mut answers: impl Iterator<Item = Option<bool>> + Clone) -> Option<bool> {
    if answers.clone().any(|answer| answer == Some(true)) {
        return Some(true);
    }
    if answers.any(|answer| answer.is_none()) { None } else { Some(false) }
}

fn holds(op: &str, order: Ordering) -> bool {
    match op {
        "=" => order.is_eq(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        _ => order.is_ne(),
    }
}

fn order(column: usize, value: &Value, literal: &Literal) -> Option<Ordering> {
    Some(match value {
        Value::Null => return None,
        Value::Whole(value) if TYPES[column] == ValueType::Timestamp => value.cmp(&literal.instant),
        Value::Whole(value) => (i128::from(*value) * 1_000).cmp(&literal.thousandths),
        Value::Single(value) => {
            order_floats(f64::from(*value), f64::from(literal.text.parse::<f32>().unwrap()))
        }
        Value::Double(value) => order_floats(*value, literal.text.parse().unwrap()),
        Value::Text(value) => {
            let text = literal.text[1..literal.text.len() - 1].replace("''", "'");
            value.as_bytes().cmp(text.as_bytes())
        }
    })
}

fn order_values(a: &Value, b: &Value) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Null, _) | (_, Value::Null) => return None,
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Whole(a), Value::Whole(b)) => a.cmp(b),
        (Value::Whole(a), b) => order_mixed(*a, float(b)),
        (a, Value::Whole(b)) => order_mixed(*b, float(a)).reverse(),
        (a, b) => order_floats(float(a), float(b)),
    })
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Single(value) => f64::from(*value),
        Value::Double(value) => *value,
        other => panic!("{other:?} is no float"),
    }
}

fn order_floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => a.partial_cmp(&b).unwrap(),
        (a, b) => a.cmp(&b),
    }
}

/// By the whole part in 128 bits and then the fraction.
fn order_mixed(whole: i64, float: f64) -> Ordering {
    if float.is_nan() || float == f64::INFINITY {
        return Ordering::Less;
    }
    if float == f64::NEG_INFINITY {
        return Ordering::Greater;
    }
    let part = float.trunc() as i128;
    i128::from(whole).cmp(&part).then(0.0.partial_cmp(&float.fract()).unwrap())
}
