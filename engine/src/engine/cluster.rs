//! The engine among others that share its log: who they are, what one takes for another, and how far behind one is.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_lake::{LogId, LogPosition, TableVersion};
use futures::future::{Either, select};
use futures::stream::BoxStream;
use tokio::sync::oneshot;

use super::Engine;
use super::put::batch_bytes;
use crate::cluster::{AppendedGroup, ForwardedBatch, ForwardedEntry, Member};
use crate::dead_letters::with_ids;
use crate::ipc::read_stream;
use crate::log::{Leader, Notice, Place};
use crate::validate::logged_schema;
use crate::writer::{Entry, Submission, Written};
use crate::{Durability, Error, ErrorKind, Result};

/// How soon a leader sends what it has acknowledged.
const SENT_WITHIN: Duration = Duration::from_millis(20);

/// The answer of the writer, which is yet to come.
type Answer = oneshot::Receiver<Result<Written>>;

impl Engine {
    /// The process that appended last to a log that others share; `None` if no others can, or nobody has.
    pub fn leader(&self) -> Option<Leader> {
        self.gauge.leader()
    }

    /// The processes that share the log, this one among them, by their addresses; none if no others can. Those that have not
    /// written for a minute are left out.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn members(&self) -> Result<Vec<Member>> {
        match &self.cluster {
            None => Ok(Vec::new()),
            Some(cluster) => {
                let standing = self.gauge.standing(self.clock.as_ref());
                cluster.watch.members.list(standing).await
            }
        }
    }

    /// Ready once views show what stands in the log at `position`, and the versions of tables that are announced up to there:
    /// at once, if no other process can put it there. Nothing bounds the wait for a position that is not there yet.
    ///
    /// # Errors
    /// Why the writer has failed.
    pub async fn wait_for(&self, position: LogPosition) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let mut applied = self.gauge.applied_to();
        if *applied.borrow_and_update() > position.get() {
            return self.show_awaited().await;
        }
        // The leader may send it in a moment.
        if cluster.offered.is_live() {
            let comes = pin!(applied.wait_for(|applied| *applied > position.get()));
            let has_come =
                matches!(select(comes, self.clock.sleep(SENT_WITHIN)).await, Either::Left(_));
            if has_come {
                return self.show_awaited().await;
            }
        }
        // It need not wait for the next look.
        if let Err(error) = self.writer.handle().follow().await
            && let Some(failure) = self.failure()
        {
            tracing::debug!(%error, "could not follow the log to a position that is waited for");
            return Err(failure);
        }
        tokio::select! {
            // The gauge lives as long as the engine.
            _ = applied.wait_for(|applied| *applied > position.get()) => {}
            failure = self.failed() => return Err(failure),
        }
        self.show_awaited().await
    }

    /// Ready once views show the versions of which the log, as far as it was read here, says that answers have to.
    async fn show_awaited(&self) -> Result<()> {
        let mut awaited = self.heard.awaited();
        let mut swaps = self.gauge.swaps();
        loop {
            // The versions of tables that this process does not declare are of no use to it.
            awaited.retain(|(table, version)| {
                let table = self.tables.get(table.as_ref() as &str);
                table.is_some_and(|table| table.view.load().snapshot.version() < *version)
            });
            if awaited.is_empty() {
                return Ok(());
            }
            tokio::select! {
                // The gauge lives as long as the engine.
                _ = swaps.changed() => {}
                failure = self.failed() => return Err(failure),
            }
        }
    }

    /// Tells all who share the log that a table is at a version, or a later one, which answers have to show, and gives the
    /// position behind which they do; `None` if no others share it.
    ///
    /// # Errors
    /// `Unavailable` if the log does not take it; it may be told again.
    pub(crate) async fn announce(
        &self,
        table: &str,
        version: TableVersion,
    ) -> Result<Option<LogPosition>> {
        let table = Arc::from(self.table(table)?.schema.name());
        if self.cluster.is_none() {
            return Ok(None);
        }
        let notice = Notice { table, version, is_awaited: true };
        self.writer.handle().announce(notice).await.map(Some)
    }

    /// The groups that this process appends from now on to a log that others share, after one without bytes that says where
    /// the log ends. They end when another leads, and for a caller that does not keep up. `log` is the log that the caller
    /// follows.
    ///
    /// # Errors
    /// `Unavailable` if this process does not lead that log, or too many follow it.
    pub fn groups(&self, log: LogId) -> Result<BoxStream<'static, AppendedGroup>> {
        self.check_log(log)?;
        if !self.gauge.leads() {
            return Err(Error::new(ErrorKind::Unavailable, "this process does not lead the log"));
        }
        self.feed.follow(self.gauge.end())
    }

    fn check_log(&self, log: LogId) -> Result<()> {
        match &self.cluster {
            Some(cluster) if cluster.log == log => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                format!("this process does not append to the log {log}: another had its address"),
            )),
        }
    }

    /// For how long this process has not known that it is at the end of the log; nothing if no others append.
    pub fn staleness(&self) -> Duration {
        self.gauge.behind(self.clock.as_ref())
    }

    /// Appends batches that another process has validated and forwards, in their order, and gives where each stands. They
    /// are not forwarded again, whoever leads. After one that cannot be submitted none is, so that none overtakes it.
    ///
    /// # Errors
    /// `Unavailable` if the caller's log is another, `Internal` if the work ended early. Those of single batches are
    /// `Request` if they do not fit the tables here, and as of [`Engine::put`].
    pub async fn accept_forwarded(
        self: &Arc<Self>,
        log: LogId,
        batches: Vec<ForwardedBatch>,
    ) -> Result<Vec<Result<Place>>> {
        self.check_log(log)?;
        let engine = Arc::clone(self);
        let job = move || -> Vec<Result<Answer>> {
            let mut failed: Option<Error> = None;
            let submit = |batch| match &failed {
                Some(error) => Err(error.again()),
                None => {
                    let submitted = engine.submit_forwarded(batch);
                    failed = submitted.as_ref().err().map(Error::again);
                    submitted
                }
            };
            batches.into_iter().map(submit).collect()
        };
        let submitted = tokio::task::spawn_blocking(job).await;
        let submitted =
            submitted.map_err(|e| Error::internal("taking forwarded batches").with_source(e))?;
        let mut places = Vec::with_capacity(submitted.len());
        for answer in submitted {
            places.push(match answer {
                Err(error) => Err(error),
                Ok(answer) => self.place(answer).await,
            });
        }
        Ok(places)
    }

    async fn place(&self, answer: Answer) -> Result<Place> {
        let Written { position, ingested_at } = match answer.await {
            Ok(written) => written?,
            Err(_) => return Err(self.writer.status().gone().await),
        };
        Ok(Place { position, ingested_at })
    }

    fn submit_forwarded(&self, batch: ForwardedBatch) -> Result<Answer> {
        let ForwardedBatch { id, entries } = batch;
        let entries: Vec<_> =
            entries.into_iter().map(|entry| self.forwarded_entry(entry)).collect::<Result<_>>()?;
        let bytes = entries.iter().map(|entry| batch_bytes(&entry.rows)).sum();
        let reservation = self.reserve_tail(bytes)?;
        let (reply, answer) = oneshot::channel();
        self.writer.handle().put(Submission {
            entries,
            id: Some(id),
            is_forwarded: true,
            durability: Durability::Disk,
            reply,
            reservation,
            span: tracing::Span::current(),
        })?;
        Ok(answer)
    }

    fn forwarded_entry(&self, entry: ForwardedEntry) -> Result<Entry> {
        let ForwardedEntry { table, source, body } = entry;
        let table = Arc::clone(self.table(&table)?);
        let rows = forwarded_rows(&body).map_err(|e| {
            let name = table.schema.name();
            Error::request(format!("table {name:?}: rows of another process")).with_source(e)
        })?;
        let whole = with_ids(&table.schema, LogPosition::new(0), &rows)?;
        if whole.schema().fields() != logged_schema(&table.schema).fields() {
            return Err(Error::request(format!(
                "table {:?}: another process forwards rows with other columns than this one declares: start both with the same declarations",
                table.schema.name()
            )));
        }
        Ok(Entry { table, rows, body, source })
    }

    /// What an acknowledgement promises where `asked` was asked for.
    pub(super) fn reached(&self, asked: Durability) -> Durability {
        match &self.cluster {
            Some(cluster) => cluster.durability,
            // No log of one process is more than on its disk.
            None if asked == Durability::Replicated => Durability::Disk,
            None => asked,
        }
    }
}

fn forwarded_rows(body: &[u8]) -> Result<RecordBatch> {
    // Servers send their rows unpacked.
    let (_, rows) =
        read_stream(body, body.len()).map_err(|e| Error::request("Arrow IPC").with_source(e))?;
    rows.into_iter().next().ok_or_else(|| Error::request("there are none"))
}
