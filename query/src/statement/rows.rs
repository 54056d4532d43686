//! Delivery of an answer's rows to the client, through a channel of few batches whose memory is counted. An answer that
//! waits for its reader gives its slot to others, and waits no longer than the reader timeout.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use barograph_engine::{Engine, Error, ErrorKind, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::Stream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::errors::engine_error;
use crate::limits::gate::Place;
use crate::limits::queries::{Query, QueryId, QueryState};
use crate::statement::watch::{Reason, cancelled};

/// Batches that wait for the client, so that the query does not run far ahead of it.
const AHEAD: usize = 2;
/// Time after which a reader that takes nothing counts as paused. One that is only slower than the query keeps the
/// slot.
const PAUSE: Duration = Duration::from_secs(1);

/// A batch on its way to the client.
#[derive(Debug)]
pub(crate) struct Rows {
    batch: RecordBatch,
    _memory: MemoryReservation,
}

/// The channel of an answer's rows.
pub(crate) fn way() -> (mpsc::Sender<Rows>, mpsc::Receiver<Rows>) {
    mpsc::channel(AHEAD)
}

/// Delivers rows to a client.
pub(crate) struct RowSender<'a> {
    pub(crate) query: &'a Query,
    pub(crate) engine: &'a Engine,
    pub(crate) place: &'a Place,
    pub(crate) sender: &'a mpsc::Sender<Rows>,
    pub(crate) reader_timeout: Duration,
    memory: MemoryReservation,
}

impl<'a> RowSender<'a> {
    pub(crate) fn new(
        query: &'a Query,
        engine: &'a Engine,
        place: &'a Place,
        sender: &'a mpsc::Sender<Rows>,
        reader_timeout: Duration,
        memory: &Arc<dyn MemoryPool>,
    ) -> Self {
        let memory = MemoryConsumer::new("rows of the answer").register(memory);
        Self { query, engine, place, sender, reader_timeout, memory }
    }

    /// Sends a batch, once there is room for it.
    ///
    /// # Errors
    /// `Resources` if there is no memory for it, `Timeout` if the client does not read, `Cancelled` if it left.
    pub(crate) async fn send(&self, batch: RecordBatch) -> Result<()> {
        let bytes = batch.get_array_memory_size();
        self.query.meter.given(batch.num_rows(), bytes);
        let memory = self.memory.new_empty();
        memory.try_grow(held(&batch)).map_err(engine_error)?;
        let room = match self.sender.try_reserve() {
            Ok(room) => room,
            Err(TrySendError::Closed(())) => return Err(cancelled(self.query.id)),
            Err(TrySendError::Full(())) => self.room().await?,
        };
        room.send(Rows { batch, _memory: memory });
        Ok(())
    }

    /// Waits until the client reads; the slot is given up if that takes long.
    async fn room(&self) -> Result<mpsc::Permit<'_, Rows>> {
        let left = |_| cancelled(self.query.id);
        let clock = self.engine.clock();
        let pause = PAUSE.min(self.reader_timeout);
        tokio::select! {
            biased;
            room = self.sender.reserve() => return room.map_err(left),
            () = clock.sleep(pause) => {}
        }
        self.query.advance(QueryState::Unread, self.engine.now());
        let parked = self.place.park();
        let room = tokio::select! {
            biased;
            room = self.sender.reserve() => room.map_err(left)?,
            () = clock.sleep(self.reader_timeout.saturating_sub(pause)) => return Err(self.unread()),
        };
        if let Some(parked) = parked {
            parked.retake().await?;
        }
        self.query.advance(QueryState::Running, self.engine.now());
        Ok(room)
    }

    fn unread(&self) -> Error {
        self.query.ends_unread();
        Error::new(
            ErrorKind::Timeout,
            format!(
                "the answer was not read for {} ms and was therefore ended: read it without long pauses, ask for less, or raise sql.reader_timeout",
                self.reader_timeout.as_millis()
            ),
        )
    }
}

/// Bytes that a batch holds; for a slice, only its own.
fn held(batch: &RecordBatch) -> usize {
    let of = |column: &arrow::array::ArrayRef| {
        let whole = column.get_array_memory_size();
        column.to_data().get_slice_memory_size().map_or(whole, |own| own.min(whole))
    };
    batch.columns().iter().map(of).sum()
}

/// The stream that the client sees. An answer that breaks off without an outcome is an error.
pub(crate) fn batches(
    rows: mpsc::Receiver<Rows>,
    end: oneshot::Receiver<Result<()>>,
    reason: Reason,
    id: QueryId,
) -> Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>> {
    Box::pin(futures::stream::unfold(Some((rows, end, reason)), move |answer| async move {
        let (mut rows, end, mut reason) = answer?;
        let next = tokio::select! {
            biased;
            Ok(error) = &mut reason => return Some((Err(error), None)),
            next = rows.recv() => next,
        };
        if let Some(Rows { batch, .. }) = next {
            return Some((Ok(batch), Some((rows, end, reason))));
        }
        let broken =
            || Error::internal(format!("query {id} ended early: its answer is incomplete"));
        let error = end.await.unwrap_or_else(|_| Err(broken())).err()?;
        Some((Err(error), None))
    }))
}
