//! The values of a ticket, each with an error that says what a wrong one should have been.

use std::fmt;
use std::marker::PhantomData;

use barograph_engine::Aggregate;
use barograph_lake::{AsOf, Key, LogPosition, TableVersion, Timestamp};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Unexpected, Visitor};

use super::AGGREGATES;

/// A `T` that is written as an object: what serde derives would take a list as well.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object in braces, like {\"keys\":[2988507]}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A value that knows how to say what it should have been.
macro_rules! value {
    ($name:ident($inner:ty), $expecting:literal, $($visit:tt)*) => {
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Reader;

                impl<'de> Visitor<'de> for Reader {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    $($visit)*
                }

                deserializer.deserialize_any(Reader)
            }
        }
    };
}

value! {
    Version(i64),
    "the version as a number, \"v\":1",
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Version(value))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Version(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

value! {
    Position(LogPosition),
    "a position in quotes as an acknowledgement gives it, like \"00000000000000417792\"",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        let position = value.parse();
        position.map(Position).map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
    }
}

value! {
    Text(String),
    "text in quotes",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Text(value.to_owned()))
    }
}

value! {
    Limit(usize),
    "\"limit\" as a whole number of rows, at least 1",
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        match usize::try_from(value) {
            Ok(0) | Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
            Ok(limit) => Ok(Limit(limit)),
        }
    }
}

value! {
    Instant(Timestamp),
    "a time in quotes, like \"2026-11-22T10:00:00Z\"",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        value.parse::<Timestamp>().map(Instant).map_err(E::custom)
    }
}

value! {
    Moment(AsOf),
    "\"as_of\" as a version, like 42, or a time in quotes, like \"2026-11-22T10:00:00Z\"",
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Moment(AsOf::Version(TableVersion::new(value))))
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        value.parse::<Timestamp>().map(|time| Moment(AsOf::Time(time))).map_err(E::custom)
    }
}

value! {
    OneKey(Key),
    "a key as a whole number, like 2988507",
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(OneKey(Key::new(value)))
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value)
            .map(|key| OneKey(Key::new(key)))
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }
}

value! {
    Keys(Vec<Key>),
    "\"keys\" as a list of whole numbers, like [2988507]",
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(OneKey(key)) = list.next_element()? {
            keys.push(key);
        }
        Ok(Keys(keys))
    }
}

value! {
    RawAggregates(Vec<(String, Vec<Aggregate>)>),
    "\"aggregates\" as lists by column, like {\"temperature\":[\"mean\",\"max\"]}",
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut aggregates: Vec<(String, Vec<Aggregate>)> = Vec::new();
        while let Some((column, functions)) = map.next_entry::<String, Vec<Function>>()? {
            if aggregates.iter().any(|(earlier, _)| *earlier == column) {
                return Err(A::Error::custom(format_args!(
                    "\"aggregates\" names the column {column:?} twice: put its functions in one list"
                )));
            }
            if functions.is_empty() {
                return Err(A::Error::custom(format_args!(
                    "\"aggregates\" of {column:?} is empty: name a function, like [\"mean\"]"
                )));
            }
            let functions: Vec<_> = functions.into_iter().map(|function| function.0).collect();
            if let Some((i, _)) =
                functions.iter().enumerate().find(|(i, f)| functions.iter().take(*i).any(|of| of == *f))
            {
                return Err(A::Error::custom(format_args!(
                    "\"aggregates\" of {column:?} names function {} twice: name it once",
                    i + 1
                )));
            }
            aggregates.push((column, functions));
        }
        Ok(RawAggregates(aggregates))
    }
}

value! {
    Function(Aggregate),
    "a function in quotes, like \"mean\"",
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        AGGREGATES
            .iter()
            .find(|(name, _)| *name == value)
            .map(|&(_, function)| Function(function))
            .ok_or_else(|| {
                let names: Vec<_> = AGGREGATES.iter().map(|(name, _)| *name).collect();
                E::custom(format_args!(
                    "unknown aggregate {value:?}: use one of {}",
                    names.join(", ")
                ))
            })
    }
}
