//! The rows that a file is written from: their order is checked, and the ends of pages and row groups are decided, as
//! the rows come.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};

use super::layout::{Layout, SHORT_TEXT_BYTES};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::{Key, KeyType, TableSchema, TimeRange, Timestamp};

/// The rows of a file that are not written yet, checked.
#[derive(Debug)]
pub(super) struct Rows {
    batches: Vec<RecordBatch>,
    /// Row of the file at which each batch starts.
    starts: Vec<usize>,
    cutter: Cutter,
}

impl Rows {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { batches: Vec::new(), starts: Vec::new(), cutter: Cutter::new(layout) }
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
        let texts = long_texts(&batch);
        let disorder = match schema.key_type() {
            KeyType::Int32 => {
                self.cutter.batch(keys.as_primitive::<Int32Type>().values(), times, &texts)
            }
            KeyType::Int64 => {
                self.cutter.batch(keys.as_primitive::<Int64Type>().values(), times, &texts)
            }
        };
        if let Err((key, time)) = disorder {
            return Err(format!(
                "the row of key {key} at {time} does not come after the row before it"
            ));
        }
        let (first, last) = self.cutter.times;
        if !inside.covers(first, last) {
            return Err(format!("the rows reach from {first} to {last}, outside its period"));
        }
        self.starts.push(start);
        self.batches.push(batch);
        Ok(())
    }

    /// No more rows come: the last page ends.
    pub(super) fn end(&mut self) {
        if self.cutter.cuts.last().is_some_and(|cut| cut.row < self.cutter.rows) {
            self.cutter.cuts.push(Cut { row: self.cutter.rows, text: self.cutter.text });
        }
    }

    /// The next row group, if its end is known: where its pages start, and where the last one ends.
    /// `ended` if no more rows come.
    pub(super) fn group(&self, layout: &Layout, ended: bool) -> Option<Vec<usize>> {
        let cuts = &self.cutter.cuts;
        let first = cuts.first()?;
        let row = first.row.saturating_add(layout.row_group_rows);
        let text = first.text.saturating_add(layout.row_group_text_bytes);
        let fits = |cut: &Cut| cut.row <= row && cut.text <= text;
        let known = cuts.len() > 2 && cuts.last().is_some_and(|cut| !fits(cut));
        if cuts.len() < 2 || !(ended || known) {
            return None;
        }
        let last = cuts.partition_point(fits).max(2);
        Some(cuts.get(..last)?.iter().map(|cut| cut.row).collect())
    }

    /// Lets go of the rows before `row`, where a row group ends.
    pub(super) fn written(&mut self, row: usize) {
        self.cutter.cuts.retain(|cut| cut.row >= row);
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
    pub(super) fn times(&self) -> (Timestamp, Timestamp) {
        self.cutter.times
    }

    /// Type of a column.
    pub(super) fn data_type(&self, column: usize) -> DataType {
        let batch = self.batches.first();
        batch.map_or(DataType::Null, |batch| batch.column(column).data_type().clone())
    }

    /// Some rows of a column, batch by batch.
    pub(super) fn slices(
        &self,
        column: usize,
        rows: Range<usize>,
    ) -> impl Iterator<Item = ArrayRef> {
        let Range { start: from, end: to } = rows;
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
    page_text: usize,
    rows: usize,
    /// Bytes of long texts.
    text: usize,
    cuts: Vec<Cut>,
    /// First row of the last key.
    key_start: Cut,
    first_key: Key,
    last: Option<(Key, Timestamp)>,
    times: (Timestamp, Timestamp),
}

/// A place between rows: the rows before it, and the bytes of their long texts.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    row: usize,
    text: usize,
}

impl Cutter {
    fn new(layout: &Layout) -> Self {
        Self {
            page_rows: layout.page_rows.max(1),
            page_text: layout.page_text_bytes,
            rows: 0,
            text: 0,
            cuts: vec![Cut::default()],
            key_start: Cut::default(),
            first_key: Key::new(0),
            last: None,
            times: (Timestamp::MAX, Timestamp::MIN),
        }
    }

    /// Takes the next rows, each with the bytes of its long texts unless none has any; the row that is out of order,
    /// if one is.
    fn batch<K: Copy + Into<Key>>(
        &mut self,
        keys: &[K],
        times: &[i64],
        texts: &[usize],
    ) -> Result<(), (Key, Timestamp)> {
        let mut page = self.cuts.last().copied().unwrap_or_default();
        for (at, (&key, &time)) in keys.iter().zip(times).enumerate() {
            let time = Timestamp::from_micros(time);
            let row = (key.into(), time);
            match self.last {
                Some(last) if last >= row => return Err(row),
                Some(last) if last.0 == row.0 => {}
                Some(_) => self.key_start = Cut { row: self.rows, text: self.text },
                None => self.first_key = row.0,
            }
            let text = texts.get(at).copied().unwrap_or_default();
            let held = self.rows - page.row;
            let is_full = held > 0 && self.text + text > page.text.saturating_add(self.page_text);
            if is_full || held == self.page_rows {
                // A page that ends with a key spares a read of that key the next page.
                let whole_keys = self.key_start.row > page.row + held * 3 / 4;
                let here = Cut { row: self.rows, text: self.text };
                page = if whole_keys { self.key_start } else { here };
                self.cuts.push(page);
            }
            self.times = (self.times.0.min(time), self.times.1.max(time));
            self.last = Some(row);
            self.rows += 1;
            self.text += text;
        }
        Ok(())
    }
}

/// The bytes of each row's long texts; empty if no row has one.
fn long_texts(batch: &RecordBatch) -> Vec<usize> {
    let mut bytes = Vec::new();
    for texts in batch.columns().iter().filter_map(|column| column.as_string_opt::<i32>()) {
        let lengths = || texts.offsets().lengths();
        if lengths().max().is_none_or(|longest| longest <= SHORT_TEXT_BYTES) {
            continue;
        }
        bytes.resize(batch.num_rows(), 0);
        for (bytes, length) in bytes.iter_mut().zip(lengths()) {
            *bytes += length.saturating_sub(SHORT_TEXT_BYTES);
        }
    }
    bytes
}
