//! The shared log: one order of groups in an object store, to which any process appends at the end by put-if-absent.
//!
//! ```text
//!  _log/groups/  …4096.group ─► …5120.group ─► …9784.group ─►        each named by its position,
//!                 ▲ floor          ▲ checkpoint    ▲ end             which is the end of the one before
//!  _log/floor/   …000.json  …001.json
//! ```
//!
//! The process that appended last is the leader. It alone lands, and others forward to it: for speed. Nothing depends on
//! who leads: a group that two processes put at one position stands there once, and the other applies it and appends
//! behind it (ADR 33).
//!
//! `protocol` decides what to do, without doing anything; `state` is what the groups say together, `floor` what a process
//! knows of clean-up, `group` the layout of an object. `log` keeps the promises of a log, `drive` does what the
//! protocol commands, by `io` and `objects`; `notices` are versions of tables that processes tell each other.

mod ahead;
mod announce;
mod cursor;
mod drive;
mod floor;
mod group;
mod in_flight;
mod io;
mod log;
mod message;
mod notices;
mod objects;
mod protocol;
mod state;
#[cfg(test)]
mod tests;

pub use announce::announce;
pub use floor::KnownFloor;
pub use log::{Leader, SharedLog};
pub use objects::{discard_shared, shared_log};
