//! Rows in JSON: a list of objects, one object, or one object a line.

use std::fmt;

use barograph_flight::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::json::Bounded;

/// Values that a row may have, nested ones among them: a row has no more columns.
const VALUES_MAX: usize = 10_000;

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
        let row = match Bounded::new(VALUES_MAX).read(line) {
            Ok(Value::Object(row)) => Ok(row),
            Ok(_) => Err("the line is not an object in JSON".to_owned()),
            Err(error) => Err(format!("the line is not an object in JSON: {error}")),
        };
        of(at + 1, row)?;
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
        while let Some(row) = list.next_element_seed(&mut Bounded::new(VALUES_MAX))? {
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
        let (mut row, mut values) = (Map::new(), Bounded::new(VALUES_MAX));
        while let Some(name) = map.next_key::<String>()? {
            row.insert(name, map.next_value_seed(&mut values)?);
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
        assert!(rows("7", true).unwrap()[0].1.is_err());
        for wrong in ["", "7", "[{}", "[{}] x"] {
            assert!(rows(wrong, false).unwrap_err().to_string().contains("not a list"), "{wrong}");
        }
    }

    #[test]
    fn a_row_has_so_many_values_and_no_more() {
        let lists = |count: usize| format!("{{\"a\":[{}]}}", vec!["[]"; count].join(","));
        // The list is one, too, and in lines the row.
        for (count, is_held) in [(VALUES_MAX - 2, true), (VALUES_MAX, false)] {
            let text = lists(count);
            assert_eq!(rows(&text, false).is_ok(), is_held);
            assert_eq!(rows(&format!("[{text}]"), false).is_ok(), is_held);
            let line = rows(&text, true).unwrap().remove(0).1;
            assert_eq!(line.as_ref().err().is_none(), is_held, "{line:?}");
        }
    }
}
