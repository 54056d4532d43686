//! The row of a dead letter: a JSON object that says exactly what was sent, and reads back as the same values.
//!
//! ```text
//! {"city_id":2988507,"reading_at":"2026-11-22T10:00:00Z","temperature":70.1,
//!  "$types":"int32 timestamp[us] float32"}
//! ```
//! `$types` holds the types of the columns, in order; `float32*6` are six in a row. NaN and infinities are
//! text, as JSON has no numbers for them. A row with long texts is cut: it has `$cut`, the columns whose texts
//! are not whole, in place of `$types`, and cannot be read back.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Field, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Datelike, SecondsFormat};
use hashbrown::HashMap;
use serde_json::{Map, Value};

use crate::Result;

/// The member that names the types of the others. No column has such a name.
const TYPES: &str = "$types";
/// The member that names the columns whose texts are cut.
const CUT: &str = "$cut";
/// Texts of a row that is kept whole, in bytes.
pub const ROW_BYTES_MAX: usize = 64 << 10;

/// Writes rows of a batch in plain types.
#[derive(Debug)]
pub(crate) struct RowWriter<'a> {
    /// Name of each column, as JSON.
    columns: Vec<(String, &'a ArrayRef)>,
    /// Types of the columns; `None` if some type cannot be read back.
    types: Option<String>,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Self {
        let schema = batch.schema_ref();
        let names = schema.fields().iter().map(|field| json_text(field.name()));
        Self {
            columns: names.zip(batch.columns()).collect(),
            types: types_text(schema.fields().iter().map(|field| field.data_type())),
        }
    }

    /// Row `row` as a JSON object.
    pub(crate) fn write(&self, row: usize) -> String {
        let mut text = String::from("{");
        let (mut room, mut cut) = (ROW_BYTES_MAX, Vec::new());
        for (name, column) in &self.columns {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(name);
            text.push(':');
            if write_cell(&mut text, column, row, &mut room) {
                cut.push(name.as_str());
            }
        }
        match (&self.types, cut.is_empty()) {
            (Some(types), true) => _ = write!(text, ",\"{TYPES}\":\"{types}\""),
            (None, true) => {}
            (_, false) => _ = write!(text, ",\"{CUT}\":[{}]", cut.join(",")),
        }
        text.push('}');
        text
    }
}

/// The text of a row that never became a row of its table, cut to the longest that is kept.
pub fn bounded(row: &str) -> String {
    if row.len() <= ROW_BYTES_MAX {
        return row.to_owned();
    }
    let beginning = json_text(&row[..row.floor_char_boundary(ROW_BYTES_MAX)]);
    format!("{{\"{CUT}\":{beginning},\"$bytes\":{}}}", row.len())
}

/// Rows of letters that have the same columns and types.
#[derive(Debug)]
pub(crate) struct Group {
    /// The rows as they were sent.
    pub(crate) rows: RecordBatch,
    /// Which of the rows that were read stands in each row.
    pub(crate) from: Vec<usize>,
}

/// Reads rows back. One that does not say what was sent, to the last bit, is in no group.
pub(crate) fn read(rows: &[&str]) -> Result<Vec<Group>> {
    let mut schemas: HashMap<SchemaRef, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        if let Some(schema) = schema_of(row) {
            schemas.entry(schema).or_default().push(at);
        }
    }
    let mut groups = Vec::new();
    for (schema, from) in schemas {
        match read_group(&schema, rows, &from) {
            Some(group) => groups.push(group),
            // One that cannot be read does not keep the others out.
            None => groups.extend(from.iter().filter_map(|&at| read_group(&schema, rows, &[at]))),
        }
    }
    groups.iter_mut().try_for_each(|group| same(group, rows))?;
    groups.retain(|group| !group.from.is_empty());
    groups.sort_unstable_by_key(|group| group.from.first().copied());
    Ok(groups)
}

fn read_group(schema: &SchemaRef, rows: &[&str], from: &[usize]) -> Option<Group> {
    let text: Vec<&str> = from.iter().filter_map(|&at| rows.get(at).copied()).collect();
    let reader = arrow::json::ReaderBuilder::new(Arc::clone(schema)).with_batch_size(text.len());
    let batch = reader.build(Cursor::new(text.join("\n"))).ok()?.next()?.ok()?;
    (batch.num_rows() == from.len()).then(|| Group { rows: batch, from: from.to_vec() })
}

/// Leaves the rows that, written again, are what was read.
fn same(group: &mut Group, rows: &[&str]) -> Result<()> {
    let writer = RowWriter::new(&group.rows);
    let same: Vec<bool> = group
        .from
        .iter()
        .enumerate()
        .map(|(row, &at)| rows.get(at).is_some_and(|text| writer.write(row) == *text))
        .collect();
    if same.iter().all(|&same| same) {
        return Ok(());
    }
    let mut keep = same.iter();
    group.from.retain(|_| keep.next().is_some_and(|&same| same));
    group.rows = filter_record_batch(&group.rows, &BooleanArray::from(same))?;
    Ok(())
}

fn schema_of(row: &str) -> Option<SchemaRef> {
    let object: Map<String, Value> = serde_json::from_str(row).ok()?;
    let types = read_types(object.get(TYPES)?.as_str()?)?;
    let names: Vec<_> = object.keys().filter(|name| *name != TYPES).collect();
    if names.len() != types.len() {
        return None;
    }
    let fields = names.into_iter().zip(types);
    let fields: Vec<_> = fields.map(|(name, of)| Field::new(name, of, true)).collect();
    Some(Arc::new(Schema::new(fields)))
}

fn json_text(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a cell; says whether its text is cut.
fn write_cell(out: &mut String, column: &ArrayRef, row: usize, room: &mut usize) -> bool {
    if column.is_null(row) || *column.data_type() == DataType::Null {
        out.push_str("null");
        return false;
    }
    macro_rules! number {
        ($type:ty) => {
            _ = write!(out, "{}", column.as_primitive::<$type>().value(row))
        };
    }
    match column.data_type() {
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        DataType::Float16 => {
            write_float(out, column.as_primitive::<Float16Type>().value(row).to_f32())
        }
        DataType::Float32 => write_float(out, column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => write_float(out, column.as_primitive::<Float64Type>().value(row)),
        DataType::Timestamp(unit, _) => write_instant(out, column, *unit, row),
        DataType::Utf8 => return write_text(out, column.as_string::<i32>().value(row), room),
        DataType::LargeUtf8 => return write_text(out, column.as_string::<i64>().value(row), room),
        DataType::Utf8View => return write_text(out, column.as_string_view().value(row), room),
        other => {
            let text = array_value_to_string(column, row).unwrap_or_default();
            match other.is_decimal() {
                true => out.push_str(&text),
                false => return write_text(out, &text, room),
            }
        }
    }
    false
}

/// As few digits as read back as the same number.
fn write_float<F: Into<f64> + Copy + std::fmt::Debug>(out: &mut String, number: F) {
    let wide: f64 = number.into();
    _ = match (wide.is_nan(), wide.is_infinite()) {
        (true, _) => write!(out, "\"NaN\""),
        (_, true) => write!(out, "\"{}Infinity\"", if wide < 0.0 { "-" } else { "" }),
        _ => write!(out, "{number:?}"),
    };
}

fn write_text(out: &mut String, text: &str, room: &mut usize) -> bool {
    let kept = text.floor_char_boundary(*room);
    *room -= kept;
    out.push_str(&json_text(&text[..kept]));
    kept < text.len()
}

fn write_instant(out: &mut String, column: &ArrayRef, unit: TimeUnit, row: usize) {
    let (ticks, per_second, digits, name) = match unit {
        TimeUnit::Second => {
            (column.as_primitive::<TimestampSecondType>().value(row), 1, SecondsFormat::Secs, "s")
        }
        TimeUnit::Millisecond => {
            let ticks = column.as_primitive::<TimestampMillisecondType>().value(row);
            (ticks, 1_000, SecondsFormat::Millis, "ms")
        }
        TimeUnit::Microsecond => {
            let ticks = column.as_primitive::<TimestampMicrosecondType>().value(row);
            (ticks, 1_000_000, SecondsFormat::Micros, "µs")
        }
        TimeUnit::Nanosecond => {
            let ticks = column.as_primitive::<TimestampNanosecondType>().value(row);
            (ticks, 1_000_000_000, SecondsFormat::Nanos, "ns")
        }
    };
    let nanos = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let time = DateTime::from_timestamp(ticks.div_euclid(per_second), nanos as u32);
    _ = match time.filter(|time| (0..=9999).contains(&time.year())) {
        Some(time) if nanos == 0 => {
            write!(out, "\"{}\"", time.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        Some(time) => write!(out, "\"{}\"", time.to_rfc3339_opts(digits, true)),
        None => write!(out, "\"{ticks} {name} since 1970\""),
    };
}

fn types_text<'a>(types: impl Iterator<Item = &'a DataType>) -> Option<String> {
    let mut runs: Vec<(String, usize)> = Vec::new();
    for data_type in types {
        let name = type_name(data_type)?;
        match runs.last_mut().filter(|(last, _)| *last == name) {
            Some((_, count)) => *count += 1,
            None => runs.push((name, 1)),
        }
    }
    let texts = runs.into_iter().map(|(name, count)| match count {
        1 => name,
        count => format!("{name}*{count}"),
    });
    Some(texts.collect::<Vec<_>>().join(" "))
}

fn type_name(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "utf8".to_owned(),
        DataType::Timestamp(unit, _) => format!("timestamp[{unit}]"),
        DataType::Decimal32(digits, scale) => format!("decimal32({digits},{scale})"),
        DataType::Decimal64(digits, scale) => format!("decimal64({digits},{scale})"),
        DataType::Decimal128(digits, scale) => format!("decimal128({digits},{scale})"),
        DataType::Decimal256(digits, scale) => format!("decimal256({digits},{scale})"),
        number if number.is_numeric() => number.to_string().to_lowercase(),
        _ => return None,
    })
}

fn read_types(text: &str) -> Option<Vec<DataType>> {
    let mut types = Vec::new();
    for run in text.split(' ') {
        let (name, count) = match run.split_once('*') {
            Some((name, count)) => {
                (name, count.parse().ok().filter(|&count: &usize| count < 100_000)?)
            }
            None => (run, 1),
        };
        let data_type = read_type(name)?;
        types.extend(std::iter::repeat_n(data_type, count));
    }
    Some(types)
}

fn read_type(name: &str) -> Option<DataType> {
    const NUMBERS: [DataType; 11] = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
    ];
    const UNITS: [TimeUnit; 4] =
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let instants = UNITS.map(|unit| DataType::Timestamp(unit, Some("UTC".into())));
    let simple = [DataType::Null, DataType::Utf8];
    let known = simple.into_iter().chain(NUMBERS).chain(instants);
    let is_named = |of: &DataType| type_name(of).is_some_and(|known| known == name);
    known.into_iter().find(is_named).or_else(|| read_decimal(name))
}

fn read_decimal(name: &str) -> Option<DataType> {
    let (width, parameters) = name.strip_prefix("decimal")?.strip_suffix(')')?.split_once('(')?;
    let (digits, scale) = parameters.split_once(',')?;
    let (digits, scale) = (digits.parse().ok()?, scale.parse().ok()?);
    Some(match width {
        "32" => DataType::Decimal32(digits, scale),
        "64" => DataType::Decimal64(digits, scale),
        "128" => DataType::Decimal128(digits, scale),
        "256" => DataType::Decimal256(digits, scale),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use arrow::array::{
        Decimal128Array, Float32Array, Float64Array, Int32Array, NullArray, StringArray,
        TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
    };

    use super::*;

    fn batch() -> RecordBatch {
        let decimals = Decimal128Array::from(vec![Some(-2050), None, Some(1), Some(0), Some(7)]);
        RecordBatch::try_from_iter_with_nullable([
            (
                "key",
                Arc::new(Int32Array::from(vec![1, -2, i32::MAX, i32::MIN, 0])) as ArrayRef,
                true,
            ),
            (
                "big",
                Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2, 3, 9_007_199_254_740_993])),
                true,
            ),
            (
                "single",
                Arc::new(Float32Array::from(vec![70.1, f32::NAN, f32::INFINITY, -0.0, 1e-45])),
                true,
            ),
            (
                "double",
                Arc::new(Float64Array::from(vec![
                    20.100_000_381_469_727,
                    f64::NEG_INFINITY,
                    f64::MAX,
                    5e-324,
                    0.1 + 0.2,
                ])),
                true,
            ),
            (
                "fine",
                Arc::new(
                    TimestampNanosecondArray::from(vec![1, -1, i64::MAX, i64::MIN + 1, 1_000])
                        .with_timezone("UTC"),
                ),
                true,
            ),
            (
                "coarse",
                Arc::new(TimestampSecondArray::from(vec![0, -1, 253_402_300_799, 1, 2])),
                true,
            ),
            ("milli", Arc::new(TimestampMillisecondArray::from(vec![1, 10, 100, 1_000, -1])), true),
            (
                "text",
                Arc::new(StringArray::from(vec![
                    Some("NaN"),
                    None,
                    Some("\"é\n"),
                    Some(""),
                    Some("{}"),
                ])),
                true,
            ),
            ("decimal", Arc::new(decimals.with_precision_and_scale(20, 2).unwrap()), true),
            ("nothing", Arc::new(NullArray::new(5)), true),
        ])
        .unwrap()
    }

    #[test]
    fn every_row_reads_back_as_the_same_values() {
        let sent = batch();
        let writer = RowWriter::new(&sent);
        let texts: Vec<_> = (0..sent.num_rows()).map(|row| writer.write(row)).collect();
        let first: Value = serde_json::from_str(&texts[0]).unwrap();
        assert_eq!(first["single"], 70.1, "{first}");
        assert_eq!(first["decimal"].to_string(), "-20.5", "{first}");
        let rows: Vec<_> = texts.iter().map(String::as_str).collect();
        let groups = read(&rows).unwrap();
        assert_eq!(groups.len(), 1, "{texts:#?}");
        assert_eq!(groups[0].from, [0, 1, 2, 3, 4]);
        for (sent, read) in sent.columns().iter().zip(groups[0].rows.columns()) {
            let sent = arrow::compute::cast(sent, read.data_type()).unwrap();
            assert_eq!(format!("{sent:?}"), format!("{read:?}"));
        }
    }

    #[test]
    fn a_row_that_does_not_say_what_was_sent_is_not_read() {
        let types = r#""$types":"int32 float32""#;
        let good = format!(r#"{{"key":1,"value":70.1,{types}}}"#);
        let rows = [
            r#"{"key":1,"value":70.1}"#.to_owned(),
            format!(r#"{{"key":1.5,"value":70.1,{types}}}"#),
            good.clone(),
            format!(r#"{{"key":1,"value":70.1000000001,{types}}}"#),
            format!(r#"{{"key":"1","value":70.1,{types}}}"#),
            format!(r#"{{"key":1,"value":"warm",{types}}}"#),
            r#"{"key":1,"value":70.1,"$types":"int32"}"#.to_owned(),
            format!(r#"{{"key":1,"key":2,"value":70.1,{types}}}"#),
            "no JSON".to_owned(),
            good,
        ];
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        let from: Vec<_> = read(&rows).unwrap().into_iter().flat_map(|group| group.from).collect();
        assert_eq!(from, [2, 9]);
    }

    #[test]
    fn long_texts_are_cut_and_marked_and_the_row_is_not_read_back() {
        let long = "é".repeat(ROW_BYTES_MAX);
        let rows = RecordBatch::try_from_iter([
            ("key", Arc::new(Int32Array::from(vec![7])) as ArrayRef),
            ("text", Arc::new(StringArray::from(vec![long.as_str()]))),
            ("last", Arc::new(Int32Array::from(vec![8]))),
        ])
        .unwrap();
        let text = RowWriter::new(&rows).write(0);
        assert!(text.len() < ROW_BYTES_MAX + 100, "{}", text.len());
        let object: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["key"], 7);
        assert_eq!(object["last"], 8);
        assert_eq!(object["$cut"], serde_json::json!(["text"]));
        assert!(read(&[&text]).unwrap().is_empty());
        let bound = bounded(&long);
        let object: Value = serde_json::from_str(&bound).unwrap();
        assert_eq!(object["$bytes"], long.len());
        assert!(long.starts_with(object["$cut"].as_str().unwrap()));
        assert_eq!(bounded("{}"), "{}");
    }
}
