//! The staging of a direct import: rows of files go into sorted runs, so that nothing is read twice. Rows gathered in
//! bounded memory are written, one run per period, and recorded with how far each file was read for them.
//!
//! ```text
//! pieces ──prepare, several at a time──► Gathered ──at a bound, while more is read──► runs ──► state
//! ```
//!
//! A run stands in its table's folder and is not part of the table. If the record of it is lost it is an orphan
//! like any other: `verify` names it, `sweep` deletes it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use barograph_engine::scan::merge;
use barograph_lake::file::Layout;
use barograph_lake::{FileEntry, FilePath, LakeTable, LogPosition, Period};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::prepare::{Prepare, Prepared};
use super::sorted::Gathered;
use super::{ImportEvent, cores};
use crate::import::reading::Reading;
use crate::import::replaced::SeenRows;
use crate::import::run::{FileSummary, Options, Stop};
use crate::import::state::{FileProgress, Identity, Run, Staging, State};
use crate::{Error, Result};

/// Share of the memory that gathered rows take: those before them are held, and merged, while they are written.
const GATHERED_SHARE: usize = 3;
/// Bytes of long texts in a page of a run: of each run a few rows are read for a slice of all of them.
const PAGE_TEXT_BYTES: usize = 64 << 10;
/// Runs that are written at a time.
const RUNS_AT_ONCE: usize = 4;

/// Rows on their way into runs.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) prepare: Arc<Prepare>,
    pub(super) options: &'a Options,
    pub(super) stop: &'a Stop,
    pub(super) on: Handle,
    /// What is recorded.
    pub(super) staging: &'a mut Staging,
    pub(super) rows: Gathering,
    pub(super) letters: Gathering,
    /// Keys and instants of the files so far.
    pub(super) seen: SeenRows,
    pub(super) writing: Option<Writing>,
}

/// Rows of a table that are not in runs yet.
#[derive(Debug)]
pub(super) struct Gathering {
    pub(super) table: LakeTable,
    pub(super) gathered: Gathered,
}

/// Runs that are being written, while rows are gathered for the next ones.
#[derive(Debug)]
pub(super) struct Writing {
    /// How far the files are with them.
    files: Vec<FileProgress>,
    runs: JoinHandle<Result<Vec<Run>>>,
}

impl Gathering {
    pub(super) fn new(table: LakeTable) -> Self {
        Self { table, gathered: Gathered::default() }
    }

    /// Writes what was gathered, one run a period.
    fn spill(&mut self, on: &Handle) -> impl Future<Output = Result<Vec<Run>>> + Send + use<> {
        let periods = self.gathered.take();
        let cores = cores().div_ceil(periods.len().max(1));
        let (table, on) = (self.table.clone(), on.clone());
        let write = move |(period, batches): (Period, Vec<RecordBatch>)| {
            let (table, on) = (table.clone(), on.clone());
            async move {
                let merged = on.spawn_blocking(move || merge(&batches)).await.map_err(ended)??;
                // No record of a log is known to be in it. It is read once: packing it takes longer than it saves.
                let path = FilePath::new(period, LogPosition::new(0));
                let layout = Layout {
                    decompression_cost: f64::INFINITY,
                    page_text_bytes: PAGE_TEXT_BYTES,
                    ..Layout::default()
                };
                let writer = table.begin_file_as(&layout, path, cores).await?;
                let file = writer.push(merged, &on).await?.finish(&on).await?;
                // Nobody looks for rows by the statistics of a run.
                let file = FileEntry { columns: Vec::new(), ..FileEntry::clone(&file) };
                Ok::<_, Error>(Run { table: table.schema().name().to_owned(), file })
            }
        };
        stream::iter(periods).map(write).buffered(RUNS_AT_ONCE).try_collect()
    }
}

impl Stage<'_> {
    /// Reads a file to its end, or until it is asked to stop.
    pub(super) async fn file(
        &mut self,
        path: &Path,
        identity: &Identity,
        reading: Reading,
        read: &mut Staging,
        state: &mut State,
        report: &mut (dyn FnMut(ImportEvent<'_>) + Send),
    ) -> Result<FileSummary> {
        #[allow(
            clippy::disallowed_methods,
            reason = "how long it took is told, and decides nothing"
        )]
        let started = Instant::now();
        let (reached, done) = read.reached(identity);
        let mut summary = reading.summary(path, reached);
        if done {
            return Ok(summary);
        }
        let source: Arc<str> = path.display().to_string().into();
        let prepare = Arc::clone(&self.prepare);
        let contents = reading.contents();
        let prepared = reading.pieces(reached, self.options, self.stop).map(|piece| {
            let (prepare, source) = (Arc::clone(&prepare), Arc::clone(&source));
            async move {
                let work = move || piece.and_then(|piece| prepare.piece(piece, &source));
                tokio::task::spawn_blocking(work).await.map_err(ended)?
            }
        });
        let mut prepared = std::pin::pin!(prepared.buffered(self.options.in_flight.max(1)));
        let bound = self.options.memory / GATHERED_SHARE;
        while let Some(piece) = prepared.next().await {
            let piece = piece?;
            let Prepared { rows, letters, read: all, accepted, unreadable, implausible, .. } =
                piece;
            summary.read += all;
            summary.accepted += accepted;
            summary.unreadable += unreadable;
            summary.implausible += implausible;
            summary.replaced.add(piece.replaced);
            summary.local.add(piece.local);
            if all != accepted + unreadable + implausible {
                let lost = format!(
                    "{source}: of {all} rows only {accepted} accepted, {unreadable} unreadable and {implausible} implausible are known"
                );
                return Err(Error::internal(lost));
            }
            for (_, rows) in &rows {
                self.seen.add(rows, &mut summary.replaced)?;
            }
            self.rows.gathered.add(rows);
            self.letters.gathered.add(letters);
            read.reach(identity, reached + summary.read, false);
            if self.rows.gathered.bytes() + self.letters.gathered.bytes() >= bound {
                self.write(&read.files, state).await?;
            }
            report(ImportEvent::Read { path, rows: reached + summary.read });
        }
        contents.complete(&mut summary);
        summary.stopped = self.stop.is_stopped();
        read.reach(identity, reached + summary.read, !summary.stopped);
        summary.took = started.elapsed();
        Ok(summary)
    }

    /// Writes and records what is gathered.
    pub(super) async fn settle(&mut self, read: &Staging, state: &mut State) -> Result<()> {
        self.write(&read.files, state).await?;
        self.record(state).await
    }

    /// Begins to write what is gathered, when what was written before is recorded.
    async fn write(&mut self, files: &[FileProgress], state: &mut State) -> Result<()> {
        self.record(state).await?;
        let (rows, letters) = (self.rows.spill(&self.on), self.letters.spill(&self.on));
        let both = async move { Ok::<_, Error>([rows.await?, letters.await?].concat()) };
        self.writing = Some(Writing { files: files.to_vec(), runs: self.on.spawn(both) });
        Ok(())
    }

    async fn record(&mut self, state: &mut State) -> Result<()> {
        let Some(Writing { files, runs }) = self.writing.take() else { return Ok(()) };
        self.staging.runs.extend(runs.await.map_err(ended)??);
        self.staging.files = files;
        state.stage(self.staging)
    }
}

fn ended(error: tokio::task::JoinError) -> Error {
    Error::internal("preparing rows ended early").with_source(error)
}
