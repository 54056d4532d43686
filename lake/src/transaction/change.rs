//! What a commit is for, and whose rows are others after it.

use std::fmt;

use crate::{Hour, Key};

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// The table is made.
    Create,
    /// Rows come into hours that had none.
    Land,
    /// Rows come into hours that had some.
    Merge,
    /// The same rows go into other files.
    Compact,
    /// Rows of files of other makers come in.
    Import,
    /// Rows that are too old go.
    Expire,
    /// Rows go that somebody asked to be deleted.
    Delete,
    /// The files of an earlier version are active again.
    Restore,
    /// Rows that another program wrote go into files of the table.
    Adopt,
    /// Value columns come.
    AddColumns,
    /// Value columns come, or have room for more values.
    ChangeColumns,
    /// Value columns go, or get other names.
    AlterColumns,
    /// The table is described otherwise.
    Describe,
}

/// Whose rows are others after a commit. What is computed of them is out of date from its version on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nobody's: the same rows stand in other files.
    Moved,
    /// Those of some hours.
    Rows {
        /// The hours, ascending.
        hours: Vec<Hour>,
        /// The only keys, ascending; `None` if that may be any.
        keys: Option<Vec<Key>>,
    },
    /// Everybody's.
    All,
}

impl Operation {
    /// What the history calls it.
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
    /// That rows of `hours`, in any order, may be others.
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
