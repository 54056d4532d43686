//! Values of parameters, as a client sends them for a type, in text or in binary.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use barograph_query::ScalarValue;
use bytes::Buf;

use super::binary::{DAYS, MICROS, NANOS_PER_MICRO};
use super::{Kind, PgType, numeric};
use crate::failure::{Failure, PROTOCOL, Result, UNSUPPORTED};

const WRONG_TEXT: &str = "22P02";
const WRONG_BINARY: &str = "22P03";
/// Most items of an array; each takes some of the memory of a value.
const ITEMS_MAX: usize = 1 << 20;

/// A value as it was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    /// The number of its type.
    pub(crate) oid: u32,
    pub(crate) is_binary: bool,
    /// `None` for null.
    pub(crate) bytes: Option<&'a [u8]>,
}

/// The value that was given.
///
/// # Errors
/// If its type is not known here, or it is no value of it.
pub(crate) fn value(given: Given<'_>) -> Result<ScalarValue> {
    let number = given.number;
    let of = PgType::by_oid(given.oid).ok_or_else(|| {
        Failure::new(
            UNSUPPORTED,
            format!("parameter ${number} is of the type with the number {}, which is not known here: send it as text", given.oid),
        )
    })?;
    let Some(bytes) = given.bytes else { return null(of) };
    let read = match (given.is_binary, of.is_array) {
        (true, false) => binary(of.kind, bytes),
        (true, true) => binary_array(of.kind, bytes),
        (false, is_array) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Failure::new("22021", format!("parameter ${number} is not UTF-8")))?;
            if is_array { text_array(of.kind, text) } else { parsed(of.kind, text) }
        }
    };
    read.ok_or_else(|| {
        let (state, what) = match given.is_binary {
            true => (WRONG_BINARY, format!("{} bytes", bytes.len())),
            false => (WRONG_TEXT, format!("{:?}", String::from_utf8_lossy(bytes))),
        };
        let of = of.name();
        Failure::new(state, format!("parameter ${number} is {what}, which is no {of}"))
    })
}

fn null(of: PgType) -> Result<ScalarValue> {
    let unknown = |_| Failure::new(PROTOCOL, format!("there is no null of {}", of.name()));
    ScalarValue::try_from(&of.arrow()).map_err(unknown)
}

/// A value from its text.
fn parsed(kind: Kind, text: &str) -> Option<ScalarValue> {
    let trimmed = text.trim();
    Some(match kind {
        Kind::Text => ScalarValue::Utf8(Some(text.to_owned())),
        Kind::Bool => ScalarValue::Boolean(Some(boolean(trimmed)?)),
        Kind::Int2 => ScalarValue::Int16(Some(trimmed.parse().ok()?)),
        Kind::Int4 => ScalarValue::Int32(Some(trimmed.parse().ok()?)),
        Kind::Int8 => ScalarValue::Int64(Some(trimmed.parse().ok()?)),
        // `inf`, `Infinity` and `NaN` are read, too.
        Kind::Float4 => ScalarValue::Float32(Some(trimmed.parse().ok()?)),
        Kind::Float8 => ScalarValue::Float64(Some(trimmed.parse().ok()?)),
        Kind::Numeric => decimal(trimmed)?,
        Kind::Bytea => ScalarValue::Binary(Some(bytes_of(text)?)),
        Kind::Date | Kind::Time | Kind::Timestamp | Kind::TimestampTz | Kind::Interval => {
            ScalarValue::Utf8(Some(trimmed.to_owned())).cast_to(&kind.arrow()).ok()?
        }
    })
}

fn boolean(text: &str) -> Option<bool> {
    const TRUE: [&str; 5] = ["t", "true", "y", "yes", "on"];
    const FALSE: [&str; 5] = ["f", "false", "n", "no", "off"];
    let is = |of: &[&str], digit: &str| {
        text == digit || of.iter().any(|word| word.eq_ignore_ascii_case(text))
    };
    match (is(&TRUE, "1"), is(&FALSE, "0")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// A number with as many decimals as it is written with; one that has more digits than decimals hold is a float.
fn decimal(text: &str) -> Option<ScalarValue> {
    let digits = text.trim_start_matches(['-', '+']);
    let (_, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let scale = i8::try_from(decimals.len()).ok().filter(|scale| *scale <= 38 && plain);
    let exact = scale.and_then(|scale| {
        let number = text.replacen('.', "", 1).parse::<i128>().ok()?;
        (number.unsigned_abs() < 10_u128.pow(38)).then_some(ScalarValue::Decimal128(
            Some(number),
            38,
            scale,
        ))
    });
    exact.or_else(|| Some(ScalarValue::Float64(Some(text.parse().ok()?))))
}

/// Bytes in hexadecimal.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

/// A value from its bytes.
fn binary(kind: Kind, bytes: &[u8]) -> Option<ScalarValue> {
    let mut rest = bytes;
    let two = || Some(i16::from_be_bytes(bytes.try_into().ok()?));
    let four = || Some(i32::from_be_bytes(bytes.try_into().ok()?));
    let eight = || Some(i64::from_be_bytes(bytes.try_into().ok()?));
    Some(match kind {
        Kind::Text => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
        Kind::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        Kind::Bool => ScalarValue::Boolean(Some(match bytes {
            [0] => false,
            [1] => true,
            _ => return None,
        })),
        Kind::Int2 => ScalarValue::Int16(Some(two()?)),
        Kind::Int4 => ScalarValue::Int32(Some(four()?)),
        // Some numbers of objects are sent as 4 bytes.
        Kind::Int8 if bytes.len() == 4 => {
            ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(bytes.try_into().ok()?))))
        }
        Kind::Int8 => ScalarValue::Int64(Some(eight()?)),
        Kind::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(bytes.try_into().ok()?))),
        Kind::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(bytes.try_into().ok()?))),
        Kind::Numeric => decimal(&numeric::read(bytes)?)?,
        Kind::Date => ScalarValue::Date32(Some(four()?.checked_add(DAYS)?)),
        Kind::Time => ScalarValue::Time64Microsecond(Some(eight()?)),
        Kind::Timestamp => {
            ScalarValue::TimestampMicrosecond(Some(eight()?.checked_add(MICROS)?), None)
        }
        Kind::TimestampTz => {
            let micros = eight()?.checked_add(MICROS)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        Kind::Interval => {
            if bytes.len() != 16 {
                return None;
            }
            let (micros, days, months) = (rest.get_i64(), rest.get_i32(), rest.get_i32());
            let nanos = micros.checked_mul(NANOS_PER_MICRO)?;
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos)))
        }
    })
}

fn list(kind: Kind, items: Vec<ScalarValue>) -> Option<ScalarValue> {
    // Decimals of one array may have several scales.
    let of = match kind {
        Kind::Numeric => DataType::Float64,
        _ => kind.arrow(),
    };
    let items = items.into_iter().map(|item| match item.data_type() == of {
        true => Some(item),
        false => item.cast_to(&of).ok(),
    });
    let items: Vec<_> = items.collect::<Option<_>>()?;
    Some(ScalarValue::List(ScalarValue::new_list_nullable(&items, &of)))
}

/// An array of one dimension, from its bytes.
fn binary_array(kind: Kind, bytes: &[u8]) -> Option<ScalarValue> {
    let mut rest = bytes;
    let mut word = || {
        let (word, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        Some(i32::from_be_bytes(*word))
    };
    let (dimensions, _has_nulls) = (word()?, word()?);
    let of = PgType::by_oid(word()?.cast_unsigned())?;
    if of.is_array || of.kind != kind {
        return None;
    }
    let count = match dimensions {
        0 => 0,
        1 => {
            let (count, _first) = (word()?, word()?);
            usize::try_from(count).ok().filter(|count| *count <= ITEMS_MAX)?
        }
        _ => return None,
    };
    let null = ScalarValue::try_from(&kind.arrow()).ok()?;
    // Not more at once than the bytes can hold.
    let mut items = Vec::with_capacity(count.min(bytes.len() / 4));
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => items.push(null.clone()),
            Ok(length) => {
                let (item, behind) = rest.split_at_checked(length)?;
                rest = behind;
                items.push(binary(kind, item)?);
            }
        }
    }
    rest.is_empty().then(|| list(kind, items)).flatten()
}

/// An array of one dimension, from its text such as `{1,NULL,"a b"}`.
fn text_array(kind: Kind, text: &str) -> Option<ScalarValue> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    let mut chars = inner.chars().peekable();
    if inner.trim().is_empty() {
        return list(kind, items);
    }
    loop {
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        let (mut item, is_quoted) = (String::new(), chars.next_if_eq(&'"').is_some());
        let mut is_closed = !is_quoted;
        while let Some(char) =
            chars.next_if(|&char| is_quoted || !matches!(char, ',' | '{' | '}' | '"'))
        {
            match char {
                '"' => {
                    is_closed = true;
                    break;
                }
                '\\' => item.push(chars.next()?),
                char => item.push(char),
            }
        }
        if !is_closed || items.len() >= ITEMS_MAX {
            return None;
        }
        let item = if is_quoted { item.as_str() } else { item.trim() };
        items.push(match item {
            null if !is_quoted && null.eq_ignore_ascii_case("null") => {
                ScalarValue::try_from(&kind.arrow()).ok()?
            }
            "" if !is_quoted => return None,
            item => parsed(kind, item)?,
        });
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        match chars.next() {
            None => return list(kind, items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    fn read(oid: u32, is_binary: bool, bytes: &[u8]) -> Result<ScalarValue> {
        value(Given { number: 1, oid, is_binary, bytes: Some(bytes) })
    }

    #[test]
    fn texts_are_read_as_their_type() {
        let text = |oid, text: &str| read(oid, false, text.as_bytes());
        assert_eq!(text(23, " 7 ").unwrap(), ScalarValue::Int32(Some(7)));
        assert_eq!(text(16, "on").unwrap(), ScalarValue::Boolean(Some(true)));
        assert_eq!(text(700, "20.5").unwrap(), ScalarValue::Float32(Some(20.5)));
        assert_eq!(text(1_700, "-1.50").unwrap(), ScalarValue::Decimal128(Some(-150), 38, 2));
        assert_eq!(text(0, " a").unwrap(), ScalarValue::Utf8(Some(" a".to_owned())));
        assert_eq!(text(17, "\\x0aff").unwrap(), ScalarValue::Binary(Some(vec![10, 255])));
        let at = text(1_184, "2026-01-01 01:00:00+01").unwrap();
        assert_eq!(
            at,
            ScalarValue::TimestampMicrosecond(Some(1_767_225_600_000_000), Some("UTC".into()))
        );
        assert_eq!(text(1_082, "2026-01-01").unwrap(), ScalarValue::Date32(Some(20_454)));
        for (oid, wrong) in [(23, "x"), (16, "maybe"), (17, "\\x1"), (1_114, "soon"), (21, "40000")]
        {
            let failure = text(oid, wrong).unwrap_err();
            assert_eq!(failure.state(), WRONG_TEXT, "{wrong}");
        }
        assert_eq!(text(600, "(1,2)").unwrap_err().state(), UNSUPPORTED);
    }

    #[test]
    fn bytes_are_read_as_their_type() {
        assert_eq!(read(20, true, &7_i64.to_be_bytes()).unwrap(), ScalarValue::Int64(Some(7)));
        assert_eq!(
            read(701, true, &1.5_f64.to_be_bytes()).unwrap(),
            ScalarValue::Float64(Some(1.5))
        );
        assert_eq!(
            read(1_082, true, &1_i32.to_be_bytes()).unwrap(),
            ScalarValue::Date32(Some(10_958))
        );
        for oid in [16, 20, 21, 23, 700, 701, 1_082, 1_114, 1_184, 1_186, 1_700, 1_007] {
            let failure = read(oid, true, b"abc").unwrap_err();
            assert_eq!(failure.state(), WRONG_BINARY, "{oid}");
        }
        let far = i64::MAX.to_be_bytes();
        assert!(read(1_184, true, &far).is_err());
    }

    #[test]
    fn arrays_are_read() {
        let expected = ScalarValue::List(ScalarValue::new_list_nullable(
            &[ScalarValue::Int32(Some(7)), ScalarValue::Int32(None)],
            &DataType::Int32,
        ));
        let bytes = [1, 1, 23, 2, 1, 4, 7, -1].map(i32::to_be_bytes).concat();
        assert_eq!(read(1_007, true, &bytes).unwrap(), expected);
        assert_eq!(read(1_007, false, b"{7, NULL}").unwrap(), expected);
        let texts = read(1_009, false, br#"{a,"b \"c","NULL",""}"#).unwrap();
        let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
        let expected = ScalarValue::List(ScalarValue::new_list_nullable(
            &[text("a"), text("b \"c"), text("NULL"), text("")],
            &DataType::Utf8,
        ));
        assert_eq!(texts, expected);
        for wrong in ["", "{", "{1", "{1,}", "{,}", "{{1}}", "{\"1}", "{1}x", "{1 \"2\"}"] {
            assert!(read(1_007, false, wrong.as_bytes()).is_err(), "{wrong}");
        }
        for end in 0..bytes.len() {
            assert!(read(1_007, true, &bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn null_has_the_type_of_its_place() {
        let null = value(Given { number: 1, oid: 1_016, is_binary: false, bytes: None }).unwrap();
        let item = Field::new_list_field(DataType::Int64, true);
        assert_eq!(null.data_type(), DataType::List(Arc::new(item)));
        assert!(null.is_null());
    }
}
