//! The answer to a call while it is sent: batches are encoded as the client reads them, until the deadline or the end
//! of the server.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_access::Call;
use barograph_engine::Clock;
use barograph_lake::Span;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

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
    deadline: Deadline,
    shutdown: Shutdown,
    /// What a client is told of an error.
    map_error: fn(Error) -> Error,
    observed: Option<Observed>,
    call: Call,
    clock: Arc<dyn Clock>,
    _permit: OwnedSemaphorePermit,
}

impl Running {
    pub(crate) fn new(
        state: &State,
        batches: BoxStream<'static, Result<RecordBatch>>,
        deadline: Deadline,
        permit: OwnedSemaphorePermit,
        call: Call,
    ) -> Self {
        Self {
            batches,
            encoder: BatchEncoder { message_bytes: state.settings.message_bytes.get() },
            deadline,
            shutdown: state.shutdown.clone(),
            map_error: std::convert::identity,
            observed: None,
            call,
            clock: Arc::clone(state.engine.clock()),
            _permit: permit,
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

    pub(crate) fn messages(self) -> impl Stream<Item = Result<Pieces, Status>> + Send {
        let end = {
            let (deadline, shutdown) = (self.deadline.clone(), self.shutdown.clone());
            Box::pin(async move {
                tokio::select! {
                    error = deadline.reached() => error,
                    () = shutdown.reached(Phase::Stopped) => Shutdown::error(),
                }
            })
        };
        stream::unfold(Some((self, end)), async |running| {
            let (mut this, mut end) = running?;
            let next = tokio::select! {
                biased;
                error = &mut end => Err(error),
                next = this.batches.next() => match next {
                    None => {
                        if let Some(observed) = this.observed.take() {
                            observed.done();
                        }
                        this.call.done();
                        return None;
                    }
                    Some(batch) => batch,
                },
            };
            let encoded = next.and_then(|batch| {
                let mut pieces = Pieces::default();
                this.encoder.encode(&mut pieces, &batch)?;
                if let Some(observed) = &mut this.observed {
                    observed.sends(batch.num_rows(), pieces.len());
                }
                let wait = this.call.sent(batch.num_rows() as u64, pieces.len() as u64);
                Ok((pieces, wait))
            });
            // An answer that is faster than its caller may read is slowed down.
            let encoded = match encoded {
                Ok((pieces, wait)) if wait > Span::ZERO => tokio::select! {
                    biased;
                    error = &mut end => Err(error),
                    () = this.clock.sleep(wait.duration()) => Ok(pieces),
                },
                Ok((pieces, _)) => Ok(pieces),
                Err(error) => Err(error),
            };
            match encoded {
                Ok(pieces) => Some((Ok(pieces), Some((this, end)))),
                Err(error) => Some((Err(Status::from((this.map_error)(error))), None)),
            }
        })
    }
}
