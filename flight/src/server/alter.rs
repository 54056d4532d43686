//! The action `alter`: the columns of tables change while they are served. The client reads the progress, and last what
//! was done.

use std::sync::Arc;

use arrow_flight::Result as ActionResult;
use barograph_engine::ErrorKind;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tonic::Status;

use super::serving::Serving;
use crate::{Error, Result};

/// Name of the action.
pub(super) const NAME: &str = "alter";
/// Messages of progress that wait for who asked.
const QUEUE: usize = 16;

/// Which columns of a table become what. Columns that are declared and not stored are added, and wider types taken,
/// without being named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlterRequest {
    /// The table.
    pub table: String,
    /// Stored name and declared name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// Stored names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Whether only to say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far an alteration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterProgress {
    /// The table whose files are written anew.
    pub table: String,
    /// Rows written.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}

/// A message of the action's answer: any number that say how far it is, and one that says what was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlterMessage {
    Progress(AlterProgress),
    Done(Vec<String>),
}

/// The answer to the action `alter`.
pub(super) fn answer(
    serving: &Arc<Serving>,
    body: &Bytes,
) -> Result<BoxStream<'static, Result<ActionResult, Status>>> {
    serving.current().shutdown.check()?;
    let asked: AlterRequest = serde_json::from_slice(body)
        .map_err(|e| Error::request("action alter: the body").with_source(e))?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let serving = Arc::clone(serving);
    // Not given up half-way: it ends by itself when nobody reads, where it can be taken up again.
    let work = tokio::spawn(async move { serving.alter(asked, sender).await });
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
