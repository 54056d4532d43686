//! Records of the log as rows of their tables, and which of them have landed.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use barograph_lake::schema::{INGESTED_AT, TIME_COLUMN};
use barograph_lake::{Hour, LogPosition, TableSchema, Timestamp};

use crate::dead_letters::with_ids;
use crate::log::Record;
use crate::validate::{complete, logged_schema};
use crate::{Error, ErrorKind, Result};

/// Through which positions of the log the rows of a table have landed.
#[derive(Debug, Clone, Default)]
pub(crate) struct LandedThrough {
    /// Those of each hour, as far as they are not below the floor.
    hours: HashMap<Hour, LogPosition>,
    /// The largest.
    pub(crate) newest: Option<LogPosition>,
    /// Rows of all hours below it have landed.
    floor: LogPosition,
}

/// The rows of a record as they were logged, with the columns of whoever wrote them.
#[derive(Debug)]
pub(crate) struct LoggedRows<'a> {
    position: LogPosition,
    record: &'a Record,
    rows: RecordBatch,
}

impl<'a> LoggedRows<'a> {
    pub(crate) fn read(position: LogPosition, record: &'a Record) -> Result<Self> {
        let mut reader = StreamReader::try_new(Cursor::new(&record.body), None)
            .map_err(|e| unreadable(position, e))?;
        let rows = reader.next().transpose().map_err(|e| unreadable(position, e))?;
        let rows = rows.ok_or_else(|| {
            Error::new(ErrorKind::Damage, format!("log record at position {position} has no rows"))
        })?;
        Ok(Self { position, record, rows })
    }

    /// As the table has them. Rows that were written again say themselves when they came.
    pub(crate) fn decode(&self, schema: &TableSchema) -> Result<RecordBatch> {
        let Self { position, record, rows } = self;
        let rows = with_ids(schema, *position, rows)?;
        let logged = logged_schema(schema);
        let arrived = rows.column_by_name(INGESTED_AT).cloned();
        let rows = fit(&rows, logged).map_err(|e| unreadable(*position, e))?;
        let Some(arrived) = arrived else { return complete(schema, &rows, record.ingested_at) };
        let columns = rows.columns().iter().cloned().chain([arrived]).collect();
        RecordBatch::try_new(Arc::clone(schema.arrow()), columns)
            .map_err(|e| unreadable(*position, e))
    }

    /// The column that holds values for which the table has no place, if there is one: it lacks the column, or has it with a
    /// type that does not hold them. Another process of a shared log may have later declarations.
    pub(crate) fn unknown_column(&self, schema: &TableSchema) -> Result<Option<String>> {
        let known = schema.arrow();
        for (field, values) in self.rows.schema_ref().fields().iter().zip(self.rows.columns()) {
            let there = values.len() - values.null_count();
            let held = match known.field_with_name(field.name()) {
                Ok(declared) if declared.data_type() == field.data_type() => there,
                Ok(declared) => {
                    let held = cast(values, declared.data_type())
                        .map_err(|e| unreadable(self.position, e))?;
                    held.len() - held.null_count()
                }
                Err(_) => 0,
            };
            if held < there {
                return Ok(Some(format!("{} {}", field.name(), field.data_type())));
            }
        }
        Ok(None)
    }
}

fn unreadable(position: LogPosition, error: ArrowError) -> Error {
    Error::new(ErrorKind::Damage, format!("log record at position {position}")).with_source(error)
}

/// The rows with the columns of `logged`. Value columns declared since the record was written are null in it.
fn fit(batch: &RecordBatch, logged: SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == &logged {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let columns = logged.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), rows)),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(logged, columns)
}

impl LandedThrough {
    pub(crate) fn of(hours: HashMap<Hour, LogPosition>) -> Self {
        let newest = hours.values().copied().max();
        Self { hours, newest, floor: LogPosition::new(0) }
    }

    /// The same, as all rows below `floor` have landed in what `hours` is of.
    pub(crate) fn above(mut hours: HashMap<Hour, LogPosition>, floor: LogPosition) -> Self {
        let newest = hours.values().copied().max();
        hours.retain(|_, through| *through >= floor);
        hours.shrink_to_fit();
        Self { hours, newest, floor }
    }

    /// Through which position an hour has landed; `None` if nothing of it has.
    pub(crate) fn through(&self, hour: Hour) -> Option<LogPosition> {
        let below = self.floor.get().checked_sub(1).map(LogPosition::new);
        self.hours.get(&hour).copied().max(below)
    }

    /// The rows that have not landed.
    pub(crate) fn others(&self, rows: RecordBatch, position: LogPosition) -> Result<RecordBatch> {
        if position < self.floor {
            return Ok(rows.slice(0, 0));
        }
        if self.newest.is_none_or(|newest| newest < position) {
            return Ok(rows);
        }
        let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        let landed = |&time| {
            let through =
                Hour::of(Timestamp::from_micros(time)).and_then(|hour| self.hours.get(&hour));
            through.is_some_and(|&through| position <= through)
        };
        let keep: BooleanArray = times.values().iter().map(|time| Some(!landed(time))).collect();
        Ok(filter_record_batch(&rows, &keep)?)
    }
}
