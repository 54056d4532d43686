//! Frames of polars over the rows of a table, for batch work in a program that holds the engine. Both sides describe
//! the same buffers through the Arrow C data interface: numbers, times and the bytes of texts are not copied.
//!
//! ```text
//! arrow array ── C structs (pointers, release) ──► polars array ──► chunk of a column     `from_batches`
//! arrow array ◄── C structs (pointers, release) ── polars array ◄── chunk of a column     `to_batches`
//! ```
//!
//! | column | in a frame | copied |
//! |---|---|---|
//! | number, boolean, date | the same type | nothing |
//! | timestamp, duration | the same unit and zone; seconds become milliseconds | nothing, but for seconds |
//! | text | `String` | 16 bytes a row; texts of more than 12 bytes stay where they are |
//! | dictionary, runs | the type of their values | the values |
//!
//! Marks of nulls, a bit a row, are copied if the batch is a slice of another.
//!
//! A frame has the eager methods of polars. For lazy queries, joins or files, a program depends on polars of the same
//! version with the features that it needs: frames are of its types.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
//! use barograph_engine::{Durability, Engine, LogSource, Scan};
//! use barograph_jobs::frame;
//! use barograph_lake::{KeySelection, LakeStore, TableDeclaration, TableSchema, TimeRange};
//! use barograph_lake::{ValueColumn, ValueType};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let temperature = ValueColumn::new("temperature", ValueType::Float32);
//! let readings = TableDeclaration::new("city_id", "reading_at").column(temperature);
//! let engine = Engine::builder(LakeStore::local(&folder.join("lake"))?)
//!     .log(LogSource::folder(folder.join("log")))
//!     .table(TableSchema::new("readings", readings)?)
//!     .open()
//!     .await?;
//! let now = engine.now().as_micros();
//! let times = TimestampMicrosecondArray::from_value(now, 3).with_timezone("UTC");
//! let batch = RecordBatch::try_from_iter([
//!     ("city_id", Arc::new(Int32Array::from(vec![1, 2, 3])) as _),
//!     ("reading_at", Arc::new(times) as _),
//!     ("temperature", Arc::new(Float32Array::from(vec![20.0, 18.5, 19.0])) as _),
//! ])?;
//! engine.put("readings", batch, "documentation", Durability::Disk).await?;
//!
//! // Half a degree too warm: the same rows once more, corrected, replace those that were read.
//! let column = engine.schema("readings")?.column("temperature")?;
//! let scan = Scan { columns: vec![column], ..Scan::of(KeySelection::All, TimeRange::ALL) };
//! let mut rows = frame::read(&engine, engine.view("readings")?, scan).await?;
//! rows.apply("temperature", |temperature| temperature - 0.5_f32)?;
//! for batch in frame::to_batches(&rows)? {
//!     engine.put("readings", batch, "calibration", Durability::Disk).await?;
//! }
//! assert_eq!(rows.column("temperature")?.f32()?.get(0), Some(19.5));
//! # engine.shutdown().await?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use barograph_engine::{Engine, Scan, ScanStream, View};
use futures::TryStreamExt;
use polars::prelude::{Column, CompatLevel, DataFrame, PlSmallStr, Series};
use polars_arrow::array::ArrayRef as PolarsArray;
use polars_arrow::datatypes::Field as PolarsField;
use polars_arrow::ffi::{
    ArrowArray, ArrowSchema, export_array_to_c, export_field_to_c, import_array_from_c,
    import_field_from_c,
};

use crate::{Error, Result};

const _: () = assert!(size_of::<FFI_ArrowArray>() == size_of::<ArrowArray>());
const _: () = assert!(size_of::<FFI_ArrowSchema>() == size_of::<ArrowSchema>());

/// The answer to a range read over `view`, tail and lake together, ordered by (key, time). A frame holds all of its rows
/// in memory, which the engine's limits do not count: read what is too much piece by piece.
///
/// # Errors
/// As of [`Engine::scan`]: a frame has all of the answer.
pub async fn read(engine: &Engine, view: Arc<View>, scan: Scan) -> Result<DataFrame> {
    collect(engine.scan(view, scan).await?).await
}

/// All batches of an answer as one frame, each as a chunk of its columns.
///
/// # Errors
/// The error inside of the stream, if there is one.
pub async fn collect(rows: ScanStream) -> Result<DataFrame> {
    let batches: Vec<_> = rows.batches.try_collect().await?;
    from_batches(&rows.schema, &batches)
}

/// Batches of the same columns as one frame, each as a chunk of its columns.
///
/// # Errors
/// `Request` if a column has a type that frames do not have, such as a decimal or a list.
pub fn from_batches(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<DataFrame> {
    let mut frames = batches.iter().map(from_batch);
    let Some(first) = frames.next() else {
        return from_batch(&RecordBatch::new_empty(Arc::clone(schema)));
    };
    let mut all = first?;
    for next in frames {
        all.vstack_mut_owned(next?)?;
    }
    Ok(all)
}

/// A batch as a frame.
///
/// # Errors
/// As of [`from_batches`].
pub fn from_batch(rows: &RecordBatch) -> Result<DataFrame> {
    let schema = rows.schema_ref();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, array)| Ok(Column::from(series(field.name(), array)?)));
    Ok(DataFrame::new(rows.num_rows(), columns.collect::<Result<_>>()?)?)
}

/// A frame as batches, one for each chunk, as [`Engine::put`] takes them. Texts are views of strings.
pub fn to_batches(frame: &DataFrame) -> Result<Vec<RecordBatch>> {
    let mut frame = frame.clone();
    frame.align_chunks();
    let names = frame.get_column_names_owned();
    let chunks = frame.iter_chunks(CompatLevel::newest(), false);
    let batches = chunks.map(|chunk| {
        let options = RecordBatchOptions::new().with_row_count(Some(chunk.len()));
        let columns = names.iter().zip(chunk.into_arrays());
        let columns = columns.map(|(name, array)| to_arrow(name, array));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let schema = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
    });
    batches.collect()
}

/// The array without dictionaries and runs; an error if frames do not have its type, as polars panics at some of those.
fn plain(name: &str, array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) => plain(name, &cast(array, values)?),
        DataType::RunEndEncoded(_, values) => plain(name, &cast(array, values.data_type())?),
        DataType::Boolean
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Duration(_) => Ok(Arc::clone(array)),
        other => Err(Error::request(format!(
            "column {name:?}: frames have no {other}; cast it to a number, a text or a time"
        ))),
    }
}

fn series(name: &str, array: &ArrayRef) -> Result<Series> {
    let (array, schema) = to_ffi(&plain(name, array)?.to_data())?;
    // SAFETY: both are `repr(C)` forms of the struct that the Arrow C data interface fixes, and the
    // struct moves: its release callback, which keeps the buffers alive, moves with it.
    let array = unsafe { std::mem::transmute::<FFI_ArrowArray, ArrowArray>(array) };
    // SAFETY: as of the array.
    let schema = unsafe { std::mem::transmute::<FFI_ArrowSchema, ArrowSchema>(schema) };
    // SAFETY: `to_ffi` has just made it, and it was not released.
    let field = unsafe { import_field_from_c(&schema)? };
    // SAFETY: `to_ffi` has just made it with the schema that the type comes from.
    let array = unsafe { import_array_from_c(array, field.dtype)? };
    Ok(Series::try_from((PlSmallStr::from_str(name), array))?)
}

fn to_arrow(name: &PlSmallStr, array: PolarsArray) -> Result<(Field, ArrayRef)> {
    let schema = export_field_to_c(&PolarsField::new(name.clone(), array.dtype().clone(), true));
    let array = export_array_to_c(array);
    // SAFETY: both are `repr(C)` forms of the struct that the Arrow C data interface fixes, and the
    // struct moves: its release callback, which keeps the buffers alive, moves with it.
    let array = unsafe { std::mem::transmute::<ArrowArray, FFI_ArrowArray>(array) };
    // SAFETY: as of the array.
    let schema = unsafe { std::mem::transmute::<ArrowSchema, FFI_ArrowSchema>(schema) };
    // SAFETY: polars has just exported both, of one array, and neither was released.
    let array = make_array(unsafe { from_ffi(array, &schema)? });
    Ok((Field::try_from(&schema)?, array))
}
