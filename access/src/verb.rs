//! The verbs of access: what a caller does.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a caller does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Reads rows of a table.
    Read,
    /// Puts rows into a table.
    Write,
    /// Deletes rows of a table.
    Delete,
    /// Runs what keeps tables in order: lands rows, and puts dead letters again.
    Jobs,
    /// Sees how the server is and what others ask: the tables of `system`, the texts of all queries, and metrics.
    Observe,
    /// Hands on batches of the log, as servers of one log do.
    Peer,
    /// Does everything.
    Admin,
}

impl Verb {
    /// Whether it is about one table; the others are about the server.
    pub fn is_of_table(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Delete)
    }

    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Jobs => "jobs",
            Self::Observe => "observe",
            Self::Peer => "peer",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
