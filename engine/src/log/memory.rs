//! A log in memory, on a disk that fails when it is told to: a stand-in for tests and simulations.

use std::fmt;
use std::sync::Arc;

use barograph_lake::LogPosition;
use parking_lot::Mutex;

use super::frame;
use super::{Log, LogSettings, Record};
use crate::{Error, ErrorKind, Result, retry};

/// The disk below a [`MemoryLog`]: it outlives the log and decides what survives.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    records: Vec<(LogPosition, Record)>,
    end: u64,
    synced: u64,
    full: bool,
    sync_fails: bool,
    before_append: Option<Arc<dyn Fn() + Send + Sync>>,
    keeps: bool,
}

/// A log on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryLog {
    disk: MemoryDisk,
    settings: LogSettings,
    stopped: bool,
}

impl MemoryDisk {
    /// Forgets everything that was not synced, as a machine that loses power does.
    pub fn lose_power(&self) {
        let mut state = self.0.lock();
        let synced = state.synced;
        state.records.retain(|(position, _)| position.get() < synced);
        state.end = synced;
    }

    /// The position below which everything is synced.
    pub fn synced(&self) -> LogPosition {
        LogPosition::new(self.0.lock().synced)
    }

    /// Sets whether truncation keeps every record, as it may.
    pub fn set_keeps(&self, keeps: bool) {
        self.0.lock().keeps = keeps;
    }

    /// Sets `hook` to be called before each append.
    pub fn set_before_append(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.0.lock().before_append = Some(Arc::new(hook));
    }

    /// Sets whether the disk is full.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Sets whether syncs fail.
    pub fn set_sync_fails(&self, fails: bool) {
        self.0.lock().sync_fails = fails;
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("MemoryDisk")
            .field("records", &state.records.len())
            .field("end", &state.end)
            .field("synced", &state.synced)
            .finish_non_exhaustive()
    }
}

impl MemoryLog {
    /// The log on `disk`; records get positions of `at_least` or larger.
    pub fn open(disk: &MemoryDisk, settings: &LogSettings, at_least: LogPosition) -> Result<Self> {
        settings.check()?;
        {
            let mut state = disk.0.lock();
            state.end = state.end.max(at_least.get()).max(1);
            // What an opening shows has to stay.
            state.synced = state.end;
        }
        Ok(Self { disk: disk.clone(), settings: settings.clone(), stopped: false })
    }

    fn running(&self) -> Result<()> {
        self.stopped().map_or(Ok(()), Err)
    }
}

impl Log for MemoryLog {
    fn check(&self, records: &[Record]) -> Result<()> {
        frame::check(records, self.settings.record_bytes_max.get())
    }

    fn append(&mut self, records: &[Record], sync: bool) -> Result<Vec<LogPosition>> {
        self.running()?;
        self.check(records)?;
        let hook = self.disk.0.lock().before_append.clone();
        if let Some(hook) = hook {
            hook();
        }
        let mut positions = Vec::with_capacity(records.len());
        {
            let mut state = self.disk.0.lock();
            if state.full && !records.is_empty() {
                let after = retry::SPACE_FREED;
                return Err(Error::resources("disk of the log", "it was set full", after));
            }
            for record in records {
                let position = LogPosition::new(state.end);
                state.end += frame::record_bytes(record);
                state.records.push((position, record.clone()));
                positions.push(position);
            }
        }
        if sync {
            self.sync()?;
        }
        Ok(positions)
    }

    fn sync(&mut self) -> Result<()> {
        self.running()?;
        let mut state = self.disk.0.lock();
        if state.sync_fails && state.synced < state.end {
            self.stopped = true;
            return Err(Error::new(
                ErrorKind::Unavailable,
                "log in memory: a sync was set to fail",
            ));
        }
        state.synced = state.end;
        Ok(())
    }

    fn replay(
        &mut self,
        from: LogPosition,
        visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        // A copy, so that `visit` may use the disk.
        let records = self.disk.0.lock().records.clone();
        let first = records.partition_point(|(position, _)| *position < from);
        records.into_iter().skip(first).try_for_each(|(position, record)| visit(position, record))
    }

    fn truncate(&mut self, below: LogPosition) -> Result<()> {
        self.running()?;
        let mut state = self.disk.0.lock();
        if state.keeps {
            return Ok(());
        }
        let kept = state.records.partition_point(|(position, _)| *position < below);
        state.records.drain(..kept);
        Ok(())
    }

    fn end(&self) -> LogPosition {
        LogPosition::new(self.disk.0.lock().end)
    }

    fn bytes(&self) -> u64 {
        self.disk.0.lock().records.iter().map(|(_, record)| frame::record_bytes(record)).sum()
    }

    fn stopped(&self) -> Option<Error> {
        let stopped = || Error::new(ErrorKind::Unavailable, "log in memory: has stopped");
        self.stopped.then(stopped)
    }
}
