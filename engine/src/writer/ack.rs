//! The acknowledgement of a put: where the batch is in the log, and what its durability promises.

use barograph_lake::LogPosition;
use serde::{Deserialize, Serialize};

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Written to the log, not synced, and visible: survives the death of the process, not of the
    /// machine.
    Memory,
    /// Synced to the log's disk and visible: survives power loss.
    Disk,
    /// Acknowledged by the object store that holds the log, and visible: survives the loss of the machine. Only a log in
    /// such a store reaches it, whatever was asked for.
    Replicated,
}

/// The acknowledgement of one batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Position of the batch in the log.
    pub position: LogPosition,
    /// The level that was reached.
    pub durability: Durability,
    /// Rows that went into the table.
    pub accepted: u64,
    /// Rows that went to `dead_letters`.
    pub rejected: u64,
}
