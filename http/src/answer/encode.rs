//! Rows as bytes, batch by batch. What of an answer has been taken need not be held; its end makes it valid, so that one
//! that is cut short is not.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder as CsvWriter;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder as JsonWriter};
use barograph_flight::{Error, Result};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::request::Format;

/// Rows of a row group of Parquet: all of its columns are held until it is written.
const ROW_GROUP_ROWS: usize = 65_536;
/// Bytes of a row group at which it is written.
const ROW_GROUP_BYTES: usize = 8 << 20;

/// A writer of rows.
pub(super) enum Encoder {
    Json(arrow::json::Writer<Vec<u8>, JsonArray>),
    Ndjson(arrow::json::Writer<Vec<u8>, LineDelimited>),
    /// What is written, and whether the names of the columns are.
    Csv(Vec<u8>, bool, SchemaRef),
    Arrow(StreamWriter<Vec<u8>>),
    Parquet(Box<ArrowWriter<Sink>>, Sink),
}

/// Bytes that a writer of Parquet has written.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Encoder {
    pub(super) fn new(format: Format, schema: &SchemaRef) -> Result<Self> {
        let json = || JsonWriter::new().with_explicit_nulls(true);
        Ok(match format {
            Format::Json => Self::Json(json().build(Vec::new())),
            Format::Ndjson => Self::Ndjson(json().build(Vec::new())),
            Format::Csv => Self::Csv(Vec::new(), false, Arc::clone(schema)),
            Format::Arrow => Self::Arrow(StreamWriter::try_new(Vec::new(), schema)?),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                let sink = Sink::default();
                let writer =
                    ArrowWriter::try_new(sink.clone(), Arc::clone(schema), Some(properties));
                Self::Parquet(Box::new(writer.map_err(parquet_error)?), sink)
            }
        })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        match self {
            Self::Json(writer) => writer.write(rows).map_err(|e| unfit("JSON", e)),
            Self::Ndjson(writer) => writer.write(rows).map_err(|e| unfit("NDJSON", e)),
            Self::Csv(bytes, begun, _) => {
                let is_first = !std::mem::replace(begun, true);
                let mut writer = CsvWriter::new().with_header(is_first).build(bytes);
                writer.write(rows).map_err(|e| unfit("CSV", e))
            }
            Self::Arrow(writer) => Ok(writer.write(rows)?),
            Self::Parquet(writer, _) => {
                writer.write(rows).map_err(parquet_error)?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush().map_err(parquet_error)?;
                }
                Ok(())
            }
        }
    }

    /// What has been written since this was asked last.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Json(writer) => std::mem::take(writer.get_mut()),
            Self::Ndjson(writer) => std::mem::take(writer.get_mut()),
            Self::Csv(bytes, ..) => std::mem::take(bytes),
            Self::Arrow(writer) => std::mem::take(writer.get_mut()),
            Self::Parquet(_, sink) => sink.take(),
        }
    }

    /// The end of the answer.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        match &mut self {
            Self::Json(writer) => writer.finish()?,
            Self::Ndjson(writer) => writer.finish()?,
            Self::Csv(_, true, _) => {}
            Self::Csv(_, false, schema) => {
                let none = RecordBatch::new_empty(Arc::clone(schema));
                self.write(&none)?;
            }
            Self::Arrow(writer) => writer.finish()?,
            Self::Parquet(writer, _) => {
                writer.finish().map_err(parquet_error)?;
            }
        }
        Ok(self.take())
    }
}

fn unfit(format: &str, error: arrow::error::ArrowError) -> Error {
    Error::request(format!(
        "{format} cannot hold these columns: ask for another format, like arrow"
    ))
    .with_source(error)
}

fn parquet_error(error: parquet::errors::ParquetError) -> Error {
    Error::request("Parquet cannot hold these columns: ask for another format, like arrow")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use arrow::array::{Float32Array, Int32Array, StringArray, TimestampMicrosecondArray};
    use arrow::ipc::reader::StreamReader;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    use super::*;

    fn rows() -> RecordBatch {
        let times = TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC");
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int32Array::from(vec![1, 2])) as _),
            ("at", Arc::new(times) as _),
            ("t", Arc::new(Float32Array::from(vec![Some(20.1), None])) as _),
            ("note", Arc::new(StringArray::from(vec!["a,\"b\"", "ü\n"])) as _),
        ])
        .unwrap()
    }

    fn encoded(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut encoder = Encoder::new(format, rows().schema_ref()).unwrap();
        let mut bytes = Vec::new();
        for batch in batches {
            encoder.write(batch).unwrap();
            bytes.extend(encoder.take());
        }
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    #[test]
    fn texts_are_what_their_formats_say() {
        let text =
            |format| String::from_utf8(encoded(format, &[rows(), rows().slice(0, 1)])).unwrap();
        let first = r#"{"id":1,"at":"1970-01-01T00:00:00Z","t":20.1,"note":"a,\"b\""}"#;
        let second = r#"{"id":2,"at":"1970-01-01T00:00:01.500Z","t":null,"note":"ü\n"}"#;
        assert_eq!(text(Format::Json), format!("[{first},{second},{first}]"));
        assert_eq!(text(Format::Ndjson), format!("{first}\n{second}\n{first}\n"));
        let csv = "id,at,t,note\n1,1970-01-01T00:00:00Z,20.1,\"a,\"\"b\"\"\"\n\
                   2,1970-01-01T00:00:01.500Z,,\"ü\n\"\n1,1970-01-01T00:00:00Z,20.1,\"a,\"\"b\"\"\"\n";
        assert_eq!(text(Format::Csv), csv);
    }

    #[test]
    fn no_rows_are_a_valid_answer() {
        assert_eq!(encoded(Format::Json, &[]), b"[]");
        assert_eq!(encoded(Format::Ndjson, &[]), b"");
        assert_eq!(encoded(Format::Csv, &[]), b"id,at,t,note\n");
        let bytes = encoded(Format::Arrow, &[]);
        assert_eq!(StreamReader::try_new(bytes.as_slice(), None).unwrap().count(), 0);
    }

    #[test]
    fn columns_are_read_back_as_they_were() {
        let bytes = encoded(Format::Arrow, &[rows(), rows()]);
        let read = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(read.map(Result::unwrap).collect::<Vec<_>>(), [rows(), rows()]);
        let bytes = Bytes::from(encoded(Format::Parquet, &[rows()]));
        let mut read = ParquetRecordBatchReader::try_new(bytes, 100).unwrap();
        assert_eq!(read.next().unwrap().unwrap(), rows());
    }
}
