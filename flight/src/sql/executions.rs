//! The executions of statements: planned, running or ended. They are kept so that a planned statement need not be
//! planned again, and a running one can be cancelled from another connection.
//!
//! ```text
//! planned ─► running (any number of times) ─► finished
//!    └──────────┴─── cancelled: refused from then on
//! ```
//!
//! All of it is bounded; a plan that is forgotten costs a second planning.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barograph_engine::{Clock, ErrorKind};
use barograph_lake::{Micros, Span};
use tokio::sync::watch;

use crate::{Error, Result};

/// Planned statements kept until they are fetched.
const PLANNED_MAX: usize = 256;
/// How long a planned statement is kept for whoever asked for its plan.
const PLANNED_FOR: Span = Span::seconds(10);
/// Executions of which it is known how they ended.
const ENDED_MAX: usize = 4_096;
/// How long a cancellation waits for the running execution to let go.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// What becomes of an execution that is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// It does not run any more, and never will again.
    Done,
    /// It was told to stop.
    Soon,
    /// It had ended before.
    TooLate,
}

/// The executions. Generic so that a test can plan what is easy to make.
#[derive(Debug)]
pub(super) struct Executions<S> {
    /// Part of every name, so that names of an earlier process mean nothing here.
    started: Micros,
    next: AtomicU64,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State<S>>>,
}

#[derive(Debug)]
struct State<S> {
    /// In the order of their planning, with when that was by the time that has passed.
    planned: VecDeque<(String, Micros, S)>,
    running: HashMap<String, Running>,
    ended: HashMap<String, Ended>,
    /// Names of `ended` in the order of their end.
    order: VecDeque<String>,
}

#[derive(Debug)]
struct Running {
    cancel: watch::Sender<bool>,
    /// Answers that are being sent under the name.
    answers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Finished,
    Cancelled,
}

impl<S> Executions<S> {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            planned: VecDeque::new(),
            running: HashMap::new(),
            ended: HashMap::new(),
            order: VecDeque::new(),
        };
        let state = Arc::new(Mutex::new(state));
        Self { started: clock.now(), next: AtomicU64::new(0), clock, state }
    }

    /// A name for an execution that is yet to begin.
    pub(super) fn name(&self) -> String {
        format!("{:x}-{:x}", self.started, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps the plan of an execution for a while.
    pub(super) fn plan(&self, name: &str, statement: S) {
        let mut state = lock(&self.state);
        let now = self.clock.elapsed();
        state.forget_old_plans(now);
        if state.planned.len() >= PLANNED_MAX {
            state.planned.pop_front();
        }
        state.planned.push_back((name.to_owned(), now, statement));
    }

    /// The plan of an execution, if it is still kept. It is given once, as a ticket is used once.
    pub(super) fn take_plan(&self, name: &str) -> Option<S> {
        let mut state = lock(&self.state);
        state.forget_old_plans(self.clock.elapsed());
        let at = state.planned.iter().position(|(of, ..)| of == name)?;
        state.planned.remove(at).map(|(.., statement)| statement)
    }

    /// Lets plans go that nobody came for.
    pub(super) fn forget_old_plans(&self) {
        lock(&self.state).forget_old_plans(self.clock.elapsed());
    }

    /// Lets all plans go: the tables are others now.
    pub(super) fn forget_plans(&self) {
        lock(&self.state).planned.clear();
    }

    /// Begins an execution; it ends when the guard is dropped.
    ///
    /// # Errors
    /// `Cancelled` if it was cancelled before.
    pub(super) fn begin(&self, name: &str) -> Result<Execution<S>> {
        let mut state = lock(&self.state);
        if state.ended.get(name) == Some(&Ended::Cancelled) {
            return Err(cancelled());
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
    pub(super) async fn cancel(&self, name: &str) -> Cancelled {
        let waiting = {
            let mut state = lock(&self.state);
            match (state.running.get(name), state.ended.get(name)) {
                (Some(running), _) => running.cancel.clone(),
                (None, Some(Ended::Finished)) => return Cancelled::TooLate,
                (None, _) => {
                    state.planned.retain(|(of, ..)| of != name);
                    state.end(name, Ended::Cancelled);
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
    fn forget_old_plans(&mut self, now: Micros) {
        let before = now.saturating_sub(PLANNED_FOR.micros());
        while self.planned.front().is_some_and(|(_, since, _)| *since < before) {
            self.planned.pop_front();
        }
    }

    fn end(&mut self, name: &str, how: Ended) {
        if self.ended.insert(name.to_owned(), how).is_none() {
            self.order.push_back(name.to_owned());
        }
        while self.order.len() > ENDED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }
}

/// One running execution.
#[derive(Debug)]
pub(super) struct Execution<S> {
    name: String,
    cancel: watch::Receiver<bool>,
    state: Arc<Mutex<State<S>>>,
}

impl<S> Execution<S> {
    /// How others learn that it is cancelled.
    pub(super) fn cancellation(&self) -> Cancellation {
        Cancellation(self.cancel.clone())
    }
}

/// Tells whether an execution is cancelled.
#[derive(Debug, Clone)]
pub(super) struct Cancellation(watch::Receiver<bool>);

impl Cancellation {
    /// Ready when the execution is cancelled, with the error that its client gets.
    pub(super) async fn reached(mut self) -> Error {
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
        let how = if *self.cancel.borrow() { Ended::Cancelled } else { Ended::Finished };
        if running.answers == 0 {
            state.running.remove(&self.name);
            let name = std::mem::take(&mut self.name);
            state.end(&name, how);
        }
    }
}

fn cancelled() -> Error {
    Error::new(
        ErrorKind::Cancelled,
        "the statement was cancelled, the answer is not whole: send it again if it is still wanted",
    )
}

fn lock<S>(state: &Mutex<State<S>>) -> MutexGuard<'_, State<S>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use barograph_engine::ManualClock;

    use super::*;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::new(1))
    }

    #[tokio::test]
    async fn a_plan_is_given_once() {
        let executions = Executions::new(clock());
        let (first, second) = (executions.name(), executions.name());
        assert_ne!(first, second);
        executions.plan(&first, "SELECT 1");
        assert_eq!(executions.take_plan(&second), None);
        assert_eq!(executions.take_plan(&first), Some("SELECT 1"));
        assert_eq!(executions.take_plan(&first), None);
    }

    #[tokio::test]
    async fn plans_are_few_and_let_go() {
        let clock = Arc::new(ManualClock::new(1));
        let executions = Executions::new(Arc::clone(&clock) as _);
        let names: Vec<_> = (0..=PLANNED_MAX).map(|_| executions.name()).collect();
        names.iter().for_each(|name| executions.plan(name, ()));
        assert_eq!(executions.take_plan(&names[0]), None);
        assert_eq!(executions.take_plan(&names[1]), Some(()));
        clock.set(1 + PLANNED_FOR.micros());
        executions.forget_old_plans();
        assert_eq!(lock(&executions.state).planned.len(), PLANNED_MAX - 1);
        clock.set(2 + PLANNED_FOR.micros());
        executions.forget_old_plans();
        assert_eq!(lock(&executions.state).planned.len(), 0);
    }

    #[tokio::test]
    async fn a_running_execution_is_told_to_stop() {
        let executions = Arc::new(Executions::<()>::new(clock()));
        let name = executions.name();
        let execution = executions.begin(&name).unwrap();
        let canceller = tokio::spawn({
            let (executions, name) = (Arc::clone(&executions), name.clone());
            async move { executions.cancel(&name).await }
        });
        assert_eq!(execution.cancellation().reached().await.kind(), ErrorKind::Cancelled);
        drop(execution);
        assert_eq!(canceller.await.unwrap(), Cancelled::Done);
        assert_eq!(executions.begin(&name).unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(executions.cancel(&name).await, Cancelled::Done);
    }

    #[tokio::test]
    async fn one_that_does_not_let_go_is_cancelled_soon() {
        let clock = Arc::new(ManualClock::new(1));
        let executions = Executions::<()>::new(Arc::clone(&clock) as _);
        let name = executions.name();
        let _execution = executions.begin(&name).unwrap();
        let mut cancelling = std::pin::pin!(executions.cancel(&name));
        assert!(futures::poll!(&mut cancelling).is_pending(), "it is waited for");
        clock.set(1 + Micros::try_from(CANCEL_WAIT.as_micros()).unwrap());
        assert_eq!(cancelling.await, Cancelled::Soon);
    }

    #[tokio::test]
    async fn cancelling_before_the_beginning_and_after_the_end() {
        let executions = Executions::<()>::new(clock());
        let (early, late) = (executions.name(), executions.name());
        assert_eq!(executions.cancel(&early).await, Cancelled::Done);
        assert!(executions.begin(&early).is_err());
        let twice = (executions.begin(&late).unwrap(), executions.begin(&late).unwrap());
        drop(twice.0);
        assert!(lock(&executions.state).running.contains_key(&late));
        drop(twice.1);
        assert_eq!(executions.cancel(&late).await, Cancelled::TooLate);
        // What has finished may be asked for again.
        assert!(executions.begin(&late).is_ok());
    }

    #[tokio::test]
    async fn what_has_ended_is_remembered_within_bounds() {
        let executions = Executions::<()>::new(clock());
        for _ in 0..ENDED_MAX + 10 {
            executions.cancel(&executions.name()).await;
        }
        let state = lock(&executions.state);
        assert_eq!((state.ended.len(), state.order.len()), (ENDED_MAX, ENDED_MAX));
    }
}
