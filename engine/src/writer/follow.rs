//! The following of a log that others append to, too: their rows go into the tails in the order of the log, unless they
//! have landed, and what others have landed leaves the tails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::{LogPosition, Span, TableVersion};

use super::State;
use super::gauge::moment;
use crate::log::{Notice, Record};
use crate::logged::{LandedThrough, LoggedRows};
use crate::{Error, Result};

/// How often a log is followed that others append to.
pub(super) const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// The same while its leader sends what it appends.
const FOLLOW_LIVE_EVERY: Duration = Duration::from_secs(1);
/// Versions are told with the next group of rows, or in one of their own after so long.
const TELL_WITHIN: Duration = Duration::from_millis(200);

impl State {
    /// When there is something to do, whatever comes.
    pub(super) fn wakes_at(&self) -> Option<Span> {
        [self.sync_at, self.follow_at, self.tell_at].into_iter().flatten().min()
    }

    /// Does what it is time for. An error poisons the writer.
    pub(super) fn wake(&mut self, is_sound: bool) -> Result<()> {
        let now = self.clock.elapsed();
        if self.sync_at.is_some_and(|at| at <= now) {
            self.sync_at = None;
            self.log
                .sync()
                .inspect_err(|error| tracing::error!(%error, "syncing the log failed"))?;
        }
        if self.tell_at.is_some_and(|at| at <= now) {
            self.tell_at = None;
            if is_sound && let Err(error) = self.log.send_notices() {
                tracing::debug!(%error, "could not tell the others of a version: they are told with the next append");
            }
            self.spread();
        }
        if self.follow_at.is_some_and(|at| at <= now) {
            let every = if self.offered.is_live() { FOLLOW_LIVE_EVERY } else { FOLLOW_EVERY };
            self.follow_at = Some(now + Span::from_duration(every));
            if is_sound && let Some(error) = self.follow()? {
                tracing::debug!(%error, "could not follow the log: trying again");
            }
        }
        Ok(())
    }

    /// Applies what others have appended, and gives why there may be more. An error poisons the writer.
    pub(super) fn follow(&mut self) -> Result<Option<Error>> {
        if self.follow_at.is_none() {
            return Ok(None);
        }
        if self.awaits_tails {
            return Ok(Some(self.not_read()));
        }
        // Not when the store's answer is read: this process may have been stopped meanwhile.
        let asked = moment(self.clock.as_ref());
        let (touched, followed) = self.show()?;
        self.publish_all(touched);
        self.measure();
        self.gauge.applied(self.log.end(), followed.is_ok().then_some(asked));
        match followed {
            Ok(()) => Ok(None),
            Err(error) if self.log.stopped().is_some() => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    /// Applies what the log shows to the tails, and gives the tables that have more rows, and whether the end was reached.
    pub(super) fn show(&mut self) -> Result<(BTreeSet<String>, Result<()>)> {
        let mut found = Vec::new();
        let followed = self.log.follow(&mut |position, record| {
            found.push((position, record));
            Ok(())
        });
        Ok((self.apply_found(&found)?, followed))
    }

    /// Applies records and notices of others, and gives the tables that have more rows.
    pub(super) fn apply_found(
        &mut self,
        found: &[(LogPosition, Record)],
    ) -> Result<BTreeSet<String>> {
        let mut touched = BTreeSet::new();
        for (position, record) in found {
            self.apply_record(*position, record)?;
            touched.insert(record.table.to_string());
        }
        let notices = self.log.notices();
        if !notices.is_empty() {
            self.heard.hear(notices);
            self.wake_lander.notify_one();
        }
        Ok(touched)
    }

    /// Shows the tails of some tables as they are.
    pub(super) fn publish_all(&self, names: BTreeSet<String>) {
        for name in names {
            if let Some(table) = self.tables.get(&name) {
                let snapshot = Arc::clone(&table.view.load().snapshot);
                self.publish(&name, table, snapshot);
            }
        }
    }

    /// Brings the gauge up to date.
    pub(super) fn measure(&self) {
        self.gauge.measure(self.log.as_ref());
        self.gauge.set_passed(self.log.is_passed() || self.awaits_tails);
        if !self.log.leads() {
            self.feed.close();
        }
    }

    fn apply_record(&mut self, position: LogPosition, record: &Record) -> Result<()> {
        self.last_ingested = self.last_ingested.max(record.ingested_at);
        let name: &str = &record.table;
        let Some(table) = self.tables.get(name) else {
            return Err(Error::request(format!(
                "another process has put rows of table {name:?} into the log at position {position}, which the settings of this one do not declare: declare it"
            )));
        };
        let logged = LoggedRows::read(position, record)?;
        let mut rows = logged.decode(&table.schema)?;
        if let Some(landed) = self.landed.get(name) {
            rows = landed.others(rows, position)?;
        }
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if let Some(column) = logged.unknown_column(&table.schema)? {
            return Err(Error::request(format!(
                "another process has put rows of table {name:?} into the log at position {position} with a column {column:?}, which the settings of this one do not declare: declare it"
            )));
        }
        self.append(name, position, &rows)
    }

    /// Follows the log past `position`, and says whether it has come so far.
    pub(super) fn follow_to(&mut self, position: Option<LogPosition>) -> Result<bool> {
        let is_there = |state: &Self| position.is_none_or(|position| position < state.log.end());
        if !is_there(self) {
            self.take_offered()?;
        }
        if !is_there(self) {
            self.follow()?;
        }
        self.apply_shown()?;
        Ok(is_there(self))
    }

    /// Applies what the log has found of others beside other work: one that tells of a version or takes the lead, and comes
    /// behind groups that were not seen here, has read them. Comes before all is said to be applied that is before the end
    /// of the log.
    pub(super) fn apply_shown(&mut self) -> Result<()> {
        // What was read anew is for the tails that are rebuilt.
        if self.awaits_tails {
            return Ok(());
        }
        let mut found = Vec::new();
        self.log.show_found(&mut |position, record| {
            found.push((position, record));
            Ok(())
        })?;
        let touched = self.apply_found(&found)?;
        self.publish_all(touched);
        Ok(())
    }

    /// Drops the rows of a table that have landed, also those that come later.
    pub(super) fn drop_landed(&mut self, name: &str, landed: LandedThrough) {
        if let Some(tail) = self.tails.get_mut(name) {
            for hour in tail.hours().collect::<Vec<_>>() {
                if let Some(through) = landed.through(hour) {
                    tail.landed_through(hour, through);
                }
            }
        }
        self.landed.insert(name.to_owned(), landed);
    }

    pub(super) fn take_lead(&mut self) {
        if let Err(error) = self.log.take_lead() {
            tracing::warn!(%error, "could not take the lead of the log: trying again later");
        }
        self.spread();
        self.measure();
    }

    /// Has the others told of a version that this process has committed, if it leads: one that does not would take the
    /// lead for it, and is soon found out.
    pub(super) fn tell(&mut self, name: &str, version: TableVersion) {
        if self.follow_at.is_some() && self.log.leads() {
            self.log.tell(Notice { table: name.into(), version, is_awaited: false });
            let at = self.clock.elapsed() + Span::from_duration(TELL_WITHIN);
            self.tell_at.get_or_insert(at);
        }
    }
}
