//! Lost ranges of the log: damaged or missing, and accepted as lost by an operator.
//!
//! The bytes of a damaged range stay as they are, for later study. The accepted loss is recorded beside them in
//! `accepted-damage.json`, so that later starts need no flag, which would hide new damage.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use barograph_lake::LogPosition;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, failed};
use crate::{Error, ErrorKind, Result};

const FILE: &str = "accepted-damage.json";

/// A range of the log that is damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRange {
    /// Name of the segment file.
    pub segment: String,
    /// Bytes of the file; empty if the file, or that part of it, is missing.
    pub bytes: Range<u64>,
    /// Positions whose records are lost; empty if only a header is damaged. Where it is unknown how much
    /// was written, the range ends far behind all that can have been.
    pub positions: Range<LogPosition>,
    /// What is wrong.
    pub reason: String,
}

impl LostRange {
    fn covers(&self, other: &Self) -> bool {
        self.segment == other.segment
            && self.bytes.start <= other.bytes.start
            && self.bytes.end >= other.bytes.end
            && self.positions.start <= other.positions.start
            && self.positions.end >= other.positions.end
    }
}

impl fmt::Display for LostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.segment)?;
        if !self.bytes.is_empty() {
            write!(f, " bytes {}..{}", self.bytes.start, self.bytes.end)?;
        }
        write!(f, ": {}", self.reason)?;
        if self.positions.is_empty() {
            return f.write_str(" (no record is lost by that)");
        }
        write!(f, " (lost: positions {}..{})", self.positions.start, self.positions.end)
    }
}

/// Refuses what is in `found` and neither accepted before nor, by `accept`, at this opening; what is
/// accepted for the first time is noted durably.
pub(super) fn accept(folder: &Folder, found: &[LostRange], accept: bool) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut known = read(folder.path())?;
    let new: Vec<_> = found
        .iter()
        .filter(|lost| !known.iter().any(|known| known.covers(lost)))
        .cloned()
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    if !accept {
        return Err(refusal(folder.path(), &new));
    }
    known.extend(new);
    write(folder, &known)
}

fn refusal(folder: &Path, lost: &[LostRange]) -> Error {
    const SHOWN: usize = 8;
    let mut message = format!("log {} is damaged: ", folder.display());
    for (index, lost) in lost.iter().take(SHOWN).enumerate() {
        message.push_str(if index > 0 { "; " } else { "" });
        message.push_str(&lost.to_string());
    }
    if lost.len() > SHOWN {
        message.push_str(&format!("; and {} more", lost.len() - SHOWN));
    }
    message.push_str(
        ". Restore an undamaged copy of the folder, or start once with --accept-log-damage to continue without what is lost",
    );
    Error::new(ErrorKind::Damage, message)
}

fn read(folder: &Path) -> Result<Vec<LostRange>> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
            let message = format!(
                "{} cannot be read: delete it and start once with --accept-log-damage",
                path.display()
            );
            Error::new(ErrorKind::Damage, message).with_source(e)
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed("reading", &path, e)),
    }
}

fn write(folder: &Folder, lost: &[LostRange]) -> Result<()> {
    let path = folder.path().join(FILE);
    let unfinished = path.with_extension("json.tmp");
    let make = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec_pretty(lost)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)
    };
    make().map_err(|e| failed("writing", &path, e))?;
    folder.sync()
}
