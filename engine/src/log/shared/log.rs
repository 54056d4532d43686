//! The shared log: the protocol, with an object store below it and the promises of [`Log`] above.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::{LakeStore, LogId, LogPosition, Span};
use bytes::Bytes;

use super::super::batch::{Batch, BatchId, Notice, Placement};
use super::super::frame::{self, ALIGNMENT};
use super::floor::KnownFloor;
use super::group::{Group, Writer};
use super::io::Io;
use super::message::{Append, Event, Reply};
use super::notices::Notices;
use super::objects::Objects;
use super::protocol::{Limits, Protocol};
use crate::clock::Clock;
use crate::log::{Log, LogSettings, Record};
use crate::{Error, ErrorKind, Result};

/// An answer of the store counts beside a floor that was read so long ago.
const FLOOR_AGE_MAX: Duration = Duration::from_secs(60);
/// A checkpoint is due after so many groups, or after the bytes of a segment.
const CHECKPOINT_GROUPS: u64 = 1024;
const GETS_MAX: usize = 32;
/// How long a store that fails is tried. A batch whose append is given up then may still turn up.
pub(super) const INSIST: Duration = Duration::from_secs(30);
/// Between two tries.
pub(super) const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];
/// Old groups are looked for this often.
const CLEAN_UP_EVERY: Duration = Duration::from_secs(600);
/// Records found while opening are kept for the replay up to so many bytes.
const KEPT_BYTES: usize = 256 << 20;

/// A log in an object store, to which several processes append in one order.
#[derive(Debug)]
pub struct SharedLog {
    pub(super) io: Io,
    id: LogId,
    pub(super) place: String,
    pub(super) writer: Writer,
    pub(super) settings: LogSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) protocol: Protocol,
    pub(super) is_paused: bool,
    /// Records of others that were not shown yet.
    pub(super) unseen: VecDeque<(LogPosition, Record)>,
    /// The group that this process appended last.
    pub(super) newest: Option<(LogPosition, Bytes)>,
    /// Records found while opening, for the first replay.
    pub(super) opened: Option<Vec<(LogPosition, Record)>>,
    /// The floor that was the newest when old groups were last looked for, and when that was.
    cleaned_up: Option<(u64, Span)>,
    pub(super) stopped: Option<(ErrorKind, String)>,
    /// The floor that has passed the end of what was read.
    pub(super) passed: Option<LogPosition>,
    pub(super) notices: Notices,
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
            newest: None,
            opened: None,
            cleaned_up: None,
            stopped: None,
            passed: None,
            notices: Notices::default(),
        };
        let come = log.insist(Event::Start, |come| come.is_caught_up)?;
        if log.is_passed() {
            log.begin_anew()?;
        } else if !come.is_caught_up {
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

    /// Where others reach this process; empty if they cannot.
    pub fn address(&self) -> &str {
        &self.writer.address
    }

    /// Where it is, for messages.
    pub fn place(&self) -> &str {
        &self.place
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
        let notices = self.notices.waiting().to_vec();
        let append = Event::Append(Append { at, batches, end_min, notices });
        let come = self.insist(append, |come| come.reply.is_some())?;
        match come.reply {
            Some(Reply::Placed(placements)) => {
                // Told again they do no harm: nothing is said of a group that was there, or was given up.
                if self.protocol.state().end() > at {
                    self.notices.sent();
                }
                Ok(placements)
            }
            Some(Reply::Behind) => Err(behind()),
            Some(Reply::Open) => Err(self.running().err().unwrap_or_else(behind)),
            None => {
                self.running()?;
                self.protocol.handle(self.time(), Event::Abandon);
                Err(self.undecided(come.error))
            }
        }
    }

    /// Shows what was found and not shown yet.
    fn show(&mut self, visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>) -> Result<()> {
        while let Some((position, record)) = self.unseen.pop_front() {
            visit(position, record)?;
        }
        Ok(())
    }

    pub(super) fn running(&self) -> Result<()> {
        if let Some(floor) = self.passed {
            let passed = format!(
                "log {}: this process is behind position {floor}, below which the others need nothing, and reads the log anew: send the batch again under its id",
                self.place
            );
            return Err(Error::new(ErrorKind::Unavailable, passed));
        }
        self.stopped().map_or(Ok(()), Err)
    }

    pub(super) fn silent(&self, error: Option<Error>) -> Error {
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
        let is_due =
            |(_, at): (u64, Span)| now.saturating_sub(at) >= Span::from_duration(CLEAN_UP_EVERY);
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
        self.show(visit)?;
        followed
    }

    fn show_found(
        &mut self,
        visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        self.show(visit)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn leads(&self) -> bool {
        self.protocol.state().leader().is_some_and(|leader| leader.id == self.writer.id)
    }

    fn leader(&self) -> Option<Leader> {
        let leader = self.protocol.state().leader()?;
        Some(Leader { address: leader.address.clone(), is_self: leader.id == self.writer.id })
    }

    fn floor(&self) -> Option<KnownFloor> {
        self.protocol.floor().as_asked()
    }

    fn is_passed(&self) -> bool {
        self.passed.is_some()
    }

    fn read_anew(&mut self) -> Result<()> {
        self.begin_anew()
    }

    fn newest(&self) -> Option<(LogPosition, Bytes)> {
        self.newest.clone()
    }

    fn offer(
        &mut self,
        position: LogPosition,
        group: Bytes,
        visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        self.running()?;
        let state = self.protocol.state();
        let is_next = position.get() == state.end()
            && Group::decode(position.get(), &group).is_ok_and(|it| it.previous == state.tip());
        if is_next {
            self.drive(Event::Offered(position.get(), group), |_| true)?;
            self.show(visit)?;
        }
        match position < self.end() {
            true => Ok(()),
            // It does not follow on what is here, or the floor has to be read before it counts.
            false => Err(Error::new(
                ErrorKind::Unavailable,
                format!("log {}: a group that was sent is not taken up", self.place),
            )),
        }
    }

    fn tell(&mut self, notice: Notice) {
        self.notices.tell(notice);
    }

    fn send_notices(&mut self) -> Result<()> {
        match self.notices.waiting().is_empty() {
            true => Ok(()),
            false => self.append_group(Vec::new(), 0).map(drop),
        }
    }

    fn announce(&mut self, notice: Notice) -> Result<LogPosition> {
        let Notice { table, version, .. } = notice.clone();
        if let Some(position) = self.notices.told_at(&table, version) {
            return Ok(position);
        }
        self.notices.tell(Notice { is_awaited: true, ..notice });
        self.append_group(Vec::new(), 0)?;
        let told = self.notices.told_at(&table, version);
        told.ok_or_else(|| Error::internal("a notice was appended that does not stand in the log"))
    }

    fn notices(&mut self) -> Vec<Notice> {
        self.notices.take()
    }

    /// Appends an empty group.
    fn take_lead(&mut self) -> Result<()> {
        match self.append_group(Vec::new(), 0) {
            Err(error) if error.kind() == ErrorKind::Behind => Ok(()),
            appended => appended.map(drop),
        }
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
        // What the caller has not seen, it may need.
        let unseen = self.unseen.front().map_or(below, |(position, _)| *position);
        if let Some(to) = self.protocol.floor().candidate(below.min(unseen).get()) {
            let time = self.time();
            if let Some(read) = self.io.move_floor(to)? {
                self.protocol.note_floor(read, time);
            }
        }
        self.clean_up()
    }

    fn end(&self) -> LogPosition {
        LogPosition::new(self.protocol.state().end())
    }

    fn bytes(&self) -> u64 {
        self.protocol.state().end().saturating_sub(self.protocol.floor().known())
    }

    fn stopped(&self) -> Option<Error> {
        self.stopped.as_ref().map(|(kind, why)| Error::new(*kind, why.clone()))
    }
}

/// The id of the log, which is made if there is none. A store that fails is tried for a while.
fn make(io: &Io, clock: &dyn Clock, first: u64) -> Result<LogId> {
    let until = clock.elapsed() + Span::from_duration(INSIST);
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
    at_least.get().max(1).checked_next_multiple_of(ALIGNMENT).ok_or_else(|| {
        Error::request(format!("log position {at_least} is too large to go on from"))
    })
}

pub(super) fn protocol(writer: &Writer, settings: &LogSettings) -> Protocol {
    let limits = Limits {
        floor_age_max: Span::from_duration(FLOOR_AGE_MAX),
        checkpoint_groups: CHECKPOINT_GROUPS,
        checkpoint_bytes: settings.segment_bytes.get() as u64,
        gets_max: GETS_MAX,
    };
    Protocol::new(writer.clone(), limits)
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
