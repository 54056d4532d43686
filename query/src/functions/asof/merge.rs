//! Merge of an as-of join: one pass over both sides, each sorted by keys and time, that finds the right row of each
//! left row.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, filter_record_batch, interleave, take};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::PhysicalExpr;

/// Right batches that one output batch may hold at once.
const HELD_MAX: usize = 8;

/// Keys in the order of their rows.
#[derive(Debug)]
enum Keys {
    /// No key: every row belongs to one series.
    One,
    /// One whole number.
    Whole(Int64Array),
    /// Anything else, as comparable bytes.
    Rows(Rows),
}

impl Keys {
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.value(row).cmp(&b.value(other_row)),
            (Self::Rows(a), Self::Rows(b)) => a.row(row).cmp(&b.row(other_row)),
            _ => Ordering::Equal,
        }
    }
}

/// Reads keys and times from the batches of one side.
#[derive(Debug)]
pub(super) struct Reader {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    time: Arc<dyn PhysicalExpr>,
    /// For keys that are not one whole number; one converter serves both sides.
    rows: Option<Arc<RowConverter>>,
}

impl Reader {
    pub(super) fn new(
        keys: Vec<Arc<dyn PhysicalExpr>>,
        time: Arc<dyn PhysicalExpr>,
        rows: Option<Arc<RowConverter>>,
    ) -> Self {
        Self { keys, time, rows }
    }

    /// Keys and times of `batch`.
    pub(super) fn read(&self, batch: RecordBatch) -> Result<Side> {
        let count = batch.num_rows();
        let columns = self
            .keys
            .iter()
            .map(|key| key.evaluate(&batch)?.into_array(count))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let times = cast(&self.time.evaluate(&batch)?.into_array(count)?, &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>().clone();
        let nulls = columns.iter().fold(times.nulls().cloned(), |nulls, column| {
            NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
        });
        let keys = match (columns.as_slice(), &self.rows) {
            ([], _) => Keys::One,
            (_, Some(rows)) => Keys::Rows(rows.convert_columns(&columns)?),
            ([key], None) => {
                Keys::Whole(cast(key, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
            _ => return internal_err!("as-of join has several keys and no converter"),
        };
        Ok(Side { batch, keys, times, nulls })
    }

    /// Keys and times of `batch` without the rows whose key or time is null, which match nothing.
    pub(super) fn read_known(&self, batch: RecordBatch) -> Result<Side> {
        let side = self.read(batch)?;
        match &side.nulls {
            Some(nulls) if nulls.null_count() > 0 => {
                let known = BooleanArray::new(nulls.inner().clone(), None);
                self.read(filter_record_batch(&side.batch, &known)?)
            }
            _ => Ok(side),
        }
    }
}

/// A batch of one side with its keys and times.
#[derive(Debug)]
pub(super) struct Side {
    batch: RecordBatch,
    keys: Keys,
    times: Int64Array,
    nulls: Option<NullBuffer>,
}

impl Side {
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        self.keys
            .compare(row, &other.keys, other_row)
            .then_with(|| self.times.value(row).cmp(&other.times.value(other_row)))
    }
}

/// What the merge needs to go on.
#[derive(Debug, PartialEq)]
pub(super) enum Need {
    Left,
    Right,
    /// Nothing: the output has to be taken first.
    Room,
}

/// State of the merge between batches.
#[derive(Debug)]
pub(super) struct Merge {
    tolerance: Option<i64>,
    outer: bool,
    left: Option<Arc<Side>>,
    row: usize,
    right: Option<Arc<Side>>,
    right_row: usize,
    right_ended: bool,
    /// The newest right row that is not after the current left row.
    newest: Option<(Arc<Side>, usize)>,
    /// Converter of right rows to comparable bytes, made once two of them have the same time.
    content: Option<RowConverter>,
    /// First left row that is not written out yet, and the matches from there on.
    written: usize,
    held: Vec<Arc<Side>>,
    matches: Vec<Option<(u32, u32)>>,
}

impl Merge {
    pub(super) fn new(tolerance: Option<i64>, outer: bool) -> Self {
        Self {
            tolerance,
            outer,
            left: None,
            row: 0,
            right: None,
            right_row: 0,
            right_ended: false,
            newest: None,
            content: None,
            written: 0,
            held: Vec::new(),
            matches: Vec::new(),
        }
    }

    pub(super) fn put_left(&mut self, side: Side) {
        self.left = Some(Arc::new(side));
        self.row = 0;
        self.written = 0;
        self.held.clear();
        self.matches.clear();
    }

    /// The next right batch, or the end of the right side.
    pub(super) fn put_right(&mut self, side: Option<Side>) {
        self.right_ended = side.is_none();
        self.right = side.map(Arc::new);
        self.right_row = 0;
    }

    /// Advances until something is needed.
    pub(super) fn advance(&mut self) -> Result<Need> {
        let Some(left) = self.left.clone() else { return Ok(Need::Left) };
        while self.row < left.times.len() {
            if self.held.len() >= HELD_MAX {
                return Ok(Need::Room);
            }
            if left.nulls.as_ref().is_some_and(|n| n.is_null(self.row)) {
                self.matches.push(None);
                self.row += 1;
                continue;
            }
            if let Some(right) = self.right.clone() {
                let from = self.right_row;
                while self.right_row < right.times.len()
                    && right.compare(self.right_row, &left, self.row).is_le()
                {
                    self.right_row += 1;
                }
                if self.right_row > from {
                    self.newest = Some(self.newest_of(right, from..self.right_row)?);
                }
            }
            let exhausted = self.right.as_ref().is_none_or(|r| self.right_row >= r.times.len());
            if exhausted && !self.right_ended {
                return Ok(Need::Right);
            }
            self.decide(&left);
            self.row += 1;
        }
        Ok(Need::Room)
    }

    /// The newest of the next rows. Of several with the same time, the one with the largest columns, so that the result
    /// does not depend on where they lie.
    fn newest_of(&mut self, right: Arc<Side>, rows: Range<usize>) -> Result<(Arc<Side>, usize)> {
        let last = rows.end.saturating_sub(1);
        let mut first = last;
        while first > rows.start && right.compare(first - 1, &right, last).is_eq() {
            first -= 1;
        }
        let before = self
            .newest
            .take()
            .filter(|(side, row)| first == rows.start && side.compare(*row, &right, last).is_eq());
        if first == last && before.is_none() {
            return Ok((right, last));
        }
        let converter = match &mut self.content {
            Some(converter) => converter,
            none => none.insert(RowConverter::new(
                content(&right.batch)
                    .map(|column| SortField::new(column.data_type().clone()))
                    .collect(),
            )?),
        };
        let bytes = |side: &Side, from: usize, count: usize| {
            let columns: Vec<_> =
                content(&side.batch).map(|column| column.slice(from, count)).collect();
            converter.convert_columns(&columns)
        };
        let all = bytes(&right, first, last - first + 1)?;
        let mut largest = 0;
        for row in 1..all.num_rows() {
            if all.row(row) > all.row(largest) {
                largest = row;
            }
        }
        Ok(match before {
            Some((side, row)) if bytes(&side, row, 1)?.row(0) > all.row(largest) => (side, row),
            _ => (right, first + largest),
        })
    }

    /// Records the match of the current left row.
    fn decide(&mut self, left: &Side) {
        let Some((side, row)) = &self.newest else {
            self.matches.push(None);
            return;
        };
        let same = side.keys.compare(*row, &left.keys, self.row).is_eq();
        let age = left.times.value(self.row).saturating_sub(side.times.value(*row));
        if !same || self.tolerance.is_some_and(|most| age > most) {
            self.matches.push(None);
            return;
        }
        let known = self.held.last().is_some_and(|last| Arc::ptr_eq(last, side));
        if !known {
            self.held.push(Arc::clone(side));
        }
        self.matches.push(Some(((self.held.len() - 1) as u32, *row as u32)));
    }

    /// The rows that are decided, left columns before right ones; `None` if there are none.
    pub(super) fn output(
        &mut self,
        schema: &arrow::datatypes::SchemaRef,
        empty_right: &RecordBatch,
    ) -> Result<Option<RecordBatch>> {
        let Some(left) = &self.left else { return Ok(None) };
        let mut batch = left.batch.slice(self.written, self.matches.len());
        let mut matches = std::mem::take(&mut self.matches);
        if !self.outer {
            let met: BooleanArray = matches.iter().map(|m| Some(m.is_some())).collect();
            if met.true_count() < met.len() {
                batch = filter_record_batch(&batch, &met)?;
                matches.retain(Option::is_some);
            }
        }
        let right = gather(&self.held, &matches, empty_right)?;
        self.written = self.row;
        self.held.clear();
        if self.row >= left.times.len() {
            self.left = None;
        }
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let columns = batch.columns().iter().cloned().chain(right).collect();
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?))
    }
}

/// The columns of a batch that can be compared.
fn content(batch: &RecordBatch) -> impl Iterator<Item = &ArrayRef> {
    let compares = |column: &&ArrayRef| {
        RowConverter::supports_fields(&[SortField::new(column.data_type().clone())])
    };
    batch.columns().iter().filter(compares)
}

/// The right columns at `matches`, null where there is none.
fn gather(
    held: &[Arc<Side>],
    matches: &[Option<(u32, u32)>],
    empty: &RecordBatch,
) -> Result<Vec<ArrayRef>> {
    if let [] | [_] = held {
        let rows: UInt32Array = matches.iter().map(|m| m.map(|(_, row)| row)).collect();
        let batch = held.first().map_or(empty, |side| &side.batch);
        return batch.columns().iter().map(|c| Ok(take(c, &rows, None)?)).collect();
    }
    // The first source is one null, for rows without a match.
    let places: Vec<(usize, usize)> = matches
        .iter()
        .map(|m| m.map_or((0, 0), |(b, row)| (b as usize + 1, row as usize)))
        .collect();
    (0..empty.num_columns())
        .map(|i| {
            let null = arrow::array::new_null_array(empty.column(i).data_type(), 1);
            let mut sources: Vec<&dyn Array> = vec![null.as_ref()];
            sources.extend(held.iter().map(|side| side.batch.column(i).as_ref()));
            Ok(interleave(&sources, &places)?)
        })
        .collect()
}
