//! Live readings of some keys, as server-sent events: each is sent once it is the newest of its key. An event has the
//! position in the log up to which the client has seen everything; a client that comes back with it is sent what has
//! changed since.
//!
//! ```text
//! id: 00000000000000417792
//! event: readings
//! data: [{"city_id":2988507,"reading_at":"2026-11-22T10:00:00Z","temperature":9.5}]
//! ```
//!
//! Format: "Server-sent events" of the HTML standard.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use axum::body::Body;
use axum::response::Response;
use barograph_engine::View;
use barograph_engine::validate::key_at;
use barograph_flight::door::{Asked, Held, OpenedTicket};
use barograph_flight::{Error, Result};
use barograph_lake::{Key, LogPosition, Span};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream;
use http::header;

use super::read::ticket;
use crate::request::Call;
use crate::serve::{Answered, Shared, insert};

/// How often the newest readings are looked at: views are swapped with every batch.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a connection on which nothing is sent is tried.
const TRY_EVERY: Span = Span::seconds(15);
/// Keys that a client may follow.
const KEYS_MAX: usize = 1_000;
/// The header with the position of the last event that a client has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// The answer to `GET /api/v1/tables/{table}/live`.
pub(crate) fn live(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        let table = call.asked.readable(call.table())?;
        let ticket = ticket(&shared, &call, &table, "latest")?;
        let keys = call.query.list("keys").map_or(0, |keys| keys.len());
        let count = keys + call.query.all("place").count();
        if !(1..=KEYS_MAX).contains(&count) {
            return Err(Error::request(format!(
                "{count} keys are to be followed: name 1 to {KEYS_MAX} by keys=… or place=…"
            ))
            .into());
        }
        let last = match call.header(LAST_EVENT_ID) {
            None | Some("") => None,
            Some(text) => Some(text.parse::<LogPosition>().map_err(|_| {
                Error::request(format!(
                    "header {LAST_EVENT_ID} is {text:?}: send the id of an event as it came"
                ))
            })?),
        };
        // What fails here fails with a status of its own.
        let held = call.asked.hold()?;
        call.asked.open_held(&ticket, &held).await?.end();
        let spoken = shared.door.clock().elapsed();
        let Call { asked, .. } = call;
        let (seen, sent) = (None, HashMap::new());
        let following = Following { shared, asked, ticket, last, seen, sent, spoken, held };
        let body = Body::from_stream(stream::unfold(Some(following), Following::next));
        let mut response = Response::new(body);
        insert(&mut response, header::CONTENT_TYPE, "text/event-stream");
        insert(&mut response, header::CACHE_CONTROL, "no-store");
        Ok(response)
    })
}

/// A client that follows keys.
struct Following {
    shared: Arc<Shared>,
    asked: Asked,
    ticket: String,
    /// Up to where the client has seen everything, of one that came back.
    last: Option<LogPosition>,
    /// What was looked at last.
    seen: Option<Arc<View>>,
    /// What was sent of each key.
    sent: HashMap<Key, u64>,
    /// When something was sent last, by elapsed time.
    spoken: Span,
    held: Held,
}

impl Following {
    async fn next(following: Option<Self>) -> Option<(io::Result<Bytes>, Option<Self>)> {
        let mut this = following?;
        let clock = this.shared.door.clock();
        loop {
            let text = match this.look().await {
                Ok(text) => text,
                Err(error) => return Some((Err(io::Error::other(error)), None)),
            };
            let is_silent = clock.elapsed().saturating_sub(this.spoken) >= TRY_EVERY;
            let text = text.or_else(|| is_silent.then(|| ": nothing new\n\n".to_owned()));
            if let Some(text) = text {
                this.spoken = clock.elapsed();
                return Some((Ok(text.into()), Some(this)));
            }
            let drained = this.shared.door.drained();
            tokio::select! {
                () = clock.sleep(LOOK_EVERY) => {}
                // The client comes back, to another server or to this one.
                () = drained => return None,
            }
        }
    }

    /// What is new since it was looked last, as an event.
    async fn look(&mut self) -> Result<Option<String>> {
        self.asked.again()?;
        let end = self.shared.door.log_end();
        let opened = self.asked.open_held(&self.ticket, &self.held).await?;
        let view = opened.view();
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, view)) {
            opened.end();
            return Ok(None);
        }
        let is_first = self.seen.replace(Arc::clone(view)).is_none();
        // What is not shown has positions, too.
        let is_whole = !opened.is_restricted();
        let lines = self.changed(opened).await?;
        // One that came back has seen everything, if nothing was written since. What the tail holds does not tell: rows that
        // were written since may have landed.
        let is_known = is_first && is_whole && self.last.is_some_and(|last| end <= last);
        if lines.is_empty() || is_known {
            return Ok(None);
        }
        let id = if is_whole { format!("id: {end}\n") } else { String::new() };
        Ok(Some(format!("{id}event: readings\ndata: [{}]\n\n", lines.join(","))))
    }

    /// The newest readings that are others than were sent, each as an object in JSON.
    async fn changed(&mut self, opened: OpenedTicket) -> Result<Vec<String>> {
        let mut rows = opened.rows().await?;
        let mut changed = Vec::new();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let (known, mut bytes) = (changed.len(), 0);
            for (row, line) in lines(&batch)?.lines().enumerate() {
                let mut hasher = DefaultHasher::new();
                line.hash(&mut hasher);
                let hash = hasher.finish();
                if self.sent.insert(key_at(batch.column(0), row), hash) != Some(hash) {
                    bytes += line.len();
                    changed.push(line.to_owned());
                }
            }
            rows.sends(changed.len() - known, bytes);
        }
        Ok(changed)
    }
}

fn lines(batch: &RecordBatch) -> Result<String> {
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).into_owned())
}
