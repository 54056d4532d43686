//! One aggregate over the frames of a partition's rows: its state, and the results that are not given out yet.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use barograph_engine::scan::kernel::{FloatSum, Max, Step, WholeSum};
use barograph_engine::scan::rank::{of_ranks, ranks};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use super::values::{floats, wholes};
use super::windows::Windows;
use crate::errors::external;
use crate::functions::numbers::fitting;

/// The function that is computed over a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// Rows, or values that are not null.
    Count,
    FloatSum,
    WholeSum,
    Mean,
    Min,
    Max,
}

/// One output column.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) function: Function,
    pub(super) argument: Arc<dyn PhysicalExpr>,
    /// Index of its frame among those of the task.
    pub(super) frame: usize,
    /// Whether its frame begins with the partition.
    pub(super) from_start: bool,
    pub(super) output: DataType,
}

impl Aggregate {
    /// The argument's values in the form in which they are folded.
    pub(super) fn prepared(&self, values: ArrayRef) -> Result<ArrayRef> {
        Ok(match self.function {
            Function::Max => Arc::new(ranks(&values).map_err(external)?),
            Function::Min => {
                let ranks = ranks(&values).map_err(external)?;
                Arc::new(ranks.unary::<_, Int64Type>(|rank| !rank))
            }
            _ => values,
        })
    }
}

/// The state of one aggregate, and the results that are not given out yet.
#[derive(Debug)]
pub(super) struct Column {
    function: Function,
    from_start: bool,
    known: Known,
    folds: Folds,
    results: Results,
}

#[derive(Debug)]
enum Folds {
    Nothing,
    Floats(Windows<FloatSum>),
    Wholes(Windows<WholeSum>),
    Max(Windows<Max>),
}

#[derive(Debug, Default)]
struct Results {
    floats: Vec<f64>,
    wholes: Vec<i64>,
    /// Whether each result is a value; empty as long as all are.
    valid: Vec<bool>,
    rows: usize,
}

impl Column {
    pub(super) fn new(aggregate: &Aggregate) -> Self {
        let folds = match aggregate.function {
            Function::Count => Folds::Nothing,
            Function::FloatSum | Function::Mean => Folds::Floats(Windows::default()),
            Function::WholeSum => Folds::Wholes(Windows::default()),
            Function::Min | Function::Max => Folds::Max(Windows::default()),
        };
        Self {
            function: aggregate.function,
            from_start: aggregate.from_start,
            known: Known::default(),
            folds,
            results: Results::default(),
        }
    }

    /// Begins a partition.
    pub(super) fn clear(&mut self) {
        self.known = Known::default();
        match &mut self.folds {
            Folds::Nothing => {}
            Folds::Floats(windows) => windows.clear(),
            Folds::Wholes(windows) => windows.clear(),
            Folds::Max(windows) => windows.clear(),
        }
    }

    /// Takes rows of the partition in, prepared by [`Aggregate::prepared`].
    #[expect(clippy::indexing_slicing, reason = "the rows are those of the values")]
    pub(super) fn append(&mut self, values: &ArrayRef, rows: Range<usize>) {
        let nulls = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        self.known.append(nulls.as_ref(), rows.clone());
        let nulls = nulls.as_ref();
        match &mut self.folds {
            Folds::Nothing => {}
            Folds::Floats(windows) => {
                let values = values.as_primitive::<Float64Type>().values();
                append(windows, values[rows.clone()].iter().copied(), nulls, rows);
            }
            Folds::Wholes(windows) => {
                let values = values.as_primitive::<Int64Type>().values()[rows.clone()].iter();
                let values = values.map(|value| i128::from(*value));
                append(windows, values, nulls, rows);
            }
            Folds::Max(windows) => {
                let values = values.as_primitive::<Int64Type>().values();
                append(windows, values[rows.clone()].iter().copied(), nulls, rows);
            }
        }
    }

    /// Computes the results of frames that begin and end at rows of the partition, none before the last.
    ///
    /// # Errors
    /// `Execution` if a sum of integers leaves 64 bits.
    pub(super) fn compute(&mut self, starts: &[usize], ends: &[usize]) -> Result<()> {
        let Self { function, known, folds, results, .. } = self;
        let frames = starts.iter().copied().zip(ends.iter().copied());
        let counts = frames.clone().map(|(start, end)| known.between(start, end));
        if known.before.is_some() && !matches!(folds, Folds::Nothing) {
            results.valid.resize(results.rows, true);
            results.valid.extend(counts.clone().map(|count| count > 0));
        }
        results.rows += starts.len();
        match folds {
            Folds::Nothing => results.wholes.extend(counts),
            Folds::Floats(windows) if *function == Function::Mean => {
                let means = frames.zip(counts);
                results.floats.extend(
                    means.map(|((start, end), count)| windows.fold(start, end) / count as f64),
                );
            }
            Folds::Floats(windows) => {
                results.floats.extend(frames.map(|(start, end)| windows.fold(start, end)));
            }
            Folds::Wholes(windows) => {
                for (start, end) in frames {
                    let sum = windows.fold(start, end);
                    let Ok(fits) = i64::try_from(sum) else {
                        return fitting(Some(sum), true).map(drop);
                    };
                    results.wholes.push(fits);
                }
            }
            Folds::Max(windows) => {
                results.wholes.extend(frames.map(|(start, end)| windows.fold(start, end)));
            }
        }
        Ok(())
    }

    /// Gives out the first `rows` results.
    pub(super) fn give(&mut self, rows: usize, output: &DataType) -> Result<ArrayRef> {
        let Results { floats: sums, wholes: numbers, valid, rows: known } = &mut self.results;
        let nulls = (!valid.is_empty()).then(|| {
            valid.resize(*known, true);
            valid.drain(..rows).collect::<NullBuffer>()
        });
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        *known -= rows;
        match &self.folds {
            Folds::Floats(_) => floats(sums.drain(..rows).collect(), nulls),
            Folds::Nothing | Folds::Wholes(_) => wholes(numbers.drain(..rows).collect(), nulls),
            Folds::Max(_) => {
                let ranks = numbers.drain(..rows);
                let ranks = match self.function {
                    Function::Min => ranks.map(|rank| !rank).collect(),
                    _ => ranks.collect(),
                };
                of_ranks(ranks, nulls, output).map_err(external)
            }
        }
    }

    /// Drops what no later frame needs; later frames begin at `start` or after it and end after `done`.
    pub(super) fn forget(&mut self, start: usize, done: usize) {
        let from_start = self.from_start;
        self.known.forget(if from_start { done } else { start });
        match &mut self.folds {
            Folds::Nothing => {}
            Folds::Floats(windows) => forget(windows, from_start, start, done),
            Folds::Wholes(windows) => forget(windows, from_start, start, done),
            Folds::Max(windows) => forget(windows, from_start, start, done),
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let Results { floats, wholes, valid, .. } = &self.results;
        let windows = match &self.folds {
            Folds::Nothing => 0,
            Folds::Floats(windows) => windows.bytes(),
            Folds::Wholes(windows) => windows.bytes(),
            Folds::Max(windows) => windows.bytes(),
        };
        windows
            + self.known.bytes()
            + (floats.capacity() + wholes.capacity()) * 8
            + valid.capacity()
    }
}

/// Appends some of the values; a null counts as nothing.
fn append<S: Step>(
    windows: &mut Windows<S>,
    values: impl Iterator<Item = S::Value>,
    nulls: Option<&NullBuffer>,
    rows: Range<usize>,
) {
    match nulls {
        None => windows.append(values),
        Some(nulls) => windows.append(
            values
                .zip(rows)
                .map(|(value, row)| if nulls.is_valid(row) { value } else { S::NOTHING }),
        ),
    }
}

fn forget<S: Step>(windows: &mut Windows<S>, from_start: bool, start: usize, done: usize) {
    match from_start {
        true => windows.collapse(done),
        false => windows.forget(start),
    }
}

/// Numbers of known values among a partition's rows.
#[derive(Debug, Default)]
struct Known {
    rows: usize,
    /// Number of the first row that is kept.
    first: usize,
    /// For each row that is kept, the number of known values before it, and at last that of all; absent without a null.
    before: Option<Vec<i64>>,
}

impl Known {
    fn append(&mut self, nulls: Option<&NullBuffer>, rows: Range<usize>) {
        let known = self.first as i64..=self.rows as i64;
        self.rows += rows.len();
        if nulls.is_none() && self.before.is_none() {
            return;
        }
        let before = self.before.get_or_insert_with(|| known.collect());
        let mut sum = before.last().copied().unwrap_or(0);
        before.extend(rows.map(|row| {
            sum += i64::from(nulls.is_none_or(|nulls| nulls.is_valid(row)));
            sum
        }));
    }

    /// Number of known values in rows `start` to before `end`.
    #[expect(
        clippy::indexing_slicing,
        reason = "rows are asked for from the first that is kept to the last that was taken in"
    )]
    fn between(&self, start: usize, end: usize) -> i64 {
        match &self.before {
            None => (end - start) as i64,
            Some(before) => {
                let earlier = if start == 0 { 0 } else { before[start - self.first] };
                before[end - self.first] - earlier
            }
        }
    }

    fn forget(&mut self, start: usize) {
        let gone = start - self.first;
        match &mut self.before {
            Some(before) if 2 * gone < before.len() => {}
            Some(before) => {
                before.drain(..gone);
                self.first = start;
            }
            None => self.first = start,
        }
    }

    fn bytes(&self) -> usize {
        self.before.as_ref().map_or(0, |before| before.capacity() * size_of::<i64>())
    }
}
