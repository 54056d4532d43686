//! Puts of objects that must be absent, decided: whether an object was put although its reply was lost, or the store
//! said that it is there.
//!
//! | the store says | the object | then |
//! |---|---|---|
//! | done | | put |
//! | exists (412, 409) | has these bytes | put: by this put, or by an earlier try whose reply was lost |
//! | exists | has others | exists |
//! | exists | is not there: another put is under way (409), or was and failed | once more |
//! | failed (5xx, no reply) | | once more: if the put was carried out, it exists |
//!
//! Two writers that put the same bytes are both told that they did. Who must know that it was the first puts bytes that
//! nobody else puts, such as a random number.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, Result,
};

use crate::store::decorator::Decorator;

/// How often a put is tried whose outcome is not known.
const TRIES: u32 = 5;
/// The wait after the first of them; it doubles with each.
const WAIT: Duration = Duration::from_millis(50);

/// A store that decides puts of objects that must be absent.
#[derive(Debug)]
pub(super) struct PutIfAbsent(pub(super) Arc<dyn ObjectStore>);

/// What stands in the place of an object.
enum Found {
    Same,
    Other,
    Nothing,
}

#[async_trait]
impl Decorator for PutIfAbsent {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.0
    }

    async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if options.mode != PutMode::Create {
            return self.0.put_opts(location, payload, options).await;
        }
        let mut tries = 1;
        loop {
            let error = match self.0.put_opts(location, payload.clone(), options.clone()).await {
                Ok(put) => return Ok(put),
                Err(
                    error @ (Error::AlreadyExists { .. }
                    | Error::Precondition { .. }
                    | Error::NotModified { .. }),
                ) => match self.find(location, &payload).await? {
                    Found::Same => return Ok(PutResult { e_tag: None, version: None }),
                    Found::Other => return Err(exists(location, error)),
                    Found::Nothing => error,
                },
                // Anything else than a failure is an answer: it will be the same again.
                Err(error @ Error::Generic { .. }) => error,
                Err(error) => return Err(error),
            };
            if tries == TRIES {
                return Err(undecided(location, error));
            }
            tracing::debug!(%location, tries, %error, "it is not known whether the object was put: once more");
            pause(WAIT * (1 << (tries - 1))).await;
            tries += 1;
        }
    }
}

impl PutIfAbsent {
    async fn find(&self, location: &Path, payload: &PutPayload) -> Result<Found> {
        let found = match self.0.get(location).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        if found.meta.size != payload.content_length() as u64 {
            return Ok(Found::Other);
        }
        let found = found.bytes().await?;
        let mut rest = found.as_ref();
        let is_same = payload.iter().all(|chunk| match rest.strip_prefix(chunk.as_ref()) {
            Some(after) => {
                rest = after;
                true
            }
            None => false,
        });
        Ok(if is_same { Found::Same } else { Found::Other })
    }
}

fn exists(location: &Path, error: Error) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: error.into() }
}

/// An outcome that is not known must not look like one that is.
fn undecided(location: &Path, error: Error) -> Error {
    let why = format!("{location}: it is not known whether it was put: {error}");
    Error::Generic { store: "PutIfAbsent", source: why.into() }
}

#[allow(clippy::disallowed_methods, reason = "a wait between two tries decides nothing")]
async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}
