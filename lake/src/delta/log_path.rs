//! The names of the objects in a Delta log, formatted and parsed.

use std::fmt;
use std::str::FromStr;

use crate::TableVersion;

/// Folder of the log below its table's folder.
pub(crate) const LOG_FOLDER: &str = "_delta_log";

/// Name of an object of the log that belongs to one version, below [`LOG_FOLDER`].
///
/// `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogName {
    pub(crate) version: TableVersion,
    pub(crate) kind: LogKind,
}

/// What an object of the log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// The actions of one commit.
    Commit,
    /// All that is true at the version.
    Checkpoint,
    /// A checksum that another writer left.
    Checksum,
}

impl LogName {
    /// The commit of a version.
    pub(crate) fn commit(version: TableVersion) -> Self {
        Self { version, kind: LogKind::Commit }
    }

    /// Path below the table's folder.
    pub(crate) fn path(self) -> String {
        format!("{LOG_FOLDER}/{self}")
    }
}

impl LogKind {
    fn suffix(self) -> &'static str {
        match self {
            Self::Commit => "json",
            Self::Checkpoint => "checkpoint.parquet",
            Self::Checksum => "crc",
        }
    }
}

/// The version of a checkpoint that only other programs write: one of several parts, or one with a name of its own, which
/// has its files beside it.
pub(crate) fn foreign_checkpoint(name: &str) -> Option<TableVersion> {
    let (digits, rest) = name.split_once('.')?;
    let rest = rest.strip_prefix("checkpoint.")?;
    let parts: Vec<&str> = rest.split('.').collect();
    let is_part = |part: &str| part.len() == 10 && part.bytes().all(|b| b.is_ascii_digit());
    let is_one = match parts[..] {
        [part, of, "parquet"] => is_part(part) && is_part(of),
        [id, "json" | "parquet"] => uuid::Uuid::parse_str(id).is_ok(),
        _ => false,
    };
    let commit: LogName = format!("{digits}.json").parse().ok().filter(|_| is_one)?;
    Some(commit.version)
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}.{}", self.version.get(), self.kind.suffix())
    }
}

impl FromStr for LogName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (digits, suffix) = text.split_once('.').ok_or(())?;
        let kind = [LogKind::Commit, LogKind::Checkpoint, LogKind::Checksum]
            .into_iter()
            .find(|kind| kind.suffix() == suffix)
            .ok_or(())?;
        if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(());
        }
        Ok(Self { version: TableVersion::new(digits.parse().map_err(|_| ())?), kind })
    }
}
