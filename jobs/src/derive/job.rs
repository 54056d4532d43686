//! The job of derived tables: a run finds the windows that are stale, and computes them from the newest to the
//! oldest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::Engine;
use barograph_engine::rollup::Followed;
use barograph_lake::time::format_instant;
use barograph_lake::{KeySelection, LakeStore, Micros, Span, TableVersion, TimeRange};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Derivation;
use super::known::{Known, Narrow, starts};
use super::replace::replace;
use crate::schedule::{Asked, Context, Figures, Job, Memory, Plan};
use crate::{Error, Result};

/// How often the tables' versions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a run writes down how far it is. What is done twice is put once.
const SAVE_EVERY: Span = Span::seconds(1);

/// A job that keeps derived tables up to date with their sources.
#[derive(Debug)]
pub struct Derive {
    name: &'static str,
    about: &'static str,
    engine: Option<Arc<Engine>>,
    memory: Memory,
    pub(super) derivations: Vec<Box<dyn Derivation>>,
    /// The versions of the sources, by table, whose hours were looked at.
    seen: Mutex<HashMap<String, TableVersion>>,
}

/// How far a run is.
#[derive(Debug, Serialize, Deserialize)]
struct Reached {
    stale_windows: usize,
}

/// What a run has on its hands.
struct Work<'a> {
    engine: &'a Arc<Engine>,
    context: &'a Context,
    known: Known,
    done: Figures,
    saved_at: Micros,
}

impl Derive {
    /// The job `name` over some tables; without an engine it can only be looked at.
    pub(crate) fn new(
        name: &'static str,
        about: &'static str,
        engine: Option<Arc<Engine>>,
        store: LakeStore,
        derivations: Vec<Box<dyn Derivation>>,
    ) -> Self {
        let memory = Memory::new(store, name);
        Self { name, about, engine, memory, derivations, seen: Mutex::default() }
    }

    fn engine(&self) -> Result<&Arc<Engine>> {
        self.engine.as_ref().ok_or_else(|| {
            Error::internal(format!("the job {} was made without an engine", self.name))
        })
    }

    pub(super) async fn known(&self) -> Result<Known> {
        Ok(self.memory.read().await?.unwrap_or_default())
    }

    /// What is to be done for a table, also where it is asked for.
    async fn follow(
        &self,
        engine: &Engine,
        derivation: &dyn Derivation,
        known: &Known,
        asked: &Asked,
    ) -> Result<(Followed, Narrow)> {
        let (mut followed, mut narrow) = known.follow(engine, derivation).await?;
        if *asked != Asked::default() {
            let hours = engine.view(derivation.source())?.hours();
            if let (Some(first), Some(last)) = (hours.first(), hours.last()) {
                let asked = asked.time();
                let from = asked.from.max(first.start());
                let stretch = TimeRange { from, to: asked.to.min(last.end()) };
                for start in starts(derivation, stretch) {
                    followed.stale.insert(start);
                    narrow.remove(&start);
                }
            }
        }
        let view = engine.view(derivation.source())?;
        let from = derivation.computed_from(&view.snapshot);
        followed.stale = followed.stale.split_off(&from);
        Ok((followed, narrow))
    }

    /// Whether hours changed that no run has looked at.
    pub(super) async fn has_work(&self, engine: &Engine) -> Result<bool> {
        let mut has_work = false;
        for derivation in &self.derivations {
            let (source, table) = (derivation.source(), derivation.table().name());
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
        derivation: &dyn Derivation,
        narrow: &Narrow,
        start: Micros,
    ) -> Result<()> {
        let (engine, context, window) = (work.engine, work.context, derivation.window(start));
        let view = engine.view(derivation.source())?;
        // Its rows may have expired since the run began.
        if start < derivation.computed_from(&view.snapshot) {
            return Ok(());
        }
        let keys = keys_of(narrow, start);
        let price = price(&view, keys, window);
        context.pace(price.bytes).await?;
        let put = replace(engine, derivation, view, keys, window, context, self.name).await?;
        let (table, window) = (derivation.table().name(), format_instant(start));
        tracing::debug!(table, window, rows = price.rows, put, "window computed");
        work.done = work.done.plus(price);
        Ok(())
    }

    /// Writes down how far tables are computed, and tells the engine.
    async fn save(
        &self,
        work: &mut Work<'_>,
        tables: &[(&dyn Derivation, Followed)],
    ) -> Result<()> {
        let mut known = work.known.clone();
        for (derivation, followed) in tables {
            known.set(*derivation, followed);
        }
        if known != work.known {
            self.memory.keep(known.clone()).await?;
            work.known = known;
        }
        let stale_windows = tables.iter().map(|(_, followed)| followed.stale.len()).sum();
        let figures = std::mem::take(&mut work.done);
        work.context.save(&Reached { stale_windows }, figures, Vec::new()).await?;
        for (derivation, followed) in tables {
            derivation.tell(work.engine, followed);
        }
        work.saved_at = work.context.now();
        Ok(())
    }
}

impl Job for Derive {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn plan<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let (engine, known) = (self.engine()?, self.known().await?);
            let mut plan = Plan::default();
            for derivation in &self.derivations {
                let derivation = derivation.as_ref();
                let name = derivation.table().name();
                let (followed, narrow) = match self.follow(engine, derivation, &known, asked).await
                {
                    Ok(followed) => followed,
                    Err(error) => {
                        plan.cannot(name, &error);
                        continue;
                    }
                };
                let view = engine.view(derivation.source())?;
                let windows = followed.stale.iter();
                let price = windows
                    .map(|&start| price(&view, keys_of(&narrow, start), derivation.window(start)));
                let price = price.fold(Figures::default(), Figures::plus);
                let what = match (followed.stale.first(), followed.stale.last()) {
                    (Some(&first), Some(&last)) => format!(
                        "compute {} windows of {} from {} to {}",
                        followed.stale.len(),
                        derivation.source(),
                        format_instant(first),
                        format_instant(derivation.window(last).to)
                    ),
                    _ => format!("is as version {} of its source", followed.version),
                };
                plan.add(name, what, price);
            }
            Ok(plan)
        })
    }

    fn run<'a>(&'a self, asked: &'a Asked, context: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let engine = self.engine()?;
            let known = self.known().await?;
            // What is asked for is among what is stale once a run has begun.
            let begun = context.checkpoint::<Reached>()?.is_some();
            let all = Asked::default();
            let asked = if begun { &all } else { asked };
            let (done, saved_at) = (Figures::default(), context.now());
            let mut work = Work { engine, context, known, done, saved_at };
            let mut tables: Vec<(&dyn Derivation, Followed)> = Vec::new();
            let mut narrows = Vec::new();
            for derivation in &self.derivations {
                let derivation = derivation.as_ref();
                match self.follow(engine, derivation, &work.known, asked).await {
                    Ok((followed, narrow)) => {
                        tables.push((derivation, followed));
                        narrows.push(narrow);
                    }
                    Err(error) => context.failed(derivation.table().name(), "all", error)?,
                }
            }
            self.save(&mut work, &tables).await?;
            for (at, narrow) in narrows.iter().enumerate() {
                let mut failed = HashSet::new();
                // The newest are asked for most.
                while let Some((derivation, start)) = newest(&tables, at, &failed) {
                    match self.window(&mut work, derivation, narrow, start).await {
                        Ok(()) => {
                            if let Some((_, followed)) = tables.get_mut(at) {
                                followed.stale.remove(&start);
                            }
                        }
                        // It stays stale: the next run computes it.
                        Err(error) => {
                            let part = format!("the window {}", format_instant(start));
                            context.failed(derivation.table().name(), part, error)?;
                            failed.insert(start);
                        }
                    }
                    if (context.now() - work.saved_at).abs() >= SAVE_EVERY.micros() {
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
                        tracing::warn!(job = self.name, %error, "looking for changed hours");
                        return;
                    }
                }
                engine.clock().sleep(LOOK_EVERY).await;
            }
        })
    }
}

/// The newest stale window of a table that has not failed.
fn newest<'a>(
    tables: &[(&'a dyn Derivation, Followed)],
    at: usize,
    failed: &HashSet<Micros>,
) -> Option<(&'a dyn Derivation, Micros)> {
    let (derivation, followed) = tables.get(at)?;
    let start = followed.stale.iter().rev().find(|start| !failed.contains(start))?;
    Some((*derivation, *start))
}

/// The keys whose rows are computed in a window.
fn keys_of(narrow: &Narrow, start: Micros) -> &KeySelection {
    narrow.get(&start).unwrap_or(&KeySelection::All)
}

/// The files that are read of the source for some keys in a window.
fn price(view: &barograph_engine::View, keys: &KeySelection, window: TimeRange) -> Figures {
    let files = view.snapshot.prune(keys, window);
    files.fold(Figures::default(), |sum, file| {
        sum.plus(Figures { files: 1, rows: file.rows, bytes: file.bytes })
    })
}
