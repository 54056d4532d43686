//! Plain types, in which an answer travels because every client reads them: what only saves memory inside the engine
//! (dictionaries, runs, views) becomes the values that it stands for.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use barograph_engine::ErrorKind;

use crate::{Error, Result};

/// In which unit times travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Times {
    /// As they are.
    #[default]
    AsTheyAre,
    /// In nanoseconds, for clients that take every time for one.
    Nanoseconds,
}

/// The type that values of `data_type` travel in.
fn plain_type(data_type: &DataType, times: Times) -> DataType {
    match data_type {
        DataType::Timestamp(_, zone) if times == Times::Nanoseconds => {
            DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())
        }
        DataType::Dictionary(_, values) => plain_type(values, times),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type(), times),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(field) | DataType::ListView(field) => {
            DataType::List(plain_field(field, times))
        }
        DataType::LargeList(field) | DataType::LargeListView(field) => {
            DataType::LargeList(plain_field(field, times))
        }
        DataType::FixedSizeList(field, size) => {
            DataType::FixedSizeList(plain_field(field, times), *size)
        }
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields, times)),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries, times), *sorted),
        other => other.clone(),
    }
}

/// The schema that an answer of `schema` travels in.
pub(crate) fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    timed_schema(schema, Times::AsTheyAre)
}

/// The schema that an answer of `schema` travels in, with its times in a unit.
pub(crate) fn timed_schema(schema: &SchemaRef, times: Times) -> SchemaRef {
    let fields = plain_fields(schema.fields(), times);
    if &fields == schema.fields() {
        return Arc::clone(schema);
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The rows of `batch` under the `schema` that was promised to the client.
///
/// # Errors
/// `Internal` if the rows are not of that schema, `Request` if a time does not fit the unit that was asked for.
pub(crate) fn plain_batch(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "the answer has {} columns where {} were promised",
                batch.num_columns(),
                schema.fields().len()
            ),
        ));
    }
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if field.data_type() == column.data_type() {
            return Ok(Arc::clone(column));
        }
        match is_finer(column.data_type(), field.data_type()) {
            false => Ok(cast(column, field.data_type())?),
            true => {
                let options = CastOptions { safe: false, ..CastOptions::default() };
                cast_with_options(column, field.data_type(), &options).map_err(|e| beyond(field, e))
            }
        }
    });
    let columns = columns.collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Whether times are asked for in a finer unit, which may not hold them.
fn is_finer(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Timestamp(from, _), DataType::Timestamp(to, _)) => from != to,
        (DataType::Dictionary(_, from), to) => is_finer(from, to),
        (DataType::RunEndEncoded(_, from), to) => is_finer(from.data_type(), to),
        (from, to) => {
            let pair = |of: &DataType| match of {
                DataType::List(item)
                | DataType::LargeList(item)
                | DataType::ListView(item)
                | DataType::LargeListView(item)
                | DataType::FixedSizeList(item, _)
                | DataType::Map(item, _) => vec![item.data_type().clone()],
                DataType::Struct(fields) => {
                    fields.iter().map(|field| field.data_type().clone()).collect()
                }
                _ => Vec::new(),
            };
            pair(from).iter().zip(&pair(to)).any(|(from, to)| is_finer(from, to))
        }
    }
}

fn beyond(field: &Field, error: arrow::error::ArrowError) -> Error {
    Error::request(format!(
        "column {:?} has a time that nanoseconds cannot hold, which reach from 1677-09-21 to 2262-04-11: leave it out, or ask without timestamps = ns",
        field.name()
    ))
    .with_source(error)
    .with_sqlstate("22008")
}

fn plain_fields(fields: &Fields, times: Times) -> Fields {
    fields.iter().map(|field| plain_field(field, times)).collect()
}

fn plain_field(field: &FieldRef, times: Times) -> FieldRef {
    let plain = plain_type(field.data_type(), times);
    if &plain == field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::clone(field).with_data_type(plain))
}
