//! As-of joins: `asof` in the ON of a join finds for each row on the left the newest row on the right that is not after
//! it, with equal keys.
//!
//! ```text
//! left    city  t        right   city  t      temp        joined   city  t      temp
//!           1  10:05               1  10:00     20                   1  10:05     20
//!           1  10:30               1  10:20     21                   1  10:30     21
//!           2  10:05               2  10:30      9                   2  10:05   null
//! ```
//!
//! The function computes nothing itself. `rule` takes it out of the join and replaces the join by an `AsOf` node;
//! `execute` runs the node as one merge of two sorted streams.

mod execute;
mod merge;
mod node;
mod rule;

use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::binary::comparison_coercion;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

pub(super) use execute::plan;
pub(super) use node::AsOf;
pub(super) use rule::{AsOfPushdown, AsOfRule};

use super::reference::{Entry, Section};

static ASOF: Entry = Entry {
    name: "asof",
    section: Section::Time,
    syntax: "asof(left_time, right_time [, tolerance])",
    what: "As-of join, in the ON clause of JOIN or LEFT JOIN together with equalities of keys: each row on the \
           left matches at most one row on the right, the newest with `right_time <= left_time` and, with a \
           tolerance, no further before `left_time` than the tolerance. Of several right rows with the same time, \
           the one with the largest columns matches, compared from first to last. LEFT JOIN keeps left rows \
           without a match. Both sides are read once, in order of keys and time; input that is already sorted is \
           not sorted again. Any other condition belongs in WHERE or in a subquery.",
    arguments: &[
        ("left_time", "timestamp, date or integer of the left side"),
        ("right_time", "the same type, of the right side; rows where it is null do not match"),
        (
            "tolerance",
            "interval of days or smaller units (an integer for integers); any age if absent",
        ),
    ],
    returns: "no value: it describes a join",
    source: Some("semantics of ASOF JOIN in DuckDB and of `merge_asof` (backward) in pandas"),
    example: "SELECT r.city_id, r.reading_at, r.temperature, h.reading_at AS at, h.temperature AS before\n\
              FROM readings r\n\
              LEFT JOIN (SELECT city_id, reading_at + INTERVAL '1 day' AS due, reading_at, temperature\n           \
                         FROM readings) h\n  \
                ON h.city_id = r.city_id AND asof(r.reading_at, h.due, INTERVAL '10 minutes')",
};

/// The functions of as-of joins.
pub(super) fn functions() -> Result<Vec<(&'static Entry, ScalarUDF)>> {
    let signature = Signature::user_defined(Volatility::Immutable).with_parameter_names(vec![
        "left_time",
        "right_time",
        "tolerance",
    ])?;
    let documentation = ASOF.documentation();
    Ok(vec![(&ASOF, ScalarUDF::new_from_impl(Placeholder { signature, documentation }))])
}

/// A function that the rule takes out of the plan before it runs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Placeholder {
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        ASOF.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (left, right, tolerance) = match types {
            [left, right] => (left, right, None),
            [left, right, tolerance] => (left, right, Some(tolerance)),
            _ => return plan_err!("asof is called as {}", ASOF.syntax),
        };
        let common = comparison_coercion(left, right);
        let time = match common {
            Some(time @ (DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)) => time,
            Some(whole) if whole.is_integer() => DataType::Int64,
            _ => {
                return plan_err!(
                    "asof takes two timestamps, dates or whole numbers, not {left} and {right}: cast \
                     them to one type"
                );
            }
        };
        let mut wanted = vec![time.clone(), time.clone()];
        match tolerance {
            Some(_) if time == DataType::Int64 => wanted.push(DataType::Int64),
            Some(_) => wanted.push(DataType::Interval(IntervalUnit::MonthDayNano)),
            None => {}
        }
        Ok(wanted)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        plan_err!(
            "asof belongs in the ON of a join: FROM a LEFT JOIN b ON b.key = a.key AND asof(a.time, \
             b.time)"
        )
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Whether `function` is the one of this folder.
fn is_asof(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Placeholder>().is_some()
}
