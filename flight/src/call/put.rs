//! A running put: batches are submitted in the order in which they come, and acknowledged in that order; several may be
//! on their way to the disk at one time.
//!
//! ```text
//! batches ─► prepared, submitted: one at a time ─► on their way: put_batches_in_flight at most ─► acknowledgements
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow_flight::FlightData;
use barograph_access::{Allowed, KeyRanges, SPANS};
use barograph_engine::internal::{Decoded, IpcDecoder, IpcError, pause};
use barograph_engine::log::BatchId;
use barograph_engine::{Ack, Clock, Durability, ErrorKind, Restriction, retry};
use barograph_lake::{Size, Span};
use bytes::Bytes;
use futures::future::{BoxFuture, OptionFuture, ready};
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Code, Streaming};
use tracing::{Instrument, Span as Traced};

use super::charged::Charged;
use super::limits::Deadline;
use super::serving::Serving;
use super::shutdown::{Phase, Shutdown};
use super::state::State;
use crate::message::{BatchIds, batch_id_of};
use crate::wire::BatchEncoder;
use crate::{Error, Result};

/// With so many bytes of batches on their way, no other is taken: a sync of the disk takes no longer than writing them.
const IN_FLIGHT_BYTES: usize = 16 << 20;

/// Values of every type can be read where they stand if a body begins at a multiple of this.
const BODY_ALIGNMENT: usize = 64;

/// An acknowledgement that is yet to come.
type Pending = BoxFuture<'static, Result<Ack>>;

/// A batch as a client sends it.
pub(crate) struct Sent {
    /// By which it counts once, however often it is sent.
    pub(crate) id: Option<BatchId>,
    pub(crate) rows: RecordBatch,
}

/// The batches that a client sends, from the message with the schema on.
pub(crate) fn batches_of(
    state: &State,
    first: FlightData,
    messages: Streaming<FlightData>,
) -> BoxStream<'static, Result<RecordBatch>> {
    described(state, first, messages).map_ok(|(_, rows)| rows).boxed()
}

/// The same with their ids: those in their metadata, or else `ids`.
pub(crate) fn sent_batches_of(
    state: &State,
    first: FlightData,
    messages: Streaming<FlightData>,
    ids: BatchIds,
) -> BoxStream<'static, Result<Sent>> {
    let sent = described(state, first, messages).zip(stream::iter(ids)).map(|(batch, id)| {
        let (metadata, rows) = batch?;
        Ok(Sent { id: batch_id_of(&metadata)?.or(id), rows })
    });
    sent.boxed()
}

/// The batches that a client sends, each with its metadata.
fn described(
    state: &State,
    first: FlightData,
    messages: Streaming<FlightData>,
) -> impl Stream<Item = Result<(Bytes, RecordBatch)>> + Send + use<> {
    let limit = state.settings.request_bytes_max;
    let messages = stream::once(ready(Ok(first))).chain(messages).map_err(move |status| {
        if status.code() == Code::OutOfRange {
            return too_large(limit, status.message());
        }
        Error::from(status)
    });
    let mut decoder = IpcDecoder::new(limit.get());
    messages.try_filter_map(move |message| ready(decode(&mut decoder, message, limit)))
}

/// The rows of a message with its metadata; `None` if it has none.
pub(crate) fn decode(
    decoder: &mut IpcDecoder,
    message: FlightData,
    limit: Size,
) -> Result<Option<(Bytes, RecordBatch)>> {
    let FlightData { data_header, app_metadata, data_body, .. } = message;
    let is_aligned = data_body.as_ptr().align_offset(BODY_ALIGNMENT) == 0;
    let body = match is_aligned {
        true => Buffer::from(data_body),
        false => Buffer::from(data_body.as_ref()),
    };
    let had_schema = decoder.schema().is_some();
    match decoder.decode(&data_header, body) {
        Ok(Decoded::Rows(rows)) => Ok(Some((app_metadata, rows))),
        Ok(Decoded::Schema(_)) if had_schema => {
            Err(Error::request("a second schema: send its batches with a call of their own"))
        }
        Ok(Decoded::Schema(_) | Decoded::Nothing) => Ok(None),
        Err(IpcError::TooLarge(size)) => {
            Err(too_large(limit, format_args!("one has {size} bytes, unpacked, or rows")))
        }
        Err(error) => Err(Error::request("Flight data").with_source(error)),
    }
}

fn too_large(limit: Size, what: impl std::fmt::Display) -> Error {
    Error::request(format!("flight.request_bytes_max is {limit}: send smaller batches ({what})"))
}

/// Where batches go.
struct Target {
    serving: Arc<Serving>,
    table: String,
    source: String,
    durability: Durability,
    /// The keys that may be put, if not all.
    keys: Option<KeyRanges>,
    /// Whether a batch that finds no room waits for it rather than end the put. No other is taken meanwhile.
    patient: bool,
}

impl Target {
    /// Puts a batch. Ready when it has its place in the log.
    async fn put(self: Arc<Self>, batch: Sent) -> Result<Pending> {
        let deadline = self.serving.current().deadline(&HeaderMap::new());
        if !self.patient {
            return self.submit(batch.id, batch.rows, &deadline).await;
        }
        loop {
            let put = async { self.submit(batch.id, batch.rows.clone(), &deadline).await?.await };
            let error = match put.await {
                Err(error) if error.kind() == ErrorKind::Resources => error,
                done => return Ok(ready(done).boxed()),
            };
            let wait = retry::wait(error.retry_after());
            if wait > deadline.left() {
                return Err(error);
            }
            pause(wait).await;
        }
    }

    async fn submit(
        &self,
        id: Option<BatchId>,
        rows: RecordBatch,
        deadline: &Deadline,
    ) -> Result<Pending> {
        let submitting = async {
            let (state, kept) = self.serving.to_put().await;
            if let Some(keys) = &self.keys {
                Restriction::check_written(&*state.engine.schema(&self.table)?, &rows, keys)?;
            }
            let prepared = state.engine.prepare(&self.table, rows, &self.source).await?;
            let prepared = match id {
                Some(id) => prepared.with_id(id),
                None => prepared,
            };
            let submitted = prepared.submit(self.durability).await?;
            Ok::<_, Error>((submitted, kept))
        };
        let (submitted, kept) = deadline.bound(submitting).await?;
        let deadline = deadline.clone();
        let acknowledged = async move {
            let _kept = kept;
            deadline.bound(submitted.acknowledged()).await
        };
        Ok(acknowledged.instrument(Traced::current()).boxed())
    }
}

/// A running put.
pub(crate) struct Writing {
    batches: BoxStream<'static, Result<Sent>>,
    target: Arc<Target>,
    /// Batches on their way at one time at most.
    most: usize,
    /// The batch that is about to get its place in the log.
    submitting: OptionFuture<BoxFuture<'static, Result<Pending>>>,
    running: FuturesOrdered<Pending>,
    /// Bytes of the batches on their way, in their order.
    bytes: VecDeque<usize>,
    /// Why no more batches are taken.
    end: Option<Result<()>>,
    drained: BoxFuture<'static, ()>,
    call: Option<Charged>,
    clock: Arc<dyn Clock>,
    span: Traced,
    /// Until then no batch is put.
    paused: Option<BoxFuture<'static, ()>>,
    /// The batch that waits for that.
    held: Option<Sent>,
    _permit: OwnedSemaphorePermit,
}

/// What is put where.
pub(crate) struct PutRequest {
    pub(crate) table: String,
    pub(crate) source: String,
    pub(crate) durability: Durability,
    /// Whether batches that find no room wait for it.
    pub(crate) patient: bool,
    /// What of the table may be written.
    pub(crate) allowed: Allowed,
}

impl Writing {
    /// Puts `batches` as they come.
    pub(crate) fn new(
        serving: &Arc<Serving>,
        request: PutRequest,
        batches: BoxStream<'static, Result<Sent>>,
        call: impl Into<Charged>,
    ) -> Result<Self> {
        let call: Charged = call.into();
        let span = call.span().clone();
        let PutRequest { table, source, durability, patient, allowed } = request;
        let keys = allowed.keys();
        let state = serving.current();
        let permit = state.limits.stream()?;
        let shutdown = state.shutdown.clone();
        let drained = async move { shutdown.reached(Phase::Draining).await }.boxed();
        let serving = Arc::clone(serving);
        Ok(Self {
            batches,
            most: state.settings.put_batches_in_flight.max(1),
            target: Arc::new(Target { serving, table, source, durability, keys, patient }),
            submitting: None.into(),
            running: FuturesOrdered::new(),
            bytes: VecDeque::new(),
            end: None,
            drained,
            call: Some(call),
            clock: Arc::clone(state.engine.clock()),
            span,
            paused: None,
            held: None,
            _permit: permit,
        })
    }

    /// The next acknowledgement, in the order of the batches.
    pub(crate) async fn next(&mut self) -> Result<Option<Ack>> {
        loop {
            if self.bytes.is_empty()
                && let Some(end) = self.end.take()
            {
                self.end = Some(Ok(()));
                if let (Ok(()), Some(call)) = (&end, self.call.take()) {
                    call.done();
                }
                return end.map(|()| None);
            }
            let is_free = self.running.len() == self.bytes.len();
            let takes = self.end.is_none() && is_free && self.has_room() && self.held.is_none();
            let paused = OptionFuture::from(self.paused.as_mut());
            tokio::select! {
                biased;
                () = &mut self.drained, if self.end.is_none() => self.end = Some(Err(Shutdown::error())),
                Some(ack) = self.running.next() => {
                    self.bytes.pop_front();
                    return ack.map(Some);
                }
                Some(submitted) = &mut self.submitting => {
                    self.submitting = None.into();
                    self.submitted(submitted);
                }
                Some(()) = paused => {
                    self.paused = None;
                    if let Some(batch) = self.held.take() {
                        self.submit(batch);
                    }
                }
                batch = self.batches.next(), if takes => match batch {
                    None => self.end = Some(Ok(())),
                    Some(Err(error)) => self.end = Some(Err(error)),
                    Some(Ok(batch)) if self.paused.is_some() => self.held = Some(batch),
                    Some(Ok(batch)) => self.submit(batch),
                },
                else => {}
            }
        }
    }

    fn has_room(&self) -> bool {
        self.running.len() < self.most && self.bytes.iter().sum::<usize>() < IN_FLIGHT_BYTES
    }

    fn submit(&mut self, batch: Sent) {
        let bytes = BatchEncoder::estimate(&batch.rows).unwrap_or_default();
        self.bytes.push_back(bytes);
        if let Err(error) = self.count(&batch, bytes) {
            self.end.get_or_insert(Ok(()));
            self.running.push_back(ready(Err(error)).boxed());
            return;
        }
        let rows = batch.rows.num_rows();
        let span = tracing::trace_span!(target: SPANS, parent: &self.span, "put", rows, bytes);
        let mut put = Arc::clone(&self.target).put(batch).instrument(span).boxed();
        // Most have their place at once.
        match (&mut put).now_or_never() {
            Some(submitted) => self.submitted(submitted),
            None => self.submitting = Some(put).into(),
        }
    }

    /// Counts a batch against the limits of the caller, who may have to wait with the next, or may not be known any more.
    fn count(&mut self, batch: &Sent, bytes: usize) -> Result<()> {
        let Some(call) = &mut self.call else { return Ok(()) };
        call.recheck()?;
        let wait = call.received(batch.rows.num_rows() as u64, bytes as u64);
        if wait > Span::ZERO {
            self.paused = Some(self.clock.sleep(wait.duration()));
        }
        Ok(())
    }

    /// Takes up the acknowledgement of a batch. After one that failed no other is taken.
    fn submitted(&mut self, submitted: Result<Pending>) {
        self.running.push_back(submitted.unwrap_or_else(|error| {
            self.end.get_or_insert(Ok(()));
            ready(Err(error)).boxed()
        }));
    }
}
