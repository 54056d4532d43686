//! The owner of a lake: the one log that its rows come from, named by an object in the lake's folder.
//!
//! ```text
//! _log.json                   {"log":"3f0c6e…","folder":"/srv/barograph/log"}
//! _log_released/3f0c6e….json  the same, of a log that was given up
//! ```
//!
//! Positions of two logs cannot be told apart: if one log has landed an hour through its position 70, the other would
//! take its own rows below 70 for landed. So a lake takes rows from one log, the first that claims it. A log all of which
//! has landed can be given up: then another may claim the lake, and that one never again.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, ErrorKind, LakeStore, Result};

/// Name of the object in the lake's folder.
const OBJECT: &str = "_log.json";

/// Identity of a log, which no other log has.
///
/// Invariant: `Display` (32 hexadecimal digits) and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(Uuid);

/// What the object holds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    log: String,
    /// Where the log stood when it said so, for whoever looks for it.
    folder: String,
}

impl LogId {
    /// A random identity.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The identity with these bytes.
    pub fn of(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; 16] {
        self.0.into_bytes()
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for LogId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let id = Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text);
        id.ok_or_else(|| {
            Error::request(format!("{text:?} is not the id of a log: 32 digits of 0-9, a-f"))
        })
    }
}

/// Makes the log in `folder` the one that the rows of `lake` come from.
///
/// # Errors
/// A request error that names both logs if they come from another one, or if this one was given up.
pub async fn claim(lake: &LakeStore, log: LogId, folder: &str) -> Result<()> {
    let mine = Owner { log: log.to_string(), folder: folder.to_owned() };
    let found = match read(lake, OBJECT).await? {
        Some(owner) => owner,
        None if read(lake, &released(&mine.log)).await?.is_some() => {
            return Err(Error::request(format!(
                "the log {} in {folder} was given up by `barograph lake release-log`, and everything in it has landed in the lake at {}: delete the files of that folder to begin a new log, or start the server with another",
                mine.log,
                lake.url()
            )));
        }
        None => match put(lake, OBJECT, &mine, PutMode::Create).await {
            Ok(()) => return Ok(()),
            // Another log was first, or the reply to this put was lost.
            Err(e) if e.kind() == ErrorKind::Conflict => {
                let gone =
                    || Error::new(ErrorKind::Store, format!("{} comes and goes", place(lake)));
                read(lake, OBJECT).await?.ok_or_else(gone)?
            }
            Err(e) => return Err(e),
        },
    };
    if found.log != mine.log {
        let (object, url) = (place(lake), lake.url());
        return Err(Error::request(format!(
            "the rows of the lake at {url} come from the log {} in {}, but this log is {} in {folder}: with two logs, rows would be lost. Start the server with that log (log, log_folder), give up that log where it is (barograph lake release-log), or give this log a lake of its own (data). Only \
             if that log is gone for good, delete {object} and start again: rows in it that had not landed are lost",
            found.log, found.folder, mine.log
        )));
    }
    if found != mine {
        // The log was moved.
        put(lake, OBJECT, &mine, PutMode::Overwrite).await?;
    }
    Ok(())
}

/// The log that the rows of `lake` come from; `None` if none has claimed it.
pub async fn owner(lake: &LakeStore) -> Result<Option<LogId>> {
    let owner = read(lake, OBJECT).await?;
    owner.map(|owner| owner.log.parse()).transpose()
}

/// Whether a log was given up.
pub async fn is_released(lake: &LakeStore, log: LogId) -> Result<bool> {
    Ok(read(lake, &released(&log.to_string())).await?.is_some())
}

/// Gives up the log that the rows of `lake` come from, all of which has landed: any other may claim the lake. The
/// caller holds that log, so that nothing is put into it meanwhile.
pub async fn release(lake: &LakeStore) -> Result<()> {
    let Some(owner) = read(lake, OBJECT).await? else { return Ok(()) };
    // First, so that no other claims the lake while this log may come back.
    put(lake, &released(&owner.log), &owner, PutMode::Overwrite).await?;
    match lake.object().delete(&lake.path(OBJECT)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Name of the object that says of a log that it was given up.
fn released(log: &str) -> String {
    format!("_log_released/{log}.json")
}

async fn read(lake: &LakeStore, name: &str) -> Result<Option<Owner>> {
    let bytes = match lake.object().get(&lake.path(name)).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        object => object?.bytes().await?,
    };
    let damaged = |e| {
        let what = format!("{} does not say which log the rows of the lake come from", place(lake));
        Error::damage(format!("{what}: delete it if they come from the log of this server"))
            .with_source(e)
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e: serde_json::Error| damaged(e))
}

async fn put(lake: &LakeStore, name: &str, owner: &Owner, mode: PutMode) -> Result<()> {
    let json = serde_json::to_vec(owner)
        .map_err(|e| Error::new(ErrorKind::Internal, OBJECT).with_source(e))?;
    lake.object().put_opts(&lake.path(name), Bytes::from(json).into(), mode.into()).await?;
    Ok(())
}

/// Where the object stands, as an operator looks for it.
fn place(lake: &LakeStore) -> String {
    match lake.local_path(OBJECT) {
        Some(path) => path.display().to_string(),
        None => format!("{}/{OBJECT}", lake.url().as_str().trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::faults::{Fault, FaultPlan, FaultStore, Operation};

    #[tokio::test]
    async fn a_lake_takes_rows_from_one_log() {
        let folder = tempfile::tempdir().unwrap();
        let lake = LakeStore::local(folder.path()).unwrap();
        let (mine, other) = (LogId::random(), LogId::random());
        assert_eq!(super::owner(&lake).await.unwrap(), None);
        claim(&lake, mine, "/mine").await.unwrap();
        claim(&lake, mine, "/mine").await.unwrap();
        assert_eq!(super::owner(&lake).await.unwrap(), Some(mine));
        let refused = claim(&lake, other, "/other").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Request);
        let message = refused.to_string();
        for part in [&mine.to_string(), &other.to_string(), "/mine", "/other", "_log.json"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        claim(&lake, mine, "/moved").await.unwrap();
        let refused = claim(&lake, other, "/other").await.unwrap_err();
        assert!(refused.to_string().contains("/moved"), "{refused}");
        std::fs::remove_file(folder.path().join(OBJECT)).unwrap();
        claim(&lake, other, "/other").await.unwrap();
        claim(&lake, mine, "/mine").await.unwrap_err();
    }

    #[tokio::test]
    async fn a_lost_reply_and_a_damaged_object_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let local = LakeStore::local(folder.path()).unwrap();
        let faults = FaultStore::new(local.object().clone(), FaultPlan::none());
        let lake = LakeStore::with_store(faults.clone(), local.url().clone());
        let log = LogId::random();
        faults.set_plan(FaultPlan::none().on(Operation::Put, 0, Fault::LoseReply));
        let lost = claim(&lake, log, "/log").await;
        assert!(lost.is_ok() || lost.is_err_and(|e| e.kind() == ErrorKind::Store));
        claim(&lake, log, "/log").await.unwrap();
        std::fs::write(folder.path().join(OBJECT), b"{").unwrap();
        let damaged = claim(&lake, log, "/log").await.unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Damage);
        assert!(damaged.to_string().contains("_log.json"), "{damaged}");
    }

    #[tokio::test]
    async fn a_log_that_was_given_up_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let lake = LakeStore::local(folder.path()).unwrap();
        let (mine, other) = (LogId::random(), LogId::random());
        release(&lake).await.unwrap();
        claim(&lake, mine, "/mine").await.unwrap();
        let marker = released(&mine.to_string());
        // Given up half-way: it still has the lake.
        let owner = Owner { log: mine.to_string(), folder: "/mine".to_owned() };
        put(&lake, &marker, &owner, PutMode::Overwrite).await.unwrap();
        claim(&lake, mine, "/mine").await.unwrap();
        assert!(!is_released(&lake, other).await.unwrap());
        release(&lake).await.unwrap();
        assert!(is_released(&lake, mine).await.unwrap());
        let refused = claim(&lake, mine, "/mine").await.unwrap_err().to_string();
        assert!(refused.contains("release-log") && refused.contains("/mine"), "{refused}");
        claim(&lake, other, "/other").await.unwrap();
        claim(&lake, mine, "/mine").await.unwrap_err();
        release(&lake).await.unwrap();
        claim(&lake, mine, "/mine").await.unwrap_err();
        claim(&lake, LogId::random(), "/third").await.unwrap();
    }

    #[test]
    fn ids_come_back() {
        let id = LogId::random();
        assert_eq!(id.to_string().parse::<LogId>().unwrap(), id);
        assert_eq!(LogId::of(id.bytes()), id);
        assert!("7".parse::<LogId>().is_err());
    }
}
