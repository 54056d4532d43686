//! The other processes that share a log: how they are reached, which there are, and who leads when one is gone.
//!
//! Correctness rests on none of it: any process may append at any time (ADR 33). A batch that a follower is given goes to
//! the leader, which spares both of them contention; if the leader does not answer, the follower appends it. `members`
//! are the processes as the store lists them; the module `watch` above keeps this one's entry and asks for the leader.
//! `feed` hands the groups of a leader to those that follow it, past the store.

mod feed;
mod members;

use std::fmt;

use barograph_lake::{LogId, LogPosition};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::Result;
use crate::log::{BatchId, Place};

pub use feed::AppendedGroup;
pub(crate) use feed::{Feed, Offered};
pub(crate) use members::Members;
pub use members::{Member, Role};

/// The way to the other processes that share a log; given by whoever serves an engine to clients.
///
/// 1. `is_alive` says whether the process at an address answers, takes batches, and is not about to stop.
/// 2. `forward` hands batches over in their order, to the engine there (`Engine::accept_forwarded`), and gives one answer
///    for each, in order. If it fails, or is dropped, any of them may have been taken or not.
///
/// 3. `groups` gives the groups that the process at an address appends while it leads (`Engine::groups` there). Without it
///    the engine looks into the store.
///
/// Both name the log: an address that a process had may be that of one with another log.
///
/// The engine bounds how long it waits for an answer.
pub trait Peers: fmt::Debug + Send + Sync {
    /// See promise 1.
    fn is_alive<'a>(&'a self, address: &'a str) -> BoxFuture<'a, bool>;
    /// See promise 2.
    fn forward<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
        batches: Vec<ForwardedBatch>,
    ) -> BoxFuture<'a, Result<Vec<Result<Place>>>>;
    /// See promise 3.
    fn groups<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<AppendedGroup>>>>;
}

/// A batch that one process has validated and another is to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedBatch {
    /// Its identity: appended by both processes, it counts once.
    pub id: BatchId,
    /// What goes in together, in order.
    pub entries: Vec<ForwardedEntry>,
}

/// Rows of one table in a forwarded batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedEntry {
    /// The table.
    pub table: String,
    /// Where the rows came from.
    pub source: String,
    /// The rows as an Arrow IPC stream of one batch, as the log keeps them.
    pub body: Bytes,
}

/// How far behind the end of its log an engine may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It has applied everything before.
    pub position: LogPosition,
    pub leads: bool,
    /// For how long it has not known that it is at the end.
    pub behind: std::time::Duration,
}
