//! The actions of native Flight, such as flush, delete, redrive and kill.

use std::sync::Arc;

use arrow_flight::{Action, ActionType};
use barograph_engine::{DeletionRequest, ErrorKind};
use barograph_lake::time::{format_instant, parse_instant};
use barograph_lake::{Key, TimeRange};
use barograph_query::QueryId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::limits::Deadline;
use super::{Serving, alter, shown};
use crate::ticket::{Query, Ticket, VERSION};
use crate::{Error, Result};

/// The actions with their descriptions.
const ACTIONS: [(&str, &str); 7] = [
    (
        alter::NAME,
        "Body: JSON {\"table\":…,\"rename\":[[\"old\",\"new\"],…],\"drop\":[…],\"dry_run\":…}; all but the table may be \
         absent. Reloads the settings and changes the columns of the tables to those declared. Results: JSON, any number \
         of {\"progress\":{\"table\":…,\"rows\":…,\"of\":…}}, then {\"done\":[…]}, lines that tell what was done.",
    ),
    (
        "delete",
        "Body: JSON {\"table\":…,\"keys\":[…],\"from\":…,\"to\":…,\"reason\":…}; keys or times absent: all. Deletes those \
         rows permanently. Result: JSON with rows, files and version.",
    ),
    ("flush", "Lands everything in the tail now. Result: JSON with files, rows and bytes written."),
    (
        "kill",
        "Body: the id of a query in system.queries. Stops it, whoever started it. Result: the id.",
    ),
    ("plan", "Body: a ticket. Result: text, what the range read would touch."),
    (
        "redrive",
        "Body: JSON {\"table\":…,\"from\":…,\"to\":…}. Puts the dead letters of that time again. Result: JSON.",
    ),
    ("version", "Result: JSON with the version of the server and of its ticket format."),
];

/// Which dead letters to put again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedriveJson {
    table: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl RedriveJson {
    pub(crate) fn new(table: &str, time: TimeRange) -> Self {
        let (from, to) = texts(time);
        Self { table: table.to_owned(), from, to }
    }
}

/// Which rows to delete, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteJson {
    table: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<Key>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    reason: String,
}

impl DeleteJson {
    pub(crate) fn new(table: &str, keys: Option<Vec<Key>>, time: TimeRange, reason: &str) -> Self {
        let (from, to) = texts(time);
        Self { table: table.to_owned(), keys, from, to, reason: reason.to_owned() }
    }

    fn request(self, by: String, keys_max: usize) -> Result<DeletionRequest> {
        let refused = |what: String| Err(Error::request(format!("action delete: {what}")));
        if self.reason.trim().is_empty() {
            return refused("\"reason\" is empty: say why, it is kept with the record".to_owned());
        }
        if self.keys.as_ref().is_some_and(|keys| keys.len() > keys_max) {
            return refused(format!(
                "\"keys\" lists more than flight.ticket_keys_max allows, {keys_max}: delete in several steps"
            ));
        }
        let time = time("delete", &self.from, &self.to)?;
        if time.from >= time.to {
            return refused("\"to\" is exclusive and must be later than \"from\"".to_owned());
        }
        Ok(DeletionRequest { keys: self.keys, time, by, reason: self.reason })
    }
}

/// A range as an action names it; an open end is not named.
fn texts(time: TimeRange) -> (Option<String>, Option<String>) {
    let text = |instant, open| (instant != open).then(|| format_instant(instant));
    (text(time.from, TimeRange::ALL.from), text(time.to, TimeRange::ALL.to))
}

/// The range that an action names.
fn time(action: &str, from: &Option<String>, to: &Option<String>) -> Result<TimeRange> {
    let instant = |text: &Option<String>, open| text.as_deref().map_or(Ok(open), parse_instant);
    let request =
        |e: barograph_lake::Error| Error::request(format!("action {action}")).with_source(e);
    Ok(TimeRange {
        from: instant(from, TimeRange::ALL.from).map_err(request)?,
        to: instant(to, TimeRange::ALL.to).map_err(request)?,
    })
}

/// The answer to ListActions.
pub(super) fn list() -> Vec<ActionType> {
    let described = |(name, description): (&str, &str)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    };
    ACTIONS.into_iter().map(described).collect()
}

/// The result of an action.
pub(super) async fn answer(
    serving: &Arc<Serving>,
    action: Action,
    by: String,
    deadline: Deadline,
) -> Result<Bytes> {
    let state = &serving.current();
    state.shutdown.check()?;
    match action.r#type.as_str() {
        "delete" => {
            let asked: DeleteJson = serde_json::from_slice(&action.body)
                .map_err(|e| Error::request(format!("action delete: {e}")))?;
            let table = asked.table.clone();
            let request = asked.request(by, state.settings.ticket_keys_max)?;
            // Not given up half-way either.
            let deleted = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.delete(&table, request).await
            };
            json(&deadline.bound(deleted).await?)
        }
        "flush" => {
            // Not given up half-way: the landing goes on by itself if the client does not wait for it.
            let flushed = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.flush().await
            };
            json(&deadline.bound(flushed).await?)
        }
        "kill" => {
            let id: QueryId = String::from_utf8_lossy(&action.body).trim().parse()?;
            state.desk.sql().queries().cancel(id)?;
            Ok(id.to_string().into())
        }
        "plan" => {
            let ticket = Ticket::parse(&action.body, state.settings.ticket_bytes_max.get())?;
            let state = &state.holding(ticket.view.as_deref());
            let table = shown::schema(state, &ticket)?;
            let query = ticket.bind(&table, state.settings.ticket_bounds())?.query;
            let Query::Scan(scan) = &query else {
                return Err(Error::request(
                    "action plan: a point read has no plan, it reads hour by hour until every key is \
                     found; give a ticket with \"range\"",
                ));
            };
            let view = deadline.bound(shown::view(state, &ticket, &query)).await?;
            let plan = async {
                let plan = state.engine.plan(&view, scan.clone())?.sliced().await?;
                plan.costed().await
            };
            Ok(deadline.bound(plan).await?.to_string().into())
        }
        "redrive" => {
            let asked: RedriveJson = serde_json::from_slice(&action.body)
                .map_err(|e| Error::request(format!("action redrive: {e}")))?;
            let time = time("redrive", &asked.from, &asked.to)?;
            let driven = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.redrive(&asked.table, time).await
            };
            json(&deadline.bound(driven).await?)
        }
        "version" => json(&json!({ "version": env!("CARGO_PKG_VERSION"), "ticket": VERSION })),
        other => {
            let names: Vec<_> = ACTIONS.iter().map(|(name, _)| *name).collect();
            Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no action {other:?}: there are {}", names.join(", ")),
            ))
        }
    }
}

fn json(report: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(report)
        .map(Bytes::from)
        .map_err(|e| Error::new(ErrorKind::Internal, "report").with_source(e))
}
