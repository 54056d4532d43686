//! Keys that a grant is about: single ones and ranges, as settings write them (`5128581`, `"100..200"`).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use barograph_lake::Key;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The keys from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRange {
    /// The smallest.
    pub from: Key,
    /// The largest.
    pub to: Key,
}

/// Some keys, as ranges: ascending, with keys between them that are not among these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRanges(Arc<[KeyRange]>);

impl KeyRanges {
    /// The keys of `ranges`, which may overlap and be in any order.
    pub fn new(ranges: impl IntoIterator<Item = KeyRange>) -> Self {
        let mut ranges: Vec<_> =
            ranges.into_iter().filter(|range| range.from <= range.to).collect();
        ranges.sort_unstable();
        let mut merged: Vec<KeyRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if last.to.next().is_none_or(|next| range.from <= next) => {
                    last.to = last.to.max(range.to);
                }
                _ => merged.push(range),
            }
        }
        Self(merged.into())
    }

    /// The ranges.
    pub fn ranges(&self) -> &[KeyRange] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is among them.
    pub fn contains(&self, key: Key) -> bool {
        let at = self.0.partition_point(|range| range.to < key);
        self.0.get(at).is_some_and(|range| range.from <= key)
    }

    /// Whether all keys from `from` to `to` are among them.
    pub fn covers(&self, from: Key, to: Key) -> bool {
        let at = self.0.partition_point(|range| range.to < from);
        from > to || self.0.get(at).is_some_and(|range| range.from <= from && to <= range.to)
    }

    /// The keys that are in one or the other.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(other.0.iter()).copied())
    }

    /// The keys that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            both.push(KeyRange { from: a.from.max(b.from), to: a.to.min(b.to) });
            if a.to < b.to {
                left.next();
            } else {
                right.next();
            }
        }
        Self::new(both)
    }
}

impl FromIterator<Key> for KeyRanges {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        Self::new(keys.into_iter().map(|key| KeyRange { from: key, to: key }))
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from == self.to {
            true => write!(f, "{}", self.from),
            false => write!(f, "{}..{}", self.from, self.to),
        }
    }
}

impl FromStr for KeyRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |text: &str| text.trim().parse::<Key>().ok();
        let ends = match text.split_once("..") {
            Some((from, to)) => key(from).zip(key(to)),
            None => key(text).map(|key| (key, key)),
        };
        match ends {
            Some((from, to)) if from <= to => Ok(Self { from, to }),
            _ => Err(format!(
                "{text:?} is no key: write 5128581, or \"100..200\" for all from the first to the last"
            )),
        }
    }
}

impl Serialize for KeyRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.from == self.to {
            true => serializer.serialize_i64(self.from.get()),
            false => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for KeyRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(i64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::One(key) => Ok(Self { from: Key::new(key), to: Key::new(key) }),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

impl JsonSchema for KeyRange {
    fn schema_name() -> Cow<'static, str> {
        "KeyRange".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"] })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = (KeyRanges, Vec<KeyRange>)> {
        let range = (-12_i64..12, 0_i64..4).prop_map(|(from, length)| KeyRange {
            from: Key::new(from),
            to: Key::new(from + length),
        });
        proptest::collection::vec(range, 0..5).prop_map(|of| (KeyRanges::new(of.clone()), of))
    }

    proptest! {
        #[test]
        fn both_and_either_are_what_they_are_key_by_key(
            (left, ranges) in some(), (right, _) in some(), from in -20_i64..20, length in 0_i64..6,
        ) {
            for key in (-20..20).map(Key::new) {
                let is = ranges.iter().any(|range| range.from <= key && key <= range.to);
                prop_assert_eq!(left.contains(key), is);
                prop_assert_eq!(left.and(&right).contains(key), is && right.contains(key));
                prop_assert_eq!(left.or(&right).contains(key), is || right.contains(key));
            }
            let all = (from..=from + length).all(|key| left.contains(Key::new(key)));
            prop_assert_eq!(left.covers(Key::new(from), Key::new(from + length)), all);
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let read = |json: &str| serde_json::from_str::<Vec<KeyRange>>(json);
        let ranges = read(r#"[-7, "5", "-3..4"]"#).unwrap();
        let texts: Vec<_> = ranges.iter().map(KeyRange::to_string).collect();
        assert_eq!(texts, ["-7", "5", "-3..4"]);
        assert_eq!(serde_json::to_string(&ranges).unwrap(), r#"[-7,5,"-3..4"]"#);
        for wrong in [r#"["a"]"#, r#"["4..3"]"#, r#"["1..2..3"]"#, "[1.5]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ends_of_all_keys_are_keys() {
        let all = KeyRanges::new([KeyRange { from: Key::MIN, to: Key::MAX }]);
        assert!(all.contains(Key::MAX) && all.contains(Key::MIN) && all.covers(Key::MIN, Key::MAX));
        assert_eq!(all.or(&all), all);
        assert_eq!(all.and(&all), all);
    }
}
