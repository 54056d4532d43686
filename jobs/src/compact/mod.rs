//! The job `compact`: hours become days and days become months, sorted by key, so that a year of one key is
//! twelve files.
//!
//! ```text
//! plan::due_compactions ──► Rewrite: read, merge, write ──► commit FOLD (same rows, other files)
//!     ▲                                                         │ another commit was first: are the files the same?
//!     └── no: compact anew ◄────────────────────────────────────┤
//!                                         yes: commit again ◄───┘
//! ```

mod plan;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_engine::internal::Threads;
use barograph_engine::rewrite::{Rewrite, RewriteBounds, RewriteOf};
use barograph_lake::file::FileCache;
use barograph_lake::{
    Change, FileEntry, LakeStore, LakeTable, Operation, Outcome, Retry, Snapshot, Span, TimeRange,
};
use futures::future::BoxFuture;

pub use plan::CompactionSettings;
pub(crate) use plan::compacted_period;
use plan::{Compaction, due_compactions};

use crate::Result;
use crate::maintenance::{Opened, tables};
use crate::schedule::{Context, Figures, Job, Plan, RunRequest};

/// Share of the memory that page indexes and dictionaries of the files take.
const CACHE_SHARE: usize = 4;

/// The job `compact`.
#[derive(Debug)]
pub struct Compact {
    /// The tables.
    pub lake: LakeStore,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// When hours and days are compacted.
    pub settings: CompactionSettings,
}

/// The outcome of a compaction.
enum CompactionOutcome {
    Done(Figures, Snapshot),
    /// Others compacted or changed these files before.
    Overtaken(Snapshot),
}

impl Compact {
    fn due_compactions(&self, snapshot: &Snapshot, time: TimeRange, lead: Span) -> Vec<Compaction> {
        due_compactions(snapshot, self.clock.now().saturating_sub(lead), time, &self.settings)
    }
}

/// A run of the job.
struct Run<'a> {
    job: &'a Compact,
    context: &'a Context,
    threads: &'a Threads,
    time: TimeRange,
    /// How far the clock may be ahead.
    lead: Span,
}

impl Run<'_> {
    /// Compacts what is due of a table; periods that cannot be compacted stay as they are.
    async fn table(&self, opened: Opened) -> Result<()> {
        let Self { job, context, time, lead, .. } = *self;
        let Opened { name, table, mut snapshot } = opened;
        let (version, mut failed) = (snapshot.version(), HashSet::new());
        loop {
            let mut due_compactions = job.due_compactions(&snapshot, time, lead).into_iter();
            let Some(compaction) =
                due_compactions.find(|compaction| !failed.contains(&compaction.target))
            else {
                break;
            };
            context.check()?;
            match self.compact(&table, snapshot.clone(), &compaction).await {
                Ok(CompactionOutcome::Done(done, after)) => {
                    context.save(&name, done, Vec::new()).await?;
                    snapshot = after;
                }
                Ok(CompactionOutcome::Overtaken(newest)) => snapshot = newest,
                Err(error) => {
                    let target = compaction.target;
                    context.failed(&name, format!("{} {target}", target.tier()), error)?;
                    failed.insert(target);
                }
            }
        }
        if snapshot.version() != version
            && let Err(error) = table.checkpoint(&snapshot).await
        {
            context.failed(
                &name,
                format!("the checkpoint of {}", snapshot.version()),
                error.into(),
            )?;
        }
        Ok(())
    }

    async fn compact(
        &self,
        table: &LakeTable,
        base: Snapshot,
        compaction: &Compaction,
    ) -> Result<CompactionOutcome> {
        let Self { job, context, threads, .. } = *self;
        let memory = context.memory().get();
        let cache = FileCache::new(memory / CACHE_SHARE);
        let bounds = RewriteBounds {
            memory: memory - memory / CACHE_SHARE,
            threads: context.threads(),
            on: threads.handle()?.clone(),
            file_bytes: job.settings.file_bytes.get() as u64,
        };
        let of = RewriteOf::files(compaction.files.clone(), compaction.target);
        let mut rewrite = Rewrite::of(table, &cache, &of, bounds).await?;
        let mut done = Figures { files: compaction.files.len() as u64, ..Figures::default() };
        loop {
            context.check()?;
            let Some(step) = rewrite.step().await? else { break };
            context.pace(step.bytes).await?;
            done.rows += step.rows;
            done.bytes += step.bytes;
            context.show(Figures { files: 0, ..done });
        }
        let added = rewrite.finish().await?;
        context.check()?;
        let done = Figures { bytes: compaction.files.iter().map(|file| file.bytes).sum(), ..done };
        self.commit(table, base, compaction, added, done).await
    }

    /// Puts the new files in the place of the old, beside whatever else is committed meanwhile. Where the store does
    /// not say whether they are there, the next run finds either the old ones or the new ones.
    async fn commit(
        &self,
        table: &LakeTable,
        mut base: Snapshot,
        compaction: &Compaction,
        added: Vec<Arc<FileEntry>>,
        done: Figures,
    ) -> Result<CompactionOutcome> {
        let mut retry = Retry::default();
        loop {
            let transaction = table.transaction(&base, Operation::Compact, Change::Moved);
            let transaction = transaction.remove(&compaction.files).add(added.clone());
            match transaction.commit(self.job.clock.now()).await? {
                Outcome::Committed(after) => return Ok(CompactionOutcome::Done(done, after)),
                Outcome::Conflicted(conflict) => base = retry.newest(conflict).await?,
                Outcome::Unknown(unknown) => return Err(unknown.into()),
            }
            if !is_current(&base, compaction) {
                return Ok(CompactionOutcome::Overtaken(base));
            }
        }
    }
}

/// Whether the files of a compaction are all that its period has.
fn is_current(snapshot: &Snapshot, compaction: &Compaction) -> bool {
    let files = snapshot.files().iter();
    let inside = files.filter(|file| compaction.target.covers(file.path.period()));
    inside.map(|file| file.path).eq(compaction.files.iter().map(|file| file.path))
}

impl Job for Compact {
    fn name(&self) -> &'static str {
        "compact"
    }

    fn about(&self) -> &'static str {
        "compacts hours into days, and days into months"
    }

    fn plan<'a>(&'a self, request: &'a RunRequest) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let mut plan = Plan::default();
            for opened in tables(&self.lake).await?.planned(&mut plan) {
                for Compaction { target, files } in
                    self.due_compactions(&opened.snapshot, request.time(), Span::ZERO)
                {
                    let cost = Figures {
                        files: files.len() as u64,
                        rows: files.iter().map(|file| file.rows).sum(),
                        bytes: files.iter().map(|file| file.bytes).sum(),
                    };
                    plan.add(&opened.name, format!("compact the {} {target}", target.tier()), cost);
                }
            }
            Ok(plan)
        })
    }

    fn run<'a>(
        &'a self,
        request: &'a RunRequest,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let threads = Threads::for_rewrite("barograph-compact", context.threads())?;
            let lead = context.lead().await?;
            let run = Run { job: self, context, threads: &threads, time: request.time(), lead };
            // What is compacted is not found again: a run that was cut off needs no more than its figures.
            for opened in tables(&self.lake).await?.begun(context)? {
                run.table(opened).await?;
            }
            Ok(())
        })
    }
}
