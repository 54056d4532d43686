//! The answer to a call while it is sent: batches are encoded as the client reads them, until the deadline or the end
//! of the server.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_access::SPANS;
use barograph_engine::Clock;
use barograph_lake::Span;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tracing::Span as Traced;

use super::charged::Charged;
use super::limits::Deadline;
use super::requests::Observed;
use super::shutdown::{Phase, Shutdown};
use super::state::State;
use crate::wire::{BatchEncoder, Pieces};
use crate::{Error, Result};

/// An answer that is being sent. Dropped, with all its work, when the client goes away.
pub(crate) struct Running {
    batches: BoxStream<'static, Result<RecordBatch>>,
    encoder: BatchEncoder,
    /// Ready when the answer may go on no longer.
    end: BoxFuture<'static, Error>,
    /// What a client is told of an error.
    map_error: fn(Error) -> Error,
    observed: Option<Observed>,
    call: Option<Charged>,
    clock: Arc<dyn Clock>,
    span: Traced,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Running {
    pub(crate) fn new(
        state: &State,
        batches: BoxStream<'static, Result<RecordBatch>>,
        deadline: Deadline,
        permit: impl Into<Option<OwnedSemaphorePermit>>,
        call: impl Into<Charged>,
    ) -> Self {
        let shutdown = state.shutdown.clone();
        let call: Charged = call.into();
        let span = call.span().clone();
        let end = Box::pin(async move {
            tokio::select! {
                error = deadline.reached() => error,
                () = shutdown.reached(Phase::Stopped) => Shutdown::error(),
            }
        });
        Self {
            batches,
            encoder: BatchEncoder { message_bytes: state.settings.message_bytes.get() },
            end,
            map_error: std::convert::identity,
            observed: None,
            call: Some(call),
            clock: Arc::clone(state.engine.clock()),
            span,
            _permit: permit.into(),
        }
    }

    /// Says every error as `map_error` does.
    pub(crate) fn with_error_map(self, map_error: fn(Error) -> Error) -> Self {
        Self { map_error, ..self }
    }

    /// Counts the answer as that of a request.
    pub(crate) fn observed(self, observed: Observed) -> Self {
        Self { observed: Some(observed), ..self }
    }

    /// The next batch; none when the answer is complete.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch>> {
        let next = tokio::select! {
            biased;
            error = &mut self.end => Err(error),
            next = self.batches.next() => match next {
                None => {
                    if let Some(observed) = self.observed.take() {
                        observed.done();
                    }
                    if let Some(call) = self.call.take() {
                        call.done();
                    }
                    return None;
                }
                Some(batch) => batch,
            },
        };
        Some(next.map_err(self.map_error))
    }

    /// Counts rows that are sent. The next may be sent after the returned time.
    pub(crate) fn sends(&mut self, rows: usize, bytes: usize) -> Span {
        if let Some(observed) = &mut self.observed {
            observed.sends(rows, bytes);
        }
        let call = self.call.as_mut();
        call.map_or(Span::ZERO, |call| call.sent(rows as u64, bytes as u64))
    }

    /// Waits, as an answer does that is faster than its caller may read.
    pub(crate) async fn pause(&mut self, wait: Span) -> Result<()> {
        if wait <= Span::ZERO {
            return Ok(());
        }
        tokio::select! {
            biased;
            error = &mut self.end => Err((self.map_error)(error)),
            () = self.clock.sleep(wait.duration()) => Ok(()),
        }
    }

    pub(crate) fn messages(self) -> impl Stream<Item = Result<Pieces, Status>> + Send {
        stream::unfold(Some(self), async |running| {
            let mut this = running?;
            let next = this.next().await?;
            let encoded = next.and_then(|batch| {
                let rows = batch.num_rows();
                let _traced = tracing::trace_span!(target: SPANS, parent: &this.span, "wire", rows);
                let mut pieces = Pieces::default();
                let encoded = this.encoder.encode(&mut pieces, &batch);
                encoded.map_err(this.map_error)?;
                let wait = this.sends(rows, pieces.len());
                Ok((pieces, wait))
            });
            let encoded = match encoded {
                Ok((pieces, wait)) => this.pause(wait).await.map(|()| pieces),
                Err(error) => Err(error),
            };
            match encoded {
                Ok(pieces) => Some((Ok(pieces), Some(this))),
                Err(error) => Some((Err(Status::from(error)), None)),
            }
        })
    }
}
