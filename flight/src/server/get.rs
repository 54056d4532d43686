//! DoGet: a point read is answered with one write, a range batch by batch while the client reads.
//!
//! The answer is written as HTTP/2 data directly, not through the generated service, so that columns
//! reach the socket without being copied (`docs/adr/0008-flight-encoding.md`).

use std::sync::Arc;

use arrow_flight::Ticket as FlightTicket;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use barograph_access::{Allowed, Call, Door, Identity, SPANS, Verb};
use barograph_engine::{Point, Restriction, Scan, View};
use barograph_lake::{LogPosition, Span, TableSchema};
use futures::{StreamExt, TryStreamExt};
use tonic::Status;
use tracing::Instrument;

use super::resolved_view;
use crate::call::{Caller, Deadline, Observed, RequestKind, Running, Serving, State};
use crate::message::after;
use crate::sql;
use crate::ticket::{BoundTicket, Query, Ticket};
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
    let call = state.enter(&parts.headers, &parts.extensions, (Door::Flight, READ))?;
    // A ticket message is the ticket and its protobuf tag and length.
    let bytes_max = state.settings.ticket_bytes_max.get().saturating_add(16);
    let ticket: FlightTicket = read_message(body, bytes_max).await?;
    let identity = Arc::clone(call.identity());
    let caller = Caller::new(&parts.headers, &parts.extensions, &identity);
    let span = call.span().clone();
    Ok(dispatch(state, ticket, caller, call, deadline).instrument(span).await?)
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

/// A ticket that was understood, and the view that it is answered from.
pub(super) struct Opened {
    pub(super) state: Arc<State>,
    pub(super) ticket: Ticket,
    pub(super) bound: BoundTicket,
    /// Columns of the table, as it had them when the view was made.
    pub(super) schema: Arc<TableSchema>,
    /// What is given of the table to who asks, if not all.
    pub(super) given: Option<Arc<Restriction>>,
    pub(super) view: Arc<View>,
}

/// Holds a ticket against its table, of which `allowed` is given to `identity`, and takes the view that it asks for.
pub(super) async fn open(
    state: &Arc<State>,
    ticket: Ticket,
    after: Option<LogPosition>,
    (identity, allowed): (&Identity, &Allowed),
    deadline: &Deadline,
) -> Result<Opened> {
    deadline.bound(state.reach(ticket.after.max(after))).await?;
    let state = state.holding(ticket.view.as_deref());
    let schema = resolved_view::schema(&state, &ticket, identity)?;
    let given = resolved_view::given(&state, &ticket, &schema, allowed)?;
    let bound = ticket.bind_within(&schema, given.as_deref(), state.settings.ticket_bounds())?;
    let view = deadline.bound(resolved_view::view(&state, &ticket, &bound.query)).await?;
    Ok(Opened { state, ticket, bound, schema, given, view })
}

/// The kind of request that a point read is.
pub(super) fn kind_of(point: Point) -> RequestKind {
    match point {
        Point::Latest => RequestKind::Latest,
        Point::At(_) => RequestKind::At,
    }
}

/// A range read that is about to run, counted.
pub(super) fn observed(
    state: &State,
    begun: Span,
    table: &str,
    view: &Arc<View>,
    scan: &Scan,
) -> Observed {
    let planned = (Arc::clone(&state.engine), Arc::clone(view), scan.clone());
    state.observe(begun, RequestKind::Range, table).with_cost(move || {
        let (engine, view, scan) = planned;
        engine.plan(&view, scan).ok().map(|plan| plan.cost())
    })
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
    let opened = open(state, ticket, after, (call.identity(), &allowed), &deadline).await?;
    let Opened { state, ticket, bound, schema, given, view } = opened;
    let encoder = BatchEncoder { message_bytes: state.settings.message_bytes.get() };
    let mut first = Pieces::default();
    match bound.query {
        Query::Point(query) => {
            let mut observed = state.observe(begun, kind_of(query.point), &ticket.table);
            let shape = state.shapes.get(&ticket.table, &query.columns, &bound.schema);
            let point = state.engine.point_within(&view, &query, given.as_deref());
            let rows = deadline.bound(point).await?;
            let traced = tracing::trace_span!(target: SPANS, "wire", rows = rows.num_rows());
            first.copy(&shape.message);
            encoder.encode(&mut first, &rows)?;
            drop(traced);
            observed.sends(rows.num_rows(), first.len());
            observed.done();
            call.sent(rows.num_rows() as u64, first.len() as u64);
            call.done();
            Ok(GrpcBody::whole(first))
        }
        Query::Scan(scan) => {
            let observed = observed(&state, begun, &ticket.table, &view, &scan);
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
            let running = Running::new(&state, batches, deadline, permit, call).observed(observed);
            Ok(GrpcBody::stream(first, Box::pin(running.messages())))
        }
    }
}
