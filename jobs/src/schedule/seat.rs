//! Who runs a job? At most one process at a time, by numbered objects that are put if absent.
//!
//! ```text
//! 1 free ─► 2 taken by A until 10:00:30 ─► 3 A again, until 10:00:40 ─► 4 free, or taken by B once 3 is over
//! ```
//!
//! The object of the highest number holds. Taking, renewing and giving back each put the next number,
//! so that of two who decide on the same state exactly one is let through, on any store that can put if
//! absent. Lower numbers are deleted; the highest never is, and so never falls. Who meets a gap that a
//! deletion left finds out by listing again after the put.

use std::sync::Arc;

use barograph_engine::Clock;
use barograph_lake::{Micros, Span};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::instants;
use super::shelf::{Kind, Shelf};
use crate::{Error, ErrorKind, Result};

/// How often the newest seat is looked for because it was replaced while it was read.
const TRIES: usize = 16;

/// Who has a job's seat, and what is known of the job besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Number of the object.
    #[serde(skip)]
    pub(super) number: u64,
    /// Who wrote it.
    pub by: String,
    /// Until when it is taken; absent if it is free.
    #[serde(with = "instants::optional")]
    pub until: Option<Micros>,
    /// How long a lease lasts; absent in what older programs wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Span>,
    /// Number of the run that it was taken for last.
    pub run: u64,
    /// The last time at which the job was due and a run was begun for it, or the time at which the job
    /// was seen first.
    #[serde(with = "instants")]
    pub slot: Micros,
    /// Whether the run came to an end that nothing is to follow.
    pub ended: bool,
    /// How many runs in a row before the one it is taken for were cut off by the death of their process.
    pub deaths: u32,
}

/// Takes and gives back seats in the name of one process.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    shelf: Shelf,
    clock: Arc<dyn Clock>,
    lease: Span,
    by: String,
}

/// What became of an attempt to take or keep a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is ours, as said here.
    Ours(Seat),
    /// Another was first.
    Lost,
}

impl Seat {
    /// Until when somebody has it, as of `now`. A lease that ends later than one can was given by a clock that was
    /// set back since, and is over.
    pub fn taken_until(&self, now: Micros) -> Option<Micros> {
        let until = self.until.filter(|until| now < *until)?;
        let longest = self.lease.map_or(Micros::MAX, |lease| lease.micros().saturating_mul(2));
        (until.saturating_sub(now) <= longest).then_some(until)
    }

    /// Whether somebody has it at `now`.
    pub fn is_taken(&self, now: Micros) -> bool {
        self.taken_until(now).is_some()
    }

    /// Whether it was taken by somebody who gave no sign of life in time.
    pub fn is_abandoned(&self, now: Micros) -> bool {
        self.until.is_some() && !self.is_taken(now)
    }
}

impl Seats {
    pub(super) fn new(shelf: Shelf, clock: Arc<dyn Clock>, lease: Span, by: String) -> Self {
        Self { shelf, clock, lease, by }
    }

    /// The seat of a job; made, free, if the job was never seen.
    pub(super) async fn read(&self, job: &str) -> Result<Seat> {
        if let Some(seat) = self.peek(job).await? {
            return Ok(seat);
        }
        let free = Seat {
            number: 1,
            by: self.by.clone(),
            until: None,
            lease: None,
            run: 0,
            slot: self.clock.now(),
            ended: true,
            deaths: 0,
        };
        self.shelf.create(job, Kind::Seat, 1, &free).await?;
        self.peek(job).await?.ok_or_else(|| unsteady(job))
    }

    /// The seat of a job; `None` if the job was never seen.
    pub(super) async fn peek(&self, job: &str) -> Result<Option<Seat>> {
        for _ in 0..TRIES {
            let Some(&number) = self.shelf.list(job, Kind::Seat).await?.numbers.last() else {
                return Ok(None);
            };
            if let Some(seat) = self.shelf.get::<Seat>(job, Kind::Seat, number).await? {
                let lease = seat.lease.or(Some(self.lease));
                return Ok(Some(Seat { number, lease, ..seat }));
            }
        }
        Err(unsteady(job))
    }

    /// Takes the seat for a new run, whose number is that of the seat. `seen` is what it was decided on.
    pub(super) async fn take(&self, job: &str, seen: &Seat, slot: Micros) -> Result<Taken> {
        let now = self.clock.now();
        if seen.is_taken(now) {
            return Ok(Taken::Lost);
        }
        let number = seen.number + 1;
        let seat = Seat {
            number,
            // Unlike any other, so that what was written is recognised.
            by: format!("{} {}", self.by, Uuid::new_v4().simple()),
            until: Some(self.end_of_lease(now)),
            lease: Some(self.lease),
            run: number,
            slot,
            ended: false,
            deaths: if seen.is_abandoned(now) { seen.deaths.saturating_add(1) } else { 0 },
        };
        self.write(job, seat).await
    }

    /// Keeps the seat for another lease. It is lost where it was over before, even if nobody took it.
    pub(super) async fn renew(&self, job: &str, ours: &Seat) -> Result<Taken> {
        let now = self.clock.now();
        if ours.is_abandoned(now) {
            return Ok(Taken::Lost);
        }
        let (until, lease) = (Some(self.end_of_lease(now)), Some(self.lease));
        self.write(job, Seat { number: ours.number + 1, until, lease, ..ours.clone() }).await
    }

    /// Gives the seat back; `ended` unless the run is to be continued by whoever comes.
    pub(super) async fn give_back(&self, job: &str, ours: &Seat, ended: bool) -> Result<Taken> {
        let seat = Seat { number: ours.number + 1, until: None, ended, deaths: 0, ..ours.clone() };
        self.write(job, seat).await
    }

    fn end_of_lease(&self, now: Micros) -> Micros {
        now.saturating_add(self.lease.micros())
    }

    /// Puts a seat if there is none of its number, and makes sure that it is the newest.
    async fn write(&self, job: &str, seat: Seat) -> Result<Taken> {
        let number = seat.number;
        let seat = match self.shelf.create(job, Kind::Seat, number, &seat).await {
            Ok(true) => seat,
            // A put whose reply was lost, now or when it was first tried, is ours all the same.
            Ok(false) | Err(_) => match self.shelf.get::<Seat>(job, Kind::Seat, number).await? {
                Some(there) if there.by == seat.by && there.run == seat.run => {
                    Seat { number, ..there }
                }
                Some(_) => return Ok(Taken::Lost),
                None => {
                    let message = format!("the seat of the job {job} could not be written");
                    return Err(Error::new(ErrorKind::Unavailable, message));
                }
            },
        };
        let numbers = self.shelf.list(job, Kind::Seat).await?.numbers;
        if numbers.last().is_some_and(|newest| *newest > number) {
            self.shelf.delete(job, Kind::Seat, number).await?;
            return Ok(Taken::Lost);
        }
        for older in numbers.into_iter().filter(|older| *older < number) {
            self.shelf.delete(job, Kind::Seat, older).await?;
        }
        Ok(Taken::Ours(seat))
    }
}

fn unsteady(job: &str) -> Error {
    let message = format!("the seat of the job {job} changes faster than it can be read");
    Error::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
#[path = "seat/tests.rs"]
mod tests;
