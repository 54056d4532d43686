//! Rows of one table, gathered column by column until they are a batch.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use barograph_flight::Result;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{TableSchema, ValueType};

use super::cell::{Cell, Precision, Value};

/// So many bytes of rows are a batch.
const BATCH_BYTES: usize = 8 << 20;
/// So many rows are a batch.
const BATCH_ROWS: usize = 65_536;

/// The values of a column.
#[derive(Debug)]
enum Column {
    Int(Vec<i64>, Vec<bool>),
    Float(Vec<f64>, Vec<bool>),
    Text(Vec<Option<String>>),
    Time(Vec<i64>, Vec<bool>),
}

/// Rows of a table. Each begins, is given its cells, and is either kept or dropped.
#[derive(Debug)]
pub(crate) struct TableRows {
    schema: Arc<TableSchema>,
    precision: Precision,
    columns: Vec<Column>,
    /// Columns that some row has.
    is_given: Vec<bool>,
    /// The row that is being given, by column.
    row: Vec<Option<Value>>,
    /// Of each row the number that it was sent with.
    numbers: Vec<usize>,
    /// Rows by key and instant, where those of the same are one.
    places: Option<HashMap<(i64, i64), usize>>,
    bytes: usize,
}

impl TableRows {
    /// Rows of a table; those of the same key and instant are one, if they are `merged`.
    pub(crate) fn new(schema: Arc<TableSchema>, precision: Precision, merged: bool) -> Self {
        let integer = || Column::Int(Vec::new(), Vec::new());
        let time = || Column::Time(Vec::new(), Vec::new());
        let values = schema.values().iter().map(|column| match column.value_type {
            ValueType::Float32 | ValueType::Float64 => Column::Float(Vec::new(), Vec::new()),
            ValueType::Utf8 => Column::Text(Vec::new()),
            ValueType::Timestamp => time(),
            _ => integer(),
        });
        let columns: Vec<_> = [integer(), time()].into_iter().chain(values).collect();
        Self {
            is_given: vec![false; columns.len()],
            row: vec![None; columns.len()],
            columns,
            schema,
            precision,
            numbers: Vec::new(),
            places: merged.then(HashMap::new),
            bytes: 0,
        }
    }

    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The type of a column; none of `ingested_at`, which nobody gives.
    pub(crate) fn type_of(&self, column: usize) -> Option<ValueType> {
        match column {
            KEY_COLUMN => Some(ValueType::Int64),
            TIME_COLUMN => Some(ValueType::Timestamp),
            _ => Some(self.schema.values().get(column - FIRST_VALUE_COLUMN)?.value_type),
        }
    }

    /// Gives a cell of the row.
    pub(crate) fn give(&mut self, column: usize, cell: Cell<'_>) -> Result<(), String> {
        let name = |rows: &Self| rows.schema.arrow().field(column).name().clone();
        let Some(of) = self.type_of(column) else {
            return Err(format!("{} is set by the server: leave it out", name(self)));
        };
        let value = cell.as_type(of, self.precision);
        let value = value.map_err(|why| format!("{}: {why}", name(self)))?;
        if self.row.get(column).is_some_and(Option::is_some) {
            return Err(format!("{} is given twice", name(self)));
        }
        if let Some(place) = self.row.get_mut(column) {
            *place = Some(value);
        }
        Ok(())
    }

    /// Gives the instant of the row, in µs.
    pub(crate) fn give_time(&mut self, micros: i64) {
        if let Some(place) = self.row.get_mut(TIME_COLUMN) {
            *place = Some(Value::Time(micros));
        }
    }

    /// Drops the row.
    pub(crate) fn drop_row(&mut self) {
        self.row.fill(None);
    }

    /// Keeps the row, which has the number `number`.
    pub(crate) fn keep_row(&mut self, number: usize) -> Result<(), String> {
        let place = self.place()?;
        let next = self.numbers.len();
        let at = match &mut self.places {
            Some(places) => *places.entry(place).or_insert(next),
            None => next,
        };
        let is_new = at == next;
        if is_new {
            self.numbers.push(number);
        }
        let cells = self.row.iter_mut().zip(&mut self.columns).zip(&mut self.is_given);
        for ((cell, column), is_given) in cells {
            let value = cell.take();
            *is_given |= value.is_some();
            self.bytes += column.set(at, is_new, value);
        }
        Ok(())
    }

    /// The key and instant of the row.
    fn place(&self) -> Result<(i64, i64), String> {
        match (self.row.get(KEY_COLUMN), self.row.get(TIME_COLUMN)) {
            (Some(Some(Value::Int(key))), Some(Some(Value::Time(time)))) => Ok((*key, *time)),
            (Some(Some(Value::Int(_))), _) => Err(self.lacks(TIME_COLUMN)),
            _ => Err(self.lacks(KEY_COLUMN)),
        }
    }

    /// Whether the row, which is not kept yet, is one with a row that is there.
    pub(crate) fn is_merged(&self) -> bool {
        let places = self.places.as_ref();
        places.zip(self.place().ok()).is_some_and(|(places, place)| places.contains_key(&place))
    }

    fn lacks(&self, column: usize) -> String {
        format!("{} is missing, which every row needs", self.schema.arrow().field(column).name())
    }

    /// Whether so many rows are there that they are to be put.
    pub(crate) fn is_full(&self) -> bool {
        self.numbers.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The rows so far as a batch, with the numbers that they were sent with; none if there are no rows.
    pub(crate) fn take(&mut self) -> Result<Option<(RecordBatch, Vec<usize>)>> {
        let numbers = std::mem::take(&mut self.numbers);
        self.bytes = 0;
        if let Some(places) = &mut self.places {
            places.clear();
        }
        if numbers.is_empty() {
            return Ok(None);
        }
        let mut columns = Vec::new();
        for (at, column) in self.columns.iter_mut().enumerate() {
            let values = column.take();
            if self.is_given.get_mut(at).is_some_and(std::mem::take) {
                columns.push((self.schema.arrow().field(at).name(), values, true));
            }
        }
        Ok(Some((RecordBatch::try_from_iter_with_nullable(columns)?, numbers)))
    }
}

impl Column {
    /// Sets the value of a row, which is the next or one that is there; of one that is there nothing is unset. Gives the
    /// bytes that it takes.
    fn set(&mut self, at: usize, is_new: bool, value: Option<Value>) -> usize {
        fn put<T: Default>(
            values: &mut Vec<T>,
            valid: &mut Vec<bool>,
            (at, is_new): (usize, bool),
            value: Option<T>,
        ) -> usize {
            if is_new {
                valid.push(value.is_some());
                values.push(value.unwrap_or_default());
            } else if let (Some(value), Some(place), Some(is_valid)) =
                (value, values.get_mut(at), valid.get_mut(at))
            {
                (*place, *is_valid) = (value, true);
            }
            size_of::<T>() + 1
        }
        let place = (at, is_new);
        match (self, value) {
            (Self::Int(values, valid), Some(Value::Int(value))) => {
                put(values, valid, place, Some(value))
            }
            (Self::Int(values, valid), _) => put(values, valid, place, None),
            (Self::Float(values, valid), Some(Value::Float(value))) => {
                put(values, valid, place, Some(value))
            }
            (Self::Float(values, valid), _) => put(values, valid, place, None),
            (Self::Time(values, valid), Some(Value::Time(value))) => {
                put(values, valid, place, Some(value))
            }
            (Self::Time(values, valid), _) => put(values, valid, place, None),
            (Self::Text(values), Some(Value::Text(value))) => {
                let bytes = size_of::<Option<String>>() + value.len();
                match values.get_mut(at) {
                    Some(place) => *place = Some(value),
                    None => values.push(Some(value)),
                }
                bytes
            }
            (Self::Text(values), _) => {
                if is_new {
                    values.push(None);
                }
                size_of::<Option<String>>()
            }
        }
    }

    fn take(&mut self) -> ArrayRef {
        let nulls = |valid: &mut Vec<bool>| NullBuffer::from(std::mem::take(valid));
        match self {
            Self::Int(values, valid) => {
                Arc::new(Int64Array::new(std::mem::take(values).into(), Some(nulls(valid))))
            }
            Self::Float(values, valid) => {
                Arc::new(Float64Array::new(std::mem::take(values).into(), Some(nulls(valid))))
            }
            Self::Text(values) => Arc::new(StringArray::from(std::mem::take(values))),
            Self::Time(values, valid) => {
                let values = std::mem::take(values).into();
                let times = TimestampMicrosecondArray::new(values, Some(nulls(valid)));
                Arc::new(times.with_timezone("UTC"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;
    use barograph_lake::{TableDeclaration, ValueColumn};

    use super::*;

    fn rows(merged: bool) -> TableRows {
        let declaration = TableDeclaration::new("id", "at")
            .column(ValueColumn::new("t", ValueType::Float32))
            .column(ValueColumn::new("note", ValueType::Utf8));
        let schema = TableSchema::new("w", declaration).unwrap();
        TableRows::new(Arc::new(schema), Precision(None), merged)
    }

    fn add(rows: &mut TableRows, number: usize, key: i64, cells: &[(usize, Cell<'_>)]) {
        rows.give(KEY_COLUMN, Cell::Int(key)).unwrap();
        rows.give_time(5);
        for (column, cell) in cells {
            rows.give(*column, *cell).unwrap();
        }
        rows.keep_row(number).unwrap();
    }

    #[test]
    fn rows_of_one_key_and_instant_are_one_if_they_are_merged() {
        let mut rows = rows(true);
        add(&mut rows, 1, 7, &[(2, Cell::Float(20.5))]);
        add(&mut rows, 2, 8, &[(2, Cell::Float(1.0))]);
        add(&mut rows, 3, 7, &[(3, Cell::Text("dry"))]);
        let (batch, numbers) = rows.take().unwrap().unwrap();
        assert_eq!((batch.num_rows(), numbers), (2, vec![1, 2]));
        assert_eq!(batch["t"].as_primitive::<Float64Type>().value(0), 20.5);
        assert_eq!(batch["note"].as_string::<i32>().value(0), "dry");
        assert!(batch["note"].is_null(1));
        assert!(rows.take().unwrap().is_none());
        add(&mut rows, 4, 7, &[]);
        assert_eq!(rows.take().unwrap().unwrap().0.num_columns(), 2);
    }

    #[test]
    fn a_row_that_waits_outlives_a_batch_unless_it_belongs_to_it() {
        let mut rows = rows(true);
        add(&mut rows, 1, 7, &[]);
        for (key, merged) in [(7, true), (8, false)] {
            rows.give(KEY_COLUMN, Cell::Int(key)).unwrap();
            assert!(!rows.is_merged(), "without its instant");
            rows.give_time(5);
            assert_eq!(rows.is_merged(), merged);
            if merged {
                rows.drop_row();
            }
        }
        rows.give(2, Cell::Float(1.0)).unwrap();
        assert_eq!(rows.take().unwrap().unwrap().1, [1]);
        rows.keep_row(2).unwrap();
        let (batch, numbers) = rows.take().unwrap().unwrap();
        assert_eq!((batch.num_columns(), numbers), (3, vec![2]));
    }

    #[test]
    fn a_row_that_is_dropped_leaves_nothing() {
        let mut rows = rows(false);
        rows.give(2, Cell::Float(1.0)).unwrap();
        assert!(rows.give(2, Cell::Float(2.0)).unwrap_err().contains("t is given twice"));
        assert!(rows.keep_row(1).unwrap_err().contains("id is missing"));
        rows.drop_row();
        rows.give(KEY_COLUMN, Cell::Word("1")).unwrap();
        assert!(rows.keep_row(1).unwrap_err().contains("at is missing"));
        rows.drop_row();
        assert!(
            rows.give(4, Cell::Int(1)).unwrap_err().contains("ingested_at is set by the server")
        );
        assert!(rows.take().unwrap().is_none());
    }
}
