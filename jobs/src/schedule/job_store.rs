//! The objects of a job, by their paths: each kind is a register.
//!
//! ```text
//! jobs/verify/seat/00000000000000000042.json      the lease of the job, its 42nd entry
//! jobs/verify/runs/00000000000000000041.json      the record of the run verify-41
//! jobs/verify/cancel/00000000000000000041.json    a request to stop that run
//! jobs/rollup/memory/00000000000000000007.json    the state of the job from run to run
//! ```

use std::fmt;
use std::str::FromStr;

use barograph_lake::LakeStore;
use barograph_lake::register::{Entry, Register};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::RunRecord;
use crate::{Error, Result};

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
    Lease,
    Run,
    Cancel,
    State,
}

/// The objects of all jobs.
#[derive(Debug, Clone)]
pub(super) struct JobStore(LakeStore);

/// A value as it is written; what is told apart by nothing else is the same if it is equal.
#[derive(Debug)]
pub(super) struct Document<T>(pub(super) T);

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Lease => "seat",
            Self::Run => "runs",
            Self::Cancel => "cancel",
            Self::State => "memory",
        }
    }
}

impl JobStore {
    /// The objects in a folder.
    pub(super) fn new(store: LakeStore) -> Self {
        Self(store)
    }

    /// The objects of one kind that belong to a job.
    pub(super) fn register<T: Entry>(&self, job: &str, kind: Kind) -> Register<T> {
        Register::new(&self.0, format!("{job}/{}", kind.folder()))
    }

    /// The records of the runs of a job.
    pub(super) fn runs(&self, job: &str) -> Register<Document<RunRecord>> {
        self.register(job, Kind::Run)
    }

    /// The requests to stop runs of a job.
    pub(super) fn cancels(&self, job: &str) -> Register<Document<Value>> {
        self.register(job, Kind::Cancel)
    }
}

impl<T: Serialize + DeserializeOwned> Entry for Document<T> {
    fn encode(&self) -> barograph_lake::Result<Bytes> {
        text(&self.0)
    }

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    fn is_same(&self, found: &Self) -> bool {
        let [own, found] = [self, found].map(|document| serde_json::to_value(&document.0).ok());
        own.is_some() && own == found
    }
}

/// A value as it is written.
pub(super) fn text<T: Serialize>(value: &T) -> barograph_lake::Result<Bytes> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| {
        let kind = barograph_lake::ErrorKind::Internal;
        barograph_lake::Error::new(kind, "cannot serialize an object of a job").with_source(e)
    })?;
    Ok(text.into())
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
