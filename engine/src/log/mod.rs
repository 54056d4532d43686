//! The log: acknowledged batches in their order, on a local disk or in an object store (`shared`).
//!
//! It is the first home of every reading: a batch is acknowledged when its record stands here, and after a crash the
//! tail is filled again from here.
//!
//! ```text
//!  positions    8 ................ 67108800 ............ 134217520 ..........▶ end
//!  files        00…008.log         00…67108800.log       00…134217520.log
//!
//!  one file     ┌ header block, 4 KiB ────────────┐┌ group ┐┌ group ────────┐┌ group ┐
//!               │ first position, previous end, id││ h │ r ││ h │ r │ r │ r ││ h │ r │
//!               │ mark A, mark B: synced through  │└───────┘└───────────────┘└───────┘
//!               └─────────────────────────────────┘         ▲ one append = one group = one write
//! ```
//!
//! A position is a byte offset in the endless sequence of groups (`frame`). A segment file (`segment`)
//! holds a range of it. Opening reads every byte and decides between a torn end, which nobody was
//! promised, and damage, which stops (`scan`, `recovery`). `writer` appends, `replay` reads.

mod batch;
mod folder;
mod frame;
mod lost_range;
mod memory;
mod open;
mod recovery;
mod replay;
mod scan;
mod segment;
mod settings;
mod shared;
mod writer;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use barograph_lake::{LogPosition, Timestamp};
use bytes::Bytes;

use crate::{Error, Result};

pub use batch::{Batch, BatchId, Notice, Origin, Place, Placement};
pub use folder::discard;
pub use lost_range::LostRange;
pub use memory::{MemoryDisk, MemoryLog};
pub use settings::LogSettings;
pub use shared::{KnownFloor, Leader, SharedLog, announce, discard_shared, shared_log};
pub use writer::SegmentLog;

/// One batch of rows as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Table the rows belong to; at most 65,535 bytes.
    pub table: Arc<str>,
    /// Where the rows came from (a peer, a file); at most 65,535 bytes.
    pub source: String,
    /// When the platform accepted the rows, the same for all of them. µs.
    pub ingested_at: Timestamp,
    /// Number of rows in the body.
    pub rows: u32,
    /// The rows. The log does not look inside. After a replay it shares memory with the other bodies
    /// of its group.
    pub body: Bytes,
}

/// The findings of opening a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Whether there was no log, so that this one is new.
    pub fresh: bool,
    /// Whole records.
    pub records: u64,
    /// Bytes of the groups that hold them.
    pub bytes: u64,
    /// Bytes cut off the end: a group whose writing was interrupted, so that it was never acknowledged.
    pub torn_bytes: u64,
    /// Ranges that are damaged or missing and were accepted, at this opening or an earlier one.
    pub lost: Vec<LostRange>,
}

/// A durable sequence of records.
///
/// 1. `append` writes all of `records` or none, in their order. It returns a position for each;
///    positions grow strictly, over calls and over restarts, and are never given twice. Position 0 is
///    never given: it says of a file that nothing is known of its rows' positions.
/// 2. What `append` returned without `sync` survives the death of the process. What it returned with
///    `sync`, and everything before it, survives the death of the machine.
/// 3. An error of `append` means that no record of the call may be acknowledged. If writing failed, the
///    log is as it was before and takes the next append. If syncing failed, it is unknown what stands
///    on the disk: the log has stopped, and every later `append`, `sync` and `truncate` fails until it
///    is opened again, when the records of that call may turn up or not.
/// 4. `replay` visits every record whose position is `from` or larger, in order of position, each once
///    and equal to what was appended, synced or not. It stops at the first error of `visit` and returns
///    it. Damage is an error, never a gap; only what was accepted when opening is passed over.
/// 5. `truncate` is a hint: records below `below` may be gone afterwards, the others stay.
/// 6. `end` is larger than every position given so far, and no larger than any given later.
/// 7. A record over a bound is refused with [`ErrorKind::Request`](crate::ErrorKind::Request), a full
///    disk with [`ErrorKind::Resources`](crate::ErrorKind::Resources).
/// 8. A log that others append to, too, appends only behind records that its caller has seen: those that were there when
///    it was opened, its own, and those that `follow` has shown. Otherwise `append` writes nothing and fails with
///    [`ErrorKind::Behind`](crate::ErrorKind::Behind): the caller follows, and decides again. `follow` shows the records
///    of others, each once, in order of position, before any that is appended afterwards.
/// 9. If such a log does not know in time whether records were written, `append` fails with
///    [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), and takes the next append once it does know. If they were
///    written, `follow` shows them as it does those of others.
pub trait Log: Send + fmt::Debug {
    /// Whether `append` takes such records (promise 7), apart from the disk.
    fn check(&self, records: &[Record]) -> Result<()>;
    /// Writes `records`, syncs them if `sync`, and returns the position of each.
    fn append(&mut self, records: &[Record], sync: bool) -> Result<Vec<LogPosition>>;
    /// The same for batches, in one write. A log that keeps their ids leaves out those that it holds already, and those
    /// of a source that it holds through a later offset.
    fn append_batches(&mut self, batches: Vec<Batch>, sync: bool) -> Result<Vec<Placement>> {
        let lengths: Vec<usize> = batches.iter().map(|batch| batch.records.len()).collect();
        let records: Vec<Record> = batches.into_iter().flat_map(|batch| batch.records).collect();
        let mut positions = self.append(&records, sync)?.into_iter();
        let placed = |length| Placement::Appended(positions.by_ref().take(length).collect());
        Ok(lengths.into_iter().map(placed).collect())
    }
    /// Shows `visit` what others have appended (promise 8); nothing, if no others can.
    fn follow(&mut self, _visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>) -> Result<()> {
        Ok(())
    }
    /// Whether others append, too.
    fn is_shared(&self) -> bool {
        false
    }
    /// Whether this process appended last, or no other can: it lands.
    fn leads(&self) -> bool {
        true
    }
    /// The process that appended last; `None` if no others can, or nobody has.
    fn leader(&self) -> Option<Leader> {
        None
    }
    /// Makes this process the one that appended last, unless another is faster.
    fn take_lead(&mut self) -> Result<()> {
        Ok(())
    }
    /// The position below which no process needs anything, as far as this one knows; `None` if it is alone.
    fn floor(&self) -> Option<KnownFloor> {
        None
    }
    /// Whether the floor has passed the end of what this process has seen. `append` and `follow` fail with
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) then, until it is read anew.
    fn is_passed(&self) -> bool {
        false
    }
    /// Reads the log anew, from its floor to its end: with the next `follow` all records from there on are shown, also
    /// those that were shown before.
    fn read_anew(&mut self) -> Result<()> {
        Ok(())
    }
    /// Has the others told with the next append that a table is at a version.
    fn tell(&mut self, _notice: Notice) {}
    /// Appends what is to be told, if it was not appended with records.
    fn send_notices(&mut self) -> Result<()> {
        Ok(())
    }
    /// Tells the others that a table is at a version which answers have to show, and gives a position: who has come past
    /// it has been told. Fails as `append` does; `Behind`, too.
    fn announce(&mut self, _notice: Notice) -> Result<LogPosition> {
        Ok(self.end())
    }
    /// The group that this process appended last, for those who follow it: they are offered it.
    fn newest(&self) -> Option<(LogPosition, Bytes)> {
        None
    }
    /// Takes a group that another process says it has appended, and shows what is known of others' records by it without
    /// asking the store (promise 8). Fails if that is less than the group: `follow` shows it.
    fn offer(
        &mut self,
        _position: LogPosition,
        _group: Bytes,
        _visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        Ok(())
    }
    /// What others told since this was last asked.
    fn notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }
    /// Syncs everything appended. Called again without an append between, it also makes durable what
    /// the log notes about itself: worthwhile when idle and before a planned end.
    fn sync(&mut self) -> Result<()>;
    /// Shows `visit` the records from position `from` on.
    fn replay(
        &mut self,
        from: LogPosition,
        visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()>;
    /// Gives back space of records below `below`.
    fn truncate(&mut self, below: LogPosition) -> Result<()>;
    /// Shows records of others before the end that were found beside other work, and not shown yet.
    fn show_found(
        &mut self,
        _visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        Ok(())
    }
    /// A lower bound of the next record's position.
    fn end(&self) -> LogPosition;
    /// Bytes the log takes.
    fn bytes(&self) -> u64;
    /// Segments that it is divided into.
    fn segments(&self) -> u64 {
        1
    }
    /// The reason why it has stopped (promise 3), if it has.
    fn stopped(&self) -> Option<Error>;
}
