//! Instants in the objects of jobs, written as text that people can read.

use barograph_lake::Micros;
use barograph_lake::time::{format_instant, parse_instant};
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(super) fn serialize<S: Serializer>(instant: &Micros, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format_instant(*instant))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Micros, D::Error> {
    parse_instant(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// The same where an instant may be absent.
pub(super) mod optional {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        instant: &Option<Micros>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => super::serialize(instant, to),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Micros>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| parse_instant(&text).map_err(D::Error::custom)).transpose()
    }
}
