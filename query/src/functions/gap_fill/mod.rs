//! Gap filling: rows for the windows of time that hold none. `date_bin_gapfill` in GROUP BY asks for the windows,
//! `locf` and `interpolate` in SELECT give them values.
//!
//! ```text
//! GROUP BY date_bin_gapfill(INTERVAL '10 minutes', t)      avg    locf   interpolate
//! 10:00                                                     20     20     20
//! 10:10   no row                                          null     20     21
//! 10:20   no row                                          null     20     22
//! 10:30                                                     23     23     23
//! ```
//!
//! The functions compute nothing themselves. `rule` finds them in a plan and puts a `GapFill` node over the
//! aggregation; `execute` makes its physical plan and runs it (docs/adr/0009-gap-filling.md).

mod bin;
mod bounds;
mod chunk;
mod execute;
mod fill;
mod local;
mod node;
mod rule;
mod step;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

pub(super) use bin::date_bin;
pub(super) use execute::plan;
pub(super) use node::GapFill;
pub(super) use rule::GapFillRule;

use super::reference::{Entry, Section};

static DATE_BIN_GAPFILL: Entry = Entry {
    name: "date_bin_gapfill",
    section: Section::Time,
    syntax: "date_bin_gapfill(stride, time [, origin])",
    what: "The window that a time falls into, as with `date_bin`, and every empty window in between. It is an \
           item of its own in GROUP BY; the other columns of GROUP BY identify the series, and each series is \
           filled separately. Windows cover the range of `time` that WHERE sets with constants or `now()`; where \
           WHERE sets no bound, a series is filled from its own first window, or to its own last. A series \
           without any row in the range does not appear. For days, weeks and months of a time zone, use \
           `date_bin_gapfill(INTERVAL '1 day', reading_at AT TIME ZONE 'Europe/Zurich')`: they begin at midnight \
           there, so that a day has 23 or 25 hours when clocks change; `date_bin` does the same. Shorter windows \
           always have equal length.",
    arguments: &[
        ("stride", "length of a window: an interval of months, or of days and smaller units"),
        ("time", "timestamp column, optionally in another time zone"),
        (
            "origin",
            "a timestamp at which a window begins, such as a Monday for weeks; 1970-01-01T00:00:00 in the time \
             zone of `time` if absent",
        ),
    ],
    returns: "start of the window, in the type of `time`; aggregates of an empty window are null, counts included",
    source: Some("design of InfluxDB 3's function of the same name"),
    example: "SELECT date_bin_gapfill(INTERVAL '10 minutes', reading_at) AS t, avg(temperature)\n\
              FROM readings\n\
              WHERE city_id = 5128581\n  \
                AND reading_at >= '2026-11-21T00:00:00Z' AND reading_at < '2026-11-22T00:00:00Z'\n\
              GROUP BY t",
};

static LOCF: Entry = Entry {
    name: "locf",
    section: Section::Time,
    syntax: "locf(aggregate)",
    what: "Last observation carried forward: in a window that is empty or whose aggregate is null, the last known \
           value of the same series. Allowed in SELECT, HAVING and ORDER BY of a query that groups by \
           `date_bin_gapfill`.",
    arguments: &[("aggregate", "an aggregate, or an expression over aggregates, of any type")],
    returns: "the value in its own type; null before the first known value",
    source: Some("design of InfluxDB 3's function of the same name"),
    example: "SELECT date_bin_gapfill(INTERVAL '1 hour', reading_at) AS t, locf(avg(temperature))\n\
              FROM readings WHERE city_id = 5128581 GROUP BY t",
};

static INTERPOLATE: Entry = Entry {
    name: "interpolate",
    section: Section::Time,
    syntax: "interpolate(aggregate)",
    what: "Linear interpolation: in a window that is empty or whose aggregate is null, the value on the straight \
           line between the previous and the next known value of the same series. Allowed where `locf` is.",
    arguments: &[("aggregate", "a number: an aggregate or an expression over aggregates")],
    returns: "`float` for a `float`, otherwise `double`; null before the first and after the last known value",
    source: Some("design of InfluxDB 3's function of the same name"),
    example: "SELECT date_bin_gapfill(INTERVAL '1 hour', reading_at) AS t, interpolate(avg(temperature))\n\
              FROM readings WHERE city_id = 5128581 GROUP BY t",
};

/// How a window without a value is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub(super) enum Fill {
    /// The last known value.
    Carry,
    /// The value on the line between the known ones.
    Line,
}

/// The request that a function of this folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
enum Ask {
    Windows,
    Fill(Fill),
}

/// The functions that ask for gap filling.
pub(super) fn functions() -> Result<Vec<(&'static Entry, ScalarUDF)>> {
    Ok(vec![
        make(&DATE_BIN_GAPFILL, Ask::Windows, &["stride", "time", "origin"])?,
        make(&LOCF, Ask::Fill(Fill::Carry), &["aggregate"])?,
        make(&INTERPOLATE, Ask::Fill(Fill::Line), &["aggregate"])?,
    ])
}

fn make(entry: &'static Entry, ask: Ask, names: &[&str]) -> Result<(&'static Entry, ScalarUDF)> {
    let signature =
        Signature::user_defined(Volatility::Immutable).with_parameter_names(names.to_vec())?;
    let documentation = entry.documentation();
    let function = Placeholder { entry, ask, signature, documentation };
    Ok((entry, ScalarUDF::new_from_impl(function)))
}

/// A function that the rule takes out of the plan before it runs.
#[derive(Debug)]
struct Placeholder {
    entry: &'static Entry,
    ask: Ask,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for Placeholder {
    fn eq(&self, other: &Self) -> bool {
        self.ask == other.ask
    }
}

impl Eq for Placeholder {}

impl std::hash::Hash for Placeholder {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.ask.hash(state);
    }
}

/// The request that `function` stands for, if it is one of this folder.
fn asked(function: &ScalarUDF) -> Option<Ask> {
    function.inner().downcast_ref::<Placeholder>().map(|p| p.ask)
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        self.entry.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.ask, types) {
            (Ask::Windows, [_, _] | [_, _, _]) => window_types(types),
            (Ask::Fill(Fill::Carry), [_]) => Ok(types.to_vec()),
            (Ask::Fill(Fill::Line), [value]) => Ok(vec![line_type(value)?]),
            _ => plan_err!(
                "{} is called as {}, not with {} arguments",
                self.entry.name,
                self.entry.syntax,
                types.len()
            ),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.ask, types) {
            (Ask::Windows, [_, time, ..]) => Ok(time.clone()),
            (Ask::Fill(Fill::Carry), [value]) => Ok(value.clone()),
            (Ask::Fill(Fill::Line), [value]) => line_type(value),
            _ => plan_err!("{} is called as {}", self.entry.name, self.entry.syntax),
        }
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.ask {
            Ask::Windows => plan_err!(
                "date_bin_gapfill stands alone in GROUP BY: SELECT date_bin_gapfill(…) AS t, avg(…) \
                 … GROUP BY t"
            ),
            Ask::Fill(_) => plan_err!(
                "{0} stands in the SELECT that groups by date_bin_gapfill: SELECT \
                 date_bin_gapfill(…) AS t, {0}(avg(…)) … GROUP BY t",
                self.entry.name
            ),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The stride as an interval, the origin in the type of the time.
fn window_types(types: &[DataType]) -> Result<Vec<DataType>> {
    match types.get(1) {
        Some(time @ DataType::Timestamp(_, _)) => Ok(bin::of_timestamp(types, time)),
        Some(DataType::Date32 | DataType::Null) => {
            Ok(bin::of_timestamp(types, &DataType::Timestamp(TimeUnit::Nanosecond, None)))
        }
        other => {
            let other = other.map(ToString::to_string).unwrap_or_default();
            plan_err!("date_bin_gapfill: time is a timestamp, not {other}: cast it")
        }
    }
}

fn line_type(value: &DataType) -> Result<DataType> {
    match value {
        DataType::Float32 => Ok(DataType::Float32),
        number if number.is_numeric() || number.is_null() => Ok(DataType::Float64),
        other => plan_err!("interpolate takes a number, not {other}: use locf, or cast it"),
    }
}
