//! How do rows of files come into sorted runs, so that nothing is read twice? What was gathered in bounded memory is
//! written, one run a period, and recorded with how far each file was read for it.
//!
//! ```text
//! pieces ──prepare, several at a time──► Gathered ──at a bound──► runs ──► state
//! ```
//!
//! A run stands in its table's folder and is not part of the table. If the record of it is lost it is an orphan
//! like any other: `verify` names it, `sweep` deletes it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use barograph_engine::scan::merge::merge;
use barograph_engine::threads::Threads;
use barograph_lake::file::Layout;
use barograph_lake::{FileEntry, FilePath, LakeTable, LogPosition, Period};
use futures::{StreamExt, TryStreamExt, stream};

use super::prepare::{Prepare, Prepared};
use super::sorted::Gathered;
use super::{Told, cores};
use crate::import::reading::Reading;
use crate::import::run::{FileSummary, Options, Stop};
use crate::import::state::{Identity, Run, Staging, State};
use crate::{Error, Result};

/// Share of the memory that gathered rows take: while they are merged they are held twice.
const GATHERED_SHARE: usize = 2;
/// Runs that are written at a time.
const RUNS_AT_ONCE: usize = 4;

/// Rows on their way into runs.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) prepare: Arc<Prepare>,
    pub(super) options: &'a Options,
    pub(super) stop: &'a Stop,
    pub(super) threads: &'a Threads,
    /// How far everything is that was read, gathered rows included.
    pub(super) staging: &'a mut Staging,
    pub(super) rows: Gathering,
    pub(super) letters: Gathering,
}

/// Rows of a table that are not in runs yet.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) table: LakeTable,
    pub(super) gathered: Gathered,
}

impl Gathering {
    pub(super) fn new(table: LakeTable) -> Self {
        Self { table, gathered: Gathered::default() }
    }

    /// Writes what was gathered, one run a period.
    async fn spill(&mut self, threads: &Threads) -> Result<Vec<Run>> {
        let periods = self.gathered.take();
        let cores = cores().div_ceil(periods.len().max(1));
        let table = &self.table;
        let written = stream::iter(periods).map(|(period, batches)| async move {
            let on = threads.handle()?;
            let merged = on.spawn_blocking(move || merge(&batches)).await.map_err(ended)??;
            let file = write(table, period, merged, (cores, threads)).await?;
            Ok(Run { table: table.schema().name().to_owned(), file: FileEntry::clone(&file) })
        });
        written.buffered(RUNS_AT_ONCE).try_collect().await
    }
}

async fn write(
    table: &LakeTable,
    period: Period,
    rows: arrow::array::RecordBatch,
    (cores, threads): (usize, &Threads),
) -> Result<Arc<FileEntry>> {
    // No record of a log is known to be in it.
    let path = FilePath::new(period, LogPosition(0));
    let on = threads.handle()?;
    let writer = table.begin_file_as(&Layout::default(), path, cores).await?;
    Ok(writer.push(rows, on).await?.finish(on).await?)
}

impl Stage<'_> {
    /// Reads a file to its end, or until it is asked to stop.
    pub(super) async fn file(
        &mut self,
        (path, identity): (&Path, &Identity),
        reading: Reading,
        state: &mut State,
        told: &mut (dyn FnMut(Told<'_>) + Send),
    ) -> Result<FileSummary> {
        let started = Instant::now();
        let (reached, done) = self.staging.reached(identity);
        let mut summary = reading.summary(path, reached);
        if done {
            return Ok(summary);
        }
        let source: Arc<str> = path.display().to_string().into();
        let prepared = reading.pieces(reached, self.options, self.stop).map(|piece| {
            let (prepare, source) = (Arc::clone(&self.prepare), Arc::clone(&source));
            async move {
                let work = move || piece.and_then(|piece| prepare.piece(piece, &source));
                tokio::task::spawn_blocking(work).await.map_err(ended)?
            }
        });
        let mut prepared = std::pin::pin!(prepared.buffered(self.options.in_flight.max(1)));
        while let Some(piece) = prepared.next().await {
            let Prepared { rows, letters, read, accepted, unreadable, implausible } = piece?;
            summary.read += read;
            summary.accepted += accepted;
            summary.unreadable += unreadable;
            summary.implausible += implausible;
            if read != accepted + unreadable + implausible {
                let lost = format!(
                    "{source}: of {read} rows only {accepted} accepted, {unreadable} unreadable and {implausible} implausible are known"
                );
                return Err(Error::internal(lost));
            }
            self.rows.gathered.add(rows);
            self.letters.gathered.add(letters);
            self.staging.reach(identity, reached + summary.read, false);
            if self.rows.gathered.bytes() + self.letters.gathered.bytes()
                >= self.options.memory / GATHERED_SHARE
            {
                spill((&mut self.rows, &mut self.letters), self.threads, self.staging, state)
                    .await?;
            }
            told(Told::Read { path, rows: reached + summary.read });
        }
        summary.stopped = self.stop.is_stopped();
        self.staging.reach(identity, reached + summary.read, !summary.stopped);
        summary.took = started.elapsed();
        Ok(summary)
    }

    /// Writes and records what is gathered.
    pub(super) async fn settle(&mut self, state: &mut State) -> Result<()> {
        spill((&mut self.rows, &mut self.letters), self.threads, self.staging, state).await
    }
}

async fn spill(
    (rows, letters): (&mut Gathering, &mut Gathering),
    threads: &Threads,
    staging: &mut Staging,
    state: &mut State,
) -> Result<()> {
    staging.runs.extend(rows.spill(threads).await?);
    staging.runs.extend(letters.spill(threads).await?);
    state.stage(staging)
}

fn ended(error: tokio::task::JoinError) -> Error {
    Error::internal("preparing rows ended early").with_source(error)
}
