//! GetFlightInfo and GetSchema: the columns of an answer, its size, and the endpoints that it is fetched from. A large
//! range is divided into partitions, each with an endpoint, that can be fetched in parallel.

use std::sync::Arc;

use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::{
    FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, SchemaResult, Ticket as FlightTicket,
};
use barograph_access::{Allowed, Call, Door, Verb};
use barograph_engine::{Scan, View};
use barograph_lake::{Key, KeySelection};

use super::{descriptor, resolved_view};
use crate::call::{Caller, Deadline, State, signed};
use crate::message::after;
use crate::sql;
use crate::ticket::{BoundTicket, Query, RangeRead, Read, Ticket};
use crate::{Error, Result};

/// Rows and bytes are not known.
const UNKNOWN: i64 = -1;

/// The answer to GetFlightInfo, native or of SQL.
pub(super) async fn answer(
    state: &Arc<State>,
    asked: FlightDescriptor,
    caller: Caller<'_>,
    call: &mut Call,
    deadline: Deadline,
) -> Result<FlightInfo> {
    if let Some(command) = sql::command::read(&asked.cmd)? {
        call.came_by(Door::Sql);
        let info = sql::info::answer(state, command, asked, caller, deadline).await;
        return info.inspect_err(|error| error.record(call)).map_err(Error::in_sql);
    }
    state.shutdown.check()?;
    let ticket = descriptor::ticket(&asked, &state.settings)?;
    let allowed = call.allow(Verb::Read, &ticket.table)?;
    deadline.bound(state.reach(ticket.after.max(after(caller.headers())?))).await?;
    let bound = bind(state, &ticket, caller, &allowed)?;
    let info =
        FlightInfo::new().try_with_schema(&bound.schema)?.with_descriptor(asked).with_ordered(true);
    match &bound.query {
        Query::Point(query) => {
            let rows = query.keys.as_ref().map_or(UNKNOWN, |keys| signed(keys.len() as u64));
            let info = info.with_total_records(rows).with_total_bytes(UNKNOWN);
            Ok(info.with_endpoint(endpoint(&ticket)))
        }
        Query::Scan(scan) => {
            let answer = async {
                let view = resolved_view::view(state, &ticket, &bound.query).await?;
                ranges(state, info, &ticket, &view, scan).await
            };
            deadline.bound(answer).await
        }
    }
}

/// The answer to GetSchema, native or of SQL.
pub(super) async fn schema(
    state: &Arc<State>,
    asked: &FlightDescriptor,
    caller: Caller<'_>,
    call: &mut Call,
    deadline: Deadline,
) -> Result<SchemaResult> {
    if let Some(command) = sql::command::read(&asked.cmd)? {
        call.came_by(Door::Sql);
        let schema = sql::info::schema(state, command, caller, deadline).await;
        return schema.inspect_err(|error| error.record(call)).map_err(Error::in_sql);
    }
    let ticket = descriptor::ticket(asked, &state.settings)?;
    let allowed = call.allow(Verb::Read, &ticket.table)?;
    let bound = bind(state, &ticket, caller, &allowed)?;
    Ok(SchemaAsIpc::new(&bound.schema, &IpcWriteOptions::default()).try_into()?)
}

fn bind(
    state: &State,
    ticket: &Ticket,
    caller: Caller<'_>,
    allowed: &Allowed,
) -> Result<BoundTicket> {
    let table = resolved_view::schema(state, ticket, caller.identity())?;
    let given = resolved_view::given(state, ticket, &table, allowed)?;
    ticket.bind_within(&table, given.as_deref(), state.settings.ticket_bounds())
}

/// Size and endpoints of a range.
async fn ranges(
    state: &State,
    info: FlightInfo,
    ticket: &Ticket,
    view: &Arc<View>,
    scan: &Scan,
) -> Result<FlightInfo> {
    let plan = state.engine.plan(view, scan.clone())?.costed().await?;
    let cost = plan.cost();
    // A filter or windows leave an unknown part of the rows that are read.
    let known = scan.filter.is_none() && scan.aggregation.is_none();
    let rows = scan.limit.map_or(cost.rows, |limit| cost.rows.min(limit as u64));
    let row_bytes: usize = info
        .clone()
        .try_decode_schema()?
        .fields()
        .iter()
        .map(|field| field.data_type().primitive_width().unwrap_or(0))
        .sum();
    let info = if known {
        info.with_total_records(signed(rows)).with_total_bytes(signed(rows * row_bytes as u64))
    } else {
        info.with_total_records(UNKNOWN).with_total_bytes(UNKNOWN)
    };

    let most = state.settings.endpoints_max as u64;
    let count = cost.rows.div_ceil(state.settings.endpoint_rows.max(1)).clamp(1, most.max(1));
    // A limit counts rows from the first endpoint on: it cannot be kept by endpoints apart.
    let plan = match count > 1 && scan.limit.is_none() {
        true => state.engine.divided(plan, count as usize).await?,
        false => plan,
    };
    if plan.partitions().len() <= 1 {
        return Ok(info.with_endpoint(endpoint(ticket)));
    }
    let pinned = state.pins.pin(&ticket.table, view)?;
    let endpoints = plan.partitions().iter().map(|keys| {
        let mut partition = ticket.clone();
        partition.view = Some(pinned.id.clone());
        if let Read::Range(range) = &mut partition.read {
            narrow(range, keys.clone());
        }
        state.pinned(endpoint(&partition), pinned.expires)
    });
    Ok(info.with_endpoints(endpoints.collect()))
}

/// The range with only `keys`.
fn narrow(range: &mut RangeRead, keys: KeySelection) {
    (range.keys, range.key_from, range.key_to) = match keys {
        KeySelection::All => (None, None, None),
        // The ends of all keys are no keys of a 32-bit column: they stay unsaid.
        KeySelection::Range { from, to } => {
            (None, (from > Key::MIN).then_some(from), (to < Key::MAX).then_some(to))
        }
        KeySelection::List(keys) => (Some(keys.to_vec()), None, None),
    };
}

/// An endpoint that any server of the table can answer.
pub(super) fn endpoint(ticket: &Ticket) -> FlightEndpoint {
    FlightEndpoint::new().with_ticket(FlightTicket::new(ticket.to_json()))
}
