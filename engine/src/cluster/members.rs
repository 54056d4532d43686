//! The members: processes that share a log, each with an object in the store that it writes anew every few seconds.
//!
//! ```text
//! _log/members/7c0e….json      {"address":"grpc://a:8815","role":"leader","position":67109120,"behind_ms":0}
//! ```
//! Nothing is decided by them: they are for people, and for clients that look for addresses. How old an object is, the
//! store says: ages are told by its clock alone, of which the object that the asking process wrote last gives the time.

use std::time::Duration;

use barograph_lake::{LakeStore, LogId, LogPosition, Span, Timestamp};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::Standing;
use crate::{Clock, Error, ErrorKind, Result};

/// Older ones are taken for gone.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Those of processes that are gone are deleted after this.
const SWEPT_AFTER: Duration = Duration::from_secs(600);
/// Objects that are read at a time.
const READ_AHEAD: usize = 16;

/// The part of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It appended last: it lands, and takes the batches of the others.
    Leader,
    /// It applies what others append.
    Follower,
}

/// A process that shares the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its identity, made at its start.
    pub id: String,
    /// Where it is reached; empty if it is not.
    pub address: String,
    /// Its part when it wrote.
    pub role: Role,
    /// It had applied everything before this position when it wrote.
    pub position: LogPosition,
    /// Bytes of the log from there to the end that the asking process knows.
    pub lag: u64,
    /// For how long it had not known that it is at the end of the log when it wrote.
    pub behind: Duration,
    /// How long ago it wrote.
    pub age: Duration,
    /// It is the process that was asked.
    pub is_self: bool,
}

/// What the object of a member says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    address: String,
    role: Role,
    position: u64,
    behind_ms: u64,
}

/// The members of a log, of which this process is one.
#[derive(Debug)]
pub(crate) struct Members {
    store: LakeStore,
    clock: Arc<dyn Clock>,
    id: String,
    address: String,
    /// When this one's object was written, by elapsed time.
    written: Mutex<Option<Span>>,
}

impl Members {
    /// Those of the log of a lake, and this process, which others reach at `address`.
    pub(crate) fn new(lake: &LakeStore, clock: Arc<dyn Clock>, address: &str) -> Self {
        Self {
            store: lake.child("_log"),
            clock,
            id: LogId::random().to_string(),
            address: address.to_owned(),
            written: Mutex::new(None),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn folder(&self) -> Path {
        self.store.path("members")
    }

    fn path(&self, id: &str) -> Path {
        self.store.path(&format!("members/{id}.json"))
    }

    /// Writes this process's object.
    pub(crate) async fn write(&self, standing: Standing) -> Result<()> {
        let entry = Entry {
            address: self.address.clone(),
            role: role(standing.leads),
            position: standing.position.get(),
            behind_ms: u64::try_from(standing.behind.as_millis()).unwrap_or(u64::MAX),
        };
        let json = serde_json::to_vec(&entry)
            .map_err(|e| Error::internal("the entry of a member").with_source(e))?;
        let path = self.path(&self.id);
        self.store.object().put(&path, json.into()).await.map_err(|e| failed(&path, e))?;
        *self.written.lock() = Some(self.clock.elapsed());
        Ok(())
    }

    /// Removes this process's object.
    pub(crate) async fn leave(&self) -> Result<()> {
        self.delete(&self.path(&self.id)).await
    }

    /// All that have written within a minute, this one as it stands, by their addresses. `end` is the end of the log as it
    /// is known here.
    pub(crate) async fn list(&self, standing: Standing) -> Result<Vec<Member>> {
        let mut members = vec![Member {
            id: self.id.clone(),
            address: self.address.clone(),
            role: role(standing.leads),
            position: standing.position,
            lag: 0,
            behind: standing.behind,
            age: Duration::ZERO,
            is_self: true,
        }];
        let others = self.aged().await?.into_iter().filter(|(_, age)| *age <= AGE_MAX);
        let mut others =
            stream::iter(others)
                .map(|(meta, age)| async move {
                    Ok::<_, Error>((self.read(&meta.location).await?, age))
                })
                .buffered(READ_AHEAD);
        while let Some((read, age)) = others.try_next().await? {
            let Some((id, entry)) = read else { continue };
            members.push(Member {
                id,
                address: entry.address,
                role: entry.role,
                position: LogPosition::new(entry.position),
                lag: standing.position.get().saturating_sub(entry.position),
                behind: Duration::from_millis(entry.behind_ms),
                age,
                is_self: false,
            });
        }
        members.sort_by(|a, b| (&a.address, &a.id).cmp(&(&b.address, &b.id)));
        Ok(members)
    }

    /// Deletes the objects of processes that have been gone for long.
    pub(crate) async fn sweep(&self) -> Result<()> {
        for (meta, age) in self.aged().await? {
            if age > SWEPT_AFTER {
                self.delete(&meta.location).await?;
            }
        }
        Ok(())
    }

    /// The objects of the others, with their ages by the store's clock.
    async fn aged(&self) -> Result<Vec<(ObjectMeta, Duration)>> {
        let folder = self.folder();
        let listed: Vec<ObjectMeta> = self
            .store
            .object()
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|e| failed(&folder, e))?;
        let own = self.path(&self.id);
        let modified =
            |meta: &ObjectMeta| Timestamp::from_micros(meta.last_modified.timestamp_micros());
        let since =
            self.written.lock().map_or(Span::ZERO, |at| self.clock.elapsed().saturating_sub(at));
        let mine = listed.iter().find(|meta| meta.location == own).map(modified);
        // Without an object of its own the newest of all has to do.
        let now = mine.map(|at| at.saturating_add(since));
        let Some(now) = now.or_else(|| listed.iter().map(modified).max()) else {
            return Ok(Vec::new());
        };
        let others = listed.into_iter().filter(|meta| meta.location != own);
        Ok(others
            .map(|meta| {
                let age = now.since(modified(&meta)).duration();
                (meta, age)
            })
            .collect())
    }

    /// What an object says, with the id of its process; `None` if it is gone, or says nothing that can be read.
    async fn read(&self, path: &Path) -> Result<Option<(String, Entry)>> {
        let bytes: Bytes = match self.store.object().get(path).await {
            Ok(object) => object.bytes().await.map_err(|e| failed(path, e))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(path, error)),
        };
        let id = path.filename().and_then(|name| name.strip_suffix(".json"));
        Ok(id.zip(serde_json::from_slice(&bytes).ok()).map(|(id, entry)| (id.to_owned(), entry)))
    }

    async fn delete(&self, path: &Path) -> Result<()> {
        match self.store.object().delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(path, error)),
        }
    }
}

fn role(leads: bool) -> Role {
    if leads { Role::Leader } else { Role::Follower }
}

fn failed(path: &Path, error: object_store::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("members of the log: {path}")).with_source(error)
}
