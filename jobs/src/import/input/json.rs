//! JSON lines: one object per line, each with any columns.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use barograph_engine::validate::Rejected;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::format::Format;
use super::lines::LINE_BYTES;
use super::names::{Keys, by_name};
use super::source::{Bytes, disguise, text, unreadable};
use super::{Chunk, Chunks, Numbers, Originals, Wanted};
use crate::{Error, Result};

pub(super) struct JsonInput {
    path: PathBuf,
    reader: BufReader<Bytes>,
    keys: Arc<Keys>,
}

impl JsonInput {
    pub(super) fn open(path: &Path, format: &Format) -> Result<Self> {
        let (text, _) = text(path, format.encoding)?;
        let mut reader = BufReader::with_capacity(256 << 10, text);
        let first = reader.fill_buf().map_err(|e| unreadable(path, e))?;
        if let Some(what) = disguise(first) {
            return Err(Error::input(format!("{}: this is {what}", path.display())));
        }
        if first.trim_ascii_start().starts_with(b"[") {
            return Err(Error::input(format!(
                "{} is a JSON array: write one object a line (jq -c '.[]')",
                path.display()
            )));
        }
        Ok(Self { path: path.to_owned(), reader, keys: Arc::default() })
    }

    /// The keys of its objects, as far as they were read.
    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    pub(super) fn chunks(self, wanted: &Wanted<'_>) -> Chunks {
        let mut chunks = JsonChunks {
            input: self,
            needed: wanted.columns.iter().map(|(name, _)| name.clone()).collect(),
            rows: wanted.rows,
            bytes: wanted.bytes,
            number: 0,
            skip: wanted.skip,
            line: Vec::new(),
            last: None,
            by: Vec::new(),
            places: Vec::new(),
        };
        let mut ended = false;
        Box::new(std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let chunk = chunks.chunk();
            ended = !matches!(chunk, Ok(Some(_)));
            chunk.transpose()
        }))
    }
}

struct JsonChunks {
    input: JsonInput,
    needed: Vec<String>,
    rows: usize,
    bytes: usize,
    number: u64,
    skip: u64,
    line: Vec<u8>,
    /// Keys of the last object.
    last: Option<Vec<String>>,
    /// For each needed name, the one of them that it stands for.
    by: Vec<Option<String>>,
    /// And where that stands among the keys.
    places: Vec<Option<usize>>,
}

impl JsonChunks {
    /// Reads the next line that is not blank into `line`.
    fn advance(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            let mut limited = self.input.reader.by_ref().take(LINE_BYTES as u64);
            let read = limited.read_until(b'\n', &mut self.line);
            let read = read.map_err(|e| unreadable(&self.input.path, e))?;
            if read == 0 {
                return Ok(false);
            }
            if read == LINE_BYTES {
                return Err(Error::input(format!(
                    "{}, row {}: a line of more than {LINE_BYTES} bytes; is this JSON lines?",
                    self.input.path.display(),
                    self.number + 1
                )));
            }
            if !self.line.trim_ascii().is_empty() {
                self.number += 1;
                return Ok(true);
            }
        }
    }

    fn chunk(&mut self) -> Result<Option<Chunk>> {
        while self.number < self.skip {
            if !self.advance()? {
                return Ok(None);
            }
        }
        let mut columns: Vec<StringBuilder> =
            self.needed.iter().map(|_| StringBuilder::new()).collect();
        let (mut lines, mut broken) = (StringBuilder::new(), Vec::new());
        let (mut numbers, mut bytes) = (Vec::new(), 0);
        let before = self.number;
        while numbers.len() + broken.len() < self.rows && bytes < self.bytes {
            if !self.advance()? {
                break;
            }
            let line = self.line.trim_ascii();
            // The cells and the line stand in memory.
            bytes += 2 * line.len();
            let object = object(line).and_then(|(text, object)| {
                if !self.last.as_ref().is_some_and(|last| object.keys().eq(last)) {
                    let keys: Vec<String> = object.keys().cloned().collect();
                    once(&keys)?;
                    let by = by_name(&self.needed, &keys)?;
                    self.by = by.into_iter().map(|by| by.cloned()).collect();
                    self.input.keys.add(&keys, &self.needed, &self.by);
                    let place = |by: &String| keys.iter().position(|key| key == by);
                    self.places = self.by.iter().map(|by| by.as_ref().and_then(place)).collect();
                    self.last = Some(keys);
                }
                Ok((text, object))
            });
            match object {
                Ok((text, object)) => {
                    for (place, column) in self.places.iter().zip(&mut columns) {
                        append(column, place.and_then(|place| object.value(place)))?;
                    }
                    lines.append_value(text);
                    numbers.push(self.number);
                }
                Err(reason) => {
                    let text = String::from_utf8_lossy(line);
                    let row = serde_json::json!({ "line": text }).to_string();
                    broken
                        .push(Rejected { reason: format!("{reason} (row {})", self.number), row });
                }
            }
        }
        let read = self.number - before;
        if read == 0 {
            return Ok(None);
        }
        let fields: Vec<_> =
            self.needed.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        let arrays = columns.into_iter().map(|mut c| Arc::new(c.finish()) as ArrayRef).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        let schema = Arc::new(Schema::new(fields));
        Ok(Some(Chunk {
            columns: RecordBatch::try_new_with_options(schema, arrays, &options)?,
            originals: Originals::Lines(lines.finish()),
            broken,
            numbers: Numbers::List(numbers),
            read,
        }))
    }
}

/// A line and the object that it is.
type Line<'a> = (&'a str, Object);

/// The keys and values of an object as they stand in the line. A map would keep one value alone of a key that
/// stands there twice.
struct Object(Vec<(String, Value)>);

impl Object {
    fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(key, _)| key)
    }

    fn value(&self, place: usize) -> Option<&Value> {
        self.0.get(place).map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Refuses keys of which one stands there twice: nobody can say which value is meant.
fn once(keys: &[String]) -> std::result::Result<(), String> {
    let mut seen = HashSet::with_capacity(keys.len());
    match keys.iter().find(|key| !seen.insert(key.as_str())) {
        Some(key) => Err(format!("the key {key:?} stands twice in the line")),
        None => Ok(()),
    }
}

fn object(line: &[u8]) -> std::result::Result<Line<'_>, String> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    match serde_json::from_str(text) {
        Ok(object) => Ok((text, object)),
        Err(e) if e.is_data() => Err("the line is not a JSON object".to_owned()),
        Err(e) => Err(format!("the line is not JSON: {e}")),
    }
}

fn append(column: &mut StringBuilder, value: Option<&Value>) -> Result<()> {
    match value {
        None | Some(Value::Null) => column.append_null(),
        Some(Value::String(text)) => column.append_value(text),
        Some(other) => {
            write!(column, "{other}")
                .map_err(|e| Error::internal("a value of JSON as text").with_source(e))?;
            column.append_value("");
        }
    }
    Ok(())
}
