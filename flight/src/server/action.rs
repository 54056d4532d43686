//! The actions of native Flight, such as flush, delete, redrive and kill.

use std::sync::Arc;

use arrow_flight::{Action, ActionType};
use barograph_access::{Allowed, Call, Refusal, Verb};
use barograph_engine::ErrorKind;
use barograph_lake::Key;
use barograph_query::{Cost, QueryId};
use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use serde_json::json;

use super::{alter, resolved_view};
use crate::call::{Caller, Deadline, Serving};
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
        "Body: the id of a query in system.queries. Stops it; one that another caller has started needs the verb admin. Result: the id.",
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
    caller: Caller<'_>,
    call: &mut Call,
    deadline: Deadline,
) -> Result<Bytes> {
    let state = &serving.current();
    state.shutdown.check()?;
    match action.r#type.as_str() {
        "delete" => {
            let asked: DeleteJson = serde_json::from_slice(&action.body)
                .map_err(|e| Error::request(format!("action delete: {e}")))?;
            call.does("delete");
            let allowed = call.allow(Verb::Delete, asked.table())?;
            state.table(caller.identity(), asked.table())?;
            let table = asked.table().to_owned();
            let request = asked.request(caller.user(), state.settings.ticket_keys_max)?;
            check_deleted(request.keys.as_deref(), &allowed).map_err(|of| call.denied(of))?;
            // Not given up half-way either.
            let deleted = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.delete(&table, request).await
            };
            json(&DeletionJson::from(deadline.bound(deleted).await?))
        }
        "flush" => {
            call.does("flush");
            call.require(Verb::Jobs, "action flush")?;
            // Not given up half-way: the landing goes on by itself if the client does not wait for it.
            let flushed = async {
                let (state, _kept) = serving.to_change().await;
                state.engine.flush().await
            };
            json(&deadline.bound(flushed).await?)
        }
        // Between servers of one version: not listed.
        FORWARD => {
            call.does("forward");
            call.require(Verb::Peer, "handing on batches of the log")?;
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
            call.does("kill");
            call.changes();
            let queries = state.sql.queries();
            // One of another caller is as if it did not run.
            match queries.get(id).filter(|query| caller.may_end(&query.user)) {
                Some(_) => queries.cancel(id)?,
                None => return Err(not_running(id)),
            }
            Ok(id.to_string().into())
        }
        "plan" => {
            let ticket = Ticket::parse(&action.body, state.settings.ticket_bytes_max.get())?;
            call.does("plan");
            let allowed = call.allow(Verb::Read, &ticket.table)?;
            deadline.bound(state.reach(ticket.after)).await?;
            let state = &state.holding(ticket.view.as_deref());
            let table = resolved_view::schema(state, &ticket, caller.identity())?;
            let given = resolved_view::given(state, &ticket, &table, &allowed)?;
            let bounds = state.settings.ticket_bounds();
            let query = ticket.bind_within(&table, given.as_deref(), bounds)?.query;
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
            let plan = deadline.bound(plan).await?;
            // Inputs and conditions tell of what is not given.
            let text = match given {
                None => plan.to_string(),
                Some(_) => restricted_plan(&ticket.table, plan.cost()),
            };
            Ok(text.into())
        }
        "redrive" => {
            let asked: RedriveJson = serde_json::from_slice(&action.body)
                .map_err(|e| Error::request(format!("action redrive: {e}")))?;
            let time = asked.time()?;
            call.does("redrive");
            call.is_about(asked.table());
            call.require(Verb::Jobs, "action redrive")?;
            state.table(caller.identity(), asked.table())?;
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

/// Refuses to delete rows of other keys than those that are given; conditions on rows and columns give none to delete.
fn check_deleted(keys: Option<&[Key]>, allowed: &Allowed) -> Result<(), Refusal> {
    let Some(given) = allowed.keys() else { return Ok(()) };
    let denied = |what: String| Err(Refusal::denied(format!("action delete: {what}")));
    match keys {
        None => denied("you may delete rows of some keys only: list them in \"keys\"".to_owned()),
        Some(keys) => match keys.iter().find(|&&key| !given.contains(key)) {
            None => Ok(()),
            Some(key) => denied(format!("key {key} is not among those that you may delete")),
        },
    }
}

/// What a caller is told of a plan who is given a part of the table.
fn restricted_plan(table: &str, cost: Cost) -> String {
    let Cost { files, rows, bytes } = cost;
    format!(
        "Scan {table}, restricted to what you may read\n  reads     {files} files, at most {rows} rows, {bytes} bytes\n"
    )
}

/// As the list of queries says it.
fn not_running(id: QueryId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("query {id} is not running: SELECT * FROM system.queries shows those that are"),
    )
}

fn json(report: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(report)
        .map(Bytes::from)
        .map_err(|e| Error::new(ErrorKind::Internal, "report").with_source(e))
}
