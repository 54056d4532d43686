//! The audit of answers: the same figures computed once more from the lake's Parquet files, by another Parquet reader
//! path and another query library (polars) than those that serve.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{FileEntry, Key, LakeTable, Snapshot, Span, Timestamp};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use polars::prelude::{ArithmeticChunked, DataType as Type, IntoColumn, SortMultipleOptions};

use crate::{Error, ErrorKind, Result, frame};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 262_144;

/// The figures of one key in one window of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The key.
    pub key: Key,
    /// First instant of the window.
    pub start: Timestamp,
    /// Rows.
    pub rows: u64,
    /// Values that are not null.
    pub values: u64,
    /// Mean of them; `None` if there is none.
    pub mean: Option<f64>,
}

/// Means of one value column by key and window of length `every`, ascending by (key, start), over all files
/// of `snapshot`. `every` divides an hour, so that no window has rows in two files.
pub async fn means(
    table: &LakeTable,
    snapshot: &Snapshot,
    column: &str,
    every: Span,
) -> Result<Vec<Window>> {
    let micros = every.micros();
    if micros <= 0 || barograph_lake::time::MICROS_PER_HOUR % micros != 0 {
        return Err(Error::request(format!("windows of {micros} µs do not divide an hour")));
    }
    let column = table.schema().column(column)?;
    let mut windows = Vec::new();
    for file in snapshot.files() {
        let rows = read(table, file, column).await?;
        let counted: u64 = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        if counted != file.rows {
            return Err(Error::new(
                ErrorKind::Damage,
                format!("{} has {counted} rows, its entry says {}", file.path, file.rows),
            ));
        }
        windows.extend(file_means(&rows, every)?);
    }
    windows.sort_unstable_by_key(|window| (window.key, window.start));
    if let Some([twice, _]) =
        windows.array_windows().find(|[a, b]| (a.key, a.start) == (b.key, b.start))
    {
        return Err(Error::new(
            ErrorKind::Damage,
            format!(
                "key {} has rows of the window {} in two files",
                twice.key,
                twice.start.as_micros()
            ),
        ));
    }
    Ok(windows)
}

/// Key, time and one value column of a file, under the names `key`, `time` and `value`.
async fn read(table: &LakeTable, file: &FileEntry, column: usize) -> Result<Vec<RecordBatch>> {
    let store = table.store();
    let path = store.path(&file.path.to_string());
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Damage, format!("{path} cannot be read")).with_source(e)
    };
    let bytes = match store.object().get_opts(&path, Default::default()).await {
        Ok(found) => found.bytes().await.map_err(|e| failed(e.into()))?,
        Err(e) => return Err(failed(e.into())),
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| failed(e.into()))?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), [KEY_COLUMN, TIME_COLUMN, column]);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|e| failed(e.into()))?;
    reader
        .map(|batch| {
            let batch = batch.map_err(|e| failed(e.into()))?;
            let [key, time, value] = batch.columns() else {
                return Err(Error::internal("a projection of three columns has another number"));
            };
            // Keys and times as plain 64-bit numbers group the same whatever the table's types.
            let key = cast(key, &DataType::Int64)?;
            let time = cast(time, &DataType::Int64)?;
            let value = cast(value, &DataType::Float64)?;
            Ok(RecordBatch::try_from_iter([("key", key), ("time", time), ("value", value)])?)
        })
        .collect()
}

#[expect(deprecated, reason = "polars means the lazy ones, which need its planners and engines")]
fn file_means(rows: &[RecordBatch], every: Span) -> Result<Vec<Window>> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let mut all = frame::from_batches(first.schema_ref(), rows)?;
    let starts = all.column("time")?.i64()?.clone().wrapping_floor_div_scalar(every.micros());
    let starts = starts.wrapping_mul_scalar(every.micros()).with_name("start".into());
    let present = all.column("value")?.is_not_null().into_column().cast(&Type::Int64)?;
    all.with_column(starts.into_column())?.with_column(present.with_name("present".into()))?;

    let groups = all.group_by(["key", "start"])?;
    let rows = groups.get_groups().group_count().with_name("rows".into());
    let values = groups.clone().select(["present"]).sum()?;
    let mut figures = groups.select(["value"]).mean()?;
    figures.with_column(rows.into_column().cast(&Type::Int64)?)?;
    figures.with_column(values.column("present_sum")?.clone())?;
    let figures = figures.sort(["key", "start"], SortMultipleOptions::default())?;

    let integers = |name: &str| -> Result<Vec<Option<i64>>> {
        Ok(figures.column(name)?.i64()?.iter().collect())
    };
    let (keys, starts) = (integers("key")?, integers("start")?);
    let (rows, values) = (integers("rows")?, integers("present_sum")?);
    let means = figures.column("value_mean")?.f64()?;
    let windows = keys.into_iter().zip(starts).zip(rows).zip(values).zip(means.iter());
    windows
        .map(|((((key, start), rows), values), mean)| {
            let (Some(key), Some(start)) = (key, start) else {
                return Err(Error::new(ErrorKind::Damage, "a row without key or time"));
            };
            let count = |count: Option<i64>| count.unwrap_or(0).unsigned_abs();
            let (key, start) = (Key::new(key), Timestamp::from_micros(start));
            Ok(Window { key, start, rows: count(rows), values: count(values), mean })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array};

    use super::*;

    #[test]
    fn windows_are_grouped_by_key_and_start() {
        let rows = |keys: Vec<i64>, times: Vec<i64>, values: Vec<Option<f64>>| {
            RecordBatch::try_from_iter([
                ("key", Arc::new(Int64Array::from(keys)) as ArrayRef),
                ("time", Arc::new(Int64Array::from(times))),
                ("value", Arc::new(Float64Array::from(values))),
            ])
            .unwrap()
        };
        let batches = [
            rows(vec![1, 1, 1], vec![-1, 0, 9], vec![Some(5.0), Some(1.0), None]),
            rows(vec![1, 2, 2], vec![10, 3, 4], vec![Some(7.0), None, None]),
        ];
        let window = |key, start, rows, values, mean| {
            let (key, start) = (Key::new(key), Timestamp::from_micros(start));
            Window { key, start, rows, values, mean }
        };
        assert_eq!(
            file_means(&batches, Span::from_micros(10)).unwrap(),
            [
                window(1, -10, 1, 1, Some(5.0)),
                window(1, 0, 2, 1, Some(1.0)),
                window(1, 10, 1, 1, Some(7.0)),
                window(2, 0, 2, 0, None),
            ]
        );
        assert_eq!(file_means(&[], Span::from_micros(10)).unwrap(), []);
    }
}
