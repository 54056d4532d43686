//! The events that lead the protocol, and the commands that it gives.

use bytes::Bytes;

use super::super::batch::{Batch, Notice, Placement};
use super::super::frame::Flaw;
use super::group::Group;
use super::state::Verdict;

/// What happens to the machine.
#[derive(Debug)]
pub(super) enum Event {
    /// Start: nothing is known yet.
    Start,
    /// Batches arrived. One append at a time: its reply comes before the next.
    Append(Append),
    /// Nobody waits for the append's reply any more. If its put is under way it stays under way.
    Abandon,
    /// Look for groups of others.
    Follow,
    /// A group that another process says it has appended.
    Offered(u64, Bytes),
    /// The time that `Command::Pause` asked for is over.
    Again,
    Put(Put),
    Got(u64, Got),
    /// Positions of groups, ascending; a hint.
    Listed(Option<Vec<u64>>),
    /// The floor, and whether the log was fresh when it was set.
    Floor(Option<FloorRead>),
}

/// An append.
#[derive(Debug, Clone, Default)]
pub(super) struct Append {
    /// The end as the caller saw it: it has been shown everything before.
    pub at: u64,
    pub batches: Vec<Batch>,
    /// Positions after it are at least this. An append without batches writes an empty group.
    pub end_min: u64,
    /// Told to the others in the same group.
    pub notices: Vec<Notice>,
}

/// A put's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Created,
    Exists,
    /// Timeout, lost reply, an error of the server.
    Unknown,
}

/// A get's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Got {
    Object(Bytes),
    NotFound,
    Failed,
}

/// What the newest floor object says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FloorRead {
    pub floor: u64,
    /// No group came before it, so that the first one holds no checkpoint.
    pub fresh: bool,
}

/// What is to be done. Each of the first four is answered by one event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Put(u64, Bytes),
    Get(u64),
    List(u64),
    ReadFloor,
    /// Send `Again` after a while: the store failed, or does not say what became of the put.
    Pause,
    /// A group is in the log: show those of its batches that count.
    Publish(Box<Published>),
    Reply(Reply),
    /// Everything that was there has been published.
    CaughtUp,
    /// The floor has passed the end: what this process knows is too old to go on from.
    Reopen {
        floor: u64,
    },
    Damaged {
        position: u64,
        flaw: Flaw,
    },
}

/// A group in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Published {
    pub object: Bytes,
    pub group: Group,
    /// Of each of its batches.
    pub verdicts: Vec<Verdict>,
    /// It is the running append's, whose reply follows.
    pub own: bool,
}

/// The answer to an append.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Acknowledged: where each batch stands.
    Placed(Vec<Placement>),
    /// Nothing was written: others have appended, which has been published.
    Behind,
    /// It will not be known what became of it.
    Open,
}
