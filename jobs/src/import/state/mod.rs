//! The state of imports: how far each file has been imported, kept in a small file of JSON lines, so that an import
//! that was interrupted, or is repeated, goes on where it stopped.
//!
//! The first line holds all files and stagings; each line behind it how far one file is since then. When those are as
//! long as the first line, all are written anew, so that what is written grows with the files and no faster.
//!
//! A file is identified by its path, size and time of change, by its destination (server or folder, table) and by the
//! mapping: if any of them differs, it is another import.
//!
//! ```text
//! through a log    file, rows that are durable ──────────────────────────────► done
//! directly         staging: files, rows in runs, runs ──► fewer runs ──► … ──► its files are done
//! ```

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use barograph_lake::FileEntry;
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// What makes an import of a file the same as an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
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
pub(crate) struct FileProgress {
    /// The file.
    #[serde(flatten)]
    pub identity: Identity,
    /// Rows at the beginning of the file that are durable: in the table, or in runs of a staging.
    pub rows: u64,
    /// Whether that is all of them.
    pub done: bool,
}

/// A sorted run: a file in a table's folder that is not part of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The table.
    pub table: String,
    /// The file.
    #[serde(flatten)]
    pub file: FileEntry,
}

/// How far an import is whose rows are merged into the table when all of them are in runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Staging {
    /// The files that were begun, in the order in which they are read.
    pub files: Vec<FileProgress>,
    /// The runs that are not merged yet, in the order in which their rows were read.
    pub runs: Vec<Run>,
}

/// The state of imports, in memory and on disk. Held by one process at a time.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    files: BTreeMap<Place, FileProgress>,
    stagings: Vec<Staging>,
    lines: Option<Lines>,
    _lock: File,
}

/// What is the same of a file and its destination, however the file is changed or mapped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: PathBuf,
    target: String,
    table: String,
}

/// The file on disk, whose first line this process wrote.
#[derive(Debug)]
struct Lines {
    file: File,
    /// Bytes of the first line.
    first: usize,
    /// Bytes of the lines behind it.
    rest: usize,
}

/// The first line.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateHeader {
    files: Vec<FileProgress>,
    stagings: Vec<Staging>,
}

/// Bytes behind the first line that are never too many.
const LINES_BYTES: usize = 64 << 10;

impl Identity {
    /// The identity of a file as it is at this moment.
    pub(crate) fn of(path: &Path, target: &str, table: &str, mapping: u64) -> Result<Self> {
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

    /// Whether it is the same file with the same destination, however it was changed or is mapped.
    fn is_of(&self, other: &Self) -> bool {
        self.path == other.path && self.target == other.target && self.table == other.table
    }

    fn place(&self) -> Place {
        let (target, table) = (self.target.clone(), self.table.clone());
        Place { path: self.path.clone(), target, table }
    }
}

impl Staging {
    /// How far a file is, and whether that is its end.
    pub(crate) fn reached(&self, identity: &Identity) -> (u64, bool) {
        let file = self.files.iter().find(|file| file.identity == *identity);
        file.map_or((0, false), |file| (file.rows, file.done))
    }

    /// Sets how far a file is.
    pub(crate) fn reach(&mut self, identity: &Identity, rows: u64, done: bool) {
        // It is the last one nearly always.
        match self.files.iter_mut().rev().find(|file| file.identity == *identity) {
            Some(file) => (file.rows, file.done) = (rows, done),
            None => self.files.push(FileProgress { identity: identity.clone(), rows, done }),
        }
    }

    /// Whether `files` files were read to their end and all their rows are in the table.
    pub(crate) fn is_merged(&self, files: usize) -> bool {
        self.runs.is_empty() && self.files.len() == files && self.files.iter().all(|file| file.done)
    }

    /// Whether an import of `files` goes on with it: it has begun the first of them, in their order.
    fn is_of(&self, files: &[Identity]) -> bool {
        self.files.len() <= files.len()
            && self.files.iter().zip(files).all(|(file, wanted)| file.identity == *wanted)
    }

    fn holds(&self, identity: &Identity) -> bool {
        self.files.iter().any(|file| file.identity.is_of(identity))
    }
}

impl State {
    /// Reads the state in `path`; a file that is not there is an empty state.
    ///
    /// # Errors
    /// `Unavailable` if another process holds it, `Damage` if it cannot be understood.
    pub fn open(path: PathBuf) -> Result<Self> {
        let lock = lock(&path)?;
        let (mut files, mut stagings) = (BTreeMap::new(), Vec::new());
        match std::fs::read(&path) {
            Ok(bytes) => {
                let damaged = |e: serde_json::Error| {
                    Error::new(
                        ErrorKind::Damage,
                        format!(
                            "import state {}: delete it to import from the start",
                            path.display()
                        ),
                    )
                    .with_source(e)
                };
                let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
                let (first, rest) = bytes.split_at(first);
                let header: StateHeader = serde_json::from_slice(first).map_err(damaged)?;
                stagings = header.stagings;
                let mut found = header.files;
                // The last line is whole if it has an end: else its writing was cut short.
                for line in rest.split_inclusive(|byte| *byte == b'\n').skip(1) {
                    if line.ends_with(b"\n") {
                        found.push(serde_json::from_slice(line).map_err(damaged)?);
                    }
                }
                files.extend(found.into_iter().map(|file| (file.identity.place(), file)));
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(&path, e)),
        }
        Ok(Self { path, files, stagings, lines: None, _lock: lock })
    }

    /// Rows at the beginning of the file that are durable, and whether that is all of them.
    pub(crate) fn reached(&self, identity: &Identity) -> (u64, bool) {
        let file = self.files.get(&identity.place()).filter(|file| file.identity == *identity);
        file.map_or((0, false), |file| (file.rows, file.done))
    }

    /// Records how far a file is, on disk before it returns.
    pub(crate) fn record(&mut self, identity: &Identity, rows: u64, done: bool) -> Result<()> {
        let file = FileProgress { identity: identity.clone(), rows, done };
        let mut append = || {
            let mut line = serde_json::to_vec(&file)?;
            line.push(b'\n');
            Ok(match &mut self.lines {
                Some(lines) if lines.rest + line.len() <= lines.first.max(LINES_BYTES) => {
                    lines.file.write_all(&line)?;
                    lines.file.sync_data()?;
                    lines.rest += line.len();
                    true
                }
                _ => false,
            })
        };
        let appended = append().map_err(|e| failed(&self.path, e));
        self.files.insert(identity.place(), file);
        match appended {
            Ok(true) => Ok(()),
            Ok(false) => self.save(),
            Err(e) => {
                // A part of a line may stand there.
                self.lines = None;
                Err(e)
            }
        }
    }

    /// Forgets how far a file is.
    pub(crate) fn forget(&mut self, identity: &Identity) {
        let place = identity.place();
        if self.files.get(&place).is_some_and(|file| file.identity == *identity) {
            self.files.remove(&place);
        }
        self.give_up(|staging| staging.holds(identity));
    }

    /// The staging of an import of `files`, in this order; others that hold one of them are given up.
    pub(crate) fn staging(&mut self, files: &[Identity]) -> Staging {
        let at = self.stagings.iter().position(|staging| staging.is_of(files));
        let staging = at.map(|at| self.stagings.swap_remove(at)).unwrap_or_default();
        self.give_up(|other| files.iter().any(|file| other.holds(file)));
        staging
    }

    /// Records how far an import is, on disk before it returns.
    pub(crate) fn stage(&mut self, staging: &Staging) -> Result<()> {
        self.replace(staging);
        self.stagings.push(staging.clone());
        self.save()
    }

    /// Records that all rows of an import are in the table, on disk before it returns.
    pub(crate) fn finish(&mut self, staging: &Staging) -> Result<()> {
        self.replace(staging);
        let files = staging.files.iter().map(|file| (file.identity.place(), file.clone()));
        self.files.extend(files);
        self.save()
    }

    fn replace(&mut self, staging: &Staging) {
        self.give_up(|other| staging.files.iter().any(|file| other.holds(&file.identity)));
    }

    /// What is given up is gone from the disk with the next line that is written.
    fn give_up(&mut self, is_given_up: impl Fn(&Staging) -> bool) {
        let held = self.stagings.len();
        self.stagings.retain(|staging| !is_given_up(staging));
        if self.stagings.len() < held {
            self.lines = None;
        }
    }

    /// Writes all of it anew.
    fn save(&mut self) -> Result<()> {
        self.lines = None;
        let save = || {
            let beside = self.path.with_extension("new");
            let (files, stagings) = (self.files.values().cloned().collect(), self.stagings.clone());
            let mut line = serde_json::to_vec(&StateHeader { files, stagings })?;
            line.push(b'\n');
            let mut file = File::create(&beside)?;
            file.write_all(&line)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            File::open(folder(&self.path))?.sync_all()?;
            Ok(Lines { file, first: line.len(), rest: 0 })
        };
        self.lines = Some(save().map_err(|e| failed(&self.path, e))?);
        Ok(())
    }
}

/// Two imports at a time would forget what the other records.
fn lock(path: &Path) -> Result<File> {
    let open = || {
        std::fs::create_dir_all(folder(path))?;
        File::options().create(true).truncate(false).write(true).open(path.with_extension("lock"))
    };
    let file = open().map_err(|e| failed(path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "import state {}: another import has it: wait for its end, or name another with --state",
                path.display()
            ),
        )),
        Err(TryLockError::Error(e)) => Err(failed(path, e)),
    }
}

/// The folder that a file stands in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("import state {}", path.display()))
        .with_source(error)
}

#[cfg(test)]
mod tests;
