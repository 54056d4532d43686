//! Rows in JSON: a list of objects, one object, or one object a line.

use std::fmt;

use barograph_flight::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Calls `of` with each row and its number, until it says that it wants no more.
pub(crate) fn read(
    bytes: &[u8],
    lines: bool,
    of: &mut dyn FnMut(usize, Result<Map<String, Value>, String>) -> Result<()>,
) -> Result<()> {
    if !lines {
        let mut failed = None;
        let seed = Rows { of, failed: &mut failed };
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let read = seed.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        return match (failed, read) {
            (Some(error), _) => Err(error),
            (None, read) => read.map_err(|e| {
                Error::request(format!("the body is not a list of rows in JSON: {e}"))
            }),
        };
    }
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice::<Map<_, _>>(line);
        of(at + 1, row.map_err(|e| format!("the line is not an object in JSON: {e}")))?;
    }
    Ok(())
}

/// Reads rows one after another, so that not all of them are held.
struct Rows<'a> {
    of: &'a mut dyn FnMut(usize, Result<Map<String, Value>, String>) -> Result<()>,
    failed: &'a mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, like [{\"city_id\": 2988507, …}]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(row) = list.next_element::<Value>()? {
            number += 1;
            let row = match row {
                Value::Object(row) => Ok(row),
                other => Err(format!("the row is no object: {other}")),
            };
            if let Err(error) = (self.of)(number, row) {
                *self.failed = Some(error);
                return Err(A::Error::custom("no more rows are taken"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut row = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            row.insert(name, value);
        }
        if let Err(error) = (self.of)(1, Ok(row)) {
            *self.failed = Some(error);
            return Err(A::Error::custom("no more rows are taken"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rows(text: &str, lines: bool) -> Result<Vec<(usize, Result<String, String>)>> {
        let mut rows = Vec::new();
        read(text.as_bytes(), lines, &mut |number, row| {
            rows.push((number, row.map(|row| Value::from(row).to_string())));
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn lists_objects_and_lines_are_rows() {
        let one = || Ok(r#"{"a":1}"#.to_owned());
        assert_eq!(rows(r#"[{"a":1},{"a":1}]"#, false).unwrap(), [(1, one()), (2, one())]);
        assert_eq!(rows(r#"{"a":1}"#, false).unwrap(), [(1, one())]);
        assert_eq!(rows("{\"a\":1}\n\n{\"a\":1}\r\n", true).unwrap(), [(1, one()), (3, one())]);
        assert_eq!(rows("[]", false).unwrap(), []);
    }

    #[test]
    fn what_is_no_row_is_told() {
        assert!(rows("[7]", false).unwrap()[0].1.as_ref().unwrap_err().contains("no object: 7"));
        assert!(rows("{\"a\":1}\n[", true).unwrap()[1].1.is_err());
        for wrong in ["", "7", "[{}", "[{}] x"] {
            assert!(rows(wrong, false).unwrap_err().to_string().contains("not a list"), "{wrong}");
        }
    }
}
