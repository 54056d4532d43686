//! Folds of windows: count, sum, mean, minimum and maximum of each window of a range of time, whatever the key
//! of its rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit};
use barograph_engine::scan::kernel::{FloatSum, Max, NarrowSum, Step};
use barograph_engine::scan::rank::{of_ranks, ranks};
use barograph_lake::{Span, TimeRange, Timestamp};
use datafusion::common::Result;

use crate::errors::external;

/// An output column, computed from a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// First instant of the window.
    Window,
    Count(usize),
    /// The count behind a mean: null if there are no values.
    Weight(usize),
    /// Sum in double precision.
    Sum(usize),
    /// Sum of integers.
    WholeSum(usize),
    Mean(usize),
    Min(usize),
    Max(usize),
}

impl Out {
    /// The column of the table that it is computed from.
    pub(super) fn column(self) -> Option<usize> {
        match self {
            Self::Window => None,
            Self::Count(column)
            | Self::Weight(column)
            | Self::Sum(column)
            | Self::WholeSum(column)
            | Self::Mean(column)
            | Self::Min(column)
            | Self::Max(column) => Some(column),
        }
    }

    /// Whether it makes values of the type `of` from columns of `table`.
    pub(super) fn makes(self, of: &DataType, table: &Schema) -> bool {
        match self {
            Self::Window => {
                matches!(of, DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _))
            }
            Self::Count(_) => *of == DataType::Int64,
            Self::Weight(_) => *of == DataType::UInt64,
            Self::Sum(_) | Self::Mean(_) => *of == DataType::Float64,
            // The sum, or the state of one.
            Self::WholeSum(_) => matches!(of, DataType::Int64 | DataType::Decimal128(38, 0)),
            Self::Min(column) | Self::Max(column) => {
                table.fields().get(column).is_some_and(|field| field.data_type() == of)
            }
        }
    }
}

/// The windows of a range of time, in order.
#[derive(Debug)]
pub(super) struct Places {
    /// First instant of the first window.
    start: Timestamp,
    /// Length of a window; absent if one window covers everything.
    every: Option<Span>,
    pub(super) count: usize,
}

impl Places {
    pub(super) fn new(time: TimeRange, every: Option<Span>) -> Self {
        let Some(every) = every else { return Self { start: time.from, every, count: 1 } };
        let start = time.from.floor_to(every);
        let last = (time.to - Span::MICROSECOND).floor_to(every);
        let count = last.since(start).micros() / every.micros() + 1;
        Self { start, every: Some(every), count: count as usize }
    }

    /// The index of the window of each instant, all of which lie in the range.
    pub(super) fn of(&self, times: &[i64]) -> Vec<u32> {
        let every = match self.every {
            Some(every) if self.count > 1 => every.micros(),
            _ => return vec![0; times.len()],
        };
        // The quotient in floating point is at most one off, which is cheaper to mend than to divide whole numbers.
        let share = 1.0 / every as f64;
        let start = self.start.as_micros();
        let place = |&at: &i64| {
            let offset = at - start;
            let guess = (offset as f64 * share) as i64;
            let rest = offset - guess * every;
            (guess + i64::from(rest >= every) - i64::from(rest < 0)) as u32
        };
        times.iter().map(place).collect()
    }

    /// The first instants of windows.
    pub(super) fn starts(&self, places: &[usize]) -> ArrayRef {
        let every = self.every.unwrap_or(Span::ZERO);
        let starts = places.iter().map(|&place| (self.start + place as i64 * every).as_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC"))
    }
}

/// One output column while rows come in.
#[derive(Debug)]
pub(super) struct Fold {
    out: Out,
    /// Number of known values in each window.
    known: Vec<i64>,
    floats: Vec<f64>,
    wholes: Vec<i64>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "windows are numbered below the number of places, and there is a place for each row"
)]
impl Fold {
    pub(super) fn new(out: Out, places: usize) -> Self {
        let (floats, wholes) = match out {
            Out::Window | Out::Count(_) | Out::Weight(_) => (Vec::new(), Vec::new()),
            Out::Sum(_) | Out::Mean(_) => (vec![FloatSum::NOTHING; places], Vec::new()),
            Out::WholeSum(_) => (Vec::new(), vec![NarrowSum::NOTHING; places]),
            Out::Min(_) | Out::Max(_) => (Vec::new(), vec![Max::NOTHING; places]),
        };
        Self { out, known: vec![0; places], floats, wholes }
    }

    /// The windows that have values.
    pub(super) fn filled(&self) -> Vec<usize> {
        (0..self.known.len()).filter(|&place| self.known[place] > 0).collect()
    }

    /// Adds rows: the values of its column, and the window of each.
    pub(super) fn add(&mut self, values: &ArrayRef, places: &[u32]) -> Result<()> {
        let nulls = values.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let nulls = nulls.as_ref();
        let known = &mut self.known;
        each(nulls, places, |place, _| known[place] += 1);
        match self.out {
            Out::Window | Out::Count(_) | Out::Weight(_) => {}
            Out::WholeSum(_) => {
                let values = cast(values, &DataType::Int64)?;
                let (sums, values) =
                    (&mut self.wholes, values.as_primitive::<Int64Type>().values());
                each(nulls, places, |place, row| {
                    sums[place] = NarrowSum::both(sums[place], values[row])
                });
            }
            Out::Sum(_) | Out::Mean(_) => {
                let values = cast(values, &DataType::Float64)?;
                let (sums, values) =
                    (&mut self.floats, values.as_primitive::<Float64Type>().values());
                each(nulls, places, |place, row| {
                    sums[place] = FloatSum::both(sums[place], values[row])
                });
            }
            Out::Min(_) => {
                let (most, ranks) = (&mut self.wholes, ranks(values).map_err(external)?);
                let ranks = ranks.values();
                each(nulls, places, |place, row| most[place] = Max::both(most[place], !ranks[row]));
            }
            Out::Max(_) => {
                let (most, ranks) = (&mut self.wholes, ranks(values).map_err(external)?);
                let ranks = ranks.values();
                each(nulls, places, |place, row| most[place] = Max::both(most[place], ranks[row]));
            }
        }
        Ok(())
    }

    /// The results of some windows, as values of the type `of`.
    pub(super) fn finish(&self, windows: &[usize], of: &DataType) -> Result<ArrayRef> {
        let known = || windows.iter().map(|&place| self.known[place]);
        let nulls = NullBuffer::from_iter(known().map(|known| known > 0));
        let nulls = Some(nulls).filter(|nulls| nulls.null_count() > 0);
        let wholes = || windows.iter().map(|&place| self.wholes[place]);
        let floats = || windows.iter().map(|&place| self.floats[place]);
        let array: ArrayRef = match self.out {
            Out::Window | Out::Count(_) => Arc::new(Int64Array::from_iter_values(known())),
            Out::Weight(_) => Arc::new(Int64Array::try_new(known().collect(), nulls)?),
            Out::WholeSum(_) => Arc::new(Int64Array::try_new(wholes().collect(), nulls)?),
            Out::Sum(_) => Arc::new(Float64Array::try_new(floats().collect(), nulls)?),
            Out::Mean(_) => {
                let means = floats().zip(known()).map(|(sum, known)| sum / known as f64);
                Arc::new(Float64Array::try_new(means.collect(), nulls)?)
            }
            Out::Min(_) => {
                let ranks = wholes().map(|rank| !rank).collect();
                return of_ranks(ranks, nulls, of).map_err(external);
            }
            Out::Max(_) => {
                return of_ranks(wholes().collect(), nulls, of).map_err(external);
            }
        };
        Ok(cast(&array, of)?)
    }
}

/// Calls `of` with the window and the index of each row whose value is known.
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "there is a place for each row")]
fn each(nulls: Option<&NullBuffer>, places: &[u32], mut of: impl FnMut(usize, usize)) {
    match nulls {
        None => {
            for (row, &place) in places.iter().enumerate() {
                of(place as usize, row);
            }
        }
        Some(nulls) => {
            for row in nulls.valid_indices() {
                of(places[row] as usize, row);
            }
        }
    }
}
