//! The actions of native Flight, such as flush, delete, redrive and kill.

use std::sync::Arc;

use arrow_flight::{Action, ActionType};
use barograph_engine::ErrorKind;
use barograph_query::QueryId;
use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use serde_json::json;

use super::{alter, resolved_view};
use crate::call::{Deadline, Serving};
use crate::message::{
    DeleteJson, DeletionJson, FORWARD, ForwardReply, ForwardRequest, RedriveJson,
};
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
         rows permanently. Result: JSON with rows, files and version, and, of servers that share a log, the position behind \
         which none of them shows the rows.",
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
            let table = asked.table().to_owned();
            let request = asked.request(by, state.settings.ticket_keys_max)?;
            // Not given up half-way either.
            let deleted = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.delete(&table, request).await
            };
            json(&DeletionJson::from(deadline.bound(deleted).await?))
        }
        "flush" => {
            // Not given up half-way: the landing goes on by itself if the client does not wait for it.
            let flushed = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.flush().await
            };
            json(&deadline.bound(flushed).await?)
        }
        // Between servers of one version: not listed.
        FORWARD => {
            let (log, batches) = ForwardRequest::read(action.body)?;
            let taken = async {
                let (state, _kept) = serving.to_put().await;
                state.engine.accept_forwarded(log, batches).await
            };
            let outcomes = deadline.bound(taken).await?;
            Ok(ForwardReply::from(outcomes).encode_to_vec().into())
        }
        "kill" => {
            let id: QueryId = String::from_utf8_lossy(&action.body).trim().parse()?;
            state.sql.queries().cancel(id)?;
            Ok(id.to_string().into())
        }
        "plan" => {
            let ticket = Ticket::parse(&action.body, state.settings.ticket_bytes_max.get())?;
            deadline.bound(state.reach(ticket.after)).await?;
            let state = &state.holding(ticket.view.as_deref());
            let table = resolved_view::schema(state, &ticket)?;
            let query = ticket.bind(&table, state.settings.ticket_bounds())?.query;
            let Query::Scan(scan) = &query else {
                return Err(Error::request(
                    "action plan: a point read has no plan, it reads hour by hour until every key is \
                     found; give a ticket with \"range\"",
                ));
            };
            let view = deadline.bound(resolved_view::view(state, &ticket, &query)).await?;
            let plan = async {
                let plan = state.engine.plan(&view, scan.clone())?.sliced().await?;
                plan.costed().await
            };
            Ok(deadline.bound(plan).await?.to_string().into())
        }
        "redrive" => {
            let asked: RedriveJson = serde_json::from_slice(&action.body)
                .map_err(|e| Error::request(format!("action redrive: {e}")))?;
            let time = asked.time()?;
            let driven = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.redrive(asked.table(), time).await
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
