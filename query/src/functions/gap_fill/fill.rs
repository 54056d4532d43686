//! Values of windows without a row: the known values around each row of a chunk, and the columns made of them.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::Fill;

/// No row.
pub(super) const NONE: u32 = u32::MAX;

/// Position of an output row among the rows of the chunk: a row itself, or between two of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// The row itself, or [`NONE`] for a gap.
    pub(super) row: u32,
    /// The row at or before this place in the same series, or [`NONE`].
    pub(super) before: u32,
    /// The row at or after this place in the same series, or [`NONE`].
    pub(super) after: u32,
}

/// The values of one filled column in a chunk.
#[derive(Debug)]
pub(super) struct Source {
    fill: Fill,
    values: ArrayRef,
    /// For each row, the known row at or before it in its series.
    known_before: Vec<u32>,
    /// For each row, the known row at or after it in its series.
    known_after: Vec<u32>,
}

impl Source {
    /// `dated` says which rows have a time; the others stand alone.
    pub(super) fn new(
        fill: Fill,
        values: ArrayRef,
        series: &[Range<usize>],
        dated: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let nulls = values.logical_nulls();
        let known = |row: usize| nulls.as_ref().is_none_or(|n| n.is_valid(row));
        let mut known_before = vec![NONE; values.len()];
        let mut known_after = vec![NONE; values.len()];
        let walk = |rows: &mut dyn Iterator<Item = usize>, into: &mut Vec<u32>| {
            let mut last = NONE;
            for row in rows {
                let this = if known(row) { index(row) } else { NONE };
                let dated = dated(row);
                if dated && this != NONE {
                    last = this;
                }
                if let Some(place) = into.get_mut(row) {
                    *place = if dated { last } else { this };
                }
            }
        };
        for rows in series {
            walk(&mut rows.clone(), &mut known_before);
            walk(&mut rows.clone().rev(), &mut known_after);
        }
        let values = match fill {
            Fill::Carry => values,
            Fill::Line => cast(&values, &DataType::Float64)?,
        };
        Ok(Self { fill, values, known_before, known_after })
    }

    /// The column at `places`, whose times are `at`; `times` are those of the chunk's rows.
    pub(super) fn column(
        &self,
        places: &[Place],
        at: &[i64],
        times: &[i64],
        data_type: &DataType,
    ) -> Result<ArrayRef> {
        let before = |place: &Place| look(&self.known_before, place.before);
        match self.fill {
            Fill::Carry => {
                let rows: UInt32Array = places.iter().map(before).collect();
                Ok(take(&self.values, &rows, None)?)
            }
            Fill::Line => {
                let values = self.values.as_primitive::<Float64Type>().values();
                let line = |place: &Place, at: i64| {
                    let (from, to) = (before(place)?, look(&self.known_after, place.after)?);
                    let (y0, y1) = (*values.get(from as usize)?, *values.get(to as usize)?);
                    if from == to {
                        return Some(y0);
                    }
                    let (t0, t1) = (*times.get(from as usize)?, *times.get(to as usize)?);
                    let part = (at - t0) as f64 / (t1 - t0) as f64;
                    Some(y0 + (y1 - y0) * part)
                };
                let column: Float64Array =
                    places.iter().zip(at).map(|(place, at)| line(place, *at)).collect();
                let column: ArrayRef = Arc::new(column);
                Ok(cast(&column, data_type)?)
            }
        }
    }
}

fn look(known: &[u32], row: u32) -> Option<u32> {
    known.get(row as usize).copied().filter(|row| *row != NONE)
}

/// A chunk has fewer than 2³² rows, which its maker checks.
pub(super) fn index(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(NONE)
}
