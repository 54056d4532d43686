//! The executions of statements: planned, running or ended. They are kept so that a planned statement need not be
//! planned again, and a running one can be cancelled from another connection.
//!
//! ```text
//! planned ─► running (any number of times) ─► finished
//!    └──────────┴─── cancelled: refused from then on
//! ```
//!
//! All of it is bounded. A plan that is forgotten costs a second planning. A cancelled execution is never forgotten
//! without the guarantee that it stays refused: names are numbered, and with the earliest of too many that were cancelled
//! goes every one up to it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barograph_engine::{Clock, ErrorKind};
use barograph_lake::Span;
use tokio::sync::watch;

use crate::{Error, Result};

/// Planned statements kept until they are fetched.
const PLANNED_MAX: usize = 256;
/// How long a planned statement is kept for whoever asked for its plan.
const PLANNED_FOR: Span = Span::seconds(10);
/// Executions of which it is known that they finished.
const FINISHED_MAX: usize = 4_096;
/// Executions of which it is known one by one that they were cancelled.
const CANCELLED_MAX: usize = 4_096;
/// How long a cancellation waits for the running execution to let go.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// What becomes of an execution that is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It does not run any more, and never will again.
    Done,
    /// It was told to stop.
    Soon,
    /// It had ended before.
    TooLate,
}

/// The executions. Generic so that a test can plan what is easy to make.
#[derive(Debug)]
pub(crate) struct Executions<S> {
    /// Part of every name, so that names of an earlier process mean nothing here.
    started: u64,
    next: AtomicU64,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State<S>>>,
}

#[derive(Debug)]
struct State<S> {
    /// In the order of their planning, with when that was by the time that has passed.
    planned: VecDeque<(String, Span, S)>,
    running: HashMap<String, Running>,
    finished: HashSet<String>,
    /// Those of `finished` in the order of their end.
    order: VecDeque<String>,
    cancelled: BTreeSet<Number>,
    /// All up to it are refused, as the cancelled ones among them are not known any more.
    refused_through: Option<Number>,
}

/// The number of an execution: that of its process, and within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Number(u64, u64);

#[derive(Debug)]
struct Running {
    cancel: watch::Sender<bool>,
    /// Answers that are being sent under the name.
    answers: usize,
}

impl Number {
    /// The number in a name; of a name that no process gave, the first of all.
    fn of(name: &str) -> Self {
        let number = name.split_once('-').and_then(|(process, number)| {
            let part = |text| u64::from_str_radix(text, 16).ok();
            Some(Self(part(process)?, part(number)?))
        });
        number.unwrap_or(Self(0, 0))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.0, self.1)
    }
}

impl<S> Executions<S> {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            planned: VecDeque::new(),
            running: HashMap::new(),
            finished: HashSet::new(),
            order: VecDeque::new(),
            cancelled: BTreeSet::new(),
            refused_through: None,
        };
        let state = Arc::new(Mutex::new(state));
        Self {
            started: clock.now().as_micros().cast_unsigned(),
            next: AtomicU64::new(0),
            clock,
            state,
        }
    }

    /// A name for an execution that is yet to begin.
    pub(crate) fn name(&self) -> String {
        Number(self.started, self.next.fetch_add(1, Ordering::Relaxed)).to_string()
    }

    /// Keeps the plan of an execution for a while.
    pub(crate) fn plan(&self, name: &str, statement: S) {
        let mut state = lock(&self.state);
        let now = self.clock.elapsed();
        state.forget_old_plans(now);
        if state.planned.len() >= PLANNED_MAX {
            state.planned.pop_front();
        }
        state.planned.push_back((name.to_owned(), now, statement));
    }

    /// The plan of an execution, if it is still kept. It is given once, as a ticket is used once.
    pub(crate) fn take_plan(&self, name: &str) -> Option<S> {
        let mut state = lock(&self.state);
        state.forget_old_plans(self.clock.elapsed());
        let at = state.planned.iter().position(|(of, ..)| of == name)?;
        state.planned.remove(at).map(|(.., statement)| statement)
    }

    /// Lets plans go that nobody came for.
    pub(crate) fn forget_old_plans(&self) {
        lock(&self.state).forget_old_plans(self.clock.elapsed());
    }

    /// Lets all plans go: the tables are others now.
    pub(crate) fn forget_plans(&self) {
        lock(&self.state).planned.clear();
    }

    /// Begins an execution; it ends when the guard is dropped.
    ///
    /// # Errors
    /// `Cancelled` if it was cancelled before, or is so old that this is not known.
    pub(crate) fn begin(&self, name: &str) -> Result<Execution<S>> {
        let mut state = lock(&self.state);
        let number = Number::of(name);
        if state.cancelled.contains(&number) {
            return Err(cancelled());
        }
        if state.refused_through >= Some(number) {
            return Err(too_old());
        }
        let running = state
            .running
            .entry(name.to_owned())
            .or_insert_with(|| Running { cancel: watch::Sender::new(false), answers: 0 });
        running.answers += 1;
        Ok(Execution {
            name: name.to_owned(),
            cancel: running.cancel.subscribe(),
            state: Arc::clone(&self.state),
        })
    }

    /// Cancels an execution, whether it runs or is yet to begin.
    pub(crate) async fn cancel(&self, name: &str) -> Cancelled {
        let waiting = {
            let mut state = lock(&self.state);
            match state.running.get(name) {
                Some(running) => running.cancel.clone(),
                None if state.finished.contains(name) => return Cancelled::TooLate,
                None => {
                    state.planned.retain(|(of, ..)| of != name);
                    state.cancel(Number::of(name));
                    return Cancelled::Done;
                }
            }
        };
        waiting.send_replace(true);
        // Every execution holds a receiver: when the last is gone, none runs.
        tokio::select! {
            biased;
            () = waiting.closed() => Cancelled::Done,
            () = self.clock.sleep(CANCEL_WAIT) => Cancelled::Soon,
        }
    }
}

impl<S> State<S> {
    fn forget_old_plans(&mut self, now: Span) {
        let before = now.saturating_sub(PLANNED_FOR);
        while self.planned.front().is_some_and(|(_, since, _)| *since < before) {
            self.planned.pop_front();
        }
    }

    fn finish(&mut self, name: String) {
        if self.finished.insert(name.clone()) {
            self.order.push_back(name);
        }
        while self.order.len() > FINISHED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.finished.remove(&oldest);
            }
        }
    }

    fn cancel(&mut self, number: Number) {
        self.cancelled.insert(number);
        while self.cancelled.len() > CANCELLED_MAX {
            self.refused_through = self.refused_through.max(self.cancelled.pop_first());
        }
    }
}

/// One running execution.
#[derive(Debug)]
pub(crate) struct Execution<S> {
    name: String,
    cancel: watch::Receiver<bool>,
    state: Arc<Mutex<State<S>>>,
}

impl<S> Execution<S> {
    /// How others learn that it is cancelled.
    pub(crate) fn cancellation(&self) -> Cancellation {
        Cancellation(self.cancel.clone())
    }
}

/// Tells whether an execution is cancelled.
#[derive(Debug, Clone)]
pub(crate) struct Cancellation(watch::Receiver<bool>);

impl Cancellation {
    /// Ready when the execution is cancelled, with the error that its client gets.
    pub(crate) async fn reached(mut self) -> Error {
        // The sender lives as long as the execution, which outlives whoever waits here.
        if self.0.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
        cancelled()
    }
}

impl<S> Drop for Execution<S> {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let Some(running) = state.running.get_mut(&self.name) else { return };
        running.answers = running.answers.saturating_sub(1);
        if running.answers == 0 {
            state.running.remove(&self.name);
            let name = std::mem::take(&mut self.name);
            match *self.cancel.borrow() {
                true => {
                    state.finished.remove(&name);
                    state.cancel(Number::of(&name));
                }
                false => state.finish(name),
            }
        }
    }
}

fn cancelled() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the statement was cancelled, its answer is incomplete: send it again if it is still wanted",
    )
}

fn too_old() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the statement may have been cancelled: it is older than others of which that is known; send it again if it is \
         still wanted",
    )
}

fn lock<S>(state: &Mutex<State<S>>) -> MutexGuard<'_, State<S>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
