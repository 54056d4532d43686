//! Numbers of any length as PostgreSQL has them in binary: digits of 10,000, the place of the first, a sign, and how many
//! decimals are printed. Source: `numeric_send` and `numeric_recv` of PostgreSQL's `numeric.c`.

use bytes::{BufMut, BytesMut};

const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
/// Decimal digits in one of PostgreSQL's.
const GROUP: usize = 4;

/// Writes a number that is printed as `text`, such as `-12.50`; whether it is one.
pub(super) fn write(text: &str, out: &mut BytesMut) -> bool {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |of: &str| of.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(decimals) || digits.is_empty() {
        return false;
    }
    let ahead = whole.len().next_multiple_of(GROUP) - whole.len();
    let behind = decimals.len().next_multiple_of(GROUP) - decimals.len();
    let aligned = format!("{:0<ahead$}{whole}{decimals}{:0<behind$}", "", "");
    let group =
        |bytes: &[u8]| bytes.iter().fold(0_u16, |all, byte| all * 10 + u16::from(byte - b'0'));
    let mut groups: Vec<u16> = aligned.as_bytes().chunks(GROUP).map(group).collect();
    let mut places = (whole.len() + ahead) / GROUP;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    // The place of the first digit, in powers of 10,000.
    let mut weight = 0;
    if !groups.is_empty() {
        places = places.wrapping_sub(leading);
        weight = i16::try_from(places as i64 - 1).unwrap_or_default();
    }
    let (Ok(count), Ok(scale)) = (u16::try_from(groups.len()), u16::try_from(decimals.len()))
    else {
        return false;
    };
    out.put_u16(count);
    out.put_i16(weight);
    out.put_u16(if is_negative && count > 0 { NEGATIVE } else { 0 });
    out.put_u16(scale);
    groups.iter().for_each(|group| out.put_u16(*group));
    true
}

/// Reads a number as its text; `None` for what is no number that has one.
pub(super) fn read(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|pair| {
        let [high, low] = <[u8; 2]>::try_from(pair).unwrap_or_default();
        u16::from_be_bytes([high, low])
    });
    let count = usize::from(words.next()?);
    let weight = i32::from(words.next()?.cast_signed());
    let (sign, scale) = (words.next()?, usize::from(words.next()?));
    let groups: Vec<u16> = words.collect();
    if sign == NOT_A_NUMBER {
        return Some("NaN".to_owned());
    }
    // What is longer is not within any type here.
    if groups.len() != count || !bytes.len().is_multiple_of(2) || weight.abs() > 64 || scale > 256 {
        return None;
    }
    if sign & !NEGATIVE != 0 || groups.iter().any(|group| *group > 9_999) {
        return None;
    }
    let digit = |place: i32| {
        let at = usize::try_from(weight - place).ok();
        at.and_then(|at| groups.get(at)).copied().unwrap_or_default()
    };
    let whole: String =
        (0..=weight.max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    let whole = whole.trim_start_matches('0');
    let behind = i32::try_from(scale.div_ceil(GROUP)).ok()?;
    let decimals: String = (1..=behind).map(|place| format!("{:04}", digit(-place))).collect();
    let decimals = decimals.get(..scale)?;
    let sign = if sign == NEGATIVE { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(match decimals {
        "" => format!("{sign}{whole}"),
        decimals => format!("{sign}{whole}.{decimals}"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_laid_out_as_postgresql_has_them() {
        let written = |text: &str| {
            let mut out = BytesMut::new();
            assert!(write(text, &mut out), "{text}");
            out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect::<Vec<_>>()
        };
        // As PostgreSQL 15 answers `select numeric_send(…)`.
        assert_eq!(written("0"), [0, 0, 0, 0]);
        assert_eq!(written("12345.678"), [3, 1, 0, 3, 1, 2345, 6780]);
        assert_eq!(written("-0.00010"), [1, -1, 0x4000, 5, 1]);
        assert_eq!(written("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(written("0.000012"), [1, -2, 0, 6, 1200]);
        assert!(!write("NaN", &mut BytesMut::new()) && !write("1e5", &mut BytesMut::new()));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0, 1, 0, 0, 0, 0, 0, 0]), None, "a digit is missing");
        assert_eq!(read(&[0, 1, 0x7f, 0xff, 0, 0, 0, 0, 0, 1]), None, "that is 10^131068");
        assert_eq!(read(&[0, 0, 0, 0, 0xc0, 0, 0, 0]).unwrap(), "NaN");
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(number in any::<i128>(), scale in 0_usize..38) {
            let sign = if number < 0 { "-" } else { "" };
            let digits = format!("{:0>1$}", number.unsigned_abs(), scale + 1);
            let (whole, decimals) = digits.split_at(digits.len() - scale);
            let text = match decimals {
                "" => format!("{sign}{whole}"),
                decimals => format!("{sign}{whole}.{decimals}"),
            };
            let mut out = BytesMut::new();
            prop_assert!(write(&text, &mut out));
            prop_assert_eq!(read(&out).unwrap(), text);
        }
    }
}
