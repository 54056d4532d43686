//! DoGet: a point read is answered with one write, a range batch by batch while the client reads.
//!
//! The answer is written as HTTP/2 data directly, not through the generated service, so that columns
//! reach the socket without being copied (`docs/adr/0008-flight-encoding.md`).

use std::sync::Arc;

use arrow_flight::Ticket as FlightTicket;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use barograph_access::{Call, Door, Verb};
use barograph_engine::Point;
use barograph_lake::LogPosition;
use futures::{StreamExt, TryStreamExt};
use tonic::Status;

use super::resolved_view;
use crate::call::{Caller, Deadline, RequestKind, Running, Serving, State};
use crate::message::after;
use crate::sql;
use crate::ticket::{Query, Ticket};
use crate::wire::{BatchEncoder, GrpcBody, Pieces, Shape, read_message};
use crate::{Error, Result};

/// What records call a DoGet.
pub(super) const READ: &str = "read";

/// The HTTP side of DoGet.
pub(super) async fn call(Shared(serving): Shared<Arc<Serving>>, request: Request) -> Response {
    match serve(&serving.current(), request).await {
        Ok(body) => body.into_response(),
        Err(status) => status.into_http(),
    }
}

async fn serve(state: &Arc<State>, request: Request) -> Result<GrpcBody, Status> {
    let (parts, body) = request.into_parts();
    let deadline = state.deadline(&parts.headers);
    let call = state.enter(&parts.headers, &parts.extensions, READ)?;
    // A ticket message is the ticket and its protobuf tag and length.
    let bytes_max = state.settings.ticket_bytes_max.get().saturating_add(16);
    let ticket: FlightTicket = read_message(body, bytes_max).await?;
    let identity = Arc::clone(call.identity());
    let caller = Caller::new(&parts.headers, &parts.extensions, &identity);
    Ok(dispatch(state, ticket, caller, call, deadline).await?)
}

/// The answer to a ticket, native or of SQL.
pub(super) async fn dispatch(
    state: &Arc<State>,
    ticket: FlightTicket,
    caller: Caller<'_>,
    mut call: Call,
    deadline: Deadline,
) -> Result<GrpcBody> {
    match sql::command::read(&ticket.ticket)? {
        None => {
            let after = after(caller.headers())?;
            answer(state, &ticket.ticket, after, call, deadline).await
        }
        Some(command) => {
            call.came_by(Door::Sql);
            let answer = sql::get::answer(state, command, caller, call, deadline).await;
            answer.map_err(Error::in_sql)
        }
    }
}

/// The answer to a native ticket.
async fn answer(
    state: &Arc<State>,
    ticket: &[u8],
    after: Option<LogPosition>,
    mut call: Call,
    deadline: Deadline,
) -> Result<GrpcBody> {
    let begun = state.engine.clock().elapsed();
    state.shutdown.check()?;
    let permit = state.limits.stream()?;
    let ticket = Ticket::parse(ticket, state.settings.ticket_bytes_max.get())?;
    let allowed = call.allow(Verb::Read, &ticket.table)?;
    deadline.bound(state.reach(ticket.after.max(after))).await?;
    let state = &state.holding(ticket.view.as_deref());
    let schema = resolved_view::schema(state, &ticket, call.identity())?;
    let given = resolved_view::given(state, &ticket, &schema, &allowed)?;
    let bound = ticket.bind_within(&schema, given.as_deref(), state.settings.ticket_bounds())?;
    let view = deadline.bound(resolved_view::view(state, &ticket, &bound.query)).await?;
    let encoder = BatchEncoder { message_bytes: state.settings.message_bytes.get() };
    let mut first = Pieces::default();
    match bound.query {
        Query::Point(query) => {
            let kind = match query.point {
                Point::Latest => RequestKind::Latest,
                Point::At(_) => RequestKind::At,
            };
            let mut observed = state.observe(begun, kind, &ticket.table);
            let shape = state.shapes.get(&ticket.table, &query.columns, &bound.schema);
            let point = state.engine.point_within(&view, &query, given.as_deref());
            let rows = deadline.bound(point).await?;
            first.copy(&shape.message);
            encoder.encode(&mut first, &rows)?;
            observed.sends(rows.num_rows(), first.len());
            observed.done();
            call.sent(rows.num_rows() as u64, first.len() as u64);
            call.done();
            Ok(GrpcBody::whole(first))
        }
        Query::Scan(scan) => {
            let planned = (Arc::clone(&state.engine), Arc::clone(&view), scan.clone());
            let observed = state.observe(begun, RequestKind::Range, &ticket.table);
            let observed = observed.with_cost(move || {
                let (engine, view, scan) = planned;
                engine.plan(&view, scan).ok().map(|plan| plan.cost())
            });
            let is_current = scan.aggregation.is_none()
                && Arc::ptr_eq(&schema, &state.engine.schema(&ticket.table)?);
            let message = match is_current {
                false => Shape::new(Arc::clone(&bound.schema)).message,
                true => {
                    state.shapes.get(&ticket.table, &scan.columns, &bound.schema).message.clone()
                }
            };
            let answer = deadline.bound(state.engine.scan(view, scan)).await?;
            first.copy(&message);
            let batches = answer.batches.map_err(Error::from).boxed();
            let running = Running::new(state, batches, deadline, permit, call).observed(observed);
            Ok(GrpcBody::stream(first, Box::pin(running.messages())))
        }
    }
}
