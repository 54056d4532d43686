//! The run of a plan: its slices one after the other, worked on by an executor within a budget.
//!
//! ```text
//! plan ──slices──► executor: this thread, or a few that may wait for a disk ──► batches in order
//! ```

mod slice;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use barograph_access::SPANS;
use barograph_lake::KeySelection;
use barograph_lake::internal::may_wait;
use futures::{Stream, stream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};

use super::files::head;
use super::plan::{Plan, Slice, Source};
use crate::{Error, Result};

/// The answer to a [`Scan`](super::Scan), batch by batch. An answer cut short ends with an error.
pub struct ScanStream {
    /// Columns of every batch.
    pub schema: SchemaRef,
    /// The batches, in order.
    pub batches: Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>,
}

impl std::fmt::Debug for ScanStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScanStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Where slices are worked on.
#[derive(Debug, Clone)]
pub enum Executor {
    /// The thread that asks for the next one, which is there to work.
    Caller {
        /// A permit is held for each slice; absent: none is needed.
        permits: Option<Arc<Semaphore>>,
    },
    /// Threads that may wait for a disk.
    Blocking {
        /// Their runtime.
        on: Handle,
        /// A permit is held for each slice.
        permits: Arc<Semaphore>,
        /// Slices that are worked on at a time.
        at_once: usize,
    },
}

impl Executor {
    /// One thread of a runtime that may wait for a disk.
    pub(crate) fn one_thread(on: Handle) -> Self {
        Self::Blocking { on, permits: Arc::new(Semaphore::new(1)), at_once: 1 }
    }

    /// Slices that are held at a time, and how often: as read and as given, on their way between threads merged, too.
    fn copies(&self) -> (usize, usize) {
        match self {
            Self::Caller { .. } => (1, 2),
            Self::Blocking { at_once, .. } => ((*at_once).max(1), 3),
        }
    }
}

/// The slices of a running plan. Dropped, it gives up those that are not begun.
#[derive(Debug)]
pub struct Slices<B> {
    plan: Arc<Plan>,
    left: VecDeque<Slice>,
    is_narrowed: bool,
    executor: Executor,
    /// The permit for the next slice.
    turn: Option<OwnedSemaphorePermit>,
    working: VecDeque<JoinHandle<Result<RecordBatch>>>,
    /// Held until the last slice is done.
    budget: Arc<B>,
    /// What slices are traced below.
    span: Span,
}

impl Plan {
    /// Begins to run the plan; `budget` reserves the bytes that the run takes, which are held to its end. Without known
    /// [slices](Self::sliced) it is one.
    pub fn run<B, E>(
        self,
        executor: Executor,
        budget: impl FnOnce(usize) -> Result<B, E>,
    ) -> Result<Slices<B>, E> {
        let left = match self.sources().is_empty() {
            true => Vec::new(),
            false => self.all_slices(),
        };
        let (at_once, copies) = executor.copies();
        let rows: u64 = self.sources().iter().map(Source::rows).sum();
        let rows = self.slice_rows().min(usize::try_from(rows).unwrap_or(usize::MAX));
        let bytes = at_once.min(left.len()) * copies * rows * self.row_bytes();
        let budget = Arc::new(budget(bytes)?);
        Ok(Slices {
            plan: Arc::new(self),
            left: left.into(),
            is_narrowed: false,
            executor,
            turn: None,
            working: VecDeque::new(),
            budget,
            span: Span::current(),
        })
    }
}

impl<B: Send + Sync + 'static> Slices<B> {
    /// Slices that are not begun.
    pub fn left(&self) -> usize {
        self.left.len()
    }

    /// Narrows the slices that are left to those rows that `plan`, a part of the same read, asks for.
    pub fn narrow(&mut self, plan: Plan) {
        if plan.sources().is_empty() {
            self.left.clear();
        }
        (self.plan, self.is_narrowed) = (Arc::new(plan), true);
    }

    /// Begins as many slices as may be worked on at a time.
    pub(crate) fn read_ahead(&mut self) {
        let Executor::Blocking { on, permits, at_once } = &self.executor else { return };
        let (on, permits, at_once) = (on.clone(), Arc::clone(permits), (*at_once).max(1));
        while self.working.len() < at_once
            && let Some(slice) = self.next_slice()
        {
            let held = (Arc::clone(&self.budget), self.span.clone());
            let work = work(Arc::clone(&self.plan), slice, held);
            let working = match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => on.spawn_blocking(move || work(permit)),
                Err(_) => {
                    let permits = Arc::clone(&permits);
                    on.spawn(async move {
                        let permit = permits.acquire_owned().await.map_err(ended)?;
                        Handle::current()
                            .spawn_blocking(move || work(permit))
                            .await
                            .map_err(ended)?
                    })
                }
            };
            self.working.push_back(working);
        }
    }

    /// Waits until the next slice may be worked on; whether there is one.
    pub async fn ready(&mut self) -> Result<bool> {
        match &self.executor {
            Executor::Caller { .. } if self.left.is_empty() => Ok(false),
            Executor::Caller { permits } => {
                if self.turn.is_none()
                    && let Some(permits) = permits
                {
                    let permit = Arc::clone(permits).acquire_owned();
                    self.turn = Some(permit.await.map_err(ended)?);
                }
                Ok(true)
            }
            Executor::Blocking { .. } => {
                self.read_ahead();
                Ok(!self.working.is_empty())
            }
        }
    }

    /// The answer for the next slice; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.ready().await? {
            return Ok(None);
        }
        if let Some(working) = self.working.front_mut() {
            let rows = working.await;
            self.working.pop_front();
            return rows.map_err(ended)?.map(Some);
        }
        let _held = self.turn.take();
        match self.next_slice() {
            Some(slice) => {
                let span = traced(&self.span);
                self.plan.slice(&slice).instrument(span).await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// The answers for all slices, of which at most as many rows are given as the plan was asked for.
    pub fn stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let limit = self.plan.request().limit.unwrap_or(usize::MAX);
        stream::unfold(Some((self, limit)), async |running| {
            let (mut slices, left) = running?;
            loop {
                let rows = match slices.next().await {
                    Ok(Some(rows)) if left > 0 => head(rows, left),
                    Ok(_) => return None,
                    Err(error) => return Some((Err(error), None)),
                };
                let left = left - rows.num_rows();
                if rows.num_rows() > 0 {
                    return Some((Ok(rows), (left > 0).then_some((slices, left))));
                }
            }
        })
    }

    fn next_slice(&mut self) -> Option<Slice> {
        let slice = self.left.pop_front()?;
        let wanted = self.plan.request();
        Some(match self.is_narrowed {
            false => slice,
            true => Slice {
                keys: both(&slice.keys, &wanted.keys),
                time: slice.time.within(wanted.time),
            },
        })
    }
}

impl<B> Drop for Slices<B> {
    fn drop(&mut self) {
        self.working.iter().for_each(JoinHandle::abort);
    }
}

/// The work on a slice by a thread that may wait for a disk.
fn work<B: Send + Sync + 'static>(
    plan: Arc<Plan>,
    slice: Slice,
    (budget, span): (Arc<B>, Span),
) -> impl FnOnce(OwnedSemaphorePermit) -> Result<RecordBatch> + Send + 'static {
    move |permit| {
        let _held = (permit, budget);
        let span = traced(&span);
        may_wait(|| Handle::current().block_on(plan.slice(&slice).instrument(span)))
    }
}

/// The span of a slice of a read.
fn traced(read: &Span) -> Span {
    tracing::trace_span!(target: SPANS, parent: read, "slice")
}

fn ended(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a slice of a read ended early").with_source(error)
}

/// The keys of a slice that are still wanted.
fn both(slice: &KeySelection, wanted: &KeySelection) -> KeySelection {
    match (slice, wanted) {
        (slice, KeySelection::All) => slice.clone(),
        (slice, KeySelection::Range { from, to }) => slice.within(*from, *to),
        (KeySelection::Range { from, to }, wanted) => wanted.within(*from, *to),
        (KeySelection::All, wanted) => wanted.clone(),
        (KeySelection::List(keys), wanted) => {
            KeySelection::list(keys.iter().copied().filter(|&key| wanted.contains(key)))
        }
    }
}
