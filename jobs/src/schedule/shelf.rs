//! Where do the objects of a job stand? The one place that formats and parses their paths, and reads and
//! writes them.
//!
//! ```text
//! jobs/verify/seat/00000000000000000042.json      who runs the job, as said by the 42nd
//! jobs/verify/runs/00000000000000000041.json      the record of the run verify-41
//! jobs/verify/cancel/00000000000000000041.json    somebody asks that run to stop
//! jobs/rollup/memory/00000000000000000007.json    what the job knows from run to run
//! ```

use std::fmt;
use std::str::FromStr;

use barograph_lake::LakeStore;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// Name of a run: the job and a number that no other run of it has, such as `verify-41`.
///
/// `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId {
    /// The job.
    pub job: String,
    /// Grows from run to run, not by one.
    pub number: u64,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Seat,
    Run,
    Cancel,
    Memory,
}

/// The objects of all jobs.
#[derive(Debug, Clone)]
pub(super) struct Shelf(LakeStore);

/// What lies on the shelf under one kind.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Numbers of the objects, ascending.
    pub(super) numbers: Vec<u64>,
    /// Names of objects that are none of ours.
    pub(super) foreign: Vec<String>,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Seat => "seat",
            Self::Run => "runs",
            Self::Cancel => "cancel",
            Self::Memory => "memory",
        }
    }
}

impl Shelf {
    /// The shelf in a folder.
    pub(super) fn new(store: LakeStore) -> Self {
        Self(store)
    }

    fn path(&self, job: &str, kind: Kind, number: u64) -> Path {
        self.0.path(&format!("{job}/{}/{number:020}.json", kind.folder()))
    }

    pub(super) async fn list(&self, job: &str, kind: Kind) -> Result<Listed> {
        let folder = self.0.path(&format!("{job}/{}", kind.folder()));
        let objects: Vec<ObjectMeta> =
            self.0.object().list(Some(&folder)).try_collect().await.map_err(failed(&folder))?;
        let mut listed = Listed::default();
        for object in objects {
            let name = object.location.filename().unwrap_or_default();
            let number = name.strip_suffix(".json").and_then(|digits| digits.parse().ok());
            match number.filter(|number| self.path(job, kind, *number) == object.location) {
                Some(number) => listed.numbers.push(number),
                None => listed.foreign.push(object.location.to_string()),
            }
        }
        listed.numbers.sort_unstable();
        Ok(listed)
    }

    /// The object of a number; `None` if there is none.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        job: &str,
        kind: Kind,
        number: u64,
    ) -> Result<Option<T>> {
        let path = self.path(job, kind, number);
        let bytes = match self.0.object().get(&path).await {
            Ok(object) => object.bytes().await.map_err(failed(&path))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(&path)(e)),
        };
        let read = serde_json::from_slice(&bytes).map_err(|e| {
            let message = format!("{path} is not what was written: delete it");
            Error::new(ErrorKind::Damage, message).with_source(e)
        });
        read.map(Some)
    }

    /// Writes an object if there is none of its number; says whether there was none.
    pub(super) async fn create<T: Serialize>(
        &self,
        job: &str,
        kind: Kind,
        number: u64,
        value: &T,
    ) -> Result<bool> {
        let path = self.path(job, kind, number);
        let put = self.0.object().put_opts(&path, text(value)?.into(), PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(e) => Err(failed(&path)(e)),
        }
    }

    /// Writes an object in place of the one of its number.
    pub(super) async fn put<T: Serialize>(
        &self,
        job: &str,
        kind: Kind,
        number: u64,
        value: &T,
    ) -> Result<()> {
        let path = self.path(job, kind, number);
        let put = self.0.object().put(&path, text(value)?.into()).await;
        put.map(drop).map_err(failed(&path))
    }

    /// Deletes an object, if it is there.
    pub(super) async fn delete(&self, job: &str, kind: Kind, number: u64) -> Result<()> {
        let path = self.path(job, kind, number);
        match self.0.object().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(&path)(e)),
        }
    }
}

fn text<T: Serialize>(value: &T) -> Result<Bytes> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::internal("write a job's object").with_source(e))?;
    Ok(text.into())
}

fn failed(path: &Path) -> impl Fn(object_store::Error) -> Error + '_ {
    move |e| Error::new(ErrorKind::Unavailable, path.to_string()).with_source(e)
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.job, self.number)
    }
}

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (job, number) = text.rsplit_once('-')?;
            Some(Self { job: job.to_owned(), number: number.parse().ok()? })
        };
        parse().filter(|id| !id.job.is_empty() && id.to_string() == text).ok_or_else(|| {
            Error::request(format!(
                "run {text:?}: write it like verify-41; `barograph jobs history` lists the runs"
            ))
        })
    }
}

impl TryFrom<String> for RunId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}
