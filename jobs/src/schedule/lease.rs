//! The lease of a job: a numbered object, put if absent, which at most one process at a time holds while it runs the
//! job.
//!
//! ```text
//! 1 free ─► 2 taken by A until 10:00:30 ─► 3 A again, until 10:00:40 ─► 4 free, or taken by B once 3 is over
//! ```
//!
//! The entry of the highest number in a [`Register`] counts. Taking, renewing and giving back each put the next
//! number, so that of two processes that decide on the same state exactly one succeeds.

use std::sync::Arc;

use barograph_engine::Clock;
use barograph_lake::register::{Entry, Put, Register};
use barograph_lake::{Span, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::instants;
use super::job_store::{JobStore, Kind, text};
use crate::{Error, ErrorKind, Result};

/// The lease of a job: who holds it, until when, and for which run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Number of the object.
    #[serde(skip)]
    pub(super) number: u64,
    /// Who wrote it.
    pub by: String,
    /// Until when it is taken; absent if it is free.
    #[serde(with = "instants::optional")]
    pub until: Option<Timestamp>,
    /// How long it lasts; absent in what older programs wrote.
    #[serde(rename = "lease", default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Number of the run that it was taken for last.
    pub run: u64,
    /// The last time at which the job was due and a run was begun for it, or the time at which the job
    /// was seen first.
    #[serde(with = "instants")]
    pub slot: Timestamp,
    /// Whether the run came to an end that nothing is to follow.
    pub ended: bool,
    /// How many runs in a row before the one it is taken for were cut off by the death of their process.
    pub deaths: u32,
}

/// The leases of all jobs, as one process takes and gives them back.
#[derive(Debug, Clone)]
pub(super) struct Leases {
    store: JobStore,
    clock: Arc<dyn Clock>,
    duration: Span,
    by: String,
}

/// The outcome of an attempt to take or keep a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// The lease is ours, as it says.
    Ours(Lease),
    /// Another was first.
    Lost,
}

impl Lease {
    /// The end of the lease that is held at `now`, if one is. A lease that ends later than one can was given by a
    /// clock that was set back since, and is over.
    pub(crate) fn taken_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.until.filter(|until| now < *until)?;
        let longest = self.duration.map_or(Span::MAX, |duration| duration * 2);
        (until.since(now) <= longest).then_some(until)
    }

    /// Whether the lease is held at `now`.
    pub(crate) fn is_taken(&self, now: Timestamp) -> bool {
        self.taken_until(now).is_some()
    }

    /// Whether the lease was taken by a process that did not renew it in time.
    pub(crate) fn is_abandoned(&self, now: Timestamp) -> bool {
        self.until.is_some() && !self.is_taken(now)
    }
}

impl Entry for Lease {
    fn encode(&self) -> barograph_lake::Result<Bytes> {
        text(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The process that took it wrote a name unlike any other. Of a lease that was renewed twice the first entry,
    /// which ends earlier, may stand.
    fn is_same(&self, found: &Self) -> bool {
        (&self.by, self.run) == (&found.by, found.run)
    }
}

impl Leases {
    pub(super) fn new(store: JobStore, clock: Arc<dyn Clock>, duration: Span, by: String) -> Self {
        Self { store, clock, duration, by }
    }

    /// The lease of a job; created, free, if the job was never seen.
    pub(super) async fn read(&self, job: &str) -> Result<Lease> {
        if let Some(lease) = self.peek(job).await? {
            return Ok(lease);
        }
        let free = Lease {
            number: 1,
            by: self.by.clone(),
            until: None,
            duration: None,
            run: 0,
            slot: self.clock.now(),
            ended: true,
            deaths: 0,
        };
        match self.register(job).put(1, &free).await? {
            Put::Made | Put::Found(_) | Put::Taken => {}
            Put::Unknown(error) => return Err(error.into()),
        }
        self.peek(job).await?.ok_or_else(|| {
            let message = format!("the lease of the job {job} was written but cannot be found");
            Error::new(ErrorKind::Unavailable, message)
        })
    }

    /// The lease of a job; `None` if the job was never seen.
    pub(super) async fn peek(&self, job: &str) -> Result<Option<Lease>> {
        let newest = self.register(job).newest().await?;
        Ok(newest.map(|(number, lease)| self.numbered(number, lease)))
    }

    fn numbered(&self, number: u64, lease: Lease) -> Lease {
        Lease { number, duration: lease.duration.or(Some(self.duration)), ..lease }
    }

    fn register(&self, job: &str) -> Register<Lease> {
        self.store.register(job, Kind::Lease)
    }

    /// Takes the lease for a new run, which has its number. `seen` is the lease that the decision was made on.
    pub(super) async fn take(&self, job: &str, seen: &Lease, slot: Timestamp) -> Result<Taken> {
        let now = self.clock.now();
        if seen.is_taken(now) {
            return Ok(Taken::Lost);
        }
        let number = seen.number + 1;
        let lease = Lease {
            number,
            // Unlike any other, so that what was written is recognised.
            by: format!("{} {}", self.by, Uuid::new_v4().simple()),
            until: Some(self.end_of_lease(now)),
            duration: Some(self.duration),
            run: number,
            slot,
            ended: false,
            deaths: if seen.is_abandoned(now) { seen.deaths.saturating_add(1) } else { 0 },
        };
        self.write(job, lease).await
    }

    /// Renews the lease. It is lost if it was over before, even if no other process took it.
    pub(super) async fn renew(&self, job: &str, ours: &Lease) -> Result<Taken> {
        let now = self.clock.now();
        if ours.is_abandoned(now) {
            return Ok(Taken::Lost);
        }
        let (until, duration) = (Some(self.end_of_lease(now)), Some(self.duration));
        self.write(job, Lease { number: ours.number + 1, until, duration, ..ours.clone() }).await
    }

    /// Gives the lease back; `ended` unless another run is to continue this one.
    pub(super) async fn give_back(&self, job: &str, ours: &Lease, ended: bool) -> Result<Taken> {
        let lease =
            Lease { number: ours.number + 1, until: None, ended, deaths: 0, ..ours.clone() };
        self.write(job, lease).await
    }

    fn end_of_lease(&self, now: Timestamp) -> Timestamp {
        now + self.duration
    }

    /// Puts the entry after the one that the decision was made on.
    async fn write(&self, job: &str, lease: Lease) -> Result<Taken> {
        let number = lease.number;
        match self.register(job).advance(number, &lease).await? {
            Put::Made => Ok(Taken::Ours(lease)),
            // The lease that stands there counts, which may end earlier.
            Put::Found(there) => Ok(Taken::Ours(self.numbered(number, there))),
            Put::Taken => Ok(Taken::Lost),
            Put::Unknown(error) => {
                let message = format!("the lease of the job {job} could not be written");
                Err(Error::new(ErrorKind::Unavailable, message).with_source(error))
            }
        }
    }
}

#[cfg(test)]
#[path = "lease/tests.rs"]
mod tests;
