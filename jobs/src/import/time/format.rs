//! The form of a time as text, such as `%d/%m/%Y %H:%M`, after strftime.
//!
//! Numbers that follow each other without a sign between are one run of digits, which may lack leading zeros as
//! whole numbers do (`%H%M` reads `830` as 08:30) unless it begins with a year of four digits. A blank stands for
//! any blanks. Hour 24 is the end of its day.

use chrono::NaiveDate;

/// A parsed form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Format {
    items: Vec<Item>,
}

/// A time as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// ns since 1970-01-01T00:00 of the clock that was read.
    pub local_ns: i128,
    /// That clock's distance from UTC in seconds, if the text says so.
    pub offset: Option<i32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    /// Digits, each field with the number of them.
    Digits(Vec<(Field, usize)>),
    /// Digits of the second behind its decimal point; with the point itself, both may be absent.
    Fraction {
        point: bool,
    },
    Month,
    Weekday,
    Noon,
    Offset,
    Blank,
    Literal(char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    ShortYear,
    Month,
    Day,
    DayOfYear,
    Hour,
    HalfHour,
    Minute,
    Second,
}

/// What stands in a time.
#[derive(Debug, Default)]
struct Parts {
    year: i32,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: u32,
    half_hour: Option<u32>,
    afternoon: bool,
    minute: u32,
    second: u32,
    nanosecond: i128,
    offset: Option<i32>,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Format {
    /// Parses a form, or says what is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        push(text, &mut items)?;
        let format = Self { items };
        let has = |field| format.fields().any(|other| other == field);
        if !has(Field::Year) && !has(Field::ShortYear) {
            return Err("it has no year (%Y)".to_owned());
        }
        if has(Field::HalfHour) && !format.items.contains(&Item::Noon) {
            return Err("%I needs %p, which says before or after noon".to_owned());
        }
        if has(Field::Day) && !has(Field::Month) && !format.items.contains(&Item::Month) {
            return Err("it has a day (%d) without a month (%m); %j is the day of the year".into());
        }
        Ok(format)
    }

    fn fields(&self) -> impl Iterator<Item = Field> {
        let of = |item: &Item| match item {
            Item::Digits(fields) => fields.iter().map(|(field, _)| *field).collect(),
            _ => Vec::new(),
        };
        self.items.iter().flat_map(of)
    }

    /// Reads a time of the form.
    pub(crate) fn read(&self, text: &str) -> Option<Stamp> {
        let (mut rest, mut parts) = (text, Parts::default());
        for item in &self.items {
            rest = item.read(rest, &mut parts)?;
        }
        if rest.is_empty() { parts.stamp() } else { None }
    }
}

/// Adds the items of a form.
fn push(text: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            items.push(if character.is_whitespace() {
                Item::Blank
            } else {
                Item::Literal(character)
            });
            continue;
        }
        let mut code: String = characters.next().into_iter().collect();
        while matches!(code.as_str(), "." | ".3" | ".6" | ".9" | "3" | "6" | "9" | "-" | "_" | ":")
        {
            match characters.next() {
                Some(next) => code.push(next),
                None => break,
            }
        }
        match code.trim_start_matches(['-', '_']) {
            "Y" => digits(items, Field::Year, 4),
            "y" => digits(items, Field::ShortYear, 2),
            "m" => digits(items, Field::Month, 2),
            "d" | "e" => digits(items, Field::Day, 2),
            "j" => digits(items, Field::DayOfYear, 3),
            "H" | "k" => digits(items, Field::Hour, 2),
            "I" | "l" => digits(items, Field::HalfHour, 2),
            "M" => digits(items, Field::Minute, 2),
            "S" => digits(items, Field::Second, 2),
            "f" | "3f" | "6f" | "9f" => items.push(Item::Fraction { point: false }),
            ".f" | ".3f" | ".6f" | ".9f" => items.push(Item::Fraction { point: true }),
            "b" | "B" | "h" => items.push(Item::Month),
            "a" | "A" => items.push(Item::Weekday),
            "p" | "P" => items.push(Item::Noon),
            "z" | ":z" | "Z" => items.push(Item::Offset),
            "F" => push("%Y-%m-%d", items)?,
            "T" => push("%H:%M:%S", items)?,
            "R" => push("%H:%M", items)?,
            "D" => push("%m/%d/%y", items)?,
            "n" | "t" => items.push(Item::Blank),
            "%" => items.push(Item::Literal('%')),
            _ => {
                return Err(format!(
                    "%{code} is not known: there are %Y %y %m %b %d %j %H %I %p %M %S %f %.f %z %a %F %T %R %%"
                ));
            }
        }
    }
    Ok(())
}

fn digits(items: &mut Vec<Item>, field: Field, width: usize) {
    match items.last_mut() {
        Some(Item::Digits(fields)) => fields.push((field, width)),
        _ => items.push(Item::Digits(vec![(field, width)])),
    }
}

impl Item {
    /// Reads what the item stands for from the beginning of `text`, and gives what is left.
    fn read<'a>(&self, text: &'a str, parts: &mut Parts) -> Option<&'a str> {
        match self {
            Self::Digits(fields) => run(text, fields, parts),
            Self::Fraction { point } => fraction(text, *point, parts),
            Self::Month => {
                let (month, rest) = name(text, &MONTHS)?;
                parts.month = Some(month);
                Some(rest)
            }
            Self::Weekday => name(text, &WEEKDAYS).map(|(_, rest)| rest),
            Self::Noon => {
                let marked = text.get(..2)?;
                parts.afternoon = marked.eq_ignore_ascii_case("pm");
                (parts.afternoon || marked.eq_ignore_ascii_case("am")).then(|| text.get(2..))?
            }
            Self::Offset => {
                let (offset, rest) = offset(text)?;
                parts.offset = Some(offset);
                Some(rest)
            }
            Self::Blank => {
                let rest = text.trim_start();
                (rest.len() < text.len()).then_some(rest)
            }
            Self::Literal(character) => text.strip_prefix(*character),
        }
    }
}

fn digits_of(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Reads fields that follow each other without a sign between.
fn run<'a>(text: &'a str, fields: &[(Field, usize)], parts: &mut Parts) -> Option<&'a str> {
    let width: usize = fields.iter().map(|(_, width)| width).sum();
    let found = digits_of(text).min(width);
    let begins_with_year = fields.first().is_some_and(|(field, _)| *field == Field::Year);
    if found == 0 || (begins_with_year && found < width) {
        return None;
    }
    // The zeros that are not written belong to the fields in front.
    let (mut from, mut missing) = (0, width - found);
    for (field, width) in fields {
        let unwritten = missing.min(*width);
        missing -= unwritten;
        let to = from + width - unwritten;
        let digits = text.get(from..to)?;
        from = to;
        parts.set(*field, if digits.is_empty() { 0 } else { digits.parse().ok()? });
    }
    text.get(found..)
}

fn fraction<'a>(text: &'a str, point: bool, parts: &mut Parts) -> Option<&'a str> {
    let text = match (point, text.strip_prefix(['.', ','])) {
        (true, None) => return Some(text),
        (true, Some(rest)) => rest,
        (false, _) => text,
    };
    let count = digits_of(text);
    let (digits, rest) = text.split_at_checked(count)?;
    parts.nanosecond = nanoseconds(digits)?;
    Some(rest)
}

/// Digits behind the decimal point of a second as ns. What is finer than a ns is a ns more where it would not be
/// seen otherwise: at a whole or a half µs.
fn nanoseconds(digits: &str) -> Option<i128> {
    if digits.is_empty() {
        return None;
    }
    let (written, finer) = digits.split_at(digits.len().min(9));
    let number: i128 = written.parse().ok()?;
    let scaled = number * 10_i128.pow(9 - u32::try_from(written.len()).ok()?);
    let exact = scaled % 500 != 0 || finer.bytes().all(|digit| digit == b'0');
    Some(if exact { scaled } else { scaled + 1 })
}

/// A name in full or its first three letters, and its number from 1.
fn name<'a>(text: &'a str, names: &[&str]) -> Option<(u32, &'a str)> {
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, rest) = text.split_at_checked(letters)?;
    let is = |name: &&str| {
        word.eq_ignore_ascii_case(name)
            || (word.len() == 3 && name.get(..3).is_some_and(|s| s.eq_ignore_ascii_case(word)))
    };
    let at = names.iter().position(is)?;
    Some((u32::try_from(at).ok()? + 1, rest))
}

/// `Z`, `UTC`, `GMT`, `+01`, `+0100` or `+01:00`, in seconds.
fn offset(text: &str) -> Option<(i32, &str)> {
    for zero in ["UTC", "GMT", "Z", "z"] {
        if let Some(rest) = text.strip_prefix(zero) {
            return Some((0, rest));
        }
    }
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return None,
    };
    let two = |text: &str| text.get(..2).filter(|t| digits_of(t) == 2)?.parse::<i32>().ok();
    let (hours, rest) = (two(rest)?, rest.get(2..)?);
    let behind = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = match two(behind) {
        Some(minutes) => (minutes, behind.get(2..)?),
        None => (0, rest),
    };
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3_600 + minutes * 60), rest))
}

impl Parts {
    fn set(&mut self, field: Field, number: u32) {
        match field {
            Field::Year => self.year = number as i32,
            // As POSIX has it.
            Field::ShortYear => self.year = number as i32 + if number < 69 { 2000 } else { 1900 },
            Field::Month => self.month = Some(number),
            Field::Day => self.day = Some(number),
            Field::DayOfYear => self.day_of_year = Some(number),
            Field::Hour => self.hour = number,
            Field::HalfHour => self.half_hour = Some(number),
            Field::Minute => self.minute = number,
            Field::Second => self.second = number,
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(self.year, day)?,
            None => {
                NaiveDate::from_ymd_opt(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1))?
            }
        };
        let hour = match self.half_hour {
            Some(hour @ 1..=12) => hour % 12 + if self.afternoon { 12 } else { 0 },
            Some(_) => return None,
            None => self.hour,
        };
        let second = (hour * 60 + self.minute) * 60 + self.second;
        let in_day = hour < 24 || (second == 86_400 && self.nanosecond == 0);
        if !in_day || self.minute > 59 || self.second > 59 {
            return None;
        }
        let days = i128::from(date.signed_duration_since(NaiveDate::default()).num_days());
        let local_ns = (days * 86_400 + i128::from(second)) * 1_000_000_000 + self.nanosecond;
        Some(Stamp { local_ns, offset: self.offset })
    }
}

/// A time in one of the usual forms: a date, or a date and a time of day behind a `T` or blanks, with or without
/// an offset.
pub(crate) fn usual(text: &str) -> Option<Stamp> {
    if let Some(stamp) = in_full(text) {
        return Some(stamp);
    }
    let mut parts = Parts::default();
    let date = [(Field::Year, 4), (Field::Month, 2), (Field::Day, 2)];
    let mut rest = text;
    for (at, field) in date.into_iter().enumerate() {
        rest = if at == 0 { rest } else { rest.strip_prefix('-')? };
        rest = run(rest, &[field], &mut parts)?;
    }
    let clock = rest.strip_prefix(['T', 't']).unwrap_or_else(|| rest.trim_start());
    if clock.len() == rest.len() {
        return if rest.is_empty() { parts.stamp() } else { None };
    }
    rest = run(clock, &[(Field::Hour, 2)], &mut parts)?;
    rest = run(rest.strip_prefix(':')?, &[(Field::Minute, 2)], &mut parts)?;
    if let Some(seconds) = rest.strip_prefix(':') {
        rest = fraction(run(seconds, &[(Field::Second, 2)], &mut parts)?, true, &mut parts)?;
    }
    rest = rest.trim_start();
    if !rest.is_empty() {
        let (offset, behind) = offset(rest)?;
        parts.offset = Some(offset);
        rest = behind;
    }
    if rest.is_empty() { parts.stamp() } else { None }
}

/// A time like `2026-11-22T10:00:00`, with a blank for the `T` or a `Z` behind it, at once: nearly all times are.
fn in_full(text: &str) -> Option<Stamp> {
    let (clock, behind) = text.as_bytes().split_first_chunk::<19>()?;
    let offset = match behind {
        [] => None,
        [b'Z'] => Some(0),
        _ => return None,
    };
    let [c, y, a, r, b'-', m, n, b'-', d, e, b'T' | b' ', h, i, b':', k, l, b':', s, t] = *clock
    else {
        return None;
    };
    let two = |tens: u8, ones: u8| {
        let digit = |byte: u8| byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
        Some(digit(tens)? * 10 + digit(ones)?)
    };
    let parts = Parts {
        year: (two(c, y)? * 100 + two(a, r)?).cast_signed(),
        month: Some(two(m, n)?),
        day: Some(two(d, e)?),
        hour: two(h, i)?,
        minute: two(k, l)?,
        second: two(s, t)?,
        offset,
        ..Parts::default()
    };
    parts.stamp()
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
