//! The action `groups`, between servers of one version and not listed: what this server appends to a shared log, group by
//! group, for one that follows it.

use std::sync::Arc;

use arrow_flight::Result as ActionResult;
use barograph_access::Call;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use tonic::Status;

use crate::Result;
use crate::call::{Phase, Serving};
use crate::message::{GroupMessage, log_of};

/// The answer to the action `groups`. It ends when this server leads no longer, or begins to shut down; `call` then is done.
pub(super) fn answer(
    serving: &Arc<Serving>,
    body: &Bytes,
    call: Call,
) -> Result<BoxStream<'static, Result<ActionResult, Status>>> {
    let state = serving.current();
    state.shutdown.check()?;
    let groups = state.engine.groups(log_of(body)?)?;
    let shutdown = state.shutdown.clone();
    let drained = async move { shutdown.reached(Phase::Draining).await };
    let ended = futures::stream::once(async move {
        call.done();
        None
    });
    let messages =
        groups.take_until(Box::pin(drained)).map(Some).chain(ended).filter_map(async |group| {
            let body = GroupMessage::from(group?).encode_to_vec().into();
            Some(Ok(ActionResult { body }))
        });
    Ok(messages.boxed())
}
