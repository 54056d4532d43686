//! The merge of runs into a table: period by period, with the active files into new ones, in one commit beside
//! whatever else is committed meanwhile.
//!
//! ```text
//! active files ─┐
//! run 1, run 2 ─┴Rewrite (later runs win)──► files ──► commit IMPORT ──► the period's runs are done
//!       ▲                                               │ another commit was first: are the files the same?
//!       └── no: merge anew ◄────────────────────────────┤
//!                               yes: commit again ◄─────┘
//! ```
//!
//! Where the store does not say whether a commit was made, the runs of its period stay: merged again, their rows
//! replace themselves.

use std::sync::Arc;

use barograph_engine::internal::Threads;
use barograph_engine::rewrite::{Rewrite, RewriteBounds, RewriteOf};
use barograph_lake::file::FileCache;
use barograph_lake::internal::key_ranges;
use barograph_lake::{
    Change, FileEntry, KeySelection, LakeTable, Operation, Outcome, Period, Retry, Snapshot,
    TableVersion, Tier,
};

use super::place::{home, next};
use super::{DirectImport, ImportEvent, Merged, cores};
use crate::Result;
use crate::import::state::{Run, Staging, State};

/// Share of the memory that page indexes and dictionaries of the files take.
const CACHE_SHARE: usize = 4;

/// The runs of a table on their way into it.
#[derive(Debug)]
pub(super) struct Merge<'a> {
    import: &'a DirectImport,
    table: &'a LakeTable,
    threads: &'a Threads,
    snapshot: Snapshot,
    cache: Arc<FileCache>,
    /// The last version that it made.
    committed: Option<TableVersion>,
}

/// Files that change, and those in their place.
#[derive(Debug, Default)]
struct Changed {
    removed: Vec<Arc<FileEntry>>,
    added: Vec<Arc<FileEntry>>,
}

/// Why a merge ended before its commit.
enum Ended {
    Done(Changed),
    /// Others changed the files before.
    Overtaken,
    Stopped,
}

impl<'a> Merge<'a> {
    pub(super) async fn begin(
        import: &'a DirectImport,
        table: &'a LakeTable,
        threads: &'a Threads,
    ) -> Result<Self> {
        let cache = FileCache::new(import.options.memory / CACHE_SHARE);
        let snapshot = table.refresh().await?;
        Ok(Self { import, table, threads, snapshot, cache, committed: None })
    }

    /// The last version of the table that it made.
    pub(super) fn committed(&self) -> Option<TableVersion> {
        self.committed
    }

    /// Merges the runs of the table that are left, or until it is asked to stop; `state` says which are done.
    pub(super) async fn runs(
        &mut self,
        staging: &mut Staging,
        state: &mut State,
        report: &mut (dyn FnMut(ImportEvent<'_>) + Send),
    ) -> Result<Merged> {
        let name = self.table.schema().name();
        let version = self.snapshot.version();
        let mut left: Vec<Run> =
            staging.runs.iter().filter(|run| run.table == name).cloned().collect();
        let of = left.iter().map(|run| run.file.rows).sum();
        let mut merged = Merged::default();
        while let Some((target, runs)) = next(&self.snapshot, &left)
            && !self.import.stop.is_stopped()
        {
            let files: Vec<_> = runs.iter().map(|run| Arc::new(run.file.clone())).collect();
            let mut show =
                |rows| report(ImportEvent::Merged { table: name, rows: merged.rows + rows, of });
            match self.period(target, &files, &mut show).await? {
                Ended::Stopped => break,
                Ended::Overtaken => continue,
                Ended::Done(changed) => {
                    merged.periods += 1;
                    merged.files += changed.added.len() as u64;
                    merged.rows += files.iter().map(|file| file.rows).sum::<u64>();
                }
            }
            let is_done = |run: &Run| runs.iter().any(|done| done.file.path == run.file.path);
            left.retain(|run| !is_done(run));
            staging.runs.retain(|run| !is_done(run));
            state.stage(staging)?;
        }
        if self.snapshot.version() != version {
            self.table.checkpoint(&self.snapshot).await?;
        }
        Ok(merged)
    }

    async fn period(
        &mut self,
        target: Period,
        runs: &[Arc<FileEntry>],
        show: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Ended> {
        let active = active(&self.snapshot, target);
        let Some(changed) = self.write(target, &active, runs, show).await? else {
            return Ok(Ended::Stopped);
        };
        if changed.added.is_empty() {
            return Ok(Ended::Done(changed));
        }
        let change = Change::of(runs.iter().flat_map(|run| run.hours()), None);
        let mut retry = Retry::default();
        loop {
            let (base, change) = (&self.snapshot, change.clone());
            let import = self.table.transaction(base, Operation::Import, change);
            let import = import.remove(&changed.removed).add(changed.added.clone());
            let conflict = match import.commit(self.import.clock.now()).await? {
                Outcome::Committed(after) => {
                    self.committed = Some(after.version());
                    self.snapshot = after;
                    return Ok(Ended::Done(changed));
                }
                Outcome::Conflicted(conflict) => conflict,
                Outcome::Unknown(unknown) => return Err(unknown.into()),
            };
            self.snapshot = retry.newest(conflict).await?;
            let same = |(a, b): (&Arc<FileEntry>, &Arc<FileEntry>)| a.path == b.path;
            let now = self::active(&self.snapshot, target);
            let is_current = now.len() == active.len() && now.iter().zip(&active).all(same);
            if !is_current || home(&self.snapshot, target) != target {
                return Ok(Ended::Overtaken);
            }
        }
    }

    /// Writes the files of a period anew that rows of the runs belong to; nothing if it is asked to stop.
    async fn write(
        &self,
        target: Period,
        active: &[Arc<FileEntry>],
        runs: &[Arc<FileEntry>],
        show: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Option<Changed>> {
        let mut changed = Changed::default();
        let rows: u64 = runs.iter().map(|run| run.rows).sum();
        let mut written = 0;
        for (files, keys) in units(active, target) {
            let touched = runs.iter().filter(|run| keys.touches(run.keys.0, run.keys.1));
            let runs: Vec<_> = touched.cloned().collect();
            if runs.is_empty() {
                continue;
            }
            let of = RewriteOf { runs, keys, ..RewriteOf::files(files, target) };
            let mut rewrite =
                Rewrite::of(self.table, &self.cache, &of, self.bounds(target)?).await?;
            if !of.files.is_empty() && !rewrite.differs().await? {
                continue;
            }
            while let Some(step) = rewrite.step().await? {
                if self.import.stop.is_stopped() {
                    return Ok(None);
                }
                written += step.rows;
                show(written.min(rows));
            }
            changed.added.extend(rewrite.finish().await?);
            changed.removed.extend(of.files);
        }
        Ok(Some(changed))
    }

    fn bounds(&self, target: Period) -> Result<RewriteBounds> {
        let memory = self.import.options.memory;
        let file_bytes = self.import.compaction.file_bytes.get() as u64;
        Ok(RewriteBounds {
            memory: memory - memory / CACHE_SHARE,
            threads: cores(),
            on: self.threads.handle()?.clone(),
            file_bytes: if target.tier() == Tier::Month { file_bytes } else { u64::MAX },
        })
    }
}

/// The active files that lie in a period.
fn active(snapshot: &Snapshot, target: Period) -> Vec<Arc<FileEntry>> {
    let files = snapshot.files().iter();
    files.filter(|file| target.covers(file.path.period())).cloned().collect()
}

/// Which files are written anew together, with the keys whose rows go there: each of a period's own files by
/// itself, shorter ones all together.
fn units(active: &[Arc<FileEntry>], target: Period) -> Vec<(Vec<Arc<FileEntry>>, KeySelection)> {
    if active.is_empty() || active.iter().any(|file| file.path.period() != target) {
        return vec![(active.to_vec(), KeySelection::All)];
    }
    active.iter().map(|file| vec![Arc::clone(file)]).zip(key_ranges(active)).collect()
}
