//! The format of a text file: where its rows begin, and how a line is cut into fields and read.
//!
//! ```toml
//! [format]
//! encoding = "windows-1252"
//! delimiter = ";"                        # or "whitespace"; or [format.positions]
//! header = 4                             # its line; or the text that it begins with, or "none"
//! below_header = 2                       # lines of units below it
//! decimal = ","
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::{Error, Result};

/// How the lines of a text file become rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Format {
    /// What parts the fields of a line; a comma if absent, a tab for `.tsv`, a bar for `.psv`.
    pub delimiter: Option<Delimiter>,
    /// What encloses fields that hold delimiters; `"` if absent.
    pub quote: Option<Quote>,
    /// How characters are encoded; UTF-8 if absent. A byte order mark says it itself.
    pub encoding: Option<Encoding>,
    /// What stands before the decimals of numbers; a point if absent.
    pub decimal: Option<Decimal>,
    /// Lines at the beginning that are left out.
    pub skip: u64,
    /// Where the line with the names of the columns is: the first one if absent, none where `names` or `positions` are given.
    pub header: Option<Header>,
    /// Lines below the header that are no rows, such as units.
    pub below_header: u64,
    /// Names of the columns, in place of those in the header.
    pub names: Vec<String>,
    /// What lines begin with that are no rows.
    pub comment: Option<String>,
    /// Columns of a fixed-width file: their first and last character, counted from 1.
    pub positions: BTreeMap<String, Position>,
}

/// What parts the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Delimiter {
    /// This byte.
    Byte(u8),
    /// Blanks and tabs, any number of them.
    Whitespace,
}

/// What encloses fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Quote {
    /// This byte.
    Byte(u8),
    /// Nothing: quotes are characters like any other.
    None,
}

/// What stands before the decimals of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Decimal {
    /// `18.8`
    #[default]
    Point,
    /// `18,8`
    Comma,
}

/// Where the line with the names of the columns is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "LineOrText")]
pub enum Header {
    /// This line, counted from 1.
    Line(u64),
    /// The first line that begins with this text.
    Begins(String),
    /// There is none.
    None,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LineOrText {
    Line(u64),
    Text(String),
}

/// An encoding of characters.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Encoding(pub(super) &'static encoding_rs::Encoding);

/// Characters of a line, from the first to the last of these, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Position {
    first: usize,
    last: usize,
}

impl Format {
    /// Whether anything is said of the format: the file is text.
    pub fn is_stated(&self) -> bool {
        *self != Self::default()
    }

    /// Adds `NAME=FIRST-LAST[,NAME=FIRST-LAST…]`.
    ///
    /// # Errors
    /// `Request` if it is not of this form.
    pub fn position(&mut self, text: &str) -> Result<()> {
        for pair in text.split(',') {
            let (name, position) = pair.split_once('=').ok_or_else(|| {
                Error::request(format!(
                    "positions {text:?}: write NAME=FIRST-LAST, like year=1-4,month=5-6"
                ))
            })?;
            self.positions.insert(name.trim().to_owned(), position.trim().parse()?);
        }
        Ok(())
    }
}

impl Position {
    /// The characters, counted from 0.
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.first - 1..self.last
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.trim().parse(), last.trim().parse());
        match (first, last) {
            (Ok(first), Ok(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(Error::request(format!(
                "position {text:?}: write the first and the last character, counted from 1, like 5-10"
            ))),
        }
    }
}

impl FromStr for Delimiter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "whitespace" => Ok(Self::Whitespace),
            "\\t" | "tab" => Ok(Self::Byte(b'\t')),
            _ => Ok(Self::Byte(byte("delimiter", text, "whitespace or tab")?)),
        }
    }
}

impl FromStr for Quote {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "none" => Ok(Self::None),
            _ => Ok(Self::Byte(byte("quote", text, "none")?)),
        }
    }
}

impl FromStr for Decimal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "." => Ok(Self::Point),
            "," => Ok(Self::Comma),
            _ => Err(Error::request(format!("decimal {text:?}: write . or ,"))),
        }
    }
}

impl FromStr for Encoding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let label = if text.eq_ignore_ascii_case("latin-1") { "latin1" } else { text };
        encoding_rs::Encoding::for_label(label.as_bytes()).map(Self).ok_or_else(|| {
            Error::request(format!(
                "encoding {text:?} is not known: write utf-8, latin-1, windows-1252, iso-8859-15, utf-16le, shift_jis or another label of the WHATWG Encoding Standard"
            ))
        })
    }
}

impl FromStr for Header {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(text.parse().map_or_else(|_| LineOrText::Text(text.to_owned()), LineOrText::Line).into())
    }
}

impl From<LineOrText> for Header {
    fn from(header: LineOrText) -> Self {
        match header {
            LineOrText::Line(line) => Self::Line(line),
            LineOrText::Text(text) if text == "none" => Self::None,
            LineOrText::Text(text) => Self::Begins(text),
        }
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

macro_rules! from_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }
    )*};
}

from_text!(Delimiter, Quote, Decimal, Encoding, Position);

fn byte(what: &str, text: &str, otherwise: &str) -> Result<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(Error::request(format!(
            "{what} {text:?}: write a single ASCII character, or {otherwise}"
        ))),
    }
}
