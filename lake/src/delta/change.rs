//! The operation of a commit, and its change: the hours and keys whose rows differ after it.

use std::fmt;

use crate::{Hour, Key};

/// The operation of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The table is created.
    Create,
    /// Rows land in hours that had none.
    Land,
    /// Rows land in hours that had some.
    Merge,
    /// The same rows move to other files.
    Compact,
    /// Rows of foreign files are imported.
    Import,
    /// Rows expire by age.
    Expire,
    /// Rows are deleted on request.
    Delete,
    /// The files of an earlier version are active again.
    Restore,
    /// Rows that another program wrote move to files of the table.
    Adopt,
    /// Value columns are added.
    AddColumns,
    /// Value columns are added or widened.
    ChangeColumns,
    /// Value columns are dropped or renamed.
    AlterColumns,
    /// The description of the table changes.
    Describe,
}

/// The rows that differ after a commit. What is computed from them is out of date from its version on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// None: the same rows stand in other files.
    Moved,
    /// Rows of some hours.
    Rows {
        /// The hours, ascending.
        hours: Vec<Hour>,
        /// The only keys, ascending; `None` if it may be any.
        keys: Option<Vec<Key>>,
    },
    /// All rows.
    All,
}

impl Operation {
    /// Its name in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE TABLE",
            Self::Land => "LAND",
            Self::Merge => "MERGE",
            Self::Compact => "FOLD",
            Self::Import => "IMPORT",
            Self::Expire => "EXPIRE",
            Self::Delete => "DELETE",
            Self::Restore => "RESTORE",
            Self::Adopt => "ADOPT",
            Self::AddColumns => "ADD COLUMNS",
            Self::ChangeColumns => "CHANGE COLUMNS",
            Self::AlterColumns => "ALTER COLUMNS",
            Self::Describe => "SET TBLPROPERTIES",
        }
    }
}

impl Change {
    /// A change of rows of `hours`, which may be in any order.
    pub fn of(hours: impl IntoIterator<Item = Hour>, keys: Option<Vec<Key>>) -> Self {
        let mut hours: Vec<Hour> = hours.into_iter().collect();
        hours.sort_unstable();
        hours.dedup();
        Self::Rows { hours, keys }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
