//! Tests of the forms of output: tables, CSV, JSON, Arrow and Parquet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, Int32Array, IntervalMonthDayNanoArray,
    ListArray, NullArray, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, Schema, TimeUnit};
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
Tokyo, JP  1850147  2026-11-22 10:00:00Z                  14.2       0.333333
Paris, FR  2988507  2026-11-22 10:00:00.500Z                 –             50
–                1  1970-01-01 00:00:00Z                  -3.0              –
";
    assert_eq!(text(Format::Table, &[rows()]), expected);
    assert_eq!(text(Format::Table, &[]), "no rows\n");
    let twice = text(Format::Table, &[rows(), rows()]);
    assert_eq!(twice.lines().count(), 7);
}

fn column(name: &str, values: impl Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, Arc::new(values) as ArrayRef, true)]).unwrap()
}

fn cells(format: Format, rows: &RecordBatch) -> Vec<String> {
    let text = String::from_utf8(written(format, std::slice::from_ref(rows), &rows.schema()));
    text.unwrap().lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_table_shows_times_in_their_zone() {
    let noon = 1_795_348_800_000_000;
    let times = |zone: Option<&str>| {
        let times = TimestampMicrosecondArray::from(vec![noon, noon + 250_000]);
        cells(Format::Table, &column("at", times.with_timezone_opt(zone)))
    };
    assert_eq!(
        times(Some("Asia/Tokyo")),
        ["2026-11-22 21:00:00+09:00", "2026-11-22 21:00:00.250+09:00"]
    );
    assert_eq!(times(Some("+02:00"))[0], "2026-11-22 14:00:00+02:00");
    assert_eq!(times(Some("UTC"))[0], "2026-11-22 12:00:00Z");
    assert_eq!(times(Some("+00:00"))[0], "2026-11-22 12:00:00Z");
    assert_eq!(times(None)[0], "2026-11-22 12:00:00");
    let tokyo = TimestampMicrosecondArray::from(vec![noon]).with_timezone("Asia/Tokyo");
    let field = Arc::new(Field::new_list_field(tokyo.data_type().clone(), true));
    let list = ListArray::new(field, OffsetBuffer::from_lengths([1]), Arc::new(tokyo), None);
    assert_eq!(cells(Format::Table, &column("at", list)), ["[2026-11-22 21:00:00+09:00]"]);
}

#[test]
fn a_table_shows_digits_that_mean_something() {
    for (value, shown) in [
        (0.0004, "0.0004"),
        (-0.000_123_456_789, "-0.000123457"),
        (1.0004, "1.0004"),
        (1.0 / 3.0, "0.333333"),
        (1013.25, "1013.25"),
        (123_456_789.123_4, "123456789.123"),
        (50.0, "50"),
        (0.0, "0"),
        (-0.0, "-0"),
        (1e-5, "0.00001"),
        (1.5e-7, "1.5e-7"),
        (1e15, "1000000000000000"),
        (-2.5e300, "-2.5e300"),
        (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        let shown_as =
            cells(Format::Table, &column("a long header", Float64Array::from(vec![value])));
        assert_eq!(shown_as[0].trim(), shown);
    }
}

#[test]
fn a_table_holds_wide_and_moving_characters_in_their_cells() {
    let rows = RecordBatch::try_from_iter([
        ("名", Arc::new(StringArray::from(vec!["東京", "a", "e\u{301}"])) as ArrayRef),
        ("note", Arc::new(StringArray::from(vec!["b", "c\nd\te\r", "\u{1b}[31mred\u{202e}\u{7}"]))),
    ]);
    let text = text_of(Format::Table, &rows.unwrap());
    let escape = r"\u{1b}[31mred\u{202e}\u{7}";
    assert_eq!(text, format!("名    note\n東京  b\na     c\\nd\\te\\r\ne\u{301}     {escape}\n"));
}

#[test]
fn csv_tells_nothing_from_an_empty_text() {
    let notes = StringArray::from(vec![
        Some(""),
        None,
        Some("a"),
        Some("b,c"),
        Some("d\"e"),
        Some("f\ng"),
        Some(" "),
    ]);
    let numbers = Int32Array::from(vec![Some(1), None, Some(3), None, None, None, None]);
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("note", Arc::new(notes) as ArrayRef, true),
        ("a \"b\", c", Arc::new(numbers), true),
        ("none", Arc::new(NullArray::new(7)), true),
    ]);
    let expected = "note,\"a \"\"b\"\", c\",none\n\"\",1,\n,,\na,3,\n\"b,c\",,\n\"d\"\"e\",,\n\"f\ng\",,\n ,,\n";
    assert_eq!(text_of(Format::Csv, &rows.unwrap()), expected);
}

#[test]
fn lists_structs_and_intervals_have_a_form_or_a_reason() {
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let texts = StringArray::from(vec![Some("a,\"b\""), None]);
    let list = ListArray::new(item, OffsetBuffer::from_lengths([2, 0]), Arc::new(texts), None);
    assert_eq!(cells(Format::Csv, &column("l", list.clone())), [r#""[""a,\""b\"""",null]""#, "[]"]);
    let json = String::from_utf8(written(Format::Json, &[column("l", list)], &rows().schema()));
    assert_eq!(json.unwrap(), "{\"l\":[\"a,\\\"b\\\"\",null]}\n{\"l\":[]}\n");

    let spans =
        IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, 3, 5_000_000_000)]);
    let spans = column("span", spans);
    let text = "14 mons 3 days 5.000000000 secs";
    assert_eq!(cells(Format::Csv, &spans), [text]);
    assert_eq!(cells(Format::Table, &spans), [text]);
    let json = text_of(Format::Json, &spans);
    assert_eq!(json, format!("{{\"span\":\"{text}\"}}\n"));
    let floats = Float64Array::from(vec![f64::NAN, f64::INFINITY, -0.5]);
    assert_eq!(
        text_of(Format::Json, &column("v", floats)),
        "{\"v\":null}\n{\"v\":null}\n{\"v\":-0.5}\n"
    );
    let refused = RowWriter::new(Vec::new(), Format::Parquet, &spans.schema(), false).unwrap_err();
    assert!(refused.to_string().contains("column \"span\" is an INTERVAL"), "{refused}");
}

fn text_of(format: Format, rows: &RecordBatch) -> String {
    String::from_utf8(written(format, std::slice::from_ref(rows), &rows.schema())).unwrap()
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
