//! The messages of the action `forward`, by which a server hands batches to the one that appended last.

use barograph_engine::log::{BatchId, Place};
use barograph_engine::{Error as EngineError, ErrorKind, ForwardedBatch, ForwardedEntry};
use barograph_lake::{LogId, LogPosition, Timestamp};
use bytes::Bytes;
use prost::Message;
use tonic::Code;

use crate::error::{code_of, kind_of};
use crate::{Error, Result};

/// Name of the action.
pub(crate) const FORWARD: &str = "forward";

/// Batches, in the order in which they are to be appended.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ForwardRequest {
    #[prost(message, repeated, tag = "1")]
    batches: Vec<BatchMessage>,
    /// The id of the log.
    #[prost(bytes = "bytes", tag = "2")]
    log: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct BatchMessage {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(string, tag = "1")]
    table: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

/// What became of each.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ForwardReply {
    #[prost(message, repeated, tag = "1")]
    outcomes: Vec<OutcomeMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct OutcomeMessage {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(sint64, tag = "2")]
    ingested_at: i64,
    /// The gRPC code of the error; 0 if there is none.
    #[prost(int32, tag = "3")]
    code: i32,
    #[prost(string, tag = "4")]
    error: String,
}

impl ForwardRequest {
    /// A request that batches go into a log.
    pub(crate) fn new(log: LogId, batches: Vec<ForwardedBatch>) -> Self {
        let entry = |ForwardedEntry { table, source, body }| EntryMessage { table, source, body };
        let batches = batches.into_iter().map(|batch| BatchMessage {
            id: Bytes::copy_from_slice(&batch.id.bytes()),
            entries: batch.entries.into_iter().map(entry).collect(),
        });
        Self { batches: batches.collect(), log: Bytes::copy_from_slice(&log.bytes()) }
    }

    /// Reads a request.
    pub(crate) fn read(bytes: Bytes) -> Result<(LogId, Vec<ForwardedBatch>)> {
        let wrong = "action forward: the body is not what servers of this version send";
        let request = Self::decode(bytes).map_err(|e| Error::request(wrong).with_source(e))?;
        let log = <[u8; 16]>::try_from(request.log.as_ref());
        let log = LogId::of(log.map_err(|e| Error::request(wrong).with_source(e))?);
        let entry = |EntryMessage { table, source, body }| ForwardedEntry { table, source, body };
        let batches = request.batches.into_iter().map(|batch| {
            let id = <[u8; 16]>::try_from(batch.id.as_ref());
            let id = BatchId::of(id.map_err(|e| Error::request(wrong).with_source(e))?);
            Ok(ForwardedBatch { id, entries: batch.entries.into_iter().map(entry).collect() })
        });
        Ok((log, batches.collect::<Result<_>>()?))
    }
}

impl From<Vec<Result<Place, EngineError>>> for ForwardReply {
    fn from(outcomes: Vec<Result<Place, EngineError>>) -> Self {
        let outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Ok(Place { position, ingested_at }) => OutcomeMessage {
                position: position.get(),
                ingested_at: ingested_at.as_micros(),
                ..OutcomeMessage::default()
            },
            Err(error) => OutcomeMessage {
                code: code_of(error.kind()).into(),
                error: error.to_string(),
                ..OutcomeMessage::default()
            },
        });
        Self { outcomes: outcomes.collect() }
    }
}

impl ForwardReply {
    /// Reads a reply.
    pub(crate) fn read(bytes: Bytes) -> Result<Vec<Result<Place, EngineError>>, EngineError> {
        let reply = Self::decode(bytes).map_err(|e| {
            EngineError::new(ErrorKind::Unavailable, "the leader's answer cannot be read")
                .with_source(e)
        })?;
        let outcomes = reply.outcomes.into_iter().map(|outcome| match Code::from(outcome.code) {
            Code::Ok => Ok(Place {
                position: LogPosition::new(outcome.position),
                ingested_at: Timestamp::from_micros(outcome.ingested_at),
            }),
            code => Err(EngineError::new(kind_of(code), outcome.error)),
        });
        Ok(outcomes.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forwarded_comes_back_as_it_was() {
        let entry = ForwardedEntry {
            table: "readings".to_owned(),
            source: "flight:7".to_owned(),
            body: Bytes::from_static(b"rows"),
        };
        let batch = ForwardedBatch { id: BatchId::random(), entries: vec![entry.clone(), entry] };
        let batches = vec![batch.clone(), ForwardedBatch { entries: Vec::new(), ..batch }];
        let log = LogId::random();
        let bytes = ForwardRequest::new(log, batches.clone()).encode_to_vec();
        assert_eq!(ForwardRequest::read(bytes.into()).unwrap(), (log, batches));
        assert!(ForwardRequest::read(Bytes::new()).is_err(), "of no log");
        assert!(ForwardRequest::read(Bytes::from_static(b"\x0a\x02\x0a\x00")).is_err());

        let place =
            Place { position: LogPosition::new(4_096), ingested_at: Timestamp::from_micros(-1) };
        let full = EngineError::new(ErrorKind::Resources, "tail_bytes_max: full");
        let bytes = ForwardReply::from(vec![Ok(place), Err(full)]).encode_to_vec();
        let outcomes = ForwardReply::read(bytes.into()).unwrap();
        assert_eq!(outcomes[0].as_ref().unwrap(), &place);
        let error = outcomes[1].as_ref().unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Resources, "tail_bytes_max: full")
        );
    }
}
