//! The world of the model: what can happen, drawn from a seed, one step after the other; then everything heals.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::super::message::{Command, Event, Reply};
use super::canon::Canon;
use super::clients::Wanted;
use super::network::{Ask, Message, What};
use super::process::Process;
use super::store::Store;
use crate::log::batch::Placement;

const SECOND: i64 = 1_000_000;
/// Groups below a floor are deleted when it is this old.
const DELETED_AFTER: i64 = 150 * SECOND;
const STEPS: usize = 1_200;
const FIRST: u64 = 4096;
const SOURCES: [&str; 2] = ["one", "two"];

/// How often what happened.
pub(super) type Seen = BTreeMap<&'static str, u64>;

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: SmallRng,
    time: i64,
    pub(super) store: Store,
    pub(super) canon: Canon,
    pub(super) processes: Vec<Process>,
    pub(super) network: Vec<Message>,
    /// Puts whose sender has given up, and which arrive when they like.
    pub(super) late: Vec<(u64, Bytes)>,
    /// Floors and deletions that a process has decided on.
    planned_floors: Vec<(u64, u64)>,
    garbage: Vec<u64>,
    wanted: Vec<Wanted>,
    lives: u64,
    pub(super) is_healed: bool,
    seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: SmallRng::seed_from_u64(seed),
            time: 0,
            store: Store::new(FIRST),
            canon: Canon::new(FIRST),
            processes: Vec::new(),
            network: Vec::new(),
            late: Vec::new(),
            planned_floors: Vec::new(),
            garbage: Vec::new(),
            wanted: Vec::new(),
            lives: 0,
            is_healed: false,
            seen: Seen::new(),
        };
        for _ in 0..world.rng.random_range(2..5) {
            let suspends = world.rng.random();
            world.processes.push(Process::new(0, suspends));
            world.start(world.processes.len() - 1);
        }
        world
    }

    pub(super) fn run(mut self) -> Seen {
        for _ in 0..STEPS {
            self.time += self.rng.random_range(0..SECOND);
            self.step();
        }
        self.heal();
        self.seen
    }

    fn step(&mut self) {
        match self.rng.random_range(0..1000) {
            0..500 => self.deliver(),
            500..590 => self.go_on(),
            590..650 => self.send(),
            650..670 => self.late_put(),
            670..680 => self.abandon(),
            680..684 => {
                let process = self.any();
                self.saw("crash", true);
                self.start(process);
            }
            684..700 => {
                // Often one whose put is on its way.
                let is_put = |what: &What| matches!(what, What::Ask(Ask::Put(..)));
                let asked = self.network.iter().filter(|message| is_put(&message.what));
                let asked: Vec<usize> = asked.map(|message| message.process).collect();
                let process = match asked.is_empty() {
                    true => self.any(),
                    false => asked[self.rng.random_range(0..asked.len())],
                };
                let length = match self.rng.random_range(0..10) {
                    0..3 => 4 * DELETED_AFTER,
                    _ => 90 * SECOND,
                };
                let length = self.rng.random_range(0..length);
                let is_set_back = self.rng.random_bool(0.3);
                self.processes[process].stall(self.time, length, is_set_back);
            }
            700..706 => {
                let process = self.any();
                if !self.processes[process].suspends {
                    self.processes[process].skew = self.rng.random_range(-40..40) * 10 * SECOND;
                }
            }
            706..760 => self.plan_floor(),
            760..790 => self.move_floor(),
            790..900 => self.clean_up(),
            900..904 => self.time += self.rng.random_range(0..DELETED_AFTER),
            904..950 => self.offer(),
            _ => {
                let process = self.any();
                self.tell(process, Event::Follow);
            }
        }
    }

    pub(super) fn saw(&mut self, what: &'static str, is_so: bool) {
        *self.seen.entry(what).or_default() += u64::from(is_so);
    }

    fn any(&mut self) -> usize {
        self.rng.random_range(0..self.processes.len())
    }

    pub(super) fn is_awake(&self, process: usize) -> bool {
        self.processes[process].stalled_until <= self.time
    }

    /// A process begins anew, with nothing but what is in the store. What it was given is sent again by the clients.
    fn start(&mut self, process: usize) {
        self.lives += 1;
        let (skew, suspends) = (self.processes[process].skew, self.processes[process].suspends);
        self.processes[process] = Process { skew, ..Process::new(self.lives, suspends) };
        self.tell(process, Event::Start);
    }

    /// An event for a process that is awake.
    pub(super) fn tell(&mut self, process: usize, event: Event) {
        if !self.is_awake(process) {
            return;
        }
        let time = self.processes[process].time(self.time);
        let commands = self.processes[process].protocol.handle(time, event);
        for command in commands {
            self.carry_out(process, command);
        }
    }

    fn carry_out(&mut self, process: usize, command: Command) {
        let ask = match command {
            Command::Put(position, object) => Ask::Put(position, object),
            Command::Get(position) => Ask::Get(position),
            Command::List(from) => Ask::List(from),
            Command::ReadFloor => Ask::Floor,
            Command::Pause => return self.processes[process].paused = true,
            Command::CaughtUp => return self.processes[process].is_ready = true,
            Command::Publish(published) => {
                self.canon.check(&published);
                let before = self.processes[process].published.replace(published.group.end);
                assert!(before.is_none_or(|end| end == published.group.position), "a gap");
                if before.is_none() && published.group.position > FIRST {
                    self.saw("start from a checkpoint", true);
                }
                return;
            }
            Command::Reply(reply) => return self.reply(process, reply),
            Command::Reopen { .. } => {
                self.saw("reopening", true);
                return self.start(process);
            }
            Command::Damaged { position, flaw } => panic!("{position}: {flaw}"),
        };
        let life = self.processes[process].life;
        self.network.push(Message { process, life, what: What::Ask(ask) });
    }

    fn reply(&mut self, process: usize, reply: Reply) {
        let running = self.processes[process].running.take().expect("a reply to nothing");
        let placements = match reply {
            Reply::Placed(placements) => placements,
            Reply::Behind => {
                self.saw("lost race", true);
                running
                    .into_iter()
                    .rev()
                    .for_each(|one| self.processes[process].queue.push_front(one));
                return;
            }
            Reply::Open => return,
        };
        assert_eq!(placements.len(), running.len());
        for (index, placement) in running.into_iter().zip(placements) {
            self.canon.check_acknowledged(self.wanted[index].id, &placement);
            self.wanted[index].is_acknowledged = true;
            match placement {
                Placement::Appended(_) => self.saw("acknowledged", true),
                Placement::Duplicate(_) => self.saw("duplicate", true),
                Placement::Stale { .. } => self.saw("stale batch", true),
            }
        }
    }

    /// A process does what it has to do by itself.
    fn go_on(&mut self) {
        let process = self.any();
        if !self.is_awake(process) {
            return;
        }
        if std::mem::take(&mut self.processes[process].paused) {
            self.tell(process, Event::Again);
        }
        let most = self.rng.random_range(1..4);
        if let Some(event) = self.processes[process].append(self.time, &self.wanted, most) {
            self.tell(process, event);
        }
    }

    /// A client sends a batch: a new one, or one that may be in the log.
    fn send(&mut self) {
        let number = self.wanted.len();
        let again: Vec<_> = (0..number).filter(|one| !self.wanted[*one].is_acknowledged).collect();
        let index = match self.rng.random_range(0..10) {
            0..4 if !again.is_empty() => again[self.rng.random_range(0..again.len())],
            4 if number > 0 => self.rng.random_range(0..number),
            5..7 => {
                let source = SOURCES[self.rng.random_range(0..SOURCES.len())];
                let known = self.rng.random_range(0..self.processes.len());
                let next = self.processes[known].protocol.state().offset(source, 0).unwrap_or(0);
                self.wanted.push(Wanted::of_source(&mut self.rng, number as u128, source, next));
                number
            }
            _ => {
                self.wanted.push(Wanted::new(&mut self.rng, number as u128));
                number
            }
        };
        // Some are sent to two processes at once.
        for _ in 0..1 + u32::from(self.rng.random_bool(0.15)) {
            let process = self.any();
            self.processes[process].queue.push_back(index);
        }
    }

    fn abandon(&mut self) {
        let process = self.any();
        if self.is_awake(process) && self.processes[process].running.take().is_some() {
            self.saw("abandoned append", true);
            self.tell(process, Event::Abandon);
        }
    }

    /// A process offers a group that it knows to stand in the log.
    fn offer(&mut self) {
        let (from, to) = (self.any(), self.any());
        let (known, end) = (self.store.floor().1, self.processes[to].protocol.state().end());
        if self.processes[from].protocol.state().end() > end
            && known <= end
            && let Some(object) = self.store.get(end)
        {
            self.tell(to, Event::Offered(end, object));
        }
    }

    fn plan_floor(&mut self) {
        let process = self.any();
        let protocol = &self.processes[process].protocol;
        let end = protocol.state().end();
        let below = self.rng.random_range(end - end / 4..=end);
        let (number, floor) = self.store.floor();
        if let Some(to) = protocol.floor().candidate(below).filter(|to| *to > floor) {
            self.planned_floors.push((number + 1, to));
        }
    }

    fn move_floor(&mut self) {
        if let Some((number, floor)) = self.planned_floors.pop() {
            let is_moved = self.store.put_floor(number, floor, self.time);
            self.saw("floor", is_moved);
        }
    }

    fn clean_up(&mut self) {
        if self.garbage.is_empty() && self.rng.random_bool(0.5) {
            self.garbage = self.store.garbage(self.time - DELETED_AFTER);
            self.garbage.reverse();
        }
        if let Some(position) = self.garbage.pop() {
            self.saw("deletion", true);
            self.store.delete(position);
        }
    }

    /// Nothing fails any more: every batch gets in, and all processes come to the same end.
    fn heal(&mut self) {
        self.is_healed = true;
        while !self.late.is_empty() {
            self.late_put();
        }
        self.time += 10 * DELETED_AFTER;
        for _ in 0..40 {
            let left: Vec<_> =
                (0..self.wanted.len()).filter(|one| !self.wanted[*one].is_acknowledged).collect();
            if !left.is_empty() {
                self.processes[0].queue.extend(left);
            }
            for _ in 0..400 {
                self.time += SECOND / 100;
                match self.rng.random_range(0..10) {
                    0..6 => self.deliver(),
                    6..9 => self.go_on(),
                    _ => {
                        let process = self.any();
                        self.tell(process, Event::Follow);
                    }
                }
            }
        }
        assert!(self.wanted.iter().all(|wanted| wanted.is_acknowledged), "not all got in");
        for wanted in &self.wanted {
            match &wanted.origin {
                None => assert!(self.canon.counts(wanted.id), "{} was lost", wanted.id),
                Some(origin) => assert!(self.canon.offset(&origin.source) >= origin.next),
            }
        }
        for process in &self.processes {
            assert!(*process.protocol.state() == self.canon.state, "processes differ");
        }
    }
}
