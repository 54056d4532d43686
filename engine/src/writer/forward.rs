//! The forwarding of submissions to the process that leads a shared log: one writer appends faster than several that
//! contend. Whatever the leader does not acknowledge, this process appends itself, under the same ids.
//!
//! ```text
//! group ─► leader ─── answer ──────────────► acknowledged once it is seen here
//!             └─ groups that it appends ───► applied while the answer is waited for
//! ```

use std::sync::Arc;
use std::time::Duration;

use barograph_lake::{LogId, LogPosition};
use futures::future::{Either, select};
use tokio::runtime::Handle;

use super::state::refuse;
use super::{State, Submission, Written};
use crate::cluster::{ForwardedBatch, ForwardedEntry, Peers};
use crate::log::{BatchId, Place};
use crate::{Error, ErrorKind, Result};

/// How long a leader may take for a group.
const FORWARD_WITHIN: Duration = Duration::from_secs(2);

/// The way to the others.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) peers: Arc<dyn Peers>,
    /// Where their connections live.
    pub(crate) runtime: Handle,
    /// Where others reach this process.
    pub(crate) address: String,
    /// The log that all of them append to.
    pub(crate) log: LogId,
}

impl State {
    /// Hands a group to the process that leads, if it is another and answers, and gives back what this one is to append.
    ///
    /// # Errors
    /// What poisons the writer. The group is refused.
    pub(super) fn hand_over(&mut self, group: Vec<Submission>) -> Result<Vec<Submission>> {
        let Some(address) = self.leader_address() else { return Ok(group) };
        // What the leader takes could not be seen here: the group is refused where it is to be appended.
        if self.awaits_tails {
            return Ok(group);
        }
        if group.iter().any(|submission| submission.is_forwarded) {
            return Ok(group);
        }
        let batches = group.iter().map(forwarded).collect();
        let answers = match self.send_to(&address, batches) {
            Err(error) => {
                refuse(group, &error);
                return Err(error);
            }
            Ok(Ok(answers)) if answers.len() == group.len() => answers,
            Ok(Ok(_)) => return Ok(group),
            Ok(Err(error)) => {
                tracing::debug!(%error, address, "the leader of the log did not take a group: this process appends it");
                return Ok(group);
            }
        };
        let (mut taken, mut mine) = (Vec::new(), Vec::new());
        for (submission, answer) in group.into_iter().zip(answers) {
            match answer {
                Ok(place) => taken.push((submission, place)),
                Err(error) => {
                    tracing::debug!(%error, address, "the leader of the log refused a batch: this process appends it");
                    mine.push(submission);
                }
            }
        }
        match self.acknowledge_taken(taken) {
            Ok(()) => Ok(mine),
            Err(error) => {
                refuse(mine, &error);
                Err(error)
            }
        }
    }

    /// Where the leader is reached; `None` if this process leads, or nobody can be asked.
    fn leader_address(&self) -> Option<String> {
        let forwarder = self.forwarder.as_ref()?;
        let leader = self.log.leader().filter(|leader| !leader.is_self)?;
        let is_other = !leader.address.is_empty() && leader.address != forwarder.address;
        is_other.then_some(leader.address)
    }

    /// The leader's answers. While they are waited for, which takes as long as a put of the store, rows of others are shown
    /// here. The outer error poisons the writer.
    fn send_to(
        &mut self,
        address: &str,
        batches: Vec<ForwardedBatch>,
    ) -> Result<Result<Vec<Result<Place>>>> {
        let Some(forwarder) = &self.forwarder else { return Ok(Ok(Vec::new())) };
        let (peers, runtime) = (Arc::clone(&forwarder.peers), forwarder.runtime.clone());
        let mut answer = peers.forward(address, forwarder.log, batches);
        let clock = Arc::clone(&self.clock);
        // A clock's sleep begins inside of the runtime.
        let mut late = Box::pin(async move {
            let late = clock.sleep(FORWARD_WITHIN);
            late.await;
        });
        let offered = Arc::clone(&self.offered);
        loop {
            let arrived = std::pin::pin!(offered.arrived());
            match runtime.block_on(select(select(&mut answer, &mut late), arrived)) {
                Either::Left((Either::Left((answers, _)), _)) => return Ok(answers),
                Either::Left((Either::Right(_), _)) => {
                    let seconds = FORWARD_WITHIN.as_secs();
                    let late = format!("{address} did not answer within {seconds} s");
                    return Ok(Err(Error::new(ErrorKind::Unavailable, late)));
                }
                Either::Right(_) => self.take_offered()?,
            }
        }
    }

    /// Follows to what the leader has appended, so that it can be seen here, and acknowledges it.
    fn acknowledge_taken(&mut self, taken: Vec<(Submission, Place)>) -> Result<()> {
        let newest = taken.iter().map(|(_, place)| place.position).max();
        let followed = self.follow_to(newest);
        for (Submission { reply, reservation, .. }, place) in taken {
            drop(reservation);
            let Place { position, ingested_at } = place;
            let answer = match &followed {
                Ok(true) => Ok(Written { position, ingested_at }),
                Ok(false) => Err(not_seen(position)),
                Err(error) => Err(error.again()),
            };
            let _ = reply.send(answer);
        }
        followed.map(drop)
    }
}

fn forwarded(submission: &Submission) -> ForwardedBatch {
    let entries = submission.entries.iter().map(|entry| ForwardedEntry {
        table: entry.table.schema.name().to_owned(),
        source: entry.source.clone(),
        body: entry.body.clone(),
    });
    ForwardedBatch { id: submission.id.unwrap_or_else(BatchId::random), entries: entries.collect() }
}

fn not_seen(position: LogPosition) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "the batch is in the log at position {position}, but the store does not show it here yet: send it again under its id"
        ),
    )
}
