//! A line: what it says, without knowing any table.
//!
//! ```text
//! weather,city=Paris,country=FR temperature=20.5,note="dry",open=true,count=3i 1790000000000000000
//! measurement │ tags            fields                                         time
//! ```
//!
//! Format: "Line protocol reference" of InfluxDB.

use std::borrow::Cow;

use crate::rows::Cell;

/// A line. Its lists are used again for the next one.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) measurement: Cow<'a, str>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// As it is written; its unit is that of the request.
    pub(super) time: Option<i64>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Float(f64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Text(Cow<'a, str>),
}

impl Value<'_> {
    pub(super) fn as_cell(&self) -> Cell<'_> {
        match self {
            Self::Float(value) => Cell::Float(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Uint(value) => Cell::Uint(*value),
            Self::Bool(value) => Cell::Bool(*value),
            Self::Text(value) => Cell::Text(value),
        }
    }
}

impl<'a> Line<'a> {
    /// Reads a line, or says what is wrong with it.
    pub(super) fn read(&mut self, text: &'a str) -> Result<(), String> {
        self.tags.clear();
        self.fields.clear();
        let mut rest = Rest(text);
        self.measurement = rest.name(b", ", b", ");
        if self.measurement.is_empty() {
            return Err("missing measurement".to_owned());
        }
        while rest.take(b',') {
            let key = rest.name(b"=, ", b",= ");
            if key.is_empty() || !rest.take(b'=') {
                return Err(format!(
                    "missing tag {}",
                    if key.is_empty() { "key" } else { "value" }
                ));
            }
            let value = rest.name(b", ", b",= ");
            if value.is_empty() {
                return Err(format!("missing tag value of {key:?}"));
            }
            self.tags.push((key, value));
        }
        rest.skip_spaces();
        loop {
            let key = rest.name(b"=, ", b",= ");
            if key.is_empty() {
                return Err("missing fields".to_owned());
            }
            if !rest.take(b'=') {
                return Err(format!("missing field value of {key:?}"));
            }
            let value = rest.value(&key)?;
            self.fields.push((key, value));
            if !rest.take(b',') {
                break;
            }
        }
        rest.skip_spaces();
        self.time = match rest.0 {
            "" => None,
            time => Some(time.parse().map_err(|_| format!("bad timestamp {time:?}"))?),
        };
        Ok(())
    }
}

/// What is not read yet of a line.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.0.as_bytes().first() == Some(&byte);
        if is_next {
            self.0 = self.0.get(1..).unwrap_or_default();
        }
        is_next
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches(' ');
    }

    fn split(&mut self, at: usize) -> &'a str {
        let (head, rest) = self.0.split_at_checked(at).unwrap_or((self.0, ""));
        self.0 = rest;
        head
    }

    /// A name up to one of `ends` that is not escaped. A backslash before one of `escaped` stands for nothing, before any
    /// other character for itself.
    fn name(&mut self, ends: &[u8], escaped: &[u8]) -> Cow<'a, str> {
        let bytes = self.0.as_bytes();
        let (mut at, mut has_escapes) = (0, false);
        while let Some(byte) = bytes.get(at) {
            if *byte == b'\\' && bytes.get(at + 1).is_some_and(|next| escaped.contains(next)) {
                has_escapes = true;
                at += 1;
            } else if ends.contains(byte) {
                break;
            }
            at += 1;
        }
        let name = self.split(at);
        if !has_escapes {
            return Cow::Borrowed(name);
        }
        Cow::Owned(without_escapes(name, escaped))
    }

    /// The value of a field.
    fn value(&mut self, key: &str) -> Result<Value<'a>, String> {
        if self.take(b'"') {
            return self.text(key);
        }
        let end = self.0.bytes().position(|b| b == b',' || b == b' ').unwrap_or(self.0.len());
        let text = self.split(end);
        number(text).ok_or_else(|| match text {
            "" => format!("missing field value of {key:?}"),
            text => format!(
                "invalid value {text:?} of field {key:?}: write a number, 3i, 3u, true or a text in quotes"
            ),
        })
    }

    fn text(&mut self, key: &str) -> Result<Value<'a>, String> {
        let bytes = self.0.as_bytes();
        let (mut at, mut has_escapes) = (0, false);
        loop {
            match bytes.get(at) {
                None => return Err(format!("unbalanced quotes in the text of field {key:?}")),
                Some(b'"') => break,
                Some(b'\\') if matches!(bytes.get(at + 1), Some(b'"' | b'\\')) => {
                    has_escapes = true;
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
        let text = self.split(at);
        self.take(b'"');
        if !matches!(self.0.as_bytes().first(), None | Some(b',' | b' ')) {
            return Err(format!("the text of field {key:?} goes on after its quotes"));
        }
        Ok(Value::Text(match has_escapes {
            false => Cow::Borrowed(text),
            true => Cow::Owned(without_escapes(text, b"\"\\")),
        }))
    }
}

fn without_escapes(text: &str, escaped: &[u8]) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().and_then(|next| u8::try_from(*next).ok());
        match (c, next) {
            ('\\', Some(next)) if escaped.contains(&next) => {
                plain.extend(chars.next());
            }
            _ => plain.push(c),
        }
    }
    plain
}

fn number<'a>(text: &str) -> Option<Value<'a>> {
    let is_float = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(digits) = text.strip_suffix('i') {
        return digits.parse().ok().map(Value::Int);
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse().ok().map(Value::Uint);
    }
    let number = text.parse::<f64>().ok().filter(|number| is_float(text) && number.is_finite());
    number.map(Value::Float)
}
