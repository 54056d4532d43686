//! How far has each file been imported? Kept in a small JSON file, so that an import that was
//! interrupted, or is repeated, goes on where it stopped.
//!
//! A file is known by its path, size and time of change, by where it goes (server or folder, table)
//! and by the mapping: if any of them differs, it is another import.
//!
//! ```text
//! through a log    file, rows that are durable ──────────────────────────────► done
//! directly         staging: files, rows in runs, runs ──► fewer runs ──► … ──► its files are done
//! ```

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use barograph_lake::FileEntry;
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
pub struct Reached {
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
pub struct Run {
    /// The table.
    pub table: String,
    /// The file.
    #[serde(flatten)]
    pub file: FileEntry,
}

/// How far an import is whose rows are merged into the table when all of them are in runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Staging {
    /// The files that were begun, in the order in which they are read.
    pub files: Vec<Reached>,
    /// The runs that are not merged yet, in the order in which their rows were read.
    pub runs: Vec<Run>,
}

/// How far files are, in memory and on disk. Held by one process at a time.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
    told: Told,
    _lock: File,
}

/// What stands on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    files: Vec<Reached>,
    stagings: Vec<Staging>,
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

    /// Whether it is the same file with the same destination, however it was changed or is mapped.
    fn is_of(&self, other: &Self) -> bool {
        self.path == other.path && self.target == other.target && self.table == other.table
    }
}

impl Staging {
    /// How far a file is, and whether that is its end.
    pub fn reached(&self, identity: &Identity) -> (u64, bool) {
        reached(&self.files, identity)
    }

    /// Says how far a file is.
    pub fn reach(&mut self, identity: &Identity, rows: u64, done: bool) {
        match self.files.iter_mut().find(|file| file.identity == *identity) {
            Some(file) => (file.rows, file.done) = (rows, done),
            None => self.files.push(Reached { identity: identity.clone(), rows, done }),
        }
    }

    /// Whether `files` files were read to their end and all their rows are in the table.
    pub fn is_merged(&self, files: usize) -> bool {
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
        let told = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                Error::new(
                    ErrorKind::Damage,
                    format!("import state {}: delete it to import from the start", path.display()),
                )
                .with_source(e)
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Told::default(),
            Err(e) => return Err(failed(&path, e)),
        };
        Ok(Self { path, told, _lock: lock })
    }

    /// Rows at the beginning of the file that are durable, and whether that is all of them.
    pub fn reached(&self, identity: &Identity) -> (u64, bool) {
        reached(&self.told.files, identity)
    }

    /// Records how far a file is, on disk before it returns.
    pub fn record(&mut self, identity: &Identity, rows: u64, done: bool) -> Result<()> {
        self.told.files.retain(|file| !file.identity.is_of(identity));
        self.told.files.push(Reached { identity: identity.clone(), rows, done });
        self.save()
    }

    /// Forgets how far a file is.
    pub fn forget(&mut self, identity: &Identity) {
        self.told.files.retain(|file| file.identity != *identity);
        self.told.stagings.retain(|staging| !staging.holds(identity));
    }

    /// How far an import of `files`, in this order, is; others that hold one of them are given up.
    pub fn staging(&mut self, files: &[Identity]) -> Staging {
        let at = self.told.stagings.iter().position(|staging| staging.is_of(files));
        let staging = at.map(|at| self.told.stagings.swap_remove(at)).unwrap_or_default();
        self.told.stagings.retain(|other| !files.iter().any(|file| other.holds(file)));
        staging
    }

    /// Records how far an import is, on disk before it returns.
    pub fn stage(&mut self, staging: &Staging) -> Result<()> {
        self.replace(staging);
        self.told.stagings.push(staging.clone());
        self.save()
    }

    /// Records that all rows of an import are in the table, on disk before it returns.
    pub fn finish(&mut self, staging: &Staging) -> Result<()> {
        self.replace(staging);
        for file in &staging.files {
            self.told.files.retain(|other| !other.identity.is_of(&file.identity));
        }
        self.told.files.extend(staging.files.iter().cloned());
        self.save()
    }

    fn replace(&mut self, staging: &Staging) {
        let of = |other: &Staging| staging.files.iter().any(|file| other.holds(&file.identity));
        self.told.stagings.retain(|other| !of(other));
    }

    fn save(&self) -> Result<()> {
        let save = || {
            let beside = self.path.with_extension("new");
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec(&self.told)?)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            File::open(folder(&self.path))?.sync_all()
        };
        save().map_err(|e| failed(&self.path, e))
    }
}

fn reached(files: &[Reached], identity: &Identity) -> (u64, bool) {
    let file = files.iter().find(|file| file.identity == *identity);
    file.map_or((0, false), |file| (file.rows, file.done))
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
