//! The direct import: history gets into the lake without a log. It is sorted into runs beside the table, which are
//! then merged into files of hours, days and months, beside live ingestion.
//!
//! ```text
//! files ──stage──► sorted runs, one a period and spill ──merge, period by period──► one commit each
//!                  recorded: a killed import goes on       merged again, the same rows change nothing
//! ```
//!
//! A row goes where compaction would have brought it by now. The files mark no row of the log as landed: rows that a
//! server has acknowledged and not landed stay in its log, and win.

mod letter_ids;
mod merge;
mod place;
mod prepare;
mod sorted;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_engine::dead_letters;
use barograph_engine::internal::Threads;
use barograph_engine::validate::Rules;
use barograph_lake::{LakeStore, LakeTable, Snapshot, TableSchema, TableVersion};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use self::merge::Merge;
use self::place::Places;
use self::prepare::{Into, Prepare};
use self::stage::{Gathering, Stage};
use super::mapping::Mapping;
use super::reading::Reading;
use super::replaced::SeenRows;
use super::run::{FileSummary, Options, Stop};
use super::state::{Identity, Run, Staging, State};
use crate::compact::CompactionSettings;
use crate::{Error, Result};

/// Runs that are looked for at a time.
const LOOKED_FOR_AT_ONCE: usize = 16;

/// An import of files into a table of a lake.
#[derive(Debug)]
pub struct DirectImport {
    /// The tables.
    pub lake: LakeStore,
    /// The lake, under the name that the state uses.
    pub target: String,
    /// The table.
    pub table: Arc<TableSchema>,
    /// The rules for valid rows.
    pub rules: Rules,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The compaction settings: they place rows in periods, and bound the files of months.
    pub compaction: CompactionSettings,
    /// The mapping of columns.
    pub mapping: Mapping,
    /// The options of the import.
    pub options: Options,
    /// The request to stop, looked at between pieces.
    pub stop: Stop,
}

/// The progress of an import.
#[derive(Debug)]
pub enum ImportEvent<'a> {
    /// Rows of a file that were read, those of earlier runs included.
    Read {
        /// The file.
        path: &'a Path,
        /// Rows.
        rows: u64,
    },
    /// Rows that are in the table.
    Merged {
        /// The table.
        table: &'a str,
        /// Rows.
        rows: u64,
        /// Rows in all.
        of: u64,
    },
    /// A note for the caller.
    Note(String),
}

/// The result of an import.
#[derive(Debug, Default, PartialEq)]
pub struct Imported {
    /// The summary of each file.
    pub files: Vec<FileSummary>,
    /// The figures of the merge.
    pub merged: Merged,
    /// The tables that it changed, and the last version of each that it made.
    pub committed: Vec<(String, TableVersion)>,
    /// Whether it was asked to stop before its end.
    pub stopped: bool,
}

/// The figures of a merge into tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Merged {
    /// Hours, days and months.
    pub periods: u64,
    /// Files that were written for them; none for a period that held the same rows.
    pub files: u64,
    /// Rows of runs.
    pub rows: u64,
}

impl DirectImport {
    /// Imports files, later ones over earlier ones. When it returns `Ok` and was not stopped, every row of the files
    /// is in the table or in `dead_letters`, and `state` says so. `imported` tells what was done, also after an error.
    ///
    /// # Errors
    /// `Request` if a file does not fit, before any row is read; `Input` if one cannot be read to its end; what the
    /// store fails with. The same import goes on from there.
    pub async fn run(
        &self,
        paths: &[PathBuf],
        state: &mut State,
        imported: &mut Imported,
        report: &mut (dyn FnMut(ImportEvent<'_>) + Send),
    ) -> Result<()> {
        let files = self.left(paths, state, imported)?;
        if files.is_empty() {
            return Ok(());
        }
        let (table, base) = self.open(&self.table).await?;
        let (letters, letters_base) = self.open(&Arc::new(dead_letters::schema()?)).await?;
        let mut staging = self.staging(&files, [&table, &letters], state, report).await?;
        let threads = Threads::for_rewrite("barograph-import", cores())?;
        let prepare = Prepare {
            table: self.into(&table, base),
            letters: self.into(&letters, letters_base),
            rules: self.rules.clone(),
            ids: letter_ids::reserve(&self.lake).await?,
            clock: Arc::clone(&self.clock),
        };
        let mut stage = Stage {
            prepare: Arc::new(prepare),
            options: &self.options,
            stop: &self.stop,
            on: threads.handle()?.clone(),
            staging: &mut staging,
            rows: Gathering::new(table.clone()),
            letters: Gathering::new(letters.clone()),
            seen: SeenRows::default(),
            writing: None,
        };
        let mut read = Staging { files: stage.staging.files.clone(), runs: Vec::new() };
        for (path, identity) in &files {
            let reading = Reading::open(path, &self.table, &self.mapping, &self.options)?;
            let file = stage.file(path, identity, reading, &mut read, state, report).await?;
            let stopped = file.stopped;
            imported.files.push(file);
            if stopped {
                break;
            }
        }
        stage.settle(&read, state).await?;
        for table in [&table, &letters] {
            if !self.stop.is_stopped() {
                let mut merge = Merge::begin(self, table, &threads).await?;
                let merged = merge.runs(&mut staging, state, report).await;
                if let Some(version) = merge.committed() {
                    imported.committed.push((table.schema().name().to_owned(), version));
                }
                let merged = merged?;
                imported.merged.periods += merged.periods;
                imported.merged.files += merged.files;
                imported.merged.rows += merged.rows;
            }
        }
        imported.stopped = self.stop.is_stopped() && !staging.is_merged(files.len());
        if imported.stopped { Ok(()) } else { state.finish(&staging) }
    }

    /// The files that were not imported before, each once; every one of them fits the table.
    fn left<'a>(
        &self,
        paths: &'a [PathBuf],
        state: &mut State,
        imported: &mut Imported,
    ) -> Result<Vec<(&'a Path, Identity)>> {
        let fingerprint = self.mapping.fingerprint();
        let mut left: Vec<(&Path, Identity)> = Vec::new();
        let mut known = HashSet::with_capacity(paths.len());
        for path in paths {
            let identity = Identity::of(path, &self.target, self.table.name(), fingerprint)?;
            if !known.insert(identity.clone()) {
                continue;
            }
            if self.options.restart {
                state.forget(&identity);
            }
            let reading = Reading::open(path, &self.table, &self.mapping, &self.options)?;
            match state.reached(&identity) {
                (rows, true) => imported.files.push(reading.summary(path, rows)),
                _ => left.push((path.as_path(), identity)),
            }
        }
        Ok(left)
    }

    /// How far an earlier import of the same files is, if its runs are all there.
    async fn staging(
        &self,
        files: &[(&Path, Identity)],
        tables: [&LakeTable; 2],
        state: &mut State,
        report: &mut (dyn FnMut(ImportEvent<'_>) + Send),
    ) -> Result<Staging> {
        let files: Vec<_> = files.iter().map(|(_, identity)| identity.clone()).collect();
        let staging = state.staging(&files);
        let looked = stream::iter(staging.runs.clone()).map(|run| async move {
            let table = tables.into_iter().find(|table| table.schema().name() == run.table);
            let there = match table {
                Some(table) => is_there(table, &run).await?,
                None => false,
            };
            Ok::<_, Error>((!there).then_some(run))
        });
        let gone = looked.buffered(LOOKED_FOR_AT_ONCE).try_collect::<Vec<_>>().await?;
        let Some(run) = gone.into_iter().flatten().next() else { return Ok(staging) };
        report(ImportEvent::Note(format!(
            "the sorted run {} of an earlier import is gone (the job sweep deletes what no table needs after scheduler.removed_files_kept): the files are read again",
            run.file.path
        )));
        Ok(Staging::default())
    }

    async fn open(&self, schema: &Arc<TableSchema>) -> Result<(LakeTable, Arc<Snapshot>)> {
        let store = self.lake.child(schema.name());
        let (table, snapshot) = LakeTable::open(store, Arc::clone(schema)).await?;
        Ok((table, Arc::new(snapshot)))
    }

    fn into(&self, table: &LakeTable, snapshot: Arc<Snapshot>) -> Into {
        let (now, settings) = (self.clock.now(), self.compaction.clone());
        Into { schema: Arc::clone(table.schema()), places: Places { snapshot, now, settings } }
    }
}

async fn is_there(table: &LakeTable, run: &Run) -> Result<bool> {
    let store = table.store();
    match store.object().head(&store.path(&run.file.path.to_string())).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(barograph_lake::Error::from(e).into()),
    }
}

/// Processors that sort, merge and write.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
