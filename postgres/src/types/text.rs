//! Values as texts, as PostgreSQL prints them: dates of ISO, numbers that are read back as they were.

use std::fmt::Write;

use arrow::array::timezone::Tz;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// The zone of a name.
pub(crate) fn zone(name: &str) -> Option<Tz> {
    let is_utc = ["utc", "z"].iter().any(|utc| name.eq_ignore_ascii_case(utc));
    if is_utc { "UTC" } else { name }.parse().ok()
}

/// A text that is written into memory, which cannot fail.
macro_rules! push {
    ($out:expr, $($of:tt)*) => {
        let _ = write!($out, $($of)*);
    };
}

pub(super) fn float(value: f64, digits: String, large: i32, out: &mut String) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // Shortest digits that are read back as the same value, such as `-1.25e3`.
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..large).contains(&exponent) {
        push!(out, "{value}");
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        push!(out, "{mantissa}e{sign}{:02}", exponent.abs());
    }
}

pub(super) fn float4(value: f32, out: &mut String) {
    // Digits of the value itself, not of the double that it is widened to.
    let mut digits = format!("{value:e}");
    if let Some(exponent) = digits.split_once('e').and_then(|(_, of)| of.parse::<i32>().ok())
        && (-4..6).contains(&exponent)
    {
        digits = format!("{value}");
        return out.push_str(&digits);
    }
    float(f64::from(value), digits, 6, out);
}

pub(super) fn float8(value: f64, out: &mut String) {
    float(value, format!("{value:e}"), 15, out);
}

pub(super) fn bytes(value: &[u8], out: &mut String) {
    out.push_str("\\x");
    for byte in value {
        push!(out, "{byte:02x}");
    }
}

fn day(date: NaiveDate, out: &mut String) {
    // The year before 1 is 1 BC.
    let year = if date.year() > 0 { date.year() } else { 1 - date.year() };
    push!(out, "{year:04}-{:02}-{:02}", date.month(), date.day());
}

fn era(date: NaiveDate, out: &mut String) {
    if date.year() <= 0 {
        out.push_str(" BC");
    }
}

pub(super) fn date(days: i32, out: &mut String) {
    let date = NaiveDate::from_ymd_opt(1970, 1, 1)
        .and_then(|epoch| epoch.checked_add_signed(TimeDelta::try_days(i64::from(days))?));
    match date {
        Some(date) => {
            day(date, out);
            era(date, out);
        }
        None => out.push_str(if days < 0 { "-infinity" } else { "infinity" }),
    }
}

/// A time of the day, with the digits of a second that are not 0.
pub(super) fn time(micros: i64, out: &mut String) {
    let (seconds, fraction) = (micros / MICROS_PER_SECOND, micros % MICROS_PER_SECOND);
    push!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = format!(".{fraction:06}");
        out.push_str(digits.trim_end_matches('0'));
    }
}

fn moment(at: NaiveDateTime, out: &mut String) {
    day(at.date(), out);
    out.push(' ');
    time(at.and_utc().timestamp_micros().rem_euclid(MICROS_PER_DAY), out);
}

pub(super) fn timestamp(micros: i64, out: &mut String) {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => {
            moment(at.naive_utc(), out);
            era(at.date_naive(), out);
        }
        None => out.push_str(if micros < 0 { "-infinity" } else { "infinity" }),
    }
}

pub(super) fn timestamp_tz(micros: i64, zone: &Tz, out: &mut String) {
    let Some(at) = DateTime::<Utc>::from_timestamp_micros(micros) else {
        return timestamp(micros, out);
    };
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    let Some(local) = at.naive_utc().checked_add_signed(TimeDelta::seconds(i64::from(offset)))
    else {
        return timestamp(micros, out);
    };
    moment(local, out);
    let (sign, offset) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    push!(out, "{sign}{:02}", offset / 3_600);
    if offset % 3_600 != 0 {
        push!(out, ":{:02}", offset / 60 % 60);
    }
    if offset % 60 != 0 {
        push!(out, ":{:02}", offset % 60);
    }
    era(local.date(), out);
}

/// An interval, as `IntervalStyle` `postgres` has it.
pub(super) fn interval(months: i32, days: i32, micros: i64, out: &mut String) {
    let begun = out.len();
    let mut part = |count: i64, one: &str| {
        if count != 0 {
            let space = if out.len() == begun { "" } else { " " };
            let plural = if count == 1 { "" } else { "s" };
            push!(out, "{space}{count} {one}{plural}");
        }
    };
    part(i64::from(months / 12), "year");
    part(i64::from(months % 12), "mon");
    part(i64::from(days), "day");
    if micros != 0 || out.len() == begun {
        if out.len() > begun {
            out.push(' ');
        }
        if micros < 0 {
            out.push('-');
        }
        time(micros.saturating_abs(), out);
    }
}

/// An item of an array, in quotes where it could be taken for something else.
pub(super) fn item(value: &str, out: &mut String) {
    let is_plain = !value.is_empty()
        && !value.eq_ignore_ascii_case("null")
        && !value.contains(|c: char| c.is_whitespace() || "{}\",\\".contains(c));
    if is_plain {
        return out.push_str(value);
    }
    out.push('"');
    for char in value.chars() {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(of: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        of(&mut out);
        out
    }

    #[test]
    fn numbers_are_printed_as_postgresql_prints_them() {
        for (value, text) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(printed(|out| float8(value, out)), text);
        }
        for (value, text) in
            [(20.5_f32, "20.5"), (0.1, "0.1"), (1e6, "1e+06"), (123_456.0, "123456")]
        {
            assert_eq!(printed(|out| float4(value, out)), text);
        }
    }

    #[test]
    fn times_are_printed_in_their_zone() {
        let at = 1_767_225_600_500_000;
        let text = |name: &str| printed(|out| timestamp_tz(at, &zone(name).unwrap(), out));
        assert_eq!(text("UTC"), "2026-01-01 00:00:00.5+00");
        assert_eq!(text("Europe/Berlin"), "2026-01-01 01:00:00.5+01");
        assert_eq!(text("Asia/Kolkata"), "2026-01-01 05:30:00.5+05:30");
        assert_eq!(text("-03:30"), "2025-12-31 20:30:00.5-03:30");
        assert_eq!(
            printed(|out| timestamp(-62_198_755_200_000_000, out)),
            "0002-01-01 00:00:00 BC"
        );
        assert_eq!(printed(|out| timestamp(i64::MAX, out)), "infinity");
        assert_eq!(printed(|out| date(-719_163, out)), "0001-12-31 BC");
        assert_eq!(printed(|out| date(20_454, out)), "2026-01-01");
        assert!(zone("utc").is_some() && zone("Mars").is_none());
    }

    #[test]
    fn intervals_are_printed_in_their_parts() {
        let text = |months, days, micros| printed(|out| interval(months, days, micros, out));
        assert_eq!(text(0, 0, 0), "00:00:00");
        assert_eq!(text(14, 1, 3_600_000_000), "1 year 2 mons 1 day 01:00:00");
        assert_eq!(text(-1, 0, -1_500_000), "-1 mons -00:00:01.5");
        assert_eq!(text(0, 2, 0), "2 days");
        assert_eq!(text(0, 0, 360_000_000_000), "100:00:00");
    }

    #[test]
    fn items_are_quoted_where_they_have_to_be() {
        let text = |value| printed(|out| item(value, out));
        assert_eq!(
            (text("a"), text(""), text("NULL")),
            ("a".into(), "\"\"".into(), "\"NULL\"".into())
        );
        assert_eq!(text("a \"b\\"), "\"a \\\"b\\\\\"");
    }
}
