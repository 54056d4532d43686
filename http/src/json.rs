//! JSON that is read into values within a bound: a value takes many times the bytes of its text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How many values may still be read; a list, an object and what they hold are one each.
#[derive(Debug)]
pub(crate) struct Bounded {
    most: usize,
    left: usize,
}

impl Bounded {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, left: most }
    }

    /// Reads a text that is one value.
    pub(crate) fn read(&mut self, text: &[u8]) -> serde_json::Result<Value> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = self.deserialize(&mut deserializer)?;
        deserializer.end().map(|()| value)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Bounded {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.checked_sub(1) else {
            return Err(D::Error::custom(format_args!("it has more than {} values", self.most)));
        };
        self.left = left;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(&mut *self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(&mut *self)?;
            values.insert(name, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_within_the_bound_is_read_as_it_is() {
        for text in ["null", "[true,-1,18446744073709551615,0.5,\"a\\n\"]", "{\"a\":{\"b\":[]}}"] {
            let value = Bounded::new(6).read(text.as_bytes()).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        }
        for text in ["", "[1", "[] 1"] {
            assert!(Bounded::new(6).read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_more_is_told() {
        for text in ["[1,2,3]", "{\"a\":1,\"b\":[2]}", "[[[[]]]]"] {
            assert!(Bounded::new(4).read(text.as_bytes()).is_ok(), "{text}");
            let error = Bounded::new(3).read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("more than 3 values"), "{error}");
        }
    }
}
