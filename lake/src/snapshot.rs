//! A snapshot of a table: the files that are active at one version, and the selection of those that a read can touch.
//!
//! The files stand in order of time as an interval index, so that the cost of planning grows with the hours touched,
//! not with the table. The periods of two files are disjoint, or they are the same and the files divide it by keys;
//! so every row belongs to one file.

mod deletion_vector;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use deletion_vector::DeletionVector;

use crate::{
    FilePath, Hour, Key, KeySelection, Span, TableSchema, TableVersion, TimeRange, Timestamp,
};

/// An active file with what its Delta entry says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the table's folder.
    pub path: FilePath,
    /// Size of the object.
    pub bytes: u64,
    /// Number of rows, more than zero.
    pub rows: u64,
    /// Smallest and largest key, both present in the file.
    pub keys: (Key, Key),
    /// Smallest and largest instant, both present in the file.
    pub times: (Timestamp, Timestamp),
    /// Statistics of every column of the table's Arrow schema, in its order.
    pub columns: Vec<ColumnStats>,
}

impl FileEntry {
    /// The hours from its first row to its last. An hour between them may have no row.
    pub fn hours(&self) -> impl Iterator<Item = Hour> + use<> {
        let (first, last) = self.times;
        std::iter::successors(Hour::of(first), |hour| Some(hour.next()))
            .take_while(move |hour| hour.start() <= last)
    }
}

/// A file that another program made part of the table. Its rows stand in any order, and of any hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    /// Its path as the log has it: below the table's folder, percent-encoded.
    pub path: String,
    /// Size of the object.
    pub bytes: u64,
    /// The rows of it that are deleted, if any.
    pub deleted: Option<DeletionVector>,
}

/// Why this program does not go on from a version that another made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incompatibility {
    /// What is the matter, in words.
    pub(crate) why: String,
    pub(crate) of: IncompatibilityKind,
}

/// What is incompatible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IncompatibilityKind {
    /// Versions or features of the Delta protocol.
    Protocol,
    /// Columns that come to those of the table, and others which it could have.
    NewColumns,
    /// Columns that are not those of the table.
    Columns,
    /// Anything else.
    Use,
}

impl ForeignFile {
    /// Its path below the table's folder as it is called there.
    pub(crate) fn decoded(&self) -> String {
        decoded(&self.path)
    }
}

/// A path below a table's folder as it is called there, of one that is percent-encoded.
pub(crate) fn decoded(path: &str) -> String {
    let decoded = object_store::path::Path::from_url_path(path);
    decoded.map_or_else(|_| path.to_owned(), |decoded| decoded.to_string())
}

/// What is known of one column in one file. Minimum and maximum are exact; absent where a column
/// holds only nulls or is text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ColumnStats {
    /// Smallest value, as JSON in the Delta entry's form.
    pub min: Option<serde_json::Value>,
    /// Largest value.
    pub max: Option<serde_json::Value>,
    /// Number of nulls.
    pub nulls: u64,
}

/// The active files of a table at one version. Immutable; made anew by [`Snapshot::apply`].
#[derive(Debug, Clone)]
pub struct Snapshot {
    version: TableVersion,
    /// By (period, smallest key).
    files: Vec<Arc<FileEntry>>,
    expired_through: Option<Hour>,
    committed_at: Option<Timestamp>,
    foreign_files: Arc<[ForeignFile]>,
    incompatibility: Option<Arc<Incompatibility>>,
    own: Option<TableVersion>,
}

/// The smallest step from one commit's time to the next one's: Delta counts milliseconds.
const STEP: Span = Span::millis(1);
/// A commit that is dated further ahead than this was made by a clock that was wrong, and later ones do not follow it.
pub(crate) const AHEAD_MAX: Span = Span::DAY;

impl Snapshot {
    /// A snapshot of `files`, in any order.
    pub fn new(version: TableVersion, mut files: Vec<Arc<FileEntry>>) -> Self {
        files.sort_by_key(|file| (file.path.period().start(), file.keys.0));
        Self {
            version,
            files,
            expired_through: None,
            committed_at: None,
            foreign_files: Arc::default(),
            incompatibility: None,
            own: None,
        }
    }

    /// The same with those files of other programs, and why this one does not go on from it, if it does not.
    pub(crate) fn with_foreign_files(
        self,
        others: Vec<ForeignFile>,
        incompatibility: Option<Incompatibility>,
    ) -> Self {
        Self {
            foreign_files: others.into(),
            incompatibility: incompatibility.map(Arc::new),
            ..self
        }
    }

    /// The same, whose newest commit another program made, the one of `own` this one.
    pub(crate) fn with_own(self, own: Option<TableVersion>) -> Self {
        Self { own, ..self }
    }

    /// Active files that other programs wrote.
    pub fn foreign_files(&self) -> &[ForeignFile] {
        &self.foreign_files
    }

    /// The newest version that this program made, if others have made one since: this version itself, or one before.
    pub(crate) fn own(&self) -> Option<TableVersion> {
        self.own
    }

    /// Whether other programs have committed changes that are not adopted yet.
    pub fn has_foreign_commits(&self) -> bool {
        self.own.is_some() || !self.foreign_files.is_empty()
    }

    /// Why this program does not go on from this version, which another made.
    pub(crate) fn incompatibility(&self) -> Option<&Incompatibility> {
        self.incompatibility.as_deref()
    }

    /// The same, whose commit says that it was made then.
    pub(crate) fn committed(self, at: Option<Timestamp>) -> Self {
        Self { committed_at: at, ..self }
    }

    /// When its commit says that it was made.
    pub(crate) fn committed_at(&self) -> Option<Timestamp> {
        self.committed_at
    }

    /// The time of a commit after this version by a clock that says `now`: times of commits grow, even where clocks
    /// step back.
    pub(crate) fn commit_time(&self, now: Timestamp) -> Timestamp {
        let now = now.floor_to(STEP);
        match self.committed_at {
            Some(at) if at < now.saturating_add(AHEAD_MAX) => now.max(at.saturating_add(STEP)),
            _ => now,
        }
    }

    /// The same, of which rows of the hours through this one may have gone by age.
    pub(crate) fn expired(self, through: Option<Hour>) -> Self {
        Self { expired_through: through, ..self }
    }

    /// The snapshot after a commit that removed and added files.
    pub fn apply(
        &self,
        version: TableVersion,
        removed: &[FilePath],
        added: Vec<Arc<FileEntry>>,
    ) -> Self {
        let removed: HashSet<_> = removed.iter().collect();
        let mut files: Vec<_> =
            self.files.iter().filter(|file| !removed.contains(&file.path)).cloned().collect();
        files.extend(added);
        let after = Self::new(version, files).expired(self.expired_through);
        Self {
            committed_at: self.committed_at,
            foreign_files: Arc::clone(&self.foreign_files),
            ..after
        }
    }

    /// The same under `schema`, whose columns are those of `before`, in any order, and others, which are null in
    /// every file.
    pub(crate) fn under(mut self, before: &TableSchema, schema: &TableSchema) -> Self {
        let fields = schema.arrow().fields().iter();
        let places: Vec<_> =
            fields.map(|field| before.arrow().index_of(field.name()).ok()).collect();
        if places.iter().enumerate().all(|(at, place)| *place == Some(at)) {
            return self;
        }
        for file in &mut self.files {
            let known = |place: &Option<usize>| {
                let known = place.and_then(|place| file.columns.get(place).cloned());
                known.unwrap_or(ColumnStats { nulls: file.rows, ..ColumnStats::default() })
            };
            let columns = places.iter().map(known).collect();
            *file = Arc::new(FileEntry { columns, ..FileEntry::clone(file) });
        }
        self
    }

    /// Shares the entries that `other` has too, because many entries take much memory.
    pub fn sharing(mut self, other: &Self) -> Self {
        let known: HashMap<_, _> = other.files.iter().map(|file| (file.path, file)).collect();
        for file in &mut self.files {
            if let Some(same) = known.get(&file.path) {
                *file = Arc::clone(same);
            }
        }
        self
    }

    /// The files that are active here and not in `other`, in order of time.
    pub fn without(&self, other: &Self) -> Vec<Arc<FileEntry>> {
        let known: HashSet<_> = other.files.iter().map(|file| file.path).collect();
        self.files.iter().filter(|file| !known.contains(&file.path)).cloned().collect()
    }

    /// The version.
    pub fn version(&self) -> TableVersion {
        self.version
    }

    /// The last hour whose rows may have expired. What was computed of this hour and those before it cannot be
    /// computed again.
    pub fn expired_through(&self) -> Option<Hour> {
        self.expired_through
    }

    /// All active files in order of time.
    pub fn files(&self) -> &[Arc<FileEntry>] {
        &self.files
    }

    /// The files that are the home of `hour`, ascending by their keys; none if it has not landed. Rows of
    /// keys that lie in none of them have their home in the last that begins before them, or the first.
    pub fn files_of_hour(&self, hour: Hour) -> &[Arc<FileEntry>] {
        let start = hour.start();
        let first = self.files.partition_point(|file| file.path.period().end() <= start);
        let last = self.files.partition_point(|file| file.path.period().start() <= start);
        self.files.get(first..last).unwrap_or_default()
    }

    /// Whether the file is active.
    pub fn is_active(&self, path: &FilePath) -> bool {
        let start = path.period().start();
        let first = self.files.partition_point(|file| file.path.period().start() < start);
        let files = self.files.get(first..).unwrap_or_default().iter();
        files.take_while(|file| file.path.period().start() == start).any(|file| file.path == *path)
    }

    /// The active files, period by period.
    pub fn periods(&self) -> impl DoubleEndedIterator<Item = &[Arc<FileEntry>]> {
        self.files.chunk_by(|file, then| file.path.period() == then.path.period())
    }

    /// Two files that could both hold the same row, if there are such.
    pub fn find_overlap(&self) -> Option<[&Arc<FileEntry>; 2]> {
        self.files.windows(2).find_map(|pair| match pair {
            [a, b] if !are_disjoint(a, b) => Some([a, b]),
            _ => None,
        })
    }

    /// The files that may hold a row of `keys` in `time`, in order of time.
    pub fn prune(
        &self,
        keys: &KeySelection,
        time: TimeRange,
    ) -> impl DoubleEndedIterator<Item = &Arc<FileEntry>> {
        let first = self.files.partition_point(|file| file.path.period().end() <= time.from);
        let last = self.files.partition_point(|file| file.path.period().start() < time.to);
        self.files.get(first..last.max(first)).unwrap_or_default().iter().filter(move |file| {
            time.touches(file.times.0, file.times.1) && keys.touches(file.keys.0, file.keys.1)
        })
    }
}

/// The range of keys that belongs to each of the files of a period, ascending like the files: all keys together.
pub fn key_ranges(files: &[Arc<FileEntry>]) -> impl Iterator<Item = KeySelection> {
    let next = files.iter().skip(1).map(|file| Some(file.keys.0));
    let last = next.chain([None]).map(|next| next.map_or(Key::MAX, Key::previous));
    let first = files.iter().enumerate();
    let first = first.map(|(at, file)| if at == 0 { Key::MIN } else { file.keys.0 });
    first.zip(last).map(|(from, to)| KeySelection::Range { from, to })
}

/// Whether no row can belong to both files, of which `a` stands first.
pub(crate) fn are_disjoint(a: &FileEntry, b: &FileEntry) -> bool {
    let (earlier, later) = (a.path.period(), b.path.period());
    if earlier == later { a.keys.1 < b.keys.0 } else { earlier.end() <= later.start() }
}
