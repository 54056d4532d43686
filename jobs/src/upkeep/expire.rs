//! Which rows are too old to be kept? Their files cease to be active, whole files at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_lake::time::format_instant;
use barograph_lake::{Change, FileEntry, LakeStore, Micros, Span, table};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Opened, open};
use crate::schedule::{Asked, Context, Figures, Job, Plan};
use crate::{Error, ErrorKind, Result};

/// How often a lost race for a commit is run again.
const ATTEMPTS: usize = 5;
/// The shortest time that rows can be kept.
const AFTER_MIN: Span = Span::seconds(3600);

/// How long the rows of a table are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// A file goes when its newest row is older than this.
    pub after: Span,
}

/// The job `expire`.
#[derive(Debug)]
pub struct Expire {
    /// The tables.
    pub lake: LakeStore,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How long the rows of each table are kept; those of others for ever.
    pub retention: BTreeMap<String, Retention>,
}

impl Retention {
    /// Refuses what cannot be meant, for the table `name`.
    pub fn check(&self, name: &str) -> Result<()> {
        match self.after < AFTER_MIN {
            true => Err(Error::request(format!(
                "retention.{name}.after {}: write {AFTER_MIN} or more",
                self.after
            ))),
            false => Ok(()),
        }
    }
}

impl Expire {
    /// The tables whose rows are not kept for ever, each with the first instant that is kept.
    async fn tables(&self) -> Result<Vec<(Opened, Micros)>> {
        let names = table::names(&self.lake).await?;
        let mut opened = Vec::new();
        for (name, retention) in &self.retention {
            if !names.contains(name) {
                return Err(Error::request(format!(
                    "retention.{name}: there is no table {name:?}, there are {}",
                    names.join(", ")
                )));
            }
            let kept = self.clock.now().saturating_sub(retention.after.micros());
            opened.push((open(&self.lake, name).await?, kept));
        }
        Ok(opened)
    }

    /// Takes what is older than `kept` out of a table, in one commit.
    pub(super) async fn table(&self, opened: &Opened, kept: Micros) -> Result<Figures> {
        let mut snapshot = opened.snapshot.clone();
        for _ in 0..ATTEMPTS {
            let old = old(snapshot.files(), kept);
            if old.is_empty() {
                return Ok(Figures::default());
            }
            let mut hours: Vec<_> = old.iter().flat_map(|file| file.hours()).collect();
            hours.sort_unstable();
            hours.dedup();
            let change = Change { operation: "EXPIRE", hours: &hours, at: self.clock.now() };
            match opened.table.commit(&snapshot, &old, Vec::new(), &change).await {
                Ok(_) => return Ok(figures(&old)),
                Err(e) if e.kind() == barograph_lake::ErrorKind::Conflict => {
                    snapshot = opened.table.refresh().await?;
                }
                Err(e) => return Err(e.into()),
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("table {:?}: other writers committed first {ATTEMPTS} times", opened.name),
        ))
    }
}

impl Job for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    fn about(&self) -> &'static str {
        "takes rows that are older than `retention` says out of the tables"
    }

    fn plan<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            if *asked != Asked::default() {
                return Err(Error::request(
                    "the job expire goes by the age of rows: leave out --from and --to, set retention",
                ));
            }
            let mut plan = Plan::default();
            for (opened, kept) in self.tables().await? {
                let old = old(opened.snapshot.files(), kept);
                let before = format_instant(kept);
                plan.add(
                    &opened.name,
                    format!("remove files without a row since {before}"),
                    figures(&old),
                );
            }
            Ok(plan)
        })
    }

    fn run<'a>(&'a self, _: &'a Asked, context: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // What is removed is not found again: a run that was cut off needs no more than its figures.
            for (opened, kept) in self.tables().await? {
                context.check()?;
                let removed = self.table(&opened, kept).await?;
                context.save(&opened.name, removed, Vec::new()).await?;
            }
            Ok(())
        })
    }
}

/// The files whose newest row is older than `kept`.
fn old(files: &[Arc<FileEntry>], kept: Micros) -> Vec<Arc<FileEntry>> {
    files.iter().filter(|file| file.times.1 < kept).cloned().collect()
}

fn figures(files: &[Arc<FileEntry>]) -> Figures {
    Figures {
        files: files.len() as u64,
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
    }
}
