//! The protocol of a shared log, as a state machine of one process: events come in, commands go out. It does no I/O,
//! reads no clock and draws no random numbers, so that a test can lead it through every history.
//!
//! ```text
//!            ┌────────── Idle ◄──────────────┬──────────────────────┐
//!      append│    follow│     far behind│    │                      │
//!            ▼          ▼               ▼    │ applied, published,  │ not found: caught up,
//!         Putting ──► Getting        Listing │ acknowledged         │ or still undecided
//!     created│ exists   │found                │                      │
//!            └──────────┴──► is the floor known from less than a minute ago?
//!                                  │no: Floor, a read of it; passed: Reopen
//! ```
//!
//! 1. A group is put at the end, and only by a process that has applied everything before: compare and append.
//! 2. Until a put is decided, the same bytes go under the same name, and nothing goes under another. It is decided by
//!    what stands under the name: the bytes, or a group of another process, which wins.
//! 3. *Exists* and then *not found* decides nothing, since S3 answers a race with 409, which means either.
//! 4. What the store says of a name counts only beside a floor that is known from less than a minute ago.

use barograph_lake::Span;
use bytes::Bytes;

use super::super::frame::Flaw;
use super::ahead::Ahead;
use super::floor::{Floor, Time};
use super::group::{Group, Kind, Writer};
use super::in_flight::InFlight;
use super::message::{Append, Command, Event, FloorRead, Got, Published, Put, Reply};
use super::state::State;

/// Groups of others in a row after which a listing tells how many there are.
const LOOK_AHEAD_AFTER: u32 = 2;

/// What the machine needs to know beforehand.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// An answer of the store counts beside a floor that was read at most this long ago.
    pub floor_age_max: Span,
    /// A checkpoint is due after this many groups, or bytes.
    pub checkpoint_groups: u64,
    pub checkpoint_bytes: u64,
    /// Groups that are got beside each other.
    pub gets_max: usize,
}

/// What the machine waits for.
#[derive(Debug)]
enum Phase {
    Idle,
    Putting,
    Getting,
    Listing,
    /// For the floor, to decide what a finding is worth.
    Floor(Time, Finding),
    /// For `Again`; a finding still waits for the floor.
    Paused(Option<Finding>),
    /// For nothing any more.
    Ended,
}

/// What was learned about the name at the end.
#[derive(Debug)]
enum Finding {
    /// Nothing yet: the machine starts.
    Start,
    /// This object stands there.
    Stands(Bytes),
    /// Nothing stands there.
    Missing,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Protocol {
    writer: Writer,
    limits: Limits,
    state: State,
    floor: Floor,
    waiting: Option<Append>,
    in_flight: Option<InFlight>,
    ahead: Ahead,
    phase: Phase,
    follow: bool,
    /// What is waited for was begun before the end was asked for: that nothing stands there says nothing of later groups.
    looks_again: bool,
    /// Groups of others found one by one since the machine last reached the end.
    others: u32,
    commands: Vec<Command>,
}

impl Protocol {
    pub(super) fn new(writer: Writer, limits: Limits) -> Self {
        let ahead = Ahead::new(limits.gets_max);
        Self {
            writer,
            limits,
            state: State::default(),
            floor: Floor::default(),
            waiting: None,
            in_flight: None,
            ahead,
            phase: Phase::Idle,
            follow: false,
            looks_again: false,
            others: 0,
            commands: Vec::new(),
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Notes what a read of the floor said that was begun at `asked`.
    pub(super) fn note_floor(&mut self, read: FloorRead, asked: Time) {
        if read.floor <= self.state.end() {
            self.floor.read(read.floor, asked);
        }
    }

    /// Takes an event and gives back what is to be done.
    pub(super) fn handle(&mut self, time: Time, event: Event) -> Vec<Command> {
        match event {
            Event::Start => self.read_floor(time, Finding::Start),
            Event::Append(append) => {
                self.waiting = Some(append);
                self.advance_if_idle(time);
            }
            Event::Abandon => {
                self.waiting = None;
                if let Some(in_flight) = &mut self.in_flight {
                    in_flight.abandoned = true;
                }
            }
            Event::Follow => {
                self.follow = true;
                self.looks_again = !matches!(self.phase, Phase::Idle);
                self.advance_if_idle(time);
            }
            Event::Offered(position, object) => {
                self.ahead.offer(position, object, self.state.end());
                self.advance_if_idle(time);
            }
            Event::Again => match std::mem::replace(&mut self.phase, Phase::Idle) {
                Phase::Paused(Some(finding)) => self.read_floor(time, finding),
                Phase::Paused(None) => self.advance(time),
                other => self.phase = other,
            },
            Event::Put(put) => self.put(time, put),
            Event::Got(position, got) => self.got(time, position, got),
            Event::Listed(positions) => {
                match positions {
                    Some(positions) => self.ahead.want(positions, self.state.end()),
                    None => self.others = 0,
                }
                if matches!(self.phase, Phase::Listing) {
                    self.advance(time);
                }
            }
            Event::Floor(read) => self.floor_read(time, read),
        }
        std::mem::take(&mut self.commands)
    }

    fn advance_if_idle(&mut self, time: Time) {
        if matches!(self.phase, Phase::Idle) {
            self.advance(time);
        }
    }

    /// Goes on with what is to be done next.
    fn advance(&mut self, time: Time) {
        self.phase = Phase::Idle;
        let end = self.state.end();
        if let Some(object) = self.ahead.take(end) {
            return self.find(time, Finding::Stands(object));
        }
        self.commands.extend(self.ahead.gets().map(Command::Get));
        if self.ahead.is_coming(end) {
            self.phase = Phase::Getting;
        } else if let Some(in_flight) = &self.in_flight {
            self.commands.push(Command::Put(end, in_flight.object.clone()));
            self.phase = Phase::Putting;
        } else if self.others >= LOOK_AHEAD_AFTER {
            self.others = 0;
            self.commands.push(Command::List(end));
            self.phase = Phase::Listing;
        } else if let Some(append) = self.waiting.take_if(|_| !self.state.awaits_checkpoint()) {
            self.append(time, append);
        } else if self.follow {
            self.looks_again = false;
            self.commands.push(Command::Get(end));
            self.phase = Phase::Getting;
        }
    }

    fn append(&mut self, time: Time, append: Append) {
        if append.at != self.state.end() {
            self.commands.push(Command::Reply(Reply::Behind));
            return self.advance(time);
        }
        let (groups, bytes) = self.state.since_checkpoint();
        let is_due =
            groups >= self.limits.checkpoint_groups || bytes >= self.limits.checkpoint_bytes;
        match InFlight::new(append, &self.state, &self.writer, time.now, is_due) {
            Ok(in_flight) => {
                self.in_flight = Some(in_flight);
                self.advance(time);
            }
            Err(known) => {
                self.commands.push(Command::Reply(Reply::Placed(known)));
                self.advance(time);
            }
        }
    }

    fn put(&mut self, time: Time, put: Put) {
        if !matches!(self.phase, Phase::Putting) {
            return;
        }
        let object = self.in_flight.as_ref().map(|in_flight| in_flight.object.clone());
        match (put, object) {
            (Put::Created, Some(object)) => self.find(time, Finding::Stands(object)),
            (Put::Unknown, _) => self.pause(None),
            _ => {
                self.commands.push(Command::Get(self.state.end()));
                self.phase = Phase::Getting;
            }
        }
    }

    fn got(&mut self, time: Time, position: u64, got: Got) {
        let was_listed = self.ahead.came(position);
        let is_end = position == self.state.end() && matches!(self.phase, Phase::Getting);
        if is_end && !was_listed && matches!(got, Got::Object(_)) {
            self.others = self.others.saturating_add(1);
        }
        match got {
            Got::Object(object) if is_end => self.find(time, Finding::Stands(object)),
            Got::NotFound if is_end => self.find(time, Finding::Missing),
            Got::Failed if is_end => self.pause(None),
            Got::Object(object) => self.ahead.offer(position, object, self.state.end()),
            Got::NotFound | Got::Failed => {}
        }
    }

    /// Something was learned about the name at the end: it counts if the floor is known well enough.
    fn find(&mut self, time: Time, finding: Finding) {
        let is_known = self.floor.is_fresh(time, self.limits.floor_age_max);
        // The group that the floor points to is never missing, unless the floor has moved.
        let is_odd = matches!(finding, Finding::Missing) && self.state.awaits_checkpoint();
        if !is_known || is_odd {
            return self.read_floor(time, finding);
        }
        self.settle(time, finding);
    }

    fn read_floor(&mut self, time: Time, finding: Finding) {
        self.commands.push(Command::ReadFloor);
        self.phase = Phase::Floor(time, finding);
    }

    fn floor_read(&mut self, time: Time, read: Option<FloorRead>) {
        let (asked, finding) = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Floor(asked, finding) => (asked, finding),
            other => {
                self.phase = other;
                return;
            }
        };
        let Some(read) = read else {
            return self.pause(Some(finding));
        };
        if matches!(finding, Finding::Start) {
            self.state = match read.fresh {
                true => State::fresh(read.floor),
                false => State::awaiting(read.floor),
            };
            (self.follow, self.others) = (true, LOOK_AHEAD_AFTER);
        }
        if read.floor > self.state.end() {
            return self.reopen(read.floor);
        }
        self.floor.read(read.floor, asked);
        self.settle(time, finding);
    }

    /// A finding counts.
    fn settle(&mut self, time: Time, finding: Finding) {
        match finding {
            Finding::Start => self.advance(time),
            Finding::Stands(object) => self.apply(time, &object),
            Finding::Missing if self.in_flight.is_some() || self.state.awaits_checkpoint() => {
                self.pause(None);
            }
            Finding::Missing if std::mem::take(&mut self.looks_again) => self.advance(time),
            Finding::Missing => {
                (self.follow, self.others) = (false, 0);
                self.commands.push(Command::CaughtUp);
                self.advance(time);
            }
        }
    }

    fn apply(&mut self, time: Time, object: &Bytes) {
        let position = self.state.end();
        let group = match Group::decode(position, object) {
            Ok(group) => group,
            Err(flaw) => return self.damaged(position, flaw),
        };
        let verdicts = match self.state.apply(&group) {
            Ok(verdicts) => verdicts,
            Err(flaw) => return self.damaged(position, flaw),
        };
        if group.batches.iter().any(|batch| batch.kind == Kind::Checkpoint) {
            self.floor.add_checkpoint(position);
        }
        self.ahead.reach(self.state.end());
        let in_flight = self.in_flight.take();
        let is_own = in_flight.as_ref().is_some_and(|in_flight| in_flight.object == *object);
        if is_own {
            self.others = 0;
        }
        let reply =
            in_flight.filter(|in_flight| !in_flight.abandoned).map(|in_flight| match is_own {
                true => Reply::Placed(in_flight.placements(&group, &verdicts)),
                false => Reply::Behind,
            });
        let own = is_own && reply.is_some();
        self.commands.push(Command::Publish(Box::new(Published {
            object: object.clone(),
            group,
            verdicts,
            own,
        })));
        self.commands.extend(reply.map(Command::Reply));
        self.advance(time);
    }

    fn pause(&mut self, finding: Option<Finding>) {
        self.commands.push(Command::Pause);
        self.phase = Phase::Paused(finding);
    }

    fn reopen(&mut self, floor: u64) {
        self.end(Command::Reopen { floor });
    }

    fn damaged(&mut self, position: u64, flaw: Flaw) {
        self.end(Command::Damaged { position, flaw });
    }

    fn end(&mut self, why: Command) {
        let in_flight = self.in_flight.take().is_some_and(|in_flight| !in_flight.abandoned);
        if in_flight || self.waiting.take().is_some() {
            self.commands.push(Command::Reply(Reply::Open));
        }
        self.commands.push(why);
        self.phase = Phase::Ended;
    }
}
