//! Which rows go into which page and row group? Decided while they come, in order.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};

use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::time::format_instant;
use crate::{Key, KeyType, Micros, TableSchema, TimeRange};

/// The rows of a file that are not written yet, checked.
#[derive(Debug)]
pub(super) struct Rows {
    batches: Vec<RecordBatch>,
    /// Row of the file at which each batch starts.
    starts: Vec<usize>,
    cutter: Cutter,
}

impl Rows {
    pub(super) fn new(page_rows: usize) -> Self {
        Self { batches: Vec::new(), starts: Vec::new(), cutter: Cutter::new(page_rows) }
    }

    /// Takes the next rows; what is wrong with them, if something is.
    pub(super) fn push(
        &mut self,
        schema: &TableSchema,
        inside: TimeRange,
        batch: RecordBatch,
    ) -> Result<(), String> {
        let columns = batch.columns().iter().map(|column| column.data_type());
        if !columns.eq(schema.arrow().fields().iter().map(|field| field.data_type())) {
            return Err("the rows do not have the table's columns".to_owned());
        }
        for (field, column) in schema.arrow().fields().iter().zip(batch.columns()) {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(format!("column {:?} holds a null", field.name()));
            }
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let start = self.cutter.rows;
        let times = batch.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
        let keys = batch.column(KEY_COLUMN);
        let disorder = match schema.key_type() {
            KeyType::Int32 => self.cutter.batch(keys.as_primitive::<Int32Type>().values(), times),
            KeyType::Int64 => self.cutter.batch(keys.as_primitive::<Int64Type>().values(), times),
        };
        if let Err((key, time)) = disorder {
            return Err(format!(
                "the row of key {key} at {} does not come after the row before it",
                format_instant(time)
            ));
        }
        let (first, last) = self.cutter.times;
        if !inside.covers(first, last) {
            return Err(format!(
                "the rows reach from {} to {}, outside its period",
                format_instant(first),
                format_instant(last)
            ));
        }
        self.starts.push(start);
        self.batches.push(batch);
        Ok(())
    }

    /// No more rows come: the last page ends.
    pub(super) fn end(&mut self) {
        if self.cutter.cuts.last().is_some_and(|&cut| cut < self.cutter.rows) {
            self.cutter.cuts.push(self.cutter.rows);
        }
    }

    /// The next row group, if its end is known: where its pages start, and where the last one ends.
    /// `ended` if no more rows come.
    pub(super) fn group(&self, rows_max: usize, ended: bool) -> Option<Vec<usize>> {
        let cuts = &self.cutter.cuts;
        let limit = cuts.first()?.saturating_add(rows_max);
        let known = cuts.len() > 2 && cuts.last().is_some_and(|&cut| cut > limit);
        if cuts.len() < 2 || !(ended || known) {
            return None;
        }
        let last = cuts.partition_point(|&cut| cut <= limit).max(2);
        cuts.get(..last).map(<[usize]>::to_vec)
    }

    /// Lets go of the rows before `row`, where a row group ends.
    pub(super) fn written(&mut self, row: usize) {
        self.cutter.cuts.retain(|&cut| cut >= row);
        let ends = self.starts.iter().zip(&self.batches).map(|(start, of)| start + of.num_rows());
        let done = ends.take_while(|&end| end <= row).count();
        self.starts.drain(..done);
        self.batches.drain(..done);
    }

    /// Rows so far, those written too.
    pub(super) fn count(&self) -> usize {
        self.cutter.rows
    }

    /// Smallest and largest key so far; `None` without rows.
    pub(super) fn keys(&self) -> Option<(Key, Key)> {
        self.cutter.last.map(|(last, _)| (self.cutter.first_key, last))
    }

    /// Smallest and largest instant so far, if there are rows.
    pub(super) fn times(&self) -> (Micros, Micros) {
        self.cutter.times
    }

    /// Type of a column.
    pub(super) fn data_type(&self, column: usize) -> DataType {
        let batch = self.batches.first();
        batch.map_or(DataType::Null, |batch| batch.column(column).data_type().clone())
    }

    /// Rows `from..to` of a column, batch by batch.
    pub(super) fn slices(
        &self,
        column: usize,
        (from, to): (usize, usize),
    ) -> impl Iterator<Item = ArrayRef> {
        let first = self.starts.partition_point(|&start| start <= from).saturating_sub(1);
        let batches = self.batches.iter().zip(&self.starts).skip(first);
        batches.take_while(move |(_, start)| **start < to).filter_map(move |(batch, &start)| {
            let (begin, end) = (from.max(start), to.min(start + batch.num_rows()));
            (begin < end).then(|| batch.column(column).slice(begin - start, end - begin))
        })
    }
}

/// Walks over the sorted rows, checks their order and decides where pages end.
#[derive(Debug)]
struct Cutter {
    page_rows: usize,
    rows: usize,
    cuts: Vec<usize>,
    /// First row of the last key.
    key_start: usize,
    first_key: Key,
    last: Option<(Key, Micros)>,
    times: (Micros, Micros),
}

impl Cutter {
    fn new(page_rows: usize) -> Self {
        Self {
            page_rows,
            rows: 0,
            cuts: vec![0],
            key_start: 0,
            first_key: 0,
            last: None,
            times: (Micros::MAX, Micros::MIN),
        }
    }

    /// Takes the next rows; the row that is out of order, if one is.
    fn batch<K: Copy + Into<Key>>(
        &mut self,
        keys: &[K],
        times: &[Micros],
    ) -> Result<(), (Key, Micros)> {
        let mut page_start = self.cuts.last().copied().unwrap_or_default();
        for (&key, &time) in keys.iter().zip(times) {
            let row = (key.into(), time);
            match self.last {
                Some(last) if last >= row => return Err(row),
                Some(last) if last.0 == row.0 => {}
                Some(_) => self.key_start = self.rows,
                None => self.first_key = row.0,
            }
            if self.rows - page_start == self.page_rows {
                // A page that ends with a key spares a read of that key the next page.
                let whole_keys = self.key_start > page_start + self.page_rows * 3 / 4;
                page_start = if whole_keys { self.key_start } else { self.rows };
                self.cuts.push(page_start);
            }
            self.times = (self.times.0.min(time), self.times.1.max(time));
            self.last = Some(row);
            self.rows += 1;
        }
        Ok(())
    }
}
