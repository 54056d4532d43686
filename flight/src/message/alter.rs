//! The messages of the action `alter`: what is asked, and how far it is.

use serde::{Deserialize, Serialize};

/// Which columns of a table become what. Columns that are declared and not stored are added, and wider types taken,
/// without being named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlterRequest {
    /// The table.
    pub table: String,
    /// Stored name and declared name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// Stored names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Whether only to say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far an alteration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterProgress {
    /// The table whose files are written anew.
    pub table: String,
    /// Rows written.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}

/// A message of the action's answer: any number that say how far it is, and one that says what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlterMessage {
    Progress(AlterProgress),
    Done(Vec<String>),
}
