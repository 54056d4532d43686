//! The state of the writer: the log, the tails and the views, which it alone changes, in this order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_access::SPANS;
use barograph_lake::{Hour, LogPosition, Snapshot, Span, Timestamp};
use tokio::sync::Notify;
use tracing::Span as Traced;

use super::gauge::{LogGauge, moment};
use super::{ConditionalPut, Durability, Forwarder, Heard, Landed, Repeats, Submission, Written};
use crate::cluster::{Feed, Offered};
use crate::dead_letters::with_ids;
use crate::log::{Batch, BatchId, Log, Place, Placement, Record};
use crate::logged::LandedThrough;
use crate::memory::Budget;
use crate::table::Table;
use crate::tail::Tail;
use crate::validate::complete;
use crate::view::View;
use crate::{Clock, Error, ErrorKind, Result};

/// Batches acknowledged at `memory` are synced after at most this long.
const SYNC_WITHIN: Duration = Duration::from_millis(200);

/// What the thread owns.
pub(crate) struct State {
    pub(crate) log: Box<dyn Log>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) tails: BTreeMap<String, Tail>,
    pub(crate) tables: BTreeMap<String, Arc<Table>>,
    /// What has landed of each table when its snapshot was swapped, by this process or another.
    pub(crate) landed: BTreeMap<String, LandedThrough>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Largest `ingested_at` given so far.
    pub(crate) last_ingested: Timestamp,
    /// Told when an hour begins or memory runs short.
    pub(crate) wake_lander: Arc<Notify>,
    pub(crate) budget: Arc<Budget>,
    /// Newest hour seen, over all tables.
    pub(crate) newest_hour: Option<Hour>,
    /// When the oldest batch that was acknowledged at `memory` and not synced since is to be synced, by elapsed time.
    pub(crate) sync_at: Option<Span>,
    /// When to look for what others have appended, if they can, by elapsed time.
    pub(crate) follow_at: Option<Span>,
    /// When the others are to be told of versions, by elapsed time.
    pub(crate) tell_at: Option<Span>,
    /// What the others told.
    pub(crate) heard: Arc<Heard>,
    /// The log was read anew, and the tails do not say what it holds.
    pub(crate) awaits_tails: bool,
    /// Those who follow this process while it leads.
    pub(crate) feed: Arc<Feed>,
    /// What the leader has sent.
    pub(crate) offered: Arc<Offered>,
    /// The way to the process that leads, if there is one.
    pub(crate) forwarder: Option<Forwarder>,
    /// Repeats of batches, if the log does not find them.
    pub(crate) repeats: Option<Repeats>,
}

/// The same part of each submission that is traced.
fn traced(group: &[Submission], part: impl Fn(&Traced) -> Traced) -> Vec<Traced> {
    let spans = group.iter().map(|submission| &submission.span);
    spans.filter(|span| !span.is_disabled()).map(part).collect()
}

impl State {
    /// Log, sync, apply, publish, acknowledge. An error given back poisons the writer: what is in the
    /// log and what is in the tails may differ, and only a restart makes them one again.
    pub(super) fn commit(&mut self, group: Vec<Submission>) -> Option<Error> {
        let Some(repeats) = &self.repeats else {
            return match self.hand_over(identified(group)) {
                Ok(group) => self.commit_here(group),
                Err(error) => Some(error),
            };
        };
        let (group, again) = repeats.answer(group);
        let poison = self.commit_here(group);
        match (poison, again.is_empty()) {
            (poison, true) => poison,
            (None, false) => self.commit(again),
            (Some(error), false) => {
                refuse(again, &error);
                Some(error)
            }
        }
    }

    fn commit_here(&mut self, mut group: Vec<Submission>) -> Option<Error> {
        loop {
            group = match self.try_commit(group) {
                Ok(poison) => return poison,
                Err(behind) => behind,
            };
            match self.follow() {
                Ok(None) => {}
                Ok(Some(error)) => {
                    refuse(group, &error);
                    return None;
                }
                Err(error) => {
                    refuse(group, &error);
                    return Some(error);
                }
            }
        }
    }

    /// The same, unless others have appended what this process has not seen: then the group comes back.
    fn try_commit(&mut self, group: Vec<Submission>) -> Result<Option<Error>, Vec<Submission>> {
        // Larger than any before, so that it tells which of two rows was accepted later.
        let ingested_at = self.clock.now().max(self.last_ingested + Span::MICROSECOND);
        self.last_ingested = ingested_at;
        if self.awaits_tails {
            refuse(group, &self.not_read());
            return Ok(None);
        }
        let (group, batches) = self.fitting(group, ingested_at);
        if group.is_empty() {
            return Ok(None);
        }
        let sync = group.iter().any(|submission| submission.durability != Durability::Memory);
        let begun = moment(self.clock.as_ref());
        let logged =
            traced(&group, |of| tracing::trace_span!(target: SPANS, parent: of, "log", sync));
        let placements = match self.log.append_batches(batches, sync) {
            Ok(placements) => placements,
            Err(error) if error.kind() == ErrorKind::Behind => return Err(group),
            // Each of them would wait as long for the same store.
            Err(error) if self.follow_at.is_some() && error.kind() == ErrorKind::Unavailable => {
                refuse(group, &error);
                return Ok(None);
            }
            Err(error) => {
                tracing::error!(%error, "appending to the log failed");
                return Ok(self.commit_each(group, &error));
            }
        };
        drop(logged);
        self.spread();
        self.sync_at = match sync {
            true => None,
            false => self
                .sync_at
                .or_else(|| Some(self.clock.elapsed() + Span::from_duration(SYNC_WITHIN))),
        };
        if sync {
            self.gauge.syncs.add(self.clock.elapsed() - begun.1);
        }
        self.count(&group, &placements);
        let tailed = traced(&group, |of| tracing::trace_span!(target: SPANS, parent: of, "tail"));
        let applied = self.apply(&group, &placements, ingested_at);
        let applied = applied.and_then(|()| self.apply_shown());
        drop(tailed);
        match applied {
            Ok(()) => {
                // Of batches that it knows it says so without a look at the store.
                let is_new = |p: &Placement| matches!(p, Placement::Appended(it) if !it.is_empty());
                let at_end = placements.iter().any(is_new).then_some(begun);
                self.gauge.applied(self.log.end(), at_end);
                for (submission, placement) in group.into_iter().zip(placements) {
                    self.acknowledge(submission, placement, ingested_at);
                }
                Ok(None)
            }
            Err(error) => {
                tracing::error!(%error, "applying logged rows to the tail failed");
                refuse(group, &error);
                Ok(Some(error))
            }
        }
    }

    /// Counts what was appended.
    fn count(&self, group: &[Submission], placements: &[Placement]) {
        let appended = group.iter().zip(placements);
        let appended = appended.filter(|(_, p)| matches!(p, Placement::Appended(_)));
        let entries = appended.flat_map(|(submission, _)| &submission.entries);
        let (records, rows) = entries.fold((0, 0), |(records, rows), entry| {
            (records + 1, rows + entry.rows.num_rows() as u64)
        });
        self.gauge.records.fetch_add(records, Ordering::Relaxed);
        self.gauge.rows.fetch_add(rows, Ordering::Relaxed);
        self.gauge.groups.fetch_add(1, Ordering::Relaxed);
        self.measure();
    }

    fn acknowledge(
        &mut self,
        submission: Submission,
        placement: Placement,
        ingested_at: Timestamp,
    ) {
        let Submission { id, reply, reservation, span, .. } = submission;
        let _traced = tracing::trace_span!(target: SPANS, parent: &span, "ack");
        drop(reservation);
        let written = match placement {
            Placement::Appended(positions) => {
                Ok(Written { position: positions.last().copied().unwrap_or_default(), ingested_at })
            }
            Placement::Duplicate(Place { position, ingested_at }) => {
                Ok(Written { position, ingested_at })
            }
            Placement::Stale { .. } => Err(Error::internal("a batch of no source is out of date")),
        };
        if let (Some(repeats), Some(id), Ok(written)) = (&mut self.repeats, id, &written) {
            repeats.add(id, *written);
        }
        let _ = reply.send(written);
    }

    /// The submissions that the log takes, as batches, too; each of the others is refused by itself.
    fn fitting(
        &self,
        group: Vec<Submission>,
        ingested_at: Timestamp,
    ) -> (Vec<Submission>, Vec<Batch>) {
        let mut batches = Vec::with_capacity(group.len());
        let mut fitting = Vec::with_capacity(group.len());
        for submission in group {
            let records: Vec<Record> =
                submission.entries.iter().map(|entry| entry.record(ingested_at)).collect();
            match self.log.check(&records) {
                Ok(()) => {
                    let id = submission.id.unwrap_or_else(BatchId::random);
                    batches.push(Batch { id, origin: None, records });
                    fitting.push(submission);
                }
                Err(error) => refuse(vec![submission], &error),
            }
        }
        (fitting, batches)
    }

    /// After a group as a whole met an error: one by one, so that a small one goes in where a large one finds
    /// no room.
    fn commit_each(&mut self, group: Vec<Submission>, error: &Error) -> Option<Error> {
        if group.len() == 1 {
            refuse(group, error);
            return None;
        }
        let mut poison = None;
        for submission in group {
            match &poison {
                None => poison = self.commit_here(vec![submission]),
                Some(error) => refuse(vec![submission], error),
            }
        }
        poison
    }

    pub(super) fn commit_unchanged(&mut self, conditional: ConditionalPut) -> Option<Error> {
        let ConditionalPut { mut submission, precondition, changed } = conditional;
        loop {
            let unchanged = match precondition.is_unchanged() {
                Ok(unchanged) => unchanged,
                Err(error) => {
                    refuse(vec![submission], &error);
                    return None;
                }
            };
            if !unchanged {
                let _ = changed.send(());
                return None;
            }
            let mut behind = match self.try_commit(vec![submission]) {
                Ok(poison) => return poison,
                Err(behind) => behind,
            };
            // What others have appended may have changed the rows.
            let followed = self.follow();
            submission = behind.pop()?;
            if let Some(error) =
                followed.as_ref().err().or(followed.as_ref().ok().and_then(Option::as_ref))
            {
                refuse(vec![submission], error);
                return followed.err();
            }
        }
    }

    fn apply(
        &mut self,
        group: &[Submission],
        placements: &[Placement],
        ingested_at: Timestamp,
    ) -> Result<()> {
        let mut touched: BTreeMap<&str, &Arc<Table>> = BTreeMap::new();
        for (submission, placement) in group.iter().zip(placements) {
            let Placement::Appended(positions) = placement else { continue };
            for (entry, &position) in submission.entries.iter().zip(positions) {
                let schema = &entry.table.schema;
                let rows = with_ids(schema, position, &entry.rows)?;
                self.append(schema.name(), position, &complete(schema, &rows, ingested_at)?)?;
                touched.insert(schema.name(), &entry.table);
            }
        }
        for (name, table) in touched {
            let snapshot = Arc::clone(&table.view.load().snapshot);
            self.publish(name, table, snapshot);
        }
        Ok(())
    }

    pub(super) fn append(
        &mut self,
        table: &str,
        position: LogPosition,
        rows: &RecordBatch,
    ) -> Result<()> {
        self.tails
            .get_mut(table)
            .ok_or_else(|| Error::internal(format!("no tail for table {table:?}")))?
            .append(position, rows)
    }

    pub(super) fn publish(&self, name: &str, table: &Arc<Table>, snapshot: Arc<Snapshot>) {
        if let Some(tail) = self.tails.get(name) {
            let schema = Arc::clone(&table.schema);
            table.view.store(Arc::new(View { schema, snapshot, tail: tail.view() }));
        }
    }

    /// Swaps tail and snapshot for what has landed. An error poisons the writer.
    pub(super) fn swap(&mut self, landed: Landed) -> Option<Error> {
        let name = landed.table.schema.name();
        if self.awaits_tails {
            let _ = landed.reply.send(());
            return None;
        }
        if let Some(through) = landed.through {
            match self.follow_to(through.newest) {
                Ok(true) => {}
                // The next look at the store finds the snapshot again.
                Ok(false) => {
                    let _ = landed.reply.send(());
                    return None;
                }
                Err(error) => return Some(error),
            }
            self.drop_landed(name, through);
        }
        if let Some(tail) = self.tails.get_mut(name) {
            for hour in &landed.hours {
                tail.landed(hour.hour(), hour);
            }
        }
        let version = landed.snapshot.version();
        self.publish(name, &landed.table, landed.snapshot);
        self.gauge.swapped();
        if landed.is_own {
            self.tell(name, version);
        }
        self.give_back();
        let _ = landed.reply.send(());
        None
    }

    /// Gives back the space of the log that no row of the tail needs.
    pub(super) fn give_back(&mut self) {
        let needed = self.tails.values().filter_map(Tail::first_position).min();
        if let Err(error) = self.log.truncate(needed.unwrap_or_else(|| self.log.end())) {
            tracing::warn!(%error, "could not delete old log segments: trying again later");
        }
        self.measure();
    }

    pub(super) fn wake_lander_if_needed(&mut self) {
        let newest = self
            .tails
            .values()
            .filter_map(|tail| tail.view().hours().last().map(|hour| hour.hour()))
            .max();
        let short = self.budget.to_free() > 0;
        if newest > self.newest_hour || short {
            self.newest_hour = newest.max(self.newest_hour);
            self.wake_lander.notify_one();
        }
    }
}

/// The submissions with an id each, under which any process may append them.
fn identified(mut group: Vec<Submission>) -> Vec<Submission> {
    for submission in &mut group {
        submission.id.get_or_insert_with(BatchId::random);
    }
    group
}

/// Answers that nothing of a group is in the log.
pub(super) fn refuse(group: Vec<Submission>, error: &Error) {
    for submission in group {
        let _ = submission.reply.send(Err(error.again()));
    }
}
