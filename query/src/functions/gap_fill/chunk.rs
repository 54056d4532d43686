//! Output of a chunk of whole series: the rows of each series, with a row for every window that lies between them,
//! before them or after them in the range.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, PrimitiveArray, RecordBatch, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, partition, take};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::physical_expr::PhysicalExpr;

use super::Fill;
use super::fill::{NONE, Place, Source, index};
use super::step::Step;

/// The columns and the range that all chunks are filled by.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// Columns that identify a series.
    pub(super) series: Vec<usize>,
    /// Column with the start of the window.
    pub(super) time: usize,
    pub(super) step: Step,
    /// First and last window that are asked for.
    pub(super) first: Option<i64>,
    pub(super) last: Option<i64>,
    pub(super) fills: Vec<(Fill, Arc<dyn PhysicalExpr>)>,
    pub(super) schema: SchemaRef,
}

/// Rows of whole series, sorted by series and time, and how far they are written out.
#[derive(Debug)]
pub(super) struct Chunk {
    batch: RecordBatch,
    times: Int64Array,
    series: Vec<Range<usize>>,
    sources: Vec<Source>,
    /// The current series, its next row, and the next window if one is due.
    at: usize,
    row: usize,
    window: Option<i64>,
}

/// The row ranges of the series in `batch`.
pub(super) fn series_of(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<Range<usize>>> {
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    if columns.is_empty() {
        return Ok(std::iter::once(0..batch.num_rows()).collect());
    }
    let columns: Vec<ArrayRef> = columns.iter().map(|c| Arc::clone(batch.column(*c))).collect();
    Ok(partition(&columns)?.ranges())
}

impl Chunk {
    pub(super) fn new(batch: RecordBatch, task: &Task) -> Result<Self> {
        if batch.num_rows() >= NONE as usize {
            return exec_err!(
                "gap filling holds one series at a time, and this one has {} rows: take longer windows",
                batch.num_rows()
            );
        }
        let series = series_of(&batch, &task.series)?;
        let times = cast(batch.column(task.time), &arrow::datatypes::DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>().clone();
        let sources = task
            .fills
            .iter()
            .map(|(fill, expr)| {
                let values = expr.evaluate(&batch)?.into_array(batch.num_rows())?;
                Source::new(*fill, values, &series, |row| times.is_valid(row))
            })
            .collect::<Result<Vec<_>>>()?;
        let row = series.first().map_or(0, |rows| rows.start);
        Ok(Self { batch, times, series, sources, at: 0, row, window: task.first })
    }

    /// The next rows, at most `limit`; `None` at the end.
    pub(super) fn next(&mut self, task: &Task, limit: usize) -> Result<Option<RecordBatch>> {
        let mut places = Vec::new();
        let mut owners: Vec<u32> = Vec::new();
        let mut times: Vec<i64> = Vec::new();
        while let (Some(rows), true) = (self.series.get(self.at).cloned(), places.len() < limit) {
            let owner = index(rows.start);
            let before = if self.row > rows.start { index(self.row - 1) } else { NONE };
            if self.row < rows.end && self.times.is_null(self.row) {
                let row = index(self.row);
                places.push(Place { row, before: row, after: row });
                times.push(0);
                self.row += 1;
            } else if let Some(time) = (self.row < rows.end).then(|| self.times.value(self.row)) {
                match self.window {
                    Some(window) if window < time => {
                        places.push(Place { row: NONE, before, after: index(self.row) });
                        times.push(window);
                        self.window = Some(task.step.next(window)?);
                    }
                    _ => {
                        let row = index(self.row);
                        places.push(Place { row, before: row, after: row });
                        times.push(time);
                        self.row += 1;
                        self.window = Some(task.step.next(time)?);
                    }
                }
            } else {
                match (self.window, task.last) {
                    (Some(window), Some(last)) if window <= last => {
                        places.push(Place { row: NONE, before, after: NONE });
                        times.push(window);
                        self.window = Some(task.step.next(window)?);
                    }
                    _ => {
                        self.at += 1;
                        self.row = rows.end;
                        self.window = task.first;
                        continue;
                    }
                }
            }
            owners.push(owner);
        }
        if places.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.batch_of(task, &places, owners, times)?))
    }

    fn batch_of(
        &self,
        task: &Task,
        places: &[Place],
        owners: Vec<u32>,
        times: Vec<i64>,
    ) -> Result<RecordBatch> {
        let some = |row: u32| (row != NONE).then_some(row);
        let rows: UInt32Array = places.iter().map(|place| some(place.row)).collect();
        let owners = UInt32Array::from(owners);
        let mut columns = Vec::with_capacity(task.schema.fields().len());
        for (i, column) in self.batch.columns().iter().enumerate() {
            columns.push(if i == task.time {
                self.time_column(column, places, &times)?
            } else if task.series.contains(&i) {
                take(column, &owners, None)?
            } else {
                take(column, &rows, None)?
            });
        }
        for (source, field) in
            self.sources.iter().zip(task.schema.fields().iter().skip(columns.len()))
        {
            let at = source.column(places, &times, self.times.values(), field.data_type())?;
            columns.push(at);
        }
        if columns.len() != task.schema.fields().len() {
            return internal_err!("gap filling made {} columns", columns.len());
        }
        Ok(RecordBatch::try_new(Arc::clone(&task.schema), columns)?)
    }

    /// The starts of the windows; null where the row has none.
    fn time_column(&self, column: &ArrayRef, places: &[Place], times: &[i64]) -> Result<ArrayRef> {
        let nulls = (self.times.null_count() > 0).then(|| {
            let dated: BooleanArray = places
                .iter()
                .map(|p| Some(p.row == NONE || self.times.is_valid(p.row as usize)))
                .collect();
            NullBuffer::new(dated.values().clone())
        });
        let times = PrimitiveArray::<Int64Type>::try_new(times.to_vec().into(), nulls)?;
        Ok(cast(&times, column.data_type())?)
    }
}
