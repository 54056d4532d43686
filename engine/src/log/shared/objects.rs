//! The objects of a shared log in the store: groups, and the numbered floors.
//!
//! ```text
//! _log/groups/00000000000000004096.group            named by its position
//! _log/floor/00000000000000000003.json              {"log":"3f0c6e…","floor":67112960,"moved_at":…}
//! ```
//! The highest floor counts and is never deleted; the first one makes the log.

use std::time::Duration;

use barograph_lake::register::{Entry, Put as Registered, Register};
use barograph_lake::{LakeStore, LogId, Span, Timestamp};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};

use super::message::{FloorRead, Got, Put};
use crate::{Error, ErrorKind, Result};

/// How long a floor has to stand before the groups below it are deleted.
const DELETED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What a floor object says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FloorEntry {
    /// The id of the log.
    pub log: String,
    pub floor: u64,
    /// When it was moved there, by the clock of who moved it. µs.
    pub moved_at: Timestamp,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    store: LakeStore,
}

/// The id of the shared log of a lake; `None` if there is none.
///
/// # Errors
/// As the store fails.
pub async fn shared_log(lake: &LakeStore) -> Result<Option<LogId>> {
    Objects::new(lake).id().await
}

/// Deletes the objects of the shared log of a lake, which was given up. No process has it open.
///
/// # Errors
/// As the store fails: what is left is deleted if it is asked for again.
pub async fn discard_shared(lake: &LakeStore) -> Result<()> {
    Objects::new(lake).discard().await
}

/// An answer, and the error behind it if the store failed.
pub(super) type Answer<T> = (T, Option<Error>);

impl Entry for FloorEntry {
    fn encode(&self) -> barograph_lake::Result<Bytes> {
        let json = serde_json::to_vec(self).map_err(|e| {
            let kind = barograph_lake::ErrorKind::Internal;
            barograph_lake::Error::new(kind, "the floor of a log").with_source(e)
        })?;
        Ok(json.into())
    }

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    fn is_same(&self, found: &Self) -> bool {
        self == found
    }
}

impl Objects {
    /// The objects of the log of a lake, beside the folders of its tables.
    pub(super) fn new(lake: &LakeStore) -> Self {
        Self { store: lake.child("_log") }
    }

    /// Where the log is, for messages.
    pub(super) fn place(&self) -> String {
        self.store.url().to_string()
    }

    fn floors(&self) -> Register<FloorEntry> {
        Register::new(&self.store, "floor")
    }

    fn path(&self, position: u64) -> Path {
        self.store.path(&format!("groups/{position:020}.group"))
    }

    /// Puts a group if nothing stands under its name.
    pub(super) async fn put(&self, position: u64, object: Bytes) -> Answer<Put> {
        use object_store::Error as Store;
        let path = self.path(position);
        let put = self.store.object().put_opts(&path, object.into(), PutMode::Create.into()).await;
        match put {
            Ok(_) => (Put::Created, None),
            Err(Store::AlreadyExists { .. } | Store::Precondition { .. }) => (Put::Exists, None),
            Err(error) => (Put::Unknown, Some(failed(&path, error))),
        }
    }

    pub(super) async fn get(&self, position: u64) -> Answer<Got> {
        let path = self.path(position);
        let read = async { self.store.object().get(&path).await?.bytes().await };
        match read.await {
            Ok(object) => (Got::Object(object), None),
            Err(object_store::Error::NotFound { .. }) => (Got::NotFound, None),
            Err(error) => (Got::Failed, Some(failed(&path, error))),
        }
    }

    /// Positions of the groups from `from` on, ascending.
    pub(super) async fn list(&self, from: u64) -> Answer<Option<Vec<u64>>> {
        let folder = self.store.path("groups");
        let before = self.path(from.saturating_sub(1));
        let objects = self.store.object().list_with_offset(Some(&folder), &before);
        let positions = objects.try_filter_map(|object| async move {
            let name = object.location.filename().unwrap_or_default();
            Ok(name.strip_suffix(".group").and_then(|digits| digits.parse::<u64>().ok()))
        });
        match positions.try_collect::<Vec<u64>>().await {
            Ok(mut positions) => {
                positions.retain(|position| *position >= from);
                positions.sort_unstable();
                (Some(positions), None)
            }
            Err(error) => (None, Some(failed(&folder, error))),
        }
    }

    pub(super) async fn read_floor(&self) -> Answer<Option<FloorRead>> {
        match self.floors().newest().await {
            Ok(Some((number, entry))) => {
                (Some(FloorRead { floor: entry.floor, fresh: number == 0 }), None)
            }
            Ok(None) => {
                let message = format!("{}: the floor of the log is gone", self.place());
                (None, Some(Error::new(ErrorKind::Damage, message)))
            }
            Err(error) => (None, Some(error.into())),
        }
    }

    /// The id of the log; `None` if there is none.
    pub(super) async fn id(&self) -> Result<Option<LogId>> {
        let newest = self.floors().newest().await?;
        Ok(newest.map(|(_, entry)| entry.log.parse::<LogId>()).transpose()?)
    }

    /// The id of the log, which is made at `first` if there is none.
    pub(super) async fn open(&self, first: u64, now: Timestamp) -> Result<LogId> {
        let new = FloorEntry { log: LogId::random().to_string(), floor: first, moved_at: now };
        for _ in 0..2 {
            if let Some((_, entry)) = self.floors().newest().await? {
                return Ok(entry.log.parse::<LogId>()?);
            }
            match self.floors().put(0, &new).await? {
                Registered::Made | Registered::Found(_) => return Ok(new.log.parse::<LogId>()?),
                // Another process made it.
                Registered::Taken => {}
                Registered::Unknown(error) => return Err(error.into()),
            }
        }
        let message = format!("{}: the floor of the log comes and goes", self.place());
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Moves the floor to `to`, where a group with a checkpoint stands, unless it is there already, and says where it is.
    pub(super) async fn move_floor(&self, to: u64, now: Timestamp) -> Result<Option<FloorRead>> {
        let floors = self.floors();
        let Some((number, newest)) = floors.newest().await? else { return Ok(None) };
        if newest.floor >= to {
            return Ok(Some(FloorRead { floor: newest.floor, fresh: number == 0 }));
        }
        let moved = FloorEntry { floor: to, moved_at: now, ..newest };
        match floors.put(number.saturating_add(1), &moved).await? {
            Registered::Made | Registered::Found(_) => {
                Ok(Some(FloorRead { floor: to, fresh: false }))
            }
            // Another process moves it, or it will be tried again.
            Registered::Taken => Ok(None),
            Registered::Unknown(error) => Err(error.into()),
        }
    }

    /// The number of the highest floor.
    pub(super) async fn floor_number(&self) -> Result<Option<u64>> {
        Ok(self.floors().list().await?.numbers.last().copied())
    }

    /// Deletes the groups below the newest floor that has stood for a day and is numbered `through` at most, ascending,
    /// and the floors before it.
    pub(super) async fn clean_up(&self, through: u64, now: Timestamp) -> Result<u64> {
        let floors = self.floors();
        let numbers = floors.list().await?.numbers;
        let old = Span::from_duration(DELETED_AFTER);
        for &number in numbers.iter().rev().filter(|number| **number <= through) {
            let Some(entry) = floors.get(number).await? else { continue };
            if now.since(entry.moved_at) < old {
                continue;
            }
            let deleted = self.delete_below(entry.floor).await?;
            for &before in numbers.iter().filter(|before| **before < number) {
                floors.delete(before).await?;
            }
            return Ok(deleted);
        }
        Ok(0)
    }

    /// Deletes all objects of the log: what says which log it is last.
    async fn discard(&self) -> Result<()> {
        self.delete_below(u64::MAX).await?;
        let members = self.store.path("members");
        let listed = self.store.object().list(Some(&members)).map_ok(|meta| meta.location).boxed();
        let mut deleted = self.store.object().delete_stream(listed);
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(&members, error)),
            }
        }
        let floors = self.floors();
        for number in floors.list().await?.numbers {
            floors.delete(number).await?;
        }
        Ok(())
    }

    async fn delete_below(&self, floor: u64) -> Result<u64> {
        let (positions, error) = self.list(0).await;
        if let Some(error) = error {
            return Err(error);
        }
        let mut deleted = 0;
        for position in positions.into_iter().flatten().take_while(|position| *position < floor) {
            let path = self.path(position);
            match self.store.object().delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => deleted += 1,
                Err(error) => return Err(failed(&path, error)),
            }
        }
        Ok(deleted)
    }
}

fn failed(path: &Path, error: object_store::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("log: {path}")).with_source(error)
}
