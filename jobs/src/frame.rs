//! The conversion of the engine's rows into polars frames, over the Arrow C data interface: both sides describe the
//! same buffers, so numbers and times are not copied.
//!
//! ```text
//! arrow array ─to_ffi─► C structs (pointers, release) ─import_array_from_c─► polars array ─► Series
//! ```

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, to_ffi};
use polars::prelude::{Column, DataFrame, PlSmallStr, Series};
use polars_arrow::ffi::{ArrowArray, ArrowSchema, import_array_from_c, import_field_from_c};

use crate::{Error, Result};

/// The rows as a frame. Times keep their unit and lose their zone: they are UTC.
pub fn frame(rows: &RecordBatch) -> Result<DataFrame> {
    let schema = rows.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, array)| Ok(Column::from(series(field.name(), array)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(DataFrame::new(rows.num_rows(), columns)?)
}

/// A column as a series.
pub fn series(name: &str, array: &ArrayRef) -> Result<Series> {
    let array = match array.data_type() {
        // polars is built without time zones.
        DataType::Timestamp(_, Some(_)) => {
            let times = array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| {
                Error::internal(format!("{name}: times are µs, not {}", array.data_type()))
            })?;
            times.clone().with_timezone_opt(None::<&str>).to_data()
        }
        _ => array.to_data(),
    };
    let (array, schema) = to_ffi(&array)?;
    const {
        assert!(size_of::<FFI_ArrowArray>() == size_of::<ArrowArray>());
        assert!(size_of::<FFI_ArrowSchema>() == size_of::<ArrowSchema>());
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::Arc;

    use arrow::array::{Float32Array, Int16Array, Int64Array, TimestampMicrosecondArray};
    use polars::prelude::{AnyValue, DataType as Type, TimeUnit};

    use super::*;

    fn rows() -> RecordBatch {
        let times = TimestampMicrosecondArray::from(vec![0, 3_600_000_000, 7]).with_timezone("UTC");
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
            ("at", Arc::new(times)),
            ("v", Arc::new(Float32Array::from(vec![Some(1.5), None, Some(-2.0)]))),
            ("d", Arc::new(Int16Array::from(vec![Some(270), Some(0), None]))),
        ])
        .unwrap()
    }

    #[test]
    fn every_value_and_null_arrives() {
        let frame = frame(&rows().slice(1, 2)).unwrap();
        assert_eq!(frame.shape(), (2, 4));
        let value = |column: &str, row| frame.column(column).unwrap().get(row).unwrap();
        assert_eq!(value("id", 0), AnyValue::Int64(2));
        assert_eq!(value("v", 0), AnyValue::Null);
        assert_eq!(value("v", 1), AnyValue::Float32(-2.0));
        assert_eq!(value("d", 1), AnyValue::Null);
        assert_eq!(
            frame.column("at").unwrap().dtype(),
            &Type::Datetime(TimeUnit::Microseconds, None)
        );
        assert_eq!(value("at", 0), AnyValue::Datetime(3_600_000_000, TimeUnit::Microseconds, None));
    }

    #[test]
    fn numbers_are_not_copied() {
        let rows = rows();
        let theirs = frame(&rows).unwrap();
        let ids = theirs.column("id").unwrap().i64().unwrap().cont_slice().unwrap().as_ptr();
        let ours = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().values().as_ptr();
        assert_eq!(ids, ours);
    }

    #[test]
    fn the_frame_outlives_the_rows() {
        let frame = {
            let rows = rows();
            frame(&rows).unwrap()
        };
        assert_eq!(frame.column("id").unwrap().i64().unwrap().iter().flatten().sum::<i64>(), 6);
    }
}
