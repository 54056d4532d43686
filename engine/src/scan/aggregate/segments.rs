//! The segments of sorted rows: where each window begins and ends.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, Int64Type};
use barograph_lake::schema::KEY_COLUMN;
use barograph_lake::{Key, Span};

use crate::scan::merge::Order;
use crate::{Error, Result};

/// Neighbouring rows that belong together, one after the other from the first row to the last.
#[derive(Debug)]
pub(super) struct Segments {
    /// The row after the last one of each segment.
    ends: Vec<usize>,
    /// Key of each segment.
    pub(super) keys: ArrayRef,
    /// First instant of the window of each segment.
    pub(super) windows: ArrayRef,
}

impl Segments {
    /// The windows of length `every` of rows sorted by (key, time).
    pub(super) fn windows(rows: &RecordBatch, every: Span) -> Result<Self> {
        Self::find(rows, Boundary::Windows(every))
    }

    /// Runs of equal (key, window) of states sorted by them.
    pub(super) fn equal(states: &RecordBatch) -> Result<Self> {
        Self::find(states, Boundary::Equal)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        self.ends.iter().map(move |&end| std::mem::replace(&mut start, end)..end)
    }

    fn find(rows: &RecordBatch, boundary: Boundary) -> Result<Self> {
        match rows.columns().get(KEY_COLUMN).map(|column| column.data_type().clone()) {
            Some(DataType::Int32) => Self::find_in::<Int32Type>(rows, boundary),
            Some(DataType::Int64) => Self::find_in::<Int64Type>(rows, boundary),
            _ => Err(Error::internal("aggregate: the first column is no key")),
        }
    }

    fn find_in<T: ArrowPrimitiveType<Native: Into<Key>>>(
        rows: &RecordBatch,
        boundary: Boundary,
    ) -> Result<Self> {
        let order = Order::of::<T>(rows)?;
        let (mut ends, mut keys, mut windows) = (Vec::new(), Vec::new(), Vec::new());
        let (mut from, mut pace) = (0, 1);
        while from < order.len() {
            let (key, time) = order.at(from);
            let (window, last) = match boundary {
                // No instant of a table is near enough to either end of time to saturate.
                Boundary::Windows(every) => {
                    let start = time.floor_to(every);
                    (start, start + (every - Span::MICROSECOND))
                }
                Boundary::Equal => (time, time),
            };
            let to = order.end(from, pace, |at| at <= (key, last));
            ends.push(to);
            keys.extend(order.keys.get(from));
            windows.push(window.as_micros());
            (from, pace) = (to, to - from);
        }
        let windows = TimestampMicrosecondArray::from(windows).with_timezone("UTC");
        Ok(Self {
            ends,
            keys: Arc::new(PrimitiveArray::<T>::new(keys.into(), None)),
            windows: Arc::new(windows),
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Boundary {
    Windows(Span),
    Equal,
}
