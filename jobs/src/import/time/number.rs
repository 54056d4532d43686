//! Times that are numbers: their exact arithmetic, and the recognition of numbers in another unit than is stated.

use std::fmt;

use chrono::NaiveDate;

use super::super::mapping::time::Unit;

/// A number as it is written: `digits` · 10^-`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: i128,
    scale: i32,
}

/// The likely meaning of a number that is no time in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// A date as digits, in this form.
    Digits(&'static str),
    /// A time in this unit.
    Unit(Unit),
}

/// More digits than any time has.
const DIGITS_MAX: usize = 30;
/// Exponents of units in a time, with room.
const SCALE_MAX: i32 = 36;

/// Dates as digits, by their number.
const DATES: [(usize, &str); 5] = [
    (8, "%Y%m%d"),
    (10, "%Y%m%d%H"),
    (12, "%Y%m%d%H%M"),
    (14, "%Y%m%d%H%M%S"),
    (17, "%Y%m%d%H%M%S%3f"),
];

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scale {
            0 => write!(f, "{}", self.digits),
            scale => write!(f, "{}e{}", self.digits, -scale),
        }
    }
}

impl Decimal {
    /// A whole number.
    pub(crate) fn whole(number: i128) -> Self {
        Self { digits: number, scale: 0 }
    }

    /// Reads a number such as `1661990400`, `-0.25` or `1.5e9`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let all = || whole.bytes().chain(fraction.bytes());
        let count = whole.len() + fraction.len();
        if count == 0 || count > DIGITS_MAX || !all().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let digits = all().fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let signed = if mantissa.starts_with('-') { -digits } else { digits };
        (scale.abs() <= SCALE_MAX).then_some(Self { digits: signed, scale })
    }

    /// As many `unit`s in ns; what is finer than a ns is a ns more where it would not be seen otherwise, at a
    /// whole or a half µs. `None` if they are too many.
    pub(crate) fn nanoseconds(self, unit: Unit) -> Option<i128> {
        let power = 10_i128.checked_pow(self.scale.unsigned_abs())?;
        let number = self.digits.checked_mul(unit.nanoseconds())?;
        if self.scale <= 0 {
            return number.checked_mul(power);
        }
        let (whole, left) = (number.div_euclid(power), number.rem_euclid(power));
        Some(whole + i128::from(left > 0 && whole.rem_euclid(500) == 0))
    }

    /// Whether it is a time from 1973 to 2286 in `unit`, or as far before 1970.
    pub(crate) fn is_time_in(self, unit: Unit) -> bool {
        self.size().and_then(of_size) == Some(unit)
    }

    /// The likely meaning of the number, if it is not a time in `unit`.
    pub(crate) fn likeness(self, unit: Unit) -> Option<Likeness> {
        let size = self.size()?;
        let own = of_size(size);
        if own == Some(unit) {
            return None;
        }
        let counted =
            matches!(unit, Unit::Second | Unit::Millisecond | Unit::Microsecond | Unit::Nanosecond);
        match self.date() {
            Some(format) if counted => Some(Likeness::Digits(format)),
            _ => own.map(Likeness::Unit),
        }
    }

    /// The form in which the number is a date of these times, if it is one.
    pub(crate) fn date(self) -> Option<&'static str> {
        if self.scale != 0 || self.digits < 0 {
            return None;
        }
        let text = self.digits.to_string();
        let (_, format) = DATES.into_iter().find(|(count, _)| *count == text.len())?;
        let part = |from: usize, to: usize| text.get(from..to).and_then(|t| t.parse::<u32>().ok());
        let year = part(0, 4).filter(|year| (1900..2100).contains(year))?;
        let day = NaiveDate::from_ymd_opt(year as i32, part(4, 6)?, part(6, 8)?);
        let clock = [(8, 24), (10, 60), (12, 60)];
        let fits = clock.into_iter().all(|(at, below)| part(at, at + 2).is_none_or(|n| n < below));
        (day.is_some() && fits).then_some(format)
    }

    /// The whole number that it holds, without its sign.
    fn size(self) -> Option<u128> {
        let power = 10_u128.checked_pow(self.scale.unsigned_abs())?;
        let digits = self.digits.unsigned_abs();
        if self.scale < 0 { digits.checked_mul(power) } else { Some(digits / power) }
    }
}

/// The unit in which a number is a time from 1973 to 2286, or as far before 1970.
fn of_size(size: u128) -> Option<Unit> {
    let within = |low: u32| (10_u128.pow(low)..10_u128.pow(low + 2)).contains(&size);
    let units = [
        (8, Unit::Second),
        (11, Unit::Millisecond),
        (14, Unit::Microsecond),
        (17, Unit::Nanosecond),
    ];
    units.into_iter().find(|(low, _)| within(*low)).map(|(_, unit)| unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn read(text: &str) -> Decimal {
        Decimal::read(text).unwrap()
    }

    #[test]
    fn numbers_are_counted_exactly() {
        let ns = |text: &str, unit| read(text).nanoseconds(unit).unwrap();
        assert_eq!(ns("1661990400.25", Unit::Second), 1_661_990_400_250_000_000);
        assert_eq!(ns("1.6619904e9", Unit::Second), 1_661_990_400_000_000_000);
        assert_eq!(ns("-0.5", Unit::Minute), -30_000_000_000);
        assert_eq!(ns("44805.5", Unit::Day), 3_871_195_200_000_000_000);
        assert_eq!(ns("1661990400123456789", Unit::Nanosecond), 1_661_990_400_123_456_789);
        assert_eq!(ns("0.0000000001", Unit::Second), 1, "finer than a ns is seen");
        for text in ["", ".", "-", "1,5", "NaN", "1e999", "12:00", "0x10"] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn another_unit_than_stated_is_seen() {
        for (text, unit, likeness) in [
            ("1661990400", Unit::Microsecond, Some(Likeness::Unit(Unit::Second))),
            ("1661990400000", Unit::Second, Some(Likeness::Unit(Unit::Millisecond))),
            ("1661990400", Unit::Millisecond, Some(Likeness::Unit(Unit::Second))),
            ("1661990400000000000", Unit::Microsecond, Some(Likeness::Unit(Unit::Nanosecond))),
            ("2023010112", Unit::Microsecond, Some(Likeness::Digits("%Y%m%d%H"))),
            ("20230101", Unit::Second, Some(Likeness::Digits("%Y%m%d"))),
            ("202301011230", Unit::Microsecond, Some(Likeness::Digits("%Y%m%d%H%M"))),
            ("20230101123000", Unit::Microsecond, Some(Likeness::Digits("%Y%m%d%H%M%S"))),
            ("1661990400", Unit::Second, None),
            ("-1661990400000", Unit::Millisecond, None),
            ("0", Unit::Second, None),
            ("27699840", Unit::Minute, None),
            ("19236.5", Unit::Day, None),
        ] {
            assert_eq!(read(text).likeness(unit), likeness, "{text}");
        }
    }
}
