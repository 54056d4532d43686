//! The shared log: the protocol, with an object store below it and the promises of [`Log`] above.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::{LakeStore, LogId, LogPosition, Micros};

use super::super::batch::{Batch, BatchId, Placement};
use super::super::frame::{self, ALIGNMENT};
use super::floor::Time;
use super::group::{Group, Kind, Writer};
use super::io::Io;
use super::objects::Objects;
use super::protocol::{Append, Command, Event, Limits, Protocol, Published, Reply};
use super::state::Verdict;
use crate::clock::{Clock, micros};
use crate::log::{Log, LogSettings, Record};
use crate::{Error, ErrorKind, Result};

/// An answer of the store counts beside a floor that was read so long ago.
const FLOOR_AGE_MAX: Duration = Duration::from_secs(60);
/// A checkpoint is due after so many groups, or after the bytes of a segment.
const CHECKPOINT_GROUPS: u64 = 1024;
const GETS_MAX: usize = 32;
/// How long a store that fails is tried. A batch whose append is given up then may still turn up.
const INSIST: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// Old groups are looked for this often.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(600);
/// Records found while opening are kept for the replay up to so many bytes.
const KEPT_BYTES: usize = 256 << 20;

/// A log in an object store, to which several processes append in one order.
#[derive(Debug)]
pub struct SharedLog {
    io: Io,
    id: LogId,
    place: String,
    writer: Writer,
    settings: LogSettings,
    clock: Arc<dyn Clock>,
    protocol: Protocol,
    is_paused: bool,
    /// Records of others that were not shown yet.
    unseen: VecDeque<(LogPosition, Record)>,
    /// Records found while opening, for the first replay.
    opened: Option<Vec<(LogPosition, Record)>>,
    /// The floor that was the newest when old groups were last looked for, and when that was.
    cleaned_up: Option<(u64, Micros)>,
    stopped: Option<(ErrorKind, String)>,
}

/// The process that appended last. It lands, and the others forward to it: for speed alone, since any process may
/// append at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Where other processes reach it; empty if they cannot.
    pub address: String,
    /// It is this process.
    pub is_self: bool,
}

/// What the machine has come to.
#[derive(Debug, Default)]
struct Come {
    reply: Option<Reply>,
    is_caught_up: bool,
    /// Why the store does not answer.
    error: Option<Error>,
}

impl SharedLog {
    /// Opens the log below `lake`, and reads it from its floor to its end. Records get positions of `at_least` or
    /// larger. Other processes reach this one at `address`. Waits for the store: on a thread that may.
    ///
    /// # Errors
    /// `Unavailable` if the store does not answer, `Damage` if a group is damaged or missing.
    pub fn open(
        lake: &LakeStore,
        settings: &LogSettings,
        clock: Arc<dyn Clock>,
        at_least: LogPosition,
        address: &str,
    ) -> Result<Self> {
        settings.check()?;
        let objects = Objects::new(lake);
        let place = objects.place();
        let io = Io::start(objects, Arc::clone(&clock))?;
        let id = make(&io, clock.as_ref(), aligned(at_least)?)?;
        let writer = Writer { id: LogId::random().bytes(), address: address.to_owned() };
        let protocol = protocol(&writer, settings);
        let mut log = Self {
            io,
            id,
            place,
            writer,
            settings: settings.clone(),
            clock,
            protocol,
            is_paused: false,
            unseen: VecDeque::new(),
            opened: None,
            cleaned_up: None,
            stopped: None,
        };
        let come = log.insist(Event::Start, |come| come.is_caught_up)?;
        if !come.is_caught_up {
            log.running()?;
            return Err(log.silent(come.error));
        }
        log.opened = Some(std::mem::take(&mut log.unseen).into());
        log.skip_to(at_least)?;
        let opened = log.opened.iter().flatten();
        if opened.map(|(_, record)| record.body.len()).sum::<usize>() > KEPT_BYTES {
            log.opened = None;
        }
        Ok(log)
    }

    /// The id of the log, which stays with its objects.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Leaves out positions, so that the next records get `at_least` or larger.
    ///
    /// # Errors
    /// As of [`Log::append`].
    pub fn skip_to(&mut self, at_least: LogPosition) -> Result<()> {
        let first = aligned(at_least)?;
        while self.protocol.state().end() < first {
            let opened = self.opened.take();
            let appended = self.append_group(Vec::new(), first);
            self.opened = opened;
            match (appended, &mut self.opened) {
                (Ok(_), _) => {}
                // What came while it was opened is of the records that were there.
                (Err(error), Some(opened)) if error.kind() == ErrorKind::Behind => {
                    opened.extend(self.unseen.drain(..));
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    /// The process that appended last; `None` before the first group.
    pub fn leader(&self) -> Option<Leader> {
        let leader = self.protocol.state().leader()?;
        let is_self = leader.id == self.writer.id;
        Some(Leader { address: leader.address.clone(), is_self })
    }

    /// Appends an empty group, which makes this process the leader unless another is faster. Whether it is.
    ///
    /// # Errors
    /// As of [`Log::append`].
    pub fn take_lead(&mut self) -> Result<bool> {
        match self.append_group(Vec::new(), 0) {
            Err(error) if error.kind() == ErrorKind::Behind => Ok(false),
            appended => appended.map(|_| true),
        }
    }

    /// Next offset of a source's partition; `None` if nothing of it is in the log.
    pub fn offset(&self, source: &str, partition: u32) -> Option<u64> {
        self.protocol.state().offset(source, partition)
    }

    /// One group of `batches`, after which positions are at least `end_min`.
    fn append_group(&mut self, batches: Vec<Batch>, end_min: u64) -> Result<Vec<Placement>> {
        self.running()?;
        if !self.unseen.is_empty() {
            return Err(behind());
        }
        self.opened = None;
        let at = self.protocol.state().end();
        let append = Event::Append(Append { at, batches, end_min });
        let come = self.insist(append, |come| come.reply.is_some())?;
        match come.reply {
            Some(Reply::Placed(placements)) => Ok(placements),
            Some(Reply::Behind) => Err(behind()),
            Some(Reply::Open) => Err(self.running().err().unwrap_or_else(behind)),
            None => {
                self.running()?;
                self.protocol.handle(self.time(), Event::Abandon);
                Err(self.undecided(come.error))
            }
        }
    }

    /// As `drive`, again and again for a while if the store fails.
    fn insist(&mut self, event: Event, wanted: fn(&Come) -> bool) -> Result<Come> {
        let until = self.clock.elapsed().saturating_add(micros(INSIST));
        let mut come = self.drive(event, wanted)?;
        let [mut wait, wait_max] = PAUSE;
        while !wanted(&come) && self.stopped.is_none() && self.clock.elapsed() < until {
            self.io.pause(wait)?;
            wait = wait_max.min(wait * 2);
            come = self.go_on(wanted, come)?;
        }
        Ok(come)
    }

    /// Follows the log to its end.
    fn catch_up(&mut self, event: Event) -> Result<()> {
        let come = self.drive(event, |come| come.is_caught_up)?;
        if come.is_caught_up {
            return Ok(());
        }
        self.running()?;
        Err(self.silent(come.error))
    }

    /// Gives the machine an event, and does what it commands until it has come to what is wanted, or the store fails.
    fn drive(&mut self, event: Event, wanted: fn(&Come) -> bool) -> Result<Come> {
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
        while !wanted(&come) && !self.is_paused && self.stopped.is_none() {
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
                Command::Publish(published) if published.own => {}
                Command::Publish(published) => self.unseen.extend(counting(*published)),
                Command::Reply(reply) => come.reply = Some(reply),
                Command::CaughtUp => come.is_caught_up = true,
                Command::Reopen { floor } => self.stop(
                    ErrorKind::Unavailable,
                    format!("its groups below position {} are no longer needed by the others, and this process is behind: start it again", LogPosition(floor)),
                ),
                Command::Damaged { position, flaw } => {
                    self.stop(ErrorKind::Damage, format!("position {}: {flaw}", LogPosition(position)));
                }
                Command::Put(..) | Command::Get(_) | Command::List(_) | Command::ReadFloor => {}
            }
        }
    }

    fn time(&self) -> Time {
        Time { now: self.clock.now(), elapsed: self.clock.elapsed() }
    }

    fn stop(&mut self, kind: ErrorKind, why: String) {
        let why = format!("log {} has stopped: {why}", self.place);
        tracing::error!("{why}");
        self.stopped = Some((kind, why));
    }

    fn running(&self) -> Result<()> {
        self.stopped().map_or(Ok(()), Err)
    }

    fn silent(&self, error: Option<Error>) -> Error {
        let silent = format!("log {}: the store does not answer", self.place);
        with(Error::new(ErrorKind::Unavailable, silent), error)
    }

    fn undecided(&self, error: Option<Error>) -> Error {
        let seconds = INSIST.as_secs();
        let undecided = format!(
            "log {}: the store has not said within {seconds} s whether the batch is there, and it may be: send it again under the same id",
            self.place
        );
        with(Error::new(ErrorKind::Unavailable, undecided), error)
    }

    /// Looks for old groups now and then.
    fn clean_up(&mut self) -> Result<()> {
        let now = self.clock.elapsed();
        let is_due = |(_, at): (u64, Micros)| now.saturating_sub(at) >= micros(CLEAN_UP_EVERY);
        if !self.cleaned_up.is_none_or(is_due) {
            return Ok(());
        }
        // A floor that this process saw a while ago, whatever the clocks say: no answer that counts is older.
        if let Some((seen, _)) = self.cleaned_up {
            self.io.clean_up(seen);
        }
        let newest = self.io.wait(|objects| async move { objects.floor_number().await })?;
        self.cleaned_up = newest.map(|number| (number, now));
        Ok(())
    }
}

impl Log for SharedLog {
    fn check(&self, records: &[Record]) -> Result<()> {
        frame::check(records, self.settings.record_bytes_max.get())
    }

    fn append(&mut self, records: &[Record], sync: bool) -> Result<Vec<LogPosition>> {
        let id = BatchId::random();
        let batch = Batch { id, origin: None, records: records.to_vec() };
        let placed = self.append_batches(vec![batch], sync)?;
        match placed.into_iter().next() {
            Some(Placement::Appended(positions)) => Ok(positions),
            _ => Err(Error::internal("a batch with a new id is in the log")),
        }
    }

    fn append_batches(&mut self, batches: Vec<Batch>, _sync: bool) -> Result<Vec<Placement>> {
        self.running()?;
        for batch in &batches {
            self.check(&batch.records)?;
        }
        if batches.iter().all(|batch| batch.records.is_empty()) {
            return Ok(batches.iter().map(|_| Placement::Appended(Vec::new())).collect());
        }
        self.append_group(batches, 0)
    }

    fn follow(&mut self, visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>) -> Result<()> {
        let followed = self.running().and_then(|()| self.catch_up(Event::Follow));
        while let Some((position, record)) = self.unseen.pop_front() {
            visit(position, record)?;
        }
        followed
    }

    fn sync(&mut self) -> Result<()> {
        self.running()
    }

    fn replay(
        &mut self,
        from: LogPosition,
        visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        let records = match self.opened.take() {
            Some(records) => records,
            None => self.read_again()?,
        };
        let mut records = records.into_iter().filter(|(position, _)| *position >= from);
        records.try_for_each(|(position, record)| visit(position, record))
    }

    fn truncate(&mut self, below: LogPosition) -> Result<()> {
        self.running()?;
        if let Some(to) = self.protocol.floor().candidate(below.0) {
            let time = self.time();
            if let Some(read) = self.io.move_floor(to)? {
                self.protocol.note_floor(read, time);
            }
        }
        self.clean_up()
    }

    fn end(&self) -> LogPosition {
        LogPosition(self.protocol.state().end())
    }

    fn bytes(&self) -> u64 {
        self.protocol.state().end().saturating_sub(self.protocol.floor().known())
    }

    fn stopped(&self) -> Option<Error> {
        self.stopped.as_ref().map(|(kind, why)| Error::new(*kind, why.clone()))
    }
}

impl SharedLog {
    /// The records from the floor to what this process has followed to, as a process that starts reads them.
    fn read_again(&mut self) -> Result<Vec<(LogPosition, Record)>> {
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

/// The id of the log, which is made if there is none. A store that fails is tried for a while.
fn make(io: &Io, clock: &dyn Clock, first: u64) -> Result<LogId> {
    let until = clock.elapsed().saturating_add(micros(INSIST));
    let [mut wait, wait_max] = PAUSE;
    loop {
        let now = clock.now();
        let made = io.wait(move |objects| async move { objects.open(first, now).await });
        match made {
            Err(error) if error.kind() == ErrorKind::Unavailable && clock.elapsed() < until => {}
            made => return made,
        }
        io.pause(wait)?;
        wait = wait_max.min(wait * 2);
    }
}

/// The first position of a group that is `at_least`.
fn aligned(at_least: LogPosition) -> Result<u64> {
    at_least.0.max(1).checked_next_multiple_of(ALIGNMENT).ok_or_else(|| {
        Error::request(format!("log position {at_least} is too large to go on from"))
    })
}

fn protocol(writer: &Writer, settings: &LogSettings) -> Protocol {
    let limits = Limits {
        floor_age_max: micros(FLOOR_AGE_MAX),
        checkpoint_groups: CHECKPOINT_GROUPS,
        checkpoint_bytes: settings.segment_bytes.get() as u64,
        gets_max: GETS_MAX,
    };
    Protocol::new(writer.clone(), limits)
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

fn behind() -> Error {
    Error::new(ErrorKind::Behind, "others have appended to the log: follow it, and append again")
}

fn with(error: Error, source: Option<Error>) -> Error {
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}
