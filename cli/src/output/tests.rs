#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn rows() -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let unit = HashMap::from([("unit".to_owned(), "°C".to_owned())]);
    let fields = vec![
        Field::new("city_id", DataType::Int32, false),
        Field::new("reading_at", time, false),
        Field::new("temperature", DataType::Float32, true).with_metadata(unit),
        Field::new("humidity_mean", DataType::Float64, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1850147, 2988507, 1])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![1_795_341_600_000_000, 1_795_341_600_500_000, 0])
                .with_timezone("UTC"),
        ),
        Arc::new(Float32Array::from(vec![Some(14.2), None, Some(-3.0)])),
        Arc::new(Float64Array::from(vec![Some(1.0 / 3.0), Some(50.0), None])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn written(format: Format, rows: &[RecordBatch], schema: &SchemaRef) -> Vec<u8> {
    let mut writer = RowWriter::new(Vec::new(), format, schema, true).unwrap();
    for rows in rows {
        writer.write(rows).unwrap();
    }
    writer.finish().unwrap()
}

fn text(format: Format, rows: &[RecordBatch]) -> String {
    String::from_utf8(written(format, rows, &self::rows().schema())).unwrap()
}

#[test]
fn a_table_has_units_and_names_of_cities() {
    let expected = "\
city       city_id  reading_at                temperature (°C)  humidity_mean
Tokyo, JP  1850147  2026-11-22 10:00:00Z                  14.2          0.333
Paris, FR  2988507  2026-11-22 10:00:00.500Z                 –             50
–                1  1970-01-01 00:00:00Z                  -3.0              –
";
    assert_eq!(text(Format::Table, &[rows()]), expected);
    assert_eq!(text(Format::Table, &[]), "no rows\n");
    let twice = text(Format::Table, &[rows(), rows()]);
    assert_eq!(twice.lines().count(), 7);
}

#[test]
fn csv_has_a_header_also_without_rows() {
    let header = "city_id,reading_at,temperature,humidity_mean\n";
    assert_eq!(text(Format::Csv, &[]), header);
    let csv = text(Format::Csv, &[rows()]);
    assert!(csv.starts_with(header), "{csv}");
    assert!(csv.contains("\n2988507,2026-11-22T10:00:00.500Z,,50.0\n"), "{csv}");
}

#[test]
fn json_is_one_object_a_row_with_nulls() {
    let json = text(Format::Json, &[rows()]);
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["temperature"], serde_json::Value::Null);
    assert_eq!(lines[1]["reading_at"], "2026-11-22T10:00:00.500Z");
    assert_eq!(text(Format::Json, &[]), "");
}

#[test]
fn arrow_and_parquet_are_read_back_equal() {
    let bytes = written(Format::Arrow, &[rows(), rows()], &rows().schema());
    let batches: Vec<_> =
        StreamReader::try_new(Cursor::new(bytes), None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches, [rows(), rows()]);

    let bytes = written(Format::Parquet, &[rows()], &rows().schema());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].columns(), rows().columns());
    assert!(batches[0].column(3).as_primitive::<arrow::datatypes::Float64Type>().is_null(2));
}

#[test]
fn a_closed_pipe_is_told_from_a_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    for format in [Format::Table, Format::Csv, Format::Json, Format::Arrow, Format::Parquet] {
        let written =
            RowWriter::new(Closed, format, &rows().schema(), false).and_then(|mut writer| {
                writer.write(&rows())?;
                writer.finish().map(drop)
            });
        let error = written.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::OutputClosed, "{format:?}: {error}");
    }
}
