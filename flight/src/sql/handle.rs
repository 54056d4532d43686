//! The handle of a statement. It carries everything that the statement needs, so that any process can answer it, after
//! any restart:
//!
//! ```text
//! │ "bgs1" │ CRC32C, 4 bytes │ protobuf: text, parameters (Arrow IPC stream), session, name, part │
//! ```
//!
//! The checksum finds damage; nothing is signed, as a handle gives no right that its text alone would not.

use std::time::Duration;

use barograph_lake::LogPosition;
use bytes::Bytes;
use prost::Message;

use super::session::Session;
use crate::wire::Times;
use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"bgs1";
const HEAD_BYTES: usize = 8;

/// A statement with what it was given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Handle {
    /// The statement.
    pub(super) text: String,
    /// Rows of values for its parameters, as an Arrow IPC stream; empty where none were bound.
    pub(super) parameters: Bytes,
    /// Under which it is executed.
    pub(super) session: Session,
    /// Names this execution, so that it can be cancelled, or this prepared statement.
    pub(super) name: String,
    /// The part of the answer that is asked for, if not all.
    pub(super) part: Option<Part>,
}

/// One part of a divided answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Part {
    /// Table that is scanned.
    #[prost(string, tag = "1")]
    pub(super) table: String,
    /// Name of the view that all parts see.
    #[prost(string, tag = "2")]
    pub(super) view: String,
    /// What `now()` is.
    #[prost(sint64, tag = "3")]
    pub(super) now: i64,
    /// First and last key.
    #[prost(sint64, tag = "4")]
    pub(super) key_from: i64,
    #[prost(sint64, tag = "5")]
    pub(super) key_to: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Body {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(bytes = "bytes", tag = "2")]
    parameters: Bytes,
    #[prost(uint64, optional, tag = "3")]
    timeout_ms: Option<u64>,
    #[prost(string, optional, tag = "4")]
    time_zone: Option<String>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(message, optional, tag = "6")]
    part: Option<Part>,
    #[prost(uint64, optional, tag = "7")]
    after: Option<u64>,
    #[prost(bool, tag = "8")]
    nanoseconds: bool,
}

impl Handle {
    /// The handle's bytes.
    ///
    /// # Errors
    /// `Request` if there are more than `bytes_max`.
    pub(super) fn encode(&self, bytes_max: usize) -> Result<Bytes> {
        let body = Body {
            text: self.text.clone(),
            parameters: self.parameters.clone(),
            timeout_ms: self
                .session
                .timeout
                .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
            time_zone: self.session.time_zone.clone(),
            name: self.name.clone(),
            part: self.part.clone(),
            after: self.session.after.map(LogPosition::get),
            nanoseconds: self.session.timestamps == Times::Nanoseconds,
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.encoded_len());
        let body = body.encode_to_vec();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        if bytes.len() > bytes_max {
            return Err(Error::request(format!(
                "the statement has {} bytes of text and {} bytes of parameters, together more than \
                 flight.ticket_bytes_max allows: bind fewer rows at a time, or raise it",
                self.text.len(),
                self.parameters.len()
            ))
            .with_sqlstate("54000"));
        }
        Ok(bytes.into())
    }

    /// Reads a handle that this or another server made.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self> {
        let body = match bytes.first_chunk::<HEAD_BYTES>() {
            Some([b'b', b'g', b's', b'1', sum @ ..]) => {
                let body = bytes.slice(HEAD_BYTES..);
                (crc32c::crc32c(&body) == u32::from_le_bytes(*sum)).then_some(body)
            }
            _ => None,
        };
        let body = body.and_then(|body| Body::decode(body).ok()).ok_or_else(|| {
            Error::request(
                "the handle is not one that a server of this version made: prepare or plan the \
                 statement again",
            )
            .with_sqlstate("26000")
        })?;
        Ok(Self {
            text: body.text,
            parameters: body.parameters,
            session: Session {
                timeout: body.timeout_ms.map(Duration::from_millis),
                time_zone: body.time_zone,
                endpoints: None,
                after: body.after.map(LogPosition::new),
                timestamps: match body.nanoseconds {
                    true => Times::Nanoseconds,
                    false => Times::AsTheyAre,
                },
            },
            name: body.name,
            part: body.part,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        Handle {
            text: "SELECT $1".to_owned(),
            parameters: Bytes::from_static(b"rows"),
            session: Session {
                timeout: Some(Duration::from_millis(1_500)),
                time_zone: Some("Asia/Tokyo".to_owned()),
                endpoints: None,
                after: Some(LogPosition::new(417_792)),
                timestamps: Times::Nanoseconds,
            },
            name: "5f-0".to_owned(),
            part: Some(Part {
                table: "readings".to_owned(),
                view: "5f-1".to_owned(),
                now: 1,
                key_from: i64::MIN,
                key_to: 4,
            }),
        }
    }

    #[test]
    fn a_handle_comes_back_as_it_was() {
        for handle in [handle(), Handle { text: "SELECT 1".to_owned(), ..Handle::default() }] {
            let bytes = handle.encode(1_000).unwrap();
            assert_eq!(Handle::decode(&bytes).unwrap(), handle);
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let bytes = handle().encode(1_000).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            let error = Handle::decode(&changed.into()).unwrap_err();
            assert!(error.to_string().contains("26000"), "{error}");
        }
        for end in 0..bytes.len() {
            Handle::decode(&bytes.slice(..end)).unwrap_err();
        }
    }

    #[test]
    fn a_handle_over_the_bound_names_the_setting() {
        let error = handle().encode(20).unwrap_err().to_string();
        assert!(error.contains("flight.ticket_bytes_max"), "{error}");
        assert!(error.contains("9 bytes of text and 4 bytes of parameters"), "{error}");
    }
}
