//! The note of a rewritten file: the entries of the files that hold its rows with other columns. An alteration that a
//! crash cut off is resumed from its notes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::stats;
use crate::schema::TableDeclaration;
use crate::{Error, FileEntry, FilePath, Result, TableSchema};

/// A file, and those that hold its rows with other columns.
#[derive(Debug)]
pub(crate) struct FileNote {
    pub(crate) old: FilePath,
    pub(crate) new: Vec<Arc<FileEntry>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    table: TableDeclaration,
    old: FilePath,
    new: Vec<StoredEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredEntry {
    path: FilePath,
    size: u64,
    stats: String,
}

impl FileNote {
    /// The note of `old`, whose rows are in `new` with the columns of `schema`.
    pub(crate) fn encode(
        schema: &TableSchema,
        old: &FilePath,
        new: &[Arc<FileEntry>],
    ) -> Result<Vec<u8>> {
        let entry = |entry: &Arc<FileEntry>| {
            let stats = stats::encode(schema, entry)?;
            Ok(StoredEntry { path: entry.path, size: entry.bytes, stats })
        };
        let new = new.iter().map(entry).collect::<Result<_>>()?;
        let note = Stored { table: schema.declaration().clone(), old: *old, new };
        serde_json::to_vec(&note).map_err(|e| Error::request("note of a file").with_source(e))
    }

    /// Reads a note; `None` if it is of other columns than those of `schema`, or cut off.
    pub(crate) fn decode(schema: &TableSchema, text: &[u8]) -> Result<Option<Self>> {
        let note: Option<Stored> = serde_json::from_slice(text).ok();
        let Some(note) = note.filter(|note| note.table == *schema.declaration()) else {
            return Ok(None);
        };
        let paths: Vec<String> = note.new.iter().map(|entry| entry.path.to_string()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let documents: Vec<&str> = note.new.iter().map(|entry| entry.stats.as_str()).collect();
        let stats = stats::decode(schema, &documents, &paths)?;
        let entry = |(entry, stats): (&StoredEntry, stats::FileStats)| {
            Arc::new(FileEntry {
                path: entry.path,
                bytes: entry.size,
                rows: stats.rows,
                keys: stats.keys,
                times: stats.times,
                columns: stats.columns,
            })
        };
        Ok(Some(Self { old: note.old, new: note.new.iter().zip(stats).map(entry).collect() }))
    }
}
