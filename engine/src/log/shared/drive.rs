//! The drive of a shared log: events go to the protocol, and what it commands is done, until it has come to what is
//! wanted or the store fails.

use barograph_lake::{LogPosition, Span};

use super::floor::Time;
use super::group::{Group, Kind};
use super::log::{INSIST, PAUSE, SharedLog, protocol};
use super::message::{Command, Event, Published, Reply};
use super::state::Verdict;
use crate::log::{Log, Record};
use crate::{Error, ErrorKind, Result};

/// What the machine has come to.
#[derive(Debug, Default)]
pub(super) struct Come {
    pub reply: Option<Reply>,
    pub is_caught_up: bool,
    /// Why the store does not answer.
    pub error: Option<Error>,
}

impl SharedLog {
    /// As `drive`, again and again for a while if the store fails.
    pub(super) fn insist(&mut self, event: Event, wanted: fn(&Come) -> bool) -> Result<Come> {
        let until = self.clock.elapsed() + Span::from_duration(INSIST);
        let mut come = self.drive(event, wanted)?;
        let [mut wait, wait_max] = PAUSE;
        while !wanted(&come) && self.is_sound() && self.clock.elapsed() < until {
            self.io.pause(wait)?;
            wait = wait_max.min(wait * 2);
            come = self.go_on(wanted, come)?;
        }
        Ok(come)
    }

    /// Follows the log to its end.
    pub(super) fn catch_up(&mut self, event: Event) -> Result<()> {
        let come = self.drive(event, |come| come.is_caught_up)?;
        if come.is_caught_up {
            return Ok(());
        }
        self.running()?;
        Err(self.silent(come.error))
    }

    /// Gives the machine an event, and does what it commands until it has come to what is wanted, or the store fails.
    pub(super) fn drive(&mut self, event: Event, wanted: fn(&Come) -> bool) -> Result<Come> {
        let commands = self.protocol.handle(self.time(), event);
        let mut come = Come::default();
        self.carry_out(commands, &mut come);
        self.go_on(wanted, come)
    }

    fn go_on(&mut self, wanted: fn(&Come) -> bool, mut come: Come) -> Result<Come> {
        if !wanted(&come) && std::mem::take(&mut self.is_paused) {
            let commands = self.protocol.handle(self.time(), Event::Again);
            self.carry_out(commands, &mut come);
        }
        while !wanted(&come) && !self.is_paused && self.is_sound() {
            let Some((event, error)) = self.io.answer()? else { break };
            come.error = error.or(come.error);
            let commands = self.protocol.handle(self.time(), event);
            self.carry_out(commands, &mut come);
        }
        Ok(come)
    }

    /// Waits for all answers.
    fn settle(&mut self) -> Result<()> {
        while let Some((event, _)) = self.io.answer()? {
            let commands = self.protocol.handle(self.time(), event);
            self.carry_out(commands, &mut Come::default());
        }
        Ok(())
    }

    fn carry_out(&mut self, commands: Vec<Command>, come: &mut Come) {
        for command in commands {
            if self.io.send(&command) {
                continue;
            }
            match command {
                Command::Pause => self.is_paused = true,
                Command::Publish(published) => self.publish(*published),
                Command::Reply(reply) => come.reply = Some(reply),
                Command::CaughtUp => come.is_caught_up = true,
                Command::Reopen { floor } => {
                    let floor = LogPosition::new(floor);
                    tracing::warn!(log = self.place, %floor, "this process is behind what the others still need of the log, and reads it anew");
                    self.passed = Some(floor);
                }
                Command::Damaged { position, flaw } => {
                    self.stop(
                        ErrorKind::Damage,
                        format!("position {}: {flaw}", LogPosition::new(position)),
                    );
                }
                Command::Put(..) | Command::Get(_) | Command::List(_) | Command::ReadFloor => {}
            }
        }
    }

    fn publish(&mut self, published: Published) {
        let is_own = published.group.writer.id == self.writer.id;
        if is_own {
            let position = LogPosition::new(published.group.position);
            self.newest = Some((position, published.object.clone()));
        }
        self.notices.read(&published.group, is_own);
        if !published.own {
            self.unseen.extend(counting(published));
        }
    }

    pub(super) fn time(&self) -> Time {
        Time::of(self.clock.as_ref())
    }

    fn is_sound(&self) -> bool {
        self.stopped.is_none() && self.passed.is_none()
    }

    fn stop(&mut self, kind: ErrorKind, why: String) {
        let why = format!("log {} has stopped: {why}", self.place);
        tracing::error!("{why}");
        self.stopped = Some((kind, why));
    }

    /// Forgets what was read, and reads everything from the floor on.
    pub(super) fn begin_anew(&mut self) -> Result<()> {
        self.settle()?;
        self.protocol = protocol(&self.writer, &self.settings);
        (self.is_paused, self.passed, self.newest, self.opened) = (false, None, None, None);
        self.unseen.clear();
        self.notices.forget_read();
        let come = self.insist(Event::Start, |come| come.is_caught_up)?;
        if come.is_caught_up {
            return Ok(());
        }
        let floor = LogPosition::new(self.protocol.floor().known());
        self.passed.get_or_insert(floor);
        match self.stopped() {
            Some(error) => Err(error),
            None => Err(self.silent(come.error)),
        }
    }

    /// The records from the floor to what this process has followed to, as a process that starts reads them.
    pub(super) fn read_again(&mut self) -> Result<Vec<(LogPosition, Record)>> {
        // Nothing that was asked before may be answered to the machine that reads.
        self.settle()?;
        let end = self.end();
        let again = protocol(&self.writer, &self.settings);
        let mine = std::mem::replace(&mut self.protocol, again);
        let (unseen, is_paused) = (std::mem::take(&mut self.unseen), self.is_paused);
        self.is_paused = false;
        let read = self.catch_up(Event::Start).and_then(|()| self.settle());
        self.protocol = mine;
        self.is_paused = is_paused;
        let records = std::mem::replace(&mut self.unseen, unseen);
        read?;
        Ok(records.into_iter().filter(|(position, _)| *position < end).collect())
    }
}

/// The records of the batches that count.
fn counting(published: Published) -> impl Iterator<Item = (LogPosition, Record)> {
    let Published { group: Group { batches, .. }, verdicts, .. } = published;
    let counts = batches
        .into_iter()
        .zip(verdicts)
        .filter(|(batch, verdict)| batch.kind == Kind::Rows && *verdict == Verdict::Counts);
    counts.flat_map(|(batch, _)| batch.records)
}
