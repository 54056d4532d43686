//! The job `expire`: rows that are too old leave their table. Their files cease to be active, whole files at a time,
//! once everything that is computed from them is computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_lake::{FileEntry, LakeStore, Outcome, Retry, Snapshot, Timestamp, table};
use futures::future::BoxFuture;

use super::{Opened, Retention, Tables, open};
use crate::materialize::Materialize;
use crate::schedule::{Context, Figures, Finding, Job, Plan, RunRequest};
use crate::{Error, Result};

/// The job `expire`.
#[derive(Debug)]
pub struct Expire {
    /// The tables.
    pub lake: LakeStore,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The retention of each table; rows of other tables are kept for ever.
    pub retention: BTreeMap<String, Retention>,
    /// The rollups to compute from rows before they expire.
    pub rollups: Materialize,
}

/// The files of a table that are too old.
#[derive(Debug, Default)]
struct OldFiles {
    files: Vec<Arc<FileEntry>>,
    /// Those that stay until a table is computed, by the table.
    waiting: Vec<(String, Vec<Arc<FileEntry>>)>,
}

/// What became of a table.
#[derive(Debug, Default)]
pub(super) struct Expired {
    pub(super) removed: Figures,
    pub(super) waiting: Vec<Finding>,
}

impl Expire {
    /// The tables whose rows are not kept for ever, each with the first instant that is kept.
    async fn tables(&self, now: Timestamp) -> Result<Tables<(Opened, Timestamp)>> {
        let names = table::names(&self.lake).await?;
        let mut tables = Tables::new();
        for (name, retention) in &self.retention {
            let Some(after) = retention.after else { continue };
            if !names.contains(name) {
                let error = Error::request(format!(
                    "retention.{name}: there is no table {name:?}, there are {}",
                    names.join(", ")
                ));
                tables.add(name, Err(error));
                continue;
            }
            let kept = now.saturating_sub(after);
            let kept = self.rollups.whole_windows(name, kept);
            tables.add(name, open(&self.lake, name).await.map(|opened| (opened, kept)));
        }
        Ok(tables)
    }

    /// The files of `snapshot` whose newest row is older than `kept`.
    async fn old(&self, opened: &Opened, snapshot: &Snapshot, kept: Timestamp) -> Result<OldFiles> {
        let files = snapshot.files().iter().filter(|file| file.times.1 < kept).cloned();
        let mut old = OldFiles { files: files.collect(), waiting: Vec::new() };
        if old.files.is_empty() {
            return Ok(old);
        }
        for pending in self.rollups.pending(&opened.table, snapshot).await? {
            let (waiting, files) = old.files.into_iter().partition(|file| pending.needs(file));
            old.files = files;
            old.waiting.push((pending.table().to_owned(), waiting));
        }
        old.waiting.retain(|(_, files)| !files.is_empty());
        Ok(old)
    }

    /// Takes the files older than `kept` out of a table, in one commit. Where the store does not say whether it was
    /// made, the next run finds what is left.
    pub(super) async fn table(&self, opened: &Opened, kept: Timestamp) -> Result<Expired> {
        let (mut snapshot, mut retry) = (opened.snapshot.clone(), Retry::default());
        loop {
            let OldFiles { files, waiting } = self.old(opened, &snapshot, kept).await?;
            let waiting = waiting.into_iter().map(|(table, files)| Finding {
                table: opened.name.clone(),
                subject: table,
                detail: waits(&files),
                damage: false,
            });
            let expired = Expired { removed: figures(&files), waiting: waiting.collect() };
            if files.is_empty() {
                return Ok(expired);
            }
            match opened.table.expire(&snapshot, &files, self.clock.now()).await? {
                Outcome::Committed(_) => return Ok(expired),
                Outcome::Conflicted(conflict) => snapshot = retry.newest(conflict).await?,
                Outcome::Unknown(unknown) => return Err(unknown.into()),
            }
        }
    }
}

impl Job for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn about(&self) -> &'static str {
        "removes files whose rows are older than `retention` allows"
    }

    fn plan<'a>(&'a self, request: &'a RunRequest) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            if *request != RunRequest::default() {
                return Err(Error::request(
                    "the job expire selects rows by age: leave out --from and --to, and set retention",
                ));
            }
            let mut plan = Plan::default();
            for (opened, kept) in self.tables(self.clock.now()).await?.planned(&mut plan) {
                let old = match self.old(&opened, &opened.snapshot, kept).await {
                    Ok(old) => old,
                    Err(error) => {
                        plan.cannot(&opened.name, &error);
                        continue;
                    }
                };
                let what = format!("remove files with no rows since {kept}");
                plan.add(&opened.name, what, figures(&old.files));
                for (table, files) in old.waiting {
                    let what = format!("until {table} is computed, {}", waits(&files));
                    plan.add(&opened.name, what, Figures::default());
                }
            }
            Ok(plan)
        })
    }

    fn run<'a>(&'a self, _: &'a RunRequest, context: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // What is removed is not found again: a run that was cut off needs no more than its figures.
            let now = self.clock.now().saturating_sub(context.lead().await?);
            for (opened, kept) in self.tables(now).await?.begun(context)? {
                context.check()?;
                match self.table(&opened, kept).await {
                    Ok(Expired { removed, waiting }) => {
                        context.save(&opened.name, removed, waiting).await?;
                    }
                    Err(error) => {
                        let part = format!("rows before {kept}");
                        context.failed(&opened.name, part, error)?;
                    }
                }
            }
            Ok(())
        })
    }
}

fn waits(files: &[Arc<FileEntry>]) -> String {
    let Figures { files, rows, .. } = figures(files);
    format!("{files} files with {rows} rows stay: the job rollup computes it")
}

fn figures(files: &[Arc<FileEntry>]) -> Figures {
    Figures {
        files: files.len() as u64,
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
    }
}
