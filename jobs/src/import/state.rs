//! How far has each file been imported? Kept in a small JSON file, so that an import that was
//! interrupted, or is repeated, goes on where it stopped.
//!
//! A file is known by its path, size and time of change, by where it goes (server or folder, table)
//! and by the mapping: if any of them differs, it is another import.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// What makes an import of a file the same as an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where the rows go.
    pub target: String,
    /// Table they go to.
    pub table: String,
    /// The file, as an absolute path.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was changed last, µs since the Unix epoch.
    pub changed: i64,
    /// Fingerprint of the mapping, as hexadecimal digits.
    pub mapping: String,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    identity: Identity,
    /// Rows at the beginning of the file that are durable.
    rows: u64,
    /// Whether that is all of them.
    done: bool,
}

/// How far files are, in memory and on disk.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Identity {
    /// The identity of a file as it is at this moment.
    pub fn of(path: &Path, target: &str, table: &str, mapping: u64) -> Result<Self> {
        let failed = |e: std::io::Error| Error::request(path.display().to_string()).with_source(e);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let changed = metadata.modified().map_err(failed)?.duration_since(UNIX_EPOCH);
        Ok(Self {
            target: target.to_owned(),
            table: table.to_owned(),
            path: std::fs::canonicalize(path).map_err(failed)?,
            bytes: metadata.len(),
            changed: changed
                .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            mapping: format!("{mapping:016x}"),
        })
    }
}

impl State {
    /// Reads the state in `path`; a file that is not there is an empty state.
    pub fn open(path: PathBuf) -> Result<Self> {
        let entries = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::new(
                    ErrorKind::Damage,
                    format!("import state {}: delete it to import from the start", path.display()),
                )
                .with_source(e)
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(failed(&path, e)),
        };
        Ok(Self { path, entries })
    }

    /// Rows at the beginning of the file that are durable, and whether that is all of them.
    pub fn reached(&self, identity: &Identity) -> (u64, bool) {
        let entry = self.entries.iter().find(|entry| entry.identity == *identity);
        entry.map_or((0, false), |entry| (entry.rows, entry.done))
    }

    /// Records how far a file is, on disk before it returns.
    pub fn record(&mut self, identity: &Identity, rows: u64, done: bool) -> Result<()> {
        let same = |entry: &Entry| {
            entry.identity.path == identity.path
                && entry.identity.target == identity.target
                && entry.identity.table == identity.table
        };
        self.entries.retain(|entry| !same(entry));
        self.entries.push(Entry { identity: identity.clone(), rows, done });
        self.save().map_err(|e| failed(&self.path, e))
    }

    /// Forgets how far a file is.
    pub fn forget(&mut self, identity: &Identity) {
        self.entries.retain(|entry| entry.identity != *identity);
    }

    fn save(&self) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(&self.entries)?)?;
        std::fs::rename(&beside, &self.path)
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("import state {}", path.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_is_recorded_is_found_again_until_the_file_or_mapping_changes() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("rows.csv");
        std::fs::write(&data, "a\n1\n").unwrap();
        let identity = |mapping| Identity::of(&data, "here", "readings", mapping).unwrap();
        let path = folder.path().join("state/imports.json");
        let mut state = State::open(path.clone()).unwrap();
        assert_eq!(state.reached(&identity(1)), (0, false));
        state.record(&identity(1), 7, false).unwrap();
        state.record(&identity(1), 9, true).unwrap();

        let mut state = State::open(path.clone()).unwrap();
        assert_eq!(state.reached(&identity(1)), (9, true));
        assert_eq!(state.reached(&identity(2)), (0, false));
        let elsewhere = Identity { target: "there".to_owned(), ..identity(1) };
        assert_eq!(state.reached(&elsewhere), (0, false));
        state.forget(&identity(1));
        assert_eq!(state.reached(&identity(1)), (0, false));

        std::fs::write(&data, "a\n1\n2\n").unwrap();
        let state = State::open(path.clone()).unwrap();
        assert_eq!(state.reached(&identity(1)), (0, false));
        std::fs::write(&path, "no json").unwrap();
        assert!(State::open(path).unwrap_err().to_string().contains("delete it"));
    }
}
