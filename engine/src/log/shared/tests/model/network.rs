//! The network of the model: requests and answers on their way, late, lost, or waiting in a process that stalls.

use bytes::Bytes;
use rand::Rng;

use super::super::super::message::{Event, Got, Put};
use super::world::World;

/// A message on its way.
#[derive(Debug)]
pub(super) struct Message {
    pub process: usize,
    pub life: u64,
    pub what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Ask(Ask),
    Answer(Event),
}

#[derive(Debug, Clone)]
pub(super) enum Ask {
    Put(u64, Bytes),
    Get(u64),
    List(u64),
    Floor,
}

impl World {
    /// A message arrives: a request at the store, or its answer at the process.
    pub(super) fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let message = self.network.swap_remove(self.rng.random_range(0..self.network.len()));
        let Message { process, life, what } = message;
        match what {
            What::Ask(ask) => {
                let what = What::Answer(self.answer(ask));
                self.network.push(Message { process, life, what });
            }
            What::Answer(_) if self.processes[process].life != life => {}
            What::Answer(event) if self.is_awake(process) => self.tell(process, event),
            // It waits in the process until that wakes.
            what => self.network.push(Message { process, life, what }),
        }
    }

    /// The store's answer, unless it, or the request, is lost.
    fn answer(&mut self, ask: Ask) -> Event {
        let luck = if self.is_healed { 1000 } else { self.rng.random_range(0..1000) };
        match (ask, luck) {
            (Ask::Put(position, object), 0..60) => {
                // It may arrive later.
                self.saw("late put", true);
                self.late.push((position, object));
                Event::Put(Put::Unknown)
            }
            (Ask::Put(position, object), 60..120) => {
                self.saw("lost reply", true);
                self.arrive(position, &object);
                Event::Put(Put::Unknown)
            }
            (Ask::Put(..), 120..140) => Event::Put(Put::Exists),
            (Ask::Put(position, object), _) => match self.arrive(position, &object) {
                true => Event::Put(Put::Created),
                false => Event::Put(Put::Exists),
            },
            (Ask::Get(position), 0..50) => Event::Got(position, Got::Failed),
            (Ask::Get(position), _) => {
                let found = self.store.get(position).map_or(Got::NotFound, Got::Object);
                Event::Got(position, found)
            }
            (Ask::List(_), 0..50) => Event::Listed(None),
            (Ask::List(from), _) => Event::Listed(Some(self.store.list(from))),
            (Ask::Floor, 0..50) => Event::Floor(None),
            (Ask::Floor, _) => Event::Floor(Some(self.store.read_floor())),
        }
    }

    /// A put reaches the store. Whether it created its group.
    fn arrive(&mut self, position: u64, object: &Bytes) -> bool {
        let is_new = self.store.put(position, object);
        if is_new {
            let (_, floor) = self.store.floor();
            self.saw("put below the floor", position < floor);
            self.canon.created(position, object, floor);
        }
        is_new
    }

    pub(super) fn late_put(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let (position, object) = self.late.swap_remove(self.rng.random_range(0..self.late.len()));
        let is_new = self.arrive(position, &object);
        self.saw("late put that created", is_new);
    }
}
