//! The messages of the action `groups`, by which a server reads what the one that leads appends to a shared log. The
//! request is the id of the log, as text.

use barograph_engine::{AppendedGroup, Error as EngineError, ErrorKind};
use barograph_lake::{LogId, LogPosition};
use bytes::Bytes;
use prost::Message;

use crate::{Error, Result};

/// Name of the action.
pub(crate) const GROUPS: &str = "groups";

/// A group.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GroupMessage {
    #[prost(uint64, tag = "1")]
    position: u64,
    /// Empty if it is to be looked for in the store.
    #[prost(bytes = "bytes", tag = "2")]
    object: Bytes,
}

/// The log that a request names.
pub(crate) fn log_of(body: &Bytes) -> Result<LogId> {
    let text = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok());
    let wrong = "action groups: the body is not what servers of this version send";
    text.ok_or_else(|| Error::request(wrong))
}

impl From<AppendedGroup> for GroupMessage {
    fn from(AppendedGroup { position, object }: AppendedGroup) -> Self {
        Self { position: position.get(), object }
    }
}

impl GroupMessage {
    /// Reads a message.
    pub(crate) fn read(bytes: Bytes) -> Result<AppendedGroup, EngineError> {
        let message = Self::decode(bytes).map_err(|e| {
            EngineError::new(ErrorKind::Unavailable, "a group of the leader cannot be read")
                .with_source(e)
        })?;
        let position = LogPosition::new(message.position);
        Ok(AppendedGroup { position, object: message.object })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_comes_back_as_it_was() {
        let group = AppendedGroup {
            position: LogPosition::new(u64::MAX),
            object: Bytes::from_static(b"group"),
        };
        let bytes = GroupMessage::from(group.clone()).encode_to_vec();
        assert_eq!(GroupMessage::read(bytes.into()).unwrap(), group);
        assert!(GroupMessage::read(Bytes::from_static(b"group")).is_err());
        let log = LogId::random();
        assert_eq!(log_of(&log.to_string().into()).unwrap(), log);
        assert!(log_of(&Bytes::from_static(b"\xff")).is_err());
    }
}
