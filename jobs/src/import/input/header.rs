//! The header of a text file: lines that are left out, the names of the columns, lines of units.

use std::collections::HashSet;
use std::path::Path;

use super::format::{Delimiter, Format, Header, Quote};
use super::lines::Lines;
use super::records::{Records, Rules, Shape};
use super::source::{disguise, text, unreadable};
use super::split::Split;
use crate::{Error, Result};

/// Lines in which a header is looked for by its text.
const SEARCHED_LINES: u64 = 100_000;

/// Opens a text and reads up to its first row: its rows, and the names of its columns.
pub(super) fn open(path: &Path, format: &Format, otherwise: u8) -> Result<(Records, Vec<String>)> {
    let wrong = |why: &str| Error::request(format!("format of {}: {why}", path.display()));
    let is_fixed = !format.positions.is_empty();
    if is_fixed && (format.delimiter.is_some() || !format.names.is_empty()) {
        return Err(wrong(
            "positions name and separate the columns: leave out delimiter and names",
        ));
    }
    if format.comment.as_deref() == Some("") {
        return Err(wrong("comment is empty: every line begins with it"));
    }
    let split = match format.delimiter {
        _ if is_fixed => Split::Positions(format.positions.values().copied().collect()),
        Some(Delimiter::Whitespace) => Split::Whitespace,
        Some(Delimiter::Byte(byte)) => Split::Delimiter(byte),
        None => Split::Delimiter(otherwise),
    };
    let quote = match (&split, format.quote) {
        (Split::Delimiter(_), None) => Some(b'"'),
        (Split::Delimiter(delimiter), Some(Quote::Byte(quote))) if quote == *delimiter => {
            return Err(wrong("quote and delimiter are the same"));
        }
        (_, Some(Quote::Byte(_))) if !matches!(split, Split::Delimiter(_)) => {
            return Err(wrong("quotes enclose fields between delimiters only"));
        }
        (_, Some(Quote::Byte(quote))) => Some(quote),
        _ => None,
    };
    let (bytes, encoding) = text(path, format.encoding)?;
    let comment = format.comment.as_ref().map(|comment| comment.clone().into_bytes());
    let rules = Rules { split, quote, comment, encoding };
    let mut records = Records::new(path.to_owned(), Lines::new(bytes), rules);
    let names = names(&mut records, format)?;
    for _ in 0..format.below_header {
        records.pass()?;
    }
    records.shape = Some(Shape { plain: vec![false; names.len()], names: names.clone() });
    Ok((records, names))
}

/// The names of the columns; what stands before the first row, except for units, is taken.
fn names(records: &mut Records, format: &Format) -> Result<Vec<String>> {
    for _ in 0..format.skip {
        records.pass()?;
    }
    let given: Vec<String> = match format.positions.is_empty() {
        true => format.names.clone(),
        false => format.positions.keys().cloned().collect(),
    };
    let read = match (&format.header, given.is_empty()) {
        (Some(Header::None), true) => {
            return Err(Error::request(format!(
                "format of {}: a file without a header needs names",
                records.path.display()
            )));
        }
        (Some(Header::None) | None, false) => given,
        (None, true) => read(records)?,
        (Some(header), is_read) => {
            find(records, header)?;
            match is_read {
                true => stated(records)?,
                false => {
                    records.pass()?;
                    given
                }
            }
        }
    };
    distinct(records, read)
}

/// The names in the line that is said to be the header, which may look like a comment: `# time, temperature`.
fn stated(records: &mut Records) -> Result<Vec<String>> {
    let comment = records.rules.comment.take();
    let names = read(records);
    let mut names = names?;
    if let (Some(comment), Some(first)) = (&comment, names.first_mut()) {
        let comment = String::from_utf8_lossy(comment);
        *first = first.strip_prefix(&*comment).unwrap_or(first).trim().to_owned();
        if first.is_empty() && records.rules.split == Split::Whitespace {
            names.remove(0);
        }
    }
    records.rules.comment = comment;
    Ok(names)
}

/// Goes on to the line of the header.
fn find(records: &mut Records, header: &Header) -> Result<()> {
    let path = records.path.display().to_string();
    match header {
        Header::None => Ok(()),
        Header::Line(line) => {
            let skipped = records.lines.taken();
            let before = line.checked_sub(1 + skipped).ok_or_else(|| {
                Error::request(format!(
                    "format of {path}: line {line} is the header, and {skipped} lines are skipped; lines count from 1"
                ))
            })?;
            for _ in 0..before {
                records.pass()?;
            }
            Ok(())
        }
        Header::Begins(text) => {
            for _ in 0..SEARCHED_LINES {
                let line = records.lines.line(0).map_err(|e| unreadable(&records.path, e))?;
                let Some(line) = line else { break };
                let found = records.lines.ahead().get(..line.to).unwrap_or_default();
                if found.trim_ascii_start().starts_with(text.as_bytes()) {
                    return Ok(());
                }
                records.lines.take(line.next, 1);
            }
            Err(Error::input(format!("{path}: no line begins like the header, {text:?}")))
        }
    }
}

/// The names that stand in the next line.
fn read(records: &mut Records) -> Result<Vec<String>> {
    let more = records.advance()?;
    let path = records.path.display();
    if !more {
        return Err(Error::input(format!("{path} has no header: there is no line for it")));
    }
    let wrong = |why: &str| {
        Error::input(format!("{path}, line {}: the header cannot be read: {why}", records.line()))
    };
    if let Some(what) = disguise(records.raw()) {
        return Err(wrong(&format!("this is {what}")));
    }
    let Ok(text) = std::str::from_utf8(records.raw()) else {
        let encoding = records.rules.encoding;
        return Err(wrong(&format!(
            "it is not {encoding:?}: name the encoding, such as --encoding latin-1, or the form if this is no text"
        )));
    };
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(wrong("it has control characters; is this text?"));
    }
    if let Some(fault) = records.fault() {
        return Err(wrong(fault));
    }
    Ok(records.fields().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect())
}

/// Columns without a name are called by their number; a name that stands twice is refused.
fn distinct(records: &Records, names: Vec<String>) -> Result<Vec<String>> {
    let mut known: HashSet<String> = HashSet::with_capacity(names.len());
    let named = names.into_iter().enumerate().map(|(index, name)| match name.is_empty() {
        true => format!("column {}", index + 1),
        false => name,
    });
    let named: Vec<_> = named.collect();
    for name in &named {
        if !known.insert(name.clone()) {
            return Err(Error::input(format!(
                "{}: the header has {name:?} twice: give the columns other names (names in [format], --names)",
                records.path.display()
            )));
        }
    }
    Ok(named)
}
