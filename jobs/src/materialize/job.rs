//! The job of derived tables: a run finds the windows that are stale, and computes them from the newest to the
//! oldest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::Engine;
use barograph_engine::rollup::SourceWatermark;
use barograph_lake::{KeySelection, LakeStore, Span, TableVersion, TimeRange, Timestamp};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::DerivedTable;
use super::progress::{Progress, StaleKeys, starts};
use super::replace::replace;
use crate::schedule::{Context, Figures, Job, JobState, Plan, RunRequest};
use crate::{Error, Result};

/// How often the tables' versions are looked at.
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// How often a run writes down how far it is. What is done twice is put once.
const SAVE_EVERY: Span = Span::seconds(1);

/// A job that keeps derived tables up to date with their sources.
#[derive(Debug)]
pub struct Materialize {
    name: &'static str,
    about: &'static str,
    engine: Option<Arc<Engine>>,
    state: JobState,
    pub(super) derived_tables: Vec<Box<dyn DerivedTable>>,
    /// The versions of the sources, by table, whose hours were looked at.
    seen: Mutex<HashMap<String, TableVersion>>,
}

/// How far a run is.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    stale_windows: usize,
}

/// What a run has on its hands.
struct Work<'a> {
    engine: &'a Arc<Engine>,
    context: &'a Context,
    progress: Progress,
    done: Figures,
    saved_at: Timestamp,
}

impl Materialize {
    /// The job `name` over some tables; without an engine it can only be looked at.
    pub(crate) fn new(
        name: &'static str,
        about: &'static str,
        engine: Option<Arc<Engine>>,
        store: LakeStore,
        derived_tables: Vec<Box<dyn DerivedTable>>,
    ) -> Self {
        let state = JobState::new(store, name);
        Self { name, about, engine, state, derived_tables, seen: Mutex::default() }
    }

    fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.as_ref().ok_or_else(|| {
            Error::internal(format!("the job {} was made without an engine", self.name))
        })
    }

    pub(super) async fn progress(&self) -> Result<Progress> {
        Ok(self.state.read().await?.unwrap_or_default())
    }

    /// What is to be done for a table, also where it is asked for.
    async fn find_stale(
        &self,
        engine: &Engine,
        derived: &dyn DerivedTable,
        progress: &Progress,
        request: &RunRequest,
    ) -> Result<(SourceWatermark, StaleKeys)> {
        let (mut watermark, mut stale_keys) = progress.find_stale(engine, derived).await?;
        if *request != RunRequest::default() {
            let hours = engine.view(derived.source())?.hours();
            if let (Some(first), Some(last)) = (hours.first(), hours.last()) {
                let request = request.time();
                let from = request.from.max(first.start());
                let range = TimeRange { from, to: request.to.min(last.end()) };
                for start in starts(derived, range) {
                    watermark.stale.insert(start);
                    stale_keys.remove(&start);
                }
            }
        }
        let view = engine.view(derived.source())?;
        let from = derived.computed_from(&view.snapshot);
        watermark.stale = watermark.stale.split_off(&from);
        Ok((watermark, stale_keys))
    }

    /// Whether hours changed that no run has looked at.
    pub(super) async fn has_work(&self, engine: &Engine) -> Result<bool> {
        let mut has_work = false;
        for derived in &self.derived_tables {
            let (source, table) = (derived.source(), derived.table().name());
            let version = engine.view(source)?.snapshot.version();
            let before = self.seen.lock().insert(table.to_owned(), version);
            has_work |= match before {
                None => true,
                Some(before) if before == version => false,
                Some(before) => {
                    let changes = engine.changes(source, before, version).await?;
                    changes.is_none_or(|all| all.iter().any(|changed| !changed.hours.is_empty()))
                }
            };
        }
        Ok(has_work)
    }

    /// Computes one window.
    async fn window(
        &self,
        work: &mut Work<'_>,
        derived: &dyn DerivedTable,
        stale_keys: &StaleKeys,
        start: Timestamp,
    ) -> Result<()> {
        let (engine, context, window) = (work.engine, work.context, derived.window(start));
        let view = engine.view(derived.source())?;
        // Its rows may have expired since the run began.
        if start < derived.computed_from(&view.snapshot) {
            return Ok(());
        }
        let keys = keys_of(stale_keys, start);
        let cost = cost(&view, keys, window);
        context.pace(cost.bytes).await?;
        let put = replace(engine, derived, view, keys, window, context, self.name).await?;
        let (table, window) = (derived.table().name(), start.to_string());
        tracing::debug!(table, window, rows = cost.rows, put, "window computed");
        work.done = work.done.plus(cost);
        Ok(())
    }

    /// Writes down how far tables are computed, and tells the engine.
    async fn save(
        &self,
        work: &mut Work<'_>,
        tables: &[(&dyn DerivedTable, SourceWatermark)],
    ) -> Result<()> {
        let mut progress = work.progress.clone();
        for (derived, watermark) in tables {
            progress.set(*derived, watermark);
        }
        if progress != work.progress {
            self.state.write(progress.clone()).await?;
            work.progress = progress;
        }
        let stale_windows = tables.iter().map(|(_, watermark)| watermark.stale.len()).sum();
        let figures = std::mem::take(&mut work.done);
        work.context.save(&Checkpoint { stale_windows }, figures, Vec::new()).await?;
        for (derived, watermark) in tables {
            derived.report(work.engine, watermark);
        }
        work.saved_at = work.context.now();
        Ok(())
    }
}

impl Job for Materialize {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn plan<'a>(&'a self, request: &'a RunRequest) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let (engine, progress) = (self.engine()?, self.progress().await?);
            let mut plan = Plan::default();
            for derived in &self.derived_tables {
                let derived = derived.as_ref();
                let name = derived.table().name();
                let (watermark, stale_keys) =
                    match self.find_stale(engine, derived, &progress, request).await {
                        Ok(watermark) => watermark,
                        Err(error) => {
                            plan.cannot(name, &error);
                            continue;
                        }
                    };
                let view = engine.view(derived.source())?;
                let windows = watermark.stale.iter();
                let cost = windows
                    .map(|&start| cost(&view, keys_of(&stale_keys, start), derived.window(start)));
                let cost = cost.fold(Figures::default(), Figures::plus);
                let what = match (watermark.stale.first(), watermark.stale.last()) {
                    (Some(&first), Some(&last)) => format!(
                        "compute {} windows of {} from {first} to {}",
                        watermark.stale.len(),
                        derived.source(),
                        derived.window(last).to
                    ),
                    _ => format!("is up to date with version {} of its source", watermark.version),
                };
                plan.add(name, what, cost);
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
            let engine = self.engine()?;
            let progress = self.progress().await?;
            // What is asked for is among what is stale once a run has begun.
            let begun = context.checkpoint::<Checkpoint>()?.is_some();
            let all = RunRequest::default();
            let request = if begun { &all } else { request };
            let (done, saved_at) = (Figures::default(), context.now());
            let mut work = Work { engine, context, progress, done, saved_at };
            let mut tables: Vec<(&dyn DerivedTable, SourceWatermark)> = Vec::new();
            let mut stale_keys_of = Vec::new();
            for derived in &self.derived_tables {
                let derived = derived.as_ref();
                match self.find_stale(engine, derived, &work.progress, request).await {
                    Ok((watermark, stale_keys)) => {
                        tables.push((derived, watermark));
                        stale_keys_of.push(stale_keys);
                    }
                    Err(error) => context.failed(derived.table().name(), "all", error)?,
                }
            }
            self.save(&mut work, &tables).await?;
            for (at, stale_keys) in stale_keys_of.iter().enumerate() {
                let mut failed = HashSet::new();
                // The newest are asked for most.
                while let Some((derived, start)) = newest(&tables, at, &failed) {
                    match self.window(&mut work, derived, stale_keys, start).await {
                        Ok(()) => {
                            if let Some((_, watermark)) = tables.get_mut(at) {
                                watermark.stale.remove(&start);
                            }
                        }
                        // It stays stale: the next run computes it.
                        Err(error) => {
                            let part = format!("the window {start}");
                            context.failed(derived.table().name(), part, error)?;
                            failed.insert(start);
                        }
                    }
                    if context.now().since(work.saved_at).abs() >= SAVE_EVERY {
                        self.save(&mut work, &tables).await?;
                    }
                }
            }
            self.save(&mut work, &tables).await
        })
    }

    fn woken(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Some(engine) = &self.engine else { return std::future::pending().await };
            loop {
                match self.has_work(engine).await {
                    Ok(false) => {}
                    Ok(true) => return,
                    Err(error) => {
                        tracing::warn!(job = self.name, %error, "cannot check for changed hours");
                        return;
                    }
                }
                engine.clock().sleep(CHECK_EVERY).await;
            }
        })
    }
}

/// The newest stale window of a table that has not failed.
fn newest<'a>(
    tables: &[(&'a dyn DerivedTable, SourceWatermark)],
    at: usize,
    failed: &HashSet<Timestamp>,
) -> Option<(&'a dyn DerivedTable, Timestamp)> {
    let (derived, watermark) = tables.get(at)?;
    let start = watermark.stale.iter().rev().find(|start| !failed.contains(start))?;
    Some((*derived, *start))
}

/// The keys whose rows are computed in a window.
fn keys_of(stale_keys: &StaleKeys, start: Timestamp) -> &KeySelection {
    stale_keys.get(&start).unwrap_or(&KeySelection::All)
}

/// The files that are read of the source for some keys in a window.
fn cost(view: &barograph_engine::View, keys: &KeySelection, window: TimeRange) -> Figures {
    let files = view.snapshot.prune(keys, window);
    files.fold(Figures::default(), |sum, file| {
        sum.plus(Figures { files: 1, rows: file.rows, bytes: file.bytes })
    })
}
