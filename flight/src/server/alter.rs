//! The action `alter`: the columns of tables change while they are served. The client reads the progress, and last what
//! was done.

use std::sync::Arc;

use arrow_flight::Result as ActionResult;
use barograph_access::Call;
use barograph_engine::ErrorKind;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;
use tonic::Status;

use crate::call::Serving;
use crate::message::{AlterMessage, AlterRequest};
use crate::{Error, Result};

/// Name of the action.
pub(super) const NAME: &str = "alter";
/// Messages of progress that wait for who asked.
const QUEUE: usize = 16;

/// The answer to the action `alter`.
pub(super) fn answer(
    serving: &Arc<Serving>,
    body: &Bytes,
    call: Call,
) -> Result<BoxStream<'static, Result<ActionResult, Status>>> {
    serving.current().shutdown.check()?;
    let asked: AlterRequest = serde_json::from_slice(body)
        .map_err(|e| Error::request("action alter: the body").with_source(e))?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let serving = Arc::clone(serving);
    // Not given up half-way: it ends by itself when nobody reads, where it can be taken up again.
    let work = tokio::spawn(async move {
        let altered = serving.alter(asked, sender).await;
        if altered.is_ok() {
            call.done();
        }
        altered
    });
    let progress = stream::unfold(receiver, async |mut receiver| {
        let progress = receiver.recv().await?;
        Some((Ok(AlterMessage::Progress(progress)), receiver))
    });
    let done = work.map(|done| {
        let done = done.map_err(|e| internal().with_source(e))?;
        done.map(AlterMessage::Done)
    });
    let messages = progress.chain(done.into_stream()).map(|message: Result<AlterMessage>| {
        let body = serde_json::to_vec(&message?).map_err(|e| internal().with_source(e))?;
        Ok(ActionResult { body: body.into() })
    });
    Ok(messages.boxed())
}

fn internal() -> Error {
    Error::new(ErrorKind::Internal, "altering columns")
}
