//! The SQL types of the server, as ODBC and JDBC ask for them, and as columns name them.

use arrow::datatypes::DataType;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};

use crate::Result;

/// Digits of the largest decimal.
const DECIMAL_DIGITS: i32 = 76;
/// Digits after the point of a second: ns.
const SECOND_DIGITS: i32 = 9;

/// The types, for CommandGetXdbcTypeInfo.
pub(super) fn data() -> Result<XdbcTypeInfoData> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    infos().into_iter().for_each(|info| builder.append(info));
    Ok(builder.build()?)
}

/// The SQL name of an Arrow type; the Arrow name where SQL has none.
pub(super) fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "DECIMAL",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) => "INTERVAL",
        other => return other.to_string(),
    }
    .to_owned()
}

pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Decimal digits of a number and those after its point; of a float the digits that are always kept.
pub(super) fn precision_and_scale(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Float32 => (7, 0),
        DataType::Float64 => (15, 0),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

fn infos() -> Vec<XdbcTypeInfo> {
    use XdbcDataType::*;
    let boolean = XdbcTypeInfo { column_size: Some(1), ..info("BOOLEAN", XdbcBit) };
    let mut infos = vec![boolean];
    for (name, kind, digits) in [
        ("TINYINT", XdbcTinyint, 3),
        ("SMALLINT", XdbcSmallint, 5),
        ("INTEGER", XdbcInteger, 10),
        ("BIGINT", XdbcBigint, 19),
    ] {
        let unsigned_digits = if digits == 19 { 20 } else { digits };
        infos.push(integer(name, kind, digits, false));
        infos.push(integer(&format!("{name} UNSIGNED"), kind, unsigned_digits, true));
    }
    infos.push(float("REAL", XdbcReal, 24));
    infos.push(float("DOUBLE", XdbcDouble, 53));
    infos.push(XdbcTypeInfo {
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        minimum_scale: Some(0),
        maximum_scale: Some(DECIMAL_DIGITS),
        ..number("DECIMAL", XdbcDecimal, DECIMAL_DIGITS, 10)
    });
    infos.push(XdbcTypeInfo {
        column_size: Some(i32::MAX),
        create_params: Some(vec!["length".to_owned()]),
        case_sensitive: true,
        ..quoted("VARCHAR", XdbcVarchar, "")
    });
    infos.push(XdbcTypeInfo { column_size: Some(i32::MAX), ..quoted("BYTEA", XdbcVarbinary, "X") });
    // The subcode of a date is the one that this enumeration names after the year.
    let (date, time) = (XdbcDatetimeSubcode::XdbcSubcodeYear, XdbcDatetimeSubcode::XdbcSubcodeTime);
    infos.push(datetime("DATE", XdbcDate, date, "2026-01-01".len(), false));
    let of_second = ".123456789".len();
    infos.push(datetime("TIME", XdbcTime, time, "12:00:00".len() + of_second, true));
    let size = "2026-01-01 12:00:00".len() + of_second;
    let timestamp = XdbcDatetimeSubcode::XdbcSubcodeTimestamp;
    infos.push(datetime("TIMESTAMP", XdbcTimestamp, timestamp, size, true));
    infos.push(XdbcTypeInfo {
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeUnknown),
        interval_precision: Some(SECOND_DIGITS),
        ..quoted("INTERVAL", XdbcInterval, "INTERVAL ")
    });
    infos
}

fn info(name: &str, kind: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        local_type_name: Some(name.to_owned()),
        data_type: kind,
        sql_data_type: kind,
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        ..XdbcTypeInfo::default()
    }
}

/// A number of `size` digits in base `radix`.
fn number(name: &str, kind: XdbcDataType, size: i32, radix: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(size),
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        // LIKE compares text.
        searchable: Searchable::Basic,
        ..info(name, kind)
    }
}

fn integer(name: &str, kind: XdbcDataType, digits: i32, unsigned: bool) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(unsigned),
        fixed_prec_scale: true,
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        ..number(name, kind, digits, 10)
    }
}

fn float(name: &str, kind: XdbcDataType, bits: i32) -> XdbcTypeInfo {
    number(name, kind, bits, 2)
}

/// A type whose literals stand in quotes after `prefix`.
fn quoted(name: &str, kind: XdbcDataType, prefix: &str) -> XdbcTypeInfo {
    XdbcTypeInfo {
        literal_prefix: Some(format!("{prefix}'")),
        literal_suffix: Some("'".to_owned()),
        ..info(name, kind)
    }
}

fn datetime(
    name: &str,
    kind: XdbcDataType,
    subcode: XdbcDatetimeSubcode,
    size: usize,
    has_time: bool,
) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: i32::try_from(size).ok(),
        minimum_scale: has_time.then_some(0),
        maximum_scale: has_time.then_some(SECOND_DIGITS),
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        searchable: Searchable::Basic,
        ..quoted(name, kind, &format!("{name} "))
    }
}
