//! The job `sweep`: it deletes files that no version of a table needs, once they are old enough.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use barograph_engine::Clock;
use barograph_lake::{LakeStore, Span, Timestamp};
use futures::future::BoxFuture;

use super::{Opened, Retention, tables};
use crate::schedule::{Context, Figures, Job, Plan, RunRequest};
use crate::{Error, Result};

/// The job `sweep`.
#[derive(Debug)]
pub struct Sweep {
    /// The tables.
    pub lake: LakeStore,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How long files stay after they were removed or left behind.
    pub kept: Span,
    /// The retention of tables that have one of their own.
    pub retention: BTreeMap<String, Retention>,
}

impl Sweep {
    /// How long those of a table stay.
    fn kept(&self, table: &str) -> Span {
        let retention = self.retention.get(table);
        retention.and_then(|retention| retention.removed_files_kept).unwrap_or(self.kept)
    }

    fn older_than(&self, table: &str, now: Timestamp) -> Timestamp {
        now.saturating_sub(self.kept(table))
    }

    /// Sweeps one table.
    async fn table(&self, opened: &Opened, now: Timestamp) -> Result<Figures> {
        let (table, snapshot) = (&opened.table, &opened.snapshot);
        let limit = self.older_than(&opened.name, now);
        let found = table.unreferenced(snapshot, limit).await?;
        let sizes: HashMap<_, _> =
            found.iter().map(|file| (file.path.clone(), file.bytes)).collect();
        let swept = table.sweep(snapshot, limit).await?;
        let bytes = swept.iter().filter_map(|path| sizes.get(path)).sum();
        Ok(Figures { files: swept.len() as u64, rows: 0, bytes })
    }
}

impl Job for Sweep {
    fn name(&self) -> &'static str {
        "sweep"
    }

    fn about(&self) -> &'static str {
        "deletes files that no version of a table needs"
    }

    fn plan<'a>(&'a self, request: &'a RunRequest) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            if *request != RunRequest::default() {
                return Err(Error::request(
                    "the job sweep looks at all hours: leave out --from and --to",
                ));
            }
            let mut plan = Plan::default();
            for opened in tables(&self.lake).await?.planned(&mut plan) {
                let Opened { name, table, snapshot } = opened;
                let limit = self.older_than(&name, self.clock.now());
                let found = match table.unreferenced(&snapshot, limit).await {
                    Ok(found) => found,
                    Err(error) => {
                        plan.cannot(&name, &error);
                        continue;
                    }
                };
                let bytes = found.iter().map(|file| file.bytes).sum();
                let cost = Figures { files: found.len() as u64, rows: 0, bytes };
                let kept = self.kept(&name);
                plan.add(
                    &name,
                    format!("delete files that no version has needed for {kept}"),
                    cost,
                );
            }
            Ok(plan)
        })
    }

    fn run<'a>(&'a self, _: &'a RunRequest, context: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // What is deleted is not found again: a run that was cut off needs no more than its figures.
            let lead = context.lead().await?;
            for opened in tables(&self.lake).await?.begun(context)? {
                context.check()?;
                let now = self.clock.now().saturating_sub(lead);
                match self.table(&opened, now).await {
                    Ok(swept) => context.save(&opened.name, swept, Vec::new()).await?,
                    Err(error) => context.failed(&opened.name, "files not needed", error)?,
                }
            }
            Ok(())
        })
    }
}
