//! The values of a section: windows of the engine, which begin at full hours and quarters of UTC, become windows of local
//! time.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use barograph_flight::door::Asked;
use barograph_flight::{Error, Result};
use barograph_lake::Key;
use serde_json::{Map, Value, json};

use super::request::{Location, instant};
use super::variables::{Of, Step, Variable};

/// The times of a section, and the values of each of its variables.
#[derive(Debug, PartialEq)]
pub(super) struct Section {
    /// The first local time, in seconds; the others follow step by step.
    pub(super) from: i64,
    pub(super) step: i64,
    pub(super) count: usize,
    pub(super) values: Vec<Vec<Option<f64>>>,
}

/// A window that is being computed from smaller ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Window {
    first: Option<f64>,
    sum: Option<f64>,
    count: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Of {
    /// The aggregates of smaller windows that it takes.
    fn aggregates(self) -> &'static [&'static str] {
        match self {
            Self::First => &["first"],
            Self::SumBefore | Self::Sum => &["sum"],
            Self::Mean => &["sum", "count"],
            Self::Min => &["min"],
            Self::Max => &["max"],
        }
    }

    /// The value of a window.
    fn value(self, window: Window) -> Option<f64> {
        match self {
            Self::First => window.first,
            Self::SumBefore | Self::Sum => window.sum,
            Self::Mean => window.sum.map(|sum| sum / window.count),
            Self::Min => window.min,
            Self::Max => window.max,
        }
    }
}

impl Window {
    fn add(&mut self, aggregate: &str, value: f64) {
        match aggregate {
            "first" => self.first = self.first.or(Some(value)),
            "sum" => self.sum = Some(self.sum.unwrap_or(0.0) + value),
            "count" => self.count += value,
            "min" => self.min = Some(self.min.map_or(value, |min| min.min(value))),
            _ => self.max = Some(self.max.map_or(value, |max| max.max(value))),
        }
    }
}

/// Reads a section of a place from `from` to `to`, in local seconds.
pub(super) async fn read(
    asked: &Asked,
    table: &str,
    location: &Location,
    step: Step,
    variables: &[Variable],
    (from, to): (i64, i64),
) -> Result<Section> {
    let (length, offset) = (step.seconds(), location.zone.offset);
    let count = usize::try_from((to - from).div_euclid(length)).unwrap_or(0);
    let mut section =
        Section { from, step: length, count, values: vec![vec![None; count]; variables.len()] };
    if count == 0 {
        return Ok(section);
    }
    // Smaller windows, of which those of local time are made.
    let every = gcd(length, offset.rem_euclid(length));
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for variable in variables {
        let functions = wanted.entry(&variable.column).or_default();
        for aggregate in variable.value.aggregates() {
            if !functions.contains(aggregate) {
                functions.push(aggregate);
            }
        }
    }
    let aggregates: Map<_, _> =
        wanted.iter().map(|(column, functions)| ((*column).to_owned(), json!(functions))).collect();
    // Amounts are those of the window before.
    let earliest = from - length;
    let ticket = json!({
        "v": 1,
        "table": table,
        "range": {
            "keys": [location.place.key.get()],
            "from": instant(earliest, offset).to_string(),
            "to": instant(to, offset).to_string(),
        },
        "every": format!("{every}s"),
        "aggregates": Value::Object(aggregates),
    });
    let mut rows = asked.open(&ticket.to_string()).await?.rows().await?;
    let mut windows = vec![vec![Window::default(); count + 1]; variables.len()];
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        rows.sends(batch.num_rows(), 0);
        let places = places(&batch, earliest, length, offset, count + 1)?;
        for (variable, windows) in variables.iter().zip(&mut windows) {
            for aggregate in variable.value.aggregates() {
                let values = numbers(&batch, &format!("{}_{aggregate}", variable.column))?;
                for (place, value) in places.iter().zip(values) {
                    let window = place.and_then(|place| windows.get_mut(place));
                    if let (Some(window), Some(value)) = (window, value) {
                        window.add(aggregate, value);
                    }
                }
            }
        }
    }
    for ((variable, windows), values) in variables.iter().zip(windows).zip(&mut section.values) {
        let skipped = usize::from(variable.value != Of::SumBefore);
        let of = windows.into_iter().skip(skipped).map(|window| variable.value.value(window));
        values.iter_mut().zip(of).for_each(|(value, of)| *value = of);
    }
    Ok(section)
}

/// The newest reading of a place: its instant, and the values of the variables.
pub(super) async fn newest(
    asked: &Asked,
    table: &str,
    key: Key,
    variables: &[Variable],
) -> Result<Option<(i64, Vec<Option<f64>>)>> {
    let mut columns: Vec<_> = variables.iter().map(|variable| variable.column.as_str()).collect();
    columns.sort_unstable();
    columns.dedup();
    let ticket = json!({
        "v": 1, "table": table, "latest": { "keys": [key.get()] }, "columns": columns,
    });
    let mut rows = asked.open(&ticket.to_string()).await?.rows().await?;
    let mut found = None;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        rows.sends(batch.num_rows(), 0);
        if batch.num_rows() == 0 {
            continue;
        }
        let time = batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0);
        let value = |variable: &Variable| {
            Ok(numbers(&batch, &variable.column)?.into_iter().next().flatten())
        };
        found = Some((time, variables.iter().map(value).collect::<Result<_>>()?));
    }
    Ok(found)
}

/// In which window of local time each row lies, if in any.
fn places(
    rows: &RecordBatch,
    from: i64,
    length: i64,
    offset: i64,
    count: usize,
) -> Result<Vec<Option<usize>>> {
    let times = rows.column_by_name("window_start").ok_or_else(|| missing("window_start"))?;
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    let place = |micros: &i64| {
        let local = micros.div_euclid(1_000_000) + offset;
        usize::try_from((local - from).div_euclid(length)).ok().filter(|place| *place < count)
    };
    Ok(times.iter().map(place).collect())
}

fn numbers(rows: &RecordBatch, name: &str) -> Result<Vec<Option<f64>>> {
    let column = rows.column_by_name(name).ok_or_else(|| missing(name))?;
    let column = cast(column, &DataType::Float64)?;
    Ok(column.as_primitive::<Float64Type>().iter().collect())
}

fn missing(name: &str) -> Error {
    Error::new(barograph_engine::ErrorKind::Internal, format!("windows without {name}"))
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_local_time_are_made_of_smaller_ones() {
        assert_eq!(gcd(3_600, 0), 3_600);
        assert_eq!(gcd(3_600, 19_800 % 3_600), 1_800);
        assert_eq!(gcd(86_400, 20_700), 900);
        let mut window = Window::default();
        assert_eq!(Of::Mean.value(window), None);
        for (aggregate, value) in [
            ("first", 4.0),
            ("first", 9.0),
            ("sum", 5.0),
            ("sum", 7.0),
            ("count", 1.0),
            ("count", 2.0),
            ("min", 3.0),
            ("min", -3.0),
            ("max", 3.0),
            ("max", -3.0),
        ] {
            window.add(aggregate, value);
        }
        let values = [Of::First, Of::Sum, Of::Mean, Of::Min, Of::Max].map(|of| of.value(window));
        assert_eq!(values, [4.0, 12.0, 4.0, -3.0, 3.0].map(Some));
    }
}
