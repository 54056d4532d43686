//! The rows of a text, one after the other, each with its fields or with what is wrong with it.
//!
//! ```text
//! line without quotes ──────────────────────────────────────────► fields
//! line with quotes ──► closed on it ────────────────────────────► fields
//!                  └─► open: with the lines up to the next one that closes it
//!                        ├─► a row of several lines ────────────► fields
//!                        └─► not one: this line alone is broken, the next is a row of its own
//! ```
//!
//! A quote that nothing closes would take all rows behind it into one field. So a row of several lines must be one in
//! every respect: as many fields as the others, no quote where none may stand, no numbers or times of several lines,
//! and lines inside it that are not themselves rows.

use std::ops::Range;
use std::path::PathBuf;

use memchr::{memchr, memchr_iter, memchr2};

use super::format::Encoding;
use super::lines::{LINE_BYTES, Line, Lines};
use super::source::unreadable;
use super::split::{Dialect, Field, Quotes, Split, enclosed, ends_inside, quoted};
use crate::Result;

/// Longest header, in lines.
const HEADER_LINES: usize = 8;

/// How rows are cut.
pub(super) struct Rules {
    pub(super) split: Split,
    pub(super) quote: Option<u8>,
    pub(super) comment: Option<Vec<u8>>,
    pub(super) encoding: Encoding,
}

/// The columns of the file.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) names: Vec<String>,
    /// Which hold numbers or times, and no text.
    pub(super) plain: Vec<bool>,
}

pub(super) struct Records {
    pub(super) path: PathBuf,
    pub(super) lines: Lines,
    pub(super) rules: Rules,
    /// Absent while the header is read.
    pub(super) shape: Option<Shape>,
    fields: Vec<Field>,
    /// Fields of a row with quotes, without them.
    unquoted: Vec<u8>,
    /// The lines of the row, in what `lines` keeps.
    row: Range<usize>,
    is_unquoted: bool,
    /// Number of its first line, from 1.
    line: u64,
    fault: Option<String>,
    is_misquoted: bool,
}

impl Records {
    pub(super) fn new(path: PathBuf, lines: Lines, rules: Rules) -> Self {
        Self {
            path,
            lines,
            rules,
            shape: None,
            fields: Vec::new(),
            unquoted: Vec::new(),
            row: 0..0,
            is_unquoted: false,
            line: 0,
            fault: None,
            is_misquoted: false,
        }
    }

    /// Goes on to the next row; false at the end of the text.
    pub(super) fn advance(&mut self) -> Result<bool> {
        self.cut().map_err(|e| unreadable(&self.path, e))
    }

    /// Takes a line, whatever is in it; false at the end of the text.
    pub(super) fn pass(&mut self) -> Result<bool> {
        let line = self.lines.line(0).map_err(|e| unreadable(&self.path, e))?;
        if let Some(line) = line {
            self.lines.take(line.next, 1);
        }
        Ok(line.is_some())
    }

    /// The row as it stands in the text.
    pub(super) fn raw(&self) -> &[u8] {
        self.lines.kept(self.row.clone())
    }

    /// Number of its first line, from 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Whether it is wrong about quotes, so that nothing is known of its fields.
    pub(super) fn is_misquoted(&self) -> bool {
        self.is_misquoted
    }

    /// Its fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let text = if self.is_unquoted { &self.unquoted } else { self.raw() };
        self.fields.iter().map(|&(from, to)| text.get(from..to).unwrap_or_default())
    }

    fn cut(&mut self) -> std::io::Result<bool> {
        loop {
            let Some(line) = self.lines.line(0)? else { return Ok(false) };
            let text = self.lines.ahead().get(..line.to).unwrap_or_default();
            if text.iter().all(|byte| *byte == b' ') || self.is_comment(text) {
                self.lines.take(line.next, 1);
                continue;
            }
            self.fields.clear();
            (self.fault, self.is_unquoted, self.is_misquoted) = (None, false, false);
            self.line = self.lines.taken() + 1;
            let (mut end, mut next, mut lines) = (line.to, line.next, 1);
            let delimiter = self.delimiter();
            match self.rules.quote {
                _ if self.lines.has_nul() && memchr(0, text).is_some() => {
                    self.fault = Some("the row has a NUL byte".to_owned());
                    self.rules.split.plain(text, &mut self.fields);
                }
                Some(quote) if memchr(quote, text).is_some() => {
                    if !enclosed(text, Dialect { delimiter, quote }, &mut self.fields) {
                        match self.quoted(line.to, false) {
                            Quotes::Whole => {}
                            Quotes::Open(_) if let Some(joined) = self.joined(line)? => {
                                (end, next, lines) = joined;
                            }
                            wrong => self.misquoted(line.to, wrong),
                        }
                    }
                }
                _ => self.rules.split.plain(text, &mut self.fields),
            }
            self.row = self.lines.take(next, lines);
            self.row.end = self.row.start + end;
            self.check();
            return Ok(true);
        }
    }

    fn is_comment(&self, line: &[u8]) -> bool {
        self.rules.comment.as_ref().is_some_and(|comment| line.starts_with(comment))
    }

    fn delimiter(&self) -> u8 {
        match self.rules.split {
            Split::Delimiter(delimiter) => delimiter,
            Split::Whitespace | Split::Positions(_) => b' ',
        }
    }

    /// Cuts the lines that end at `to`.
    fn quoted(&mut self, to: usize, strict: bool) -> Quotes {
        let quote = self.rules.quote.unwrap_or_default();
        let dialect = Dialect { delimiter: self.delimiter(), quote };
        self.fields.clear();
        self.unquoted.clear();
        self.is_unquoted = true;
        let row = self.lines.ahead().get(..to).unwrap_or_default();
        quoted(row, dialect, strict, &mut self.unquoted, &mut self.fields)
    }

    /// The row of several lines that begins with the line up to `first`, if it is one: its end, where the next line begins, and
    /// its lines.
    fn joined(&mut self, first: Line) -> std::io::Result<Option<(usize, usize, u64)>> {
        let quote = self.rules.quote.unwrap_or_default();
        // Whole fields have their quotes in pairs, so looking further would only find a misplaced one, over and over.
        let text = self.lines.ahead().get(..first.to).unwrap_or_default();
        if memchr_iter(quote, text).count().is_multiple_of(2) {
            return Ok(None);
        }
        let (mut from, mut inside) = (first.next, Vec::new());
        loop {
            if from > first.to + LINE_BYTES || (self.shape.is_none() && inside.len() > HEADER_LINES)
            {
                return Ok(None);
            }
            let Some(line) = self.lines.line(from)? else { return Ok(None) };
            let text = self.lines.ahead().get(line.from..line.to).unwrap_or_default();
            if memchr_iter(quote, text).count() % 2 == 1 {
                let whole = self.quoted(line.to, true) == Quotes::Whole && self.is_row(&inside);
                return Ok(whole.then_some((line.to, line.next, inside.len() as u64 + 2)));
            }
            inside.push((line.from, line.to));
            from = line.next;
        }
    }

    /// Whether the fields that were cut from several lines are a row, with these lines wholly inside it.
    fn is_row(&self, inside: &[Field]) -> bool {
        let Some(shape) = &self.shape else { return true };
        let width = shape.names.len();
        let spread = |(&(from, to), plain): (&Field, &bool)| {
            let field = self.unquoted.get(from..to).unwrap_or_default().trim_ascii();
            *plain && memchr2(b'\n', b'\r', field).is_some()
        };
        if self.fields.len() != width || self.fields.iter().zip(&shape.plain).any(spread) {
            return false;
        }
        let delimiter = self.delimiter();
        let rows = inside.iter().filter(|&&(from, to)| {
            let line = self.lines.ahead().get(from..to).unwrap_or_default();
            memchr_iter(delimiter, line).count() + 1 == width
        });
        // A line of prose has one comma at times, and three times in a row by chance only.
        let few = if width > 2 { 0 } else { 3 };
        inside.len() <= few || rows.count() * 4 < inside.len() * 3
    }

    /// The line up to `to` is broken.
    fn misquoted(&mut self, to: usize, wrong: Quotes) {
        let name = |field: usize| {
            let names = self.shape.as_ref().map(|shape| shape.names.as_slice());
            match names.unwrap_or_default().get(field) {
                Some(name) => format!("{name:?}"),
                None => format!("field {}", field + 1),
            }
        };
        self.fault = Some(match wrong {
            Quotes::Misplaced(field) => {
                format!("the field goes on after the quote that closes {}", name(field))
            }
            Quotes::Open(field) => format!("the quote that opens {} is not closed", name(field)),
            Quotes::Whole => "a quote is misplaced".to_owned(),
        });
        (self.is_unquoted, self.is_misquoted) = (false, true);
        self.fields.clear();
        let row = self.lines.ahead().get(..to).unwrap_or_default();
        self.rules.split.plain(row, &mut self.fields);
    }

    /// Looks at what does not depend on quotes.
    fn check(&mut self) {
        let (None, Some(shape)) = (&self.fault, &self.shape) else { return };
        let row = self.raw();
        let width = shape.names.len();
        let encoding = self.rules.encoding;
        self.fault = if !self.lines.is_utf8(self.row.clone()) {
            Some(format!("the row is not {encoding:?}"))
        } else if self.fields.len() != width {
            Some(format!("the row has {} fields, the header {width}", self.fields.len()))
        } else if let Split::Positions(positions) = &self.rules.split {
            let columns = positions.iter().zip(&shape.names).zip(&shape.plain);
            let mut cut = columns.filter_map(|((position, name), plain)| {
                let end = ends_inside(row, *position).filter(|_| *plain)?;
                Some(format!("the row ends at character {end}, inside {name:?}"))
            });
            cut.next()
        } else {
            None
        };
    }
}
