//! The ids of batches, by which a batch that is sent again counts once: in the metadata of each batch, or in a header for
//! all batches of a call.

use barograph_engine::log::BatchId;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The request header with the id of the first batch of a put, from which those of the others follow.
pub const BATCH_ID_HEADER: &str = "x-barograph-batch-id";
/// How far apart the ids of a call are. Odd, so that none comes twice; and unlike all that people count with.
const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// What the metadata of a batch says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchMetadata {
    batch_id: String,
}

/// The ids of the batches of one call that have none of their own.
#[derive(Debug)]
pub(crate) struct BatchIds {
    next: Option<BatchId>,
}

impl BatchIds {
    /// As the headers of the call say; none if they say nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        let asked = headers.get(BATCH_ID_HEADER);
        let next =
            asked.map(|value| read(BATCH_ID_HEADER, &String::from_utf8_lossy(value.as_bytes())));
        Ok(Self { next: next.transpose()? })
    }
}

impl Iterator for BatchIds {
    type Item = Option<BatchId>;

    /// The id of the next batch.
    fn next(&mut self) -> Option<Self::Item> {
        let id = self.next;
        self.next = id.map(|id| {
            BatchId::of(u128::from_be_bytes(id.bytes()).wrapping_add(STEP).to_be_bytes())
        });
        Some(id)
    }
}

/// The metadata of a batch with an id.
pub(crate) fn batch_metadata(id: BatchId) -> String {
    format!("{{\"batch_id\":\"{id}\"}}")
}

/// The id that the metadata of a batch says.
pub(crate) fn batch_id_of(metadata: &[u8]) -> Result<Option<BatchId>> {
    if metadata.is_empty() {
        return Ok(None);
    }
    let metadata: BatchMetadata = serde_json::from_slice(metadata).map_err(|e| {
        Error::request(format!(
            "metadata of a batch: {e}; write it like {{\"batch_id\":\"9b2d0c5e7f6a4d1c8e3b5a7f90c1d2e4\"}}, or leave it out"
        ))
    })?;
    read("batch_id", &metadata.batch_id).map(Some)
}

fn read(place: &str, text: &str) -> Result<BatchId> {
    text.parse().map_err(|e: barograph_engine::Error| Error::request(format!("{place}: {e}")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn ids_of_a_call_follow_from_its_header_and_never_meet() {
        let ids = |number: u128| {
            let mut headers = HeaderMap::new();
            let id = BatchId::of(number.to_be_bytes()).to_string();
            headers.insert(BATCH_ID_HEADER, HeaderValue::from_str(&id).unwrap());
            BatchIds::of(&headers).unwrap().take(100).map(Option::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(ids(7), ids(7));
        assert_eq!(ids(7)[0].to_string(), "00000000000000000000000000000007");
        let all: HashSet<_> = (0..100).flat_map(ids).collect();
        assert_eq!(all.len(), 10_000);
        assert!(BatchIds::of(&HeaderMap::new()).unwrap().take(3).all(|id| id.is_none()));
    }

    #[test]
    fn metadata_is_an_id_or_refused() {
        let id = BatchId::random();
        assert_eq!(batch_id_of(batch_metadata(id).as_bytes()).unwrap(), Some(id));
        assert_eq!(batch_id_of(b"").unwrap(), None);
        for wrong in [&b"7"[..], b"{}", b"{\"batch_id\":\"7\"}", b"{\"id\":\"7\"}"] {
            let error = batch_id_of(wrong).unwrap_err();
            assert!(error.to_string().contains("batch_id"), "{error}");
        }
    }
}
