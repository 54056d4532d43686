//! The gate of queries: slots for those that run, and a queue of those that wait, from which callers are let in by turns.
//!
//! ```text
//! slot free ─► of the callers that wait, the one with the fewest slots; of several, the one that waits longest for a turn
//! ```
//!
//! A caller that is known by name gets no more than [three quarters](share) of slots and queue, so that others find room
//! however long its queries take.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use barograph_engine::{Error, Result, retry};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::settings::SqlSettings;

/// Threads of queries that wait for their readers without a slot: each query keeps its executor.
const PARKED_THREADS: usize = 1_024;

/// The part of something that one caller may have of it while others want some, at least 1.
pub(crate) fn share(all: usize) -> usize {
    all.saturating_sub(all / 4).max(1)
}

/// Who asks for a slot.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) user: Arc<str>,
    /// Whether it is known by name, and others ask beside it.
    pub(crate) is_one_of_several: bool,
}

/// Slots of running queries, and the queue of those that wait.
#[derive(Debug)]
pub(crate) struct Gate {
    queue: Mutex<Queue>,
    places: usize,
    waiting_max: usize,
    /// Permits to wait for a reader without a slot.
    parks: Semaphore,
}

/// Who runs and who waits.
#[derive(Debug, Default)]
struct Queue {
    free: usize,
    /// Slots by caller.
    running: HashMap<Arc<str>, usize>,
    /// Callers that wait, the one whose turn was longest ago first. None of them is without a query.
    waiting: VecDeque<Line>,
    /// Number of the last query that waits.
    last: u64,
}

/// The queries of a caller that wait, in their order.
#[derive(Debug)]
struct Line {
    user: Arc<str>,
    /// Slots that it may have.
    most: usize,
    queries: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Queue {
    fn running(&self, user: &str) -> usize {
        self.running.get(user).copied().unwrap_or(0)
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(|line| line.queries.len()).sum()
    }

    fn waiting_of(&self, user: &str) -> usize {
        let own = self.waiting.iter().find(|line| &*line.user == user);
        own.map_or(0, |line| line.queries.len())
    }

    /// Takes a slot.
    fn take(&mut self, user: &Arc<str>) {
        self.free = self.free.saturating_sub(1);
        *self.running.entry(Arc::clone(user)).or_default() += 1;
    }

    /// Gives a slot back.
    fn give_back(&mut self, user: &str) {
        self.free += 1;
        if let Some(running) = self.running.get_mut(user) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(user);
            }
        }
    }

    /// Whose turn it is.
    fn next(&self) -> Option<usize> {
        let lines = self.waiting.iter().enumerate();
        let may = lines.filter(|(_, line)| self.running(&line.user) < line.most);
        may.min_by_key(|(_, line)| self.running(&line.user)).map(|(at, _)| at)
    }

    /// Gives free slots to those whose turn it is.
    fn dispatch(&mut self) {
        while self.free > 0
            && let Some(at) = self.next()
            && let Some(mut line) = self.waiting.remove(at)
        {
            // One that has gone meanwhile takes nothing.
            if let Some((_, query)) = line.queries.pop_front()
                && query.send(()).is_ok()
            {
                self.take(&line.user);
            }
            if !line.queries.is_empty() {
                self.waiting.push_back(line);
            }
        }
    }

    /// Adds a query, before the others of its caller if it is `ahead`.
    fn add(&mut self, asker: &Asker, most: usize, ahead: bool) -> (u64, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        self.last += 1;
        let number = self.last;
        let own = self.waiting.iter_mut().find(|line| line.user == asker.user);
        let query = (number, sender);
        match own {
            Some(line) if ahead => line.queries.push_front(query),
            Some(line) => line.queries.push_back(query),
            None => {
                let (user, queries) = (Arc::clone(&asker.user), VecDeque::from([query]));
                self.waiting.push_back(Line { user, most, queries });
            }
        }
        (number, receiver)
    }

    /// Removes a query that waits.
    fn remove(&mut self, user: &str, number: u64) {
        if let Some(line) = self.waiting.iter_mut().find(|line| &*line.user == user) {
            line.queries.retain(|(own, _)| *own != number);
        }
        self.waiting.retain(|line| !line.queries.is_empty());
    }
}

impl Gate {
    /// Slots for queries that run on `threads` threads each.
    pub(crate) fn new(settings: &SqlSettings, threads: usize) -> Self {
        let places = settings.queries_max.max(1);
        Self {
            queue: Mutex::new(Queue { free: places, ..Queue::default() }),
            places,
            waiting_max: settings.queue_max,
            parks: Semaphore::new(PARKED_THREADS / threads.max(1)),
        }
    }

    /// Slots that a caller may have.
    fn most(&self, asker: &Asker) -> usize {
        if asker.is_one_of_several { share(self.places) } else { self.places }
    }

    /// Waits for a free slot; refused if too many queries wait already.
    pub(crate) async fn enter(self: &Arc<Self>, asker: Asker) -> Result<Place> {
        let waiting = {
            let mut queue = self.queue.lock();
            let most = self.most(&asker);
            let goes_on = queue.free > 0 && queue.running(&asker.user) < most;
            // Who waits with a free slot has as many as it may have.
            match goes_on && queue.waiting_of(&asker.user) == 0 {
                true => {
                    queue.take(&asker.user);
                    None
                }
                false => {
                    self.check_waiting(&queue, &asker)?;
                    Some(queue.add(&asker, most, false))
                }
            }
        };
        let slot = self.granted(&asker, waiting).await?;
        Ok(Place { gate: Arc::clone(self), asker, held: Mutex::new(Some(slot)) })
    }

    fn check_waiting(&self, queue: &Queue, asker: &Asker) -> Result<()> {
        let (all, own) = (queue.waiting(), queue.waiting_of(&asker.user));
        let text = if all >= self.waiting_max {
            format!("{all} queries are waiting already")
        } else if asker.is_one_of_several && own >= share(self.waiting_max) {
            format!("{own} queries of {:?} are waiting already", asker.user)
        } else {
            return Ok(());
        };
        Err(Error::resources("sql.queue_max", text, retry::STATEMENT_ENDS))
    }

    /// The slot, when it is the turn of the query that waits.
    async fn granted(
        self: &Arc<Self>,
        asker: &Asker,
        waiting: Option<(u64, oneshot::Receiver<()>)>,
    ) -> Result<Slot> {
        if let Some((number, turn)) = waiting {
            let user = Arc::clone(&asker.user);
            let mut waiting =
                Waiting { gate: Arc::clone(self), user, number, turn, is_over: false };
            let turn = (&mut waiting.turn).await;
            waiting.is_over = true;
            turn.map_err(|e| Error::internal("the queue of queries is closed").with_source(e))?;
        }
        Ok(Slot { gate: Arc::clone(self), user: Arc::clone(&asker.user) })
    }

    fn release(&self, user: &str) {
        let mut queue = self.queue.lock();
        queue.give_back(user);
        queue.dispatch();
    }
}

/// A query that waits. Dropped, it waits no longer.
struct Waiting {
    gate: Arc<Gate>,
    user: Arc<str>,
    number: u64,
    turn: oneshot::Receiver<()>,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = self.gate.queue.lock();
        // Nobody else gives a turn meanwhile.
        match self.turn.try_recv() {
            Ok(()) => {
                queue.give_back(&self.user);
                queue.dispatch();
            }
            Err(_) => queue.remove(&self.user, self.number),
        }
    }
}

/// A slot that is held.
#[derive(Debug)]
struct Slot {
    gate: Arc<Gate>,
    user: Arc<str>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.release(&self.user);
    }
}

/// The slot of a query.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    asker: Asker,
    held: Mutex<Option<Slot>>,
}

impl Place {
    /// Gives the slot to others for good.
    pub(crate) fn give_back(&self) {
        let slot = self.held.lock().take();
        drop(slot);
    }

    /// Gives the slot to others for a while; `None` if as many queries wait without one as allowed.
    pub(crate) fn park(&self) -> Option<Parked<'_>> {
        let leave = self.gate.parks.try_acquire().ok()?;
        self.give_back();
        Some(Parked { place: self, _leave: leave })
    }
}

/// A query that waits without its slot.
pub(crate) struct Parked<'a> {
    place: &'a Place,
    _leave: SemaphorePermit<'a>,
}

impl Parked<'_> {
    /// Waits for a slot again, however many queries wait for one, before others of the same caller.
    pub(crate) async fn retake(self) -> Result<()> {
        let Place { gate, asker, held } = self.place;
        let waiting = {
            let mut queue = gate.queue.lock();
            let most = gate.most(asker);
            let goes_on = queue.free > 0 && queue.running(&asker.user) < most;
            match goes_on {
                true => {
                    queue.take(&asker.user);
                    None
                }
                false => Some(queue.add(asker, most, true)),
            }
        };
        let slot = gate.granted(asker, waiting).await?;
        *held.lock() = Some(slot);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
