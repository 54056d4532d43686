//! The paths of a table's objects, and the one place that formats and parses them.
//!
//! ```text
//! readings/_delta_log/00000000000000000042.json              commit of version 42
//! readings/hour/2026-11-22T10/00000000000000123456-1f0c….parquet
//! readings/day/2026-11-21/…   readings/month/2026-10/…
//!          tier period        log position         random id
//! readings/_landed/00000000000000123456-1f0c….json
//!                  largest position     random id
//! readings/_deletions/00000000000000000042-1f0c….json
//!                     version              random id
//! readings/_altered/00000000000000123456-1f0c….json
//!                   name of the rewritten file
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Period, Result, Tier};

/// A place in the log of readings. Positions grow from 1 on; a row's position is that of its record.
///
/// Invariants: 0 stands before every record; `Display` (20 digits) and `FromStr` are inverse.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
#[repr(transparent)]
pub struct LogPosition(u64);

/// A version of a table in the lake: the number of its Delta commit.
///
/// Invariants: 0 is the version that made the table; `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct TableVersion(u64);

impl LogPosition {
    /// The place of a number.
    #[inline]
    pub const fn new(position: u64) -> Self {
        Self(position)
    }

    /// As a number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl TableVersion {
    /// The version of a number.
    #[inline]
    pub const fn new(version: u64) -> Self {
        Self(version)
    }

    /// As a number.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Path of a data file below its table's folder.
///
/// The name carries the log position through which the rows of its period are in the lake, so that a
/// replay after a crash skips what is already there; position 0 says that nothing is known of it.
/// Invariant: `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct FilePath {
    period: Period,
    through: LogPosition,
    id: Uuid,
}

impl FilePath {
    /// A new path, unlike any other.
    pub fn new(period: impl Into<Period>, through: LogPosition) -> Self {
        Self { period: period.into(), through, id: Uuid::new_v4() }
    }

    /// The time whose rows the file holds: all of them, or those of its keys.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Folder of the file below the table's folder.
    pub fn folder(&self) -> String {
        format!("{}/{}", self.period.tier(), self.period)
    }

    /// The log position through which rows of the period are in the lake.
    pub fn through(&self) -> LogPosition {
        self.through
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}-{}.parquet", self.folder(), self.through, self.id.simple())
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.to_string()
    }
}

impl TryFrom<String> for FilePath {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for FilePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let (tier, rest) = text.split_once('/')?;
            let (period, name) = rest.split_once('/')?;
            let (through, id) = name.strip_suffix(".parquet")?.split_once('-')?;
            Some(Self {
                period: Period::parse(tier.parse::<Tier>().ok()?, period).ok()?,
                through: through.parse().ok()?,
                id: Uuid::try_parse(id).ok()?,
            })
        };
        // One object has one name: `7` for `00000000000000000007` is another object.
        parse().filter(|path| path.to_string() == text).ok_or_else(|| {
            Error::damage(format!(
                "data file path {text:?} is not of the form TIER/PERIOD/POSITION-ID.parquet"
            ))
        })
    }
}

/// Path of a watermark below its table's folder: what has landed of hours whose file does not say it.
///
/// Invariant: `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatermarkPath {
    through: LogPosition,
    id: Uuid,
}

impl WatermarkPath {
    /// A new path, unlike any other.
    pub(crate) fn new(through: LogPosition) -> Self {
        Self { through, id: Uuid::new_v4() }
    }

    /// The largest log position in the watermark.
    pub(crate) fn through(&self) -> LogPosition {
        self.through
    }
}

/// Folder of the watermarks below its table's folder. Delta Lake leaves names that begin so to others.
pub(crate) const WATERMARKS_FOLDER: &str = "_landed";

impl fmt::Display for WatermarkPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WATERMARKS_FOLDER}/{}-{}.json", self.through, self.id.simple())
    }
}

impl FromStr for WatermarkPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let name = text.strip_prefix(WATERMARKS_FOLDER)?.strip_prefix('/')?;
            let (through, id) = name.strip_suffix(".json")?.split_once('-')?;
            Some(Self { through: through.parse().ok()?, id: Uuid::try_parse(id).ok()? })
        };
        parse().filter(|path| path.to_string() == text).ok_or_else(|| {
            Error::damage(format!(
                "path of a watermark {text:?} is not of the form {WATERMARKS_FOLDER}/POSITION-ID.json"
            ))
        })
    }
}

/// Folder below its table's folder of notes of files that were written anew with other columns.
pub(crate) const ALTERED_FOLDER: &str = "_altered";

/// Path of a note of a file below its table's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotePath(FilePath);

impl NotePath {
    /// The path of the note of a file.
    pub(crate) fn of(file: &FilePath) -> Self {
        Self(*file)
    }
}

impl fmt::Display for NotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALTERED_FOLDER}/{}-{}.json", self.0.through, self.0.id.simple())
    }
}

/// Path of the record of a deletion below its table's folder.
///
/// Invariant: `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeletionPath {
    version: TableVersion,
    id: Uuid,
    begun: bool,
}

/// Folder of the records of deletions below their table's folder.
pub(crate) const DELETIONS_FOLDER: &str = "_deletions";

impl DeletionPath {
    /// A new path, unlike any other, of a deletion that is about to make `version`.
    pub(crate) fn begun(version: TableVersion) -> Self {
        Self { version, id: Uuid::new_v4(), begun: true }
    }

    /// The path of the same deletion when it has made its version.
    pub(crate) fn done(self) -> Self {
        Self { begun: false, ..self }
    }

    /// Whether it is not known to have made its version.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun
    }

    /// The version that the deletion makes.
    pub(crate) fn version(&self) -> TableVersion {
        self.version
    }
}

impl fmt::Display for DeletionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, id) = (self.version.0, self.id.simple());
        let state = if self.begun { "begun" } else { "json" };
        write!(f, "{DELETIONS_FOLDER}/{version:020}-{id}.{state}")
    }
}

impl FromStr for DeletionPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let name = text.strip_prefix(DELETIONS_FOLDER)?.strip_prefix('/')?;
            let (name, state) = name.split_once('.')?;
            let (version, id) = name.split_once('-')?;
            let version = version.parse().ok()?;
            Some(Self { version, id: Uuid::try_parse(id).ok()?, begun: state == "begun" })
        };
        parse().filter(|path| path.to_string() == text).ok_or_else(|| {
            Error::damage(format!(
                "path of a deletion {text:?} is not of the form {DELETIONS_FOLDER}/VERSION-ID.json"
            ))
        })
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

impl FromStr for LogPosition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse()
            .map(Self)
            .map_err(|e| Error::request(format!("log position {text:?}")).with_source(e))
    }
}

impl fmt::Display for TableVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TableVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse()
            .map(Self)
            .map_err(|e| Error::request(format!("version {text:?}")).with_source(e))
    }
}
