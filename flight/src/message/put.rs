//! The messages of a put: the header that asks for a durability, and the acknowledgement of a batch.

use barograph_engine::{Ack, Durability};
use http::HeaderMap;

use crate::{Error, Result};

/// The request header that names the durability of a put's acknowledgements.
pub const DURABILITY_HEADER: &str = "x-barograph-durability";

/// An acknowledgement as clients read it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct AckJson {
    /// Position in the log, as text: it may be larger than what a JSON number holds exactly.
    position: String,
    durability: Durability,
    accepted: u64,
    rejected: u64,
}

impl From<&Ack> for AckJson {
    fn from(ack: &Ack) -> Self {
        Self {
            position: ack.position.to_string(),
            durability: ack.durability,
            accepted: ack.accepted,
            rejected: ack.rejected,
        }
    }
}

impl TryFrom<AckJson> for Ack {
    type Error = Error;

    fn try_from(ack: AckJson) -> Result<Self> {
        Ok(Self {
            position: ack.position.parse()?,
            durability: ack.durability,
            accepted: ack.accepted,
            rejected: ack.rejected,
        })
    }
}

/// The durability that a request's headers ask for; disk if they say nothing.
pub(crate) fn durability(headers: &HeaderMap) -> Result<Durability> {
    let asked = headers.get(DURABILITY_HEADER).map(|value| value.as_bytes());
    asked.map_or(Ok(Durability::Disk), |name| {
        durability_of(&format!("header {DURABILITY_HEADER}"), name)
    })
}

/// The name of a durability.
pub(crate) fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "memory",
        Durability::Disk => "disk",
        Durability::Replicated => "replicated",
    }
}

/// The durability of a name that stands in `place`.
pub(crate) fn durability_of(place: &str, name: &[u8]) -> Result<Durability> {
    match name {
        b"disk" => Ok(Durability::Disk),
        b"memory" => Ok(Durability::Memory),
        b"replicated" => Ok(Durability::Replicated),
        other => Err(Error::request(format!(
            "{place} is {:?}: write memory or disk",
            String::from_utf8_lossy(other)
        ))),
    }
}
