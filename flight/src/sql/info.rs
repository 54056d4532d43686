//! GetFlightInfo of SQL: a statement is planned, not executed. The ticket of its endpoint carries the statement, and
//! DoGet executes it. A client that asks for several endpoints gets a part of the answer from each, where it can be
//! divided.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{
    FlightDescriptor, FlightEndpoint, FlightInfo, SchemaAsIpc, SchemaResult, Ticket,
};
use barograph_query::{Division, Sql, SqlSession, Statement, key_ranges};
use prost::Message;

use super::handle::{Handle, Part};
use super::session::Session;
use super::{
    catalog, command, encode, name_for, no_transaction, own_name, parameters, prepare, prepared,
    substrait,
};
use crate::call::{Caller, Deadline, Planned, State, signed};
use crate::wire::{Times, timed_schema};
use crate::{Error, Result};

/// The number of rows or bytes is not known.
const UNKNOWN: i64 = -1;

/// The answer to GetFlightInfo, and to PollFlightInfo, whose first poll is the last.
pub(crate) async fn answer(
    state: &Arc<State>,
    asked: Command,
    descriptor: FlightDescriptor,
    caller: Caller<'_>,
    deadline: Deadline,
) -> Result<FlightInfo> {
    state.shutdown.check()?;
    let info = FlightInfo::new().with_total_bytes(UNKNOWN);
    if let Some(rows) = catalog::rows(state, &asked, caller)? {
        let ticket = Ticket::new(descriptor.cmd.clone());
        return Ok(info
            .try_with_schema(rows.schema_ref())?
            .with_total_records(signed(rows.num_rows() as u64))
            .with_descriptor(descriptor)
            .with_endpoint(FlightEndpoint::new().with_ticket(ticket)));
    }
    let sql = caller.sql(state)?;
    let (mut handle, statement) = deadline.bound(planned(state, &sql, &asked, caller)).await?;
    let bound = parameters::decode(&handle.parameters)?;
    parameters::check(&bound, statement.parameters().fields().len())?;
    let session = caller.session(handle.session.for_sql());
    let times = handle.session.timestamps;
    let schema = schema_of(&sql, &session, &statement, bound.clone(), times);
    let schema = deadline.bound(schema).await?;
    handle.name = name_for(state, caller);
    let info =
        info.try_with_schema(&schema)?.with_total_records(UNKNOWN).with_descriptor(descriptor);
    let most = handle.session.endpoints.map_or(1, |count| count as usize);
    let most = most.min(state.settings.endpoints_max);
    if most > 1 && bound.iter().map(RecordBatch::num_rows).sum::<usize>() <= 1 {
        let row = parameters::rows(bound).next().transpose()?.unwrap_or_default();
        let division = sql.divide(&session, &statement, &row, most);
        let division = deadline.bound(async { Ok::<_, Error>(division.await?) }).await?;
        if let Some(division) = division {
            return Ok(info.with_ordered(true).with_endpoints(parts(state, &handle, &division)?));
        }
    }
    let endpoint = endpoint(state, &handle)?;
    if !statement.is_large()
        && let Some(name) = own_name(state, caller, &handle.name)
    {
        state.executions.plan(name, Planned { sql, statement: Arc::new(statement) });
    }
    Ok(info.with_endpoint(endpoint))
}

/// An endpoint for each part of an answer; all of them see the same rows.
fn parts(state: &State, handle: &Handle, division: &Division) -> Result<Vec<FlightEndpoint>> {
    let pinned = state.pins.pin(&division.table, &division.view)?;
    key_ranges(&division.starts)
        .map(|(key_from, key_to)| {
            let part = Part {
                table: division.table.clone(),
                view: pinned.id.clone(),
                now: division.now.as_micros(),
                key_from: key_from.get(),
                key_to: key_to.get(),
            };
            let handle = Handle { part: Some(part), ..handle.clone() };
            Ok(state.pinned(endpoint(state, &handle)?, pinned.expires))
        })
        .collect()
}

/// An endpoint that gives what a handle names.
fn endpoint(state: &State, handle: &Handle) -> Result<FlightEndpoint> {
    let ticket = TicketStatementQuery { statement_handle: encode(state, handle)? };
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    Ok(FlightEndpoint::new().with_ticket(ticket))
}

/// The answer to GetSchema.
pub(crate) async fn schema(
    state: &Arc<State>,
    asked: Command,
    caller: Caller<'_>,
    deadline: Deadline,
) -> Result<SchemaResult> {
    state.shutdown.check()?;
    let schema = match catalog::rows(state, &asked, caller)? {
        Some(rows) => rows.schema(),
        None => {
            let sql = caller.sql(state)?;
            let (handle, statement) = deadline.bound(planned(state, &sql, &asked, caller)).await?;
            let bound = parameters::decode(&handle.parameters)?;
            let session = caller.session(handle.session.for_sql());
            let times = handle.session.timestamps;
            deadline.bound(schema_of(&sql, &session, &statement, bound, times)).await?
        }
    };
    Ok(SchemaAsIpc::new(&schema, &IpcWriteOptions::default()).try_into()?)
}

/// The statement that a command names, and what it was given.
async fn planned(
    state: &Arc<State>,
    sql: &Sql,
    asked: &Command,
    caller: Caller<'_>,
) -> Result<(Handle, Statement)> {
    let handle = match asked {
        Command::CommandStatementQuery(query) => {
            no_transaction(query.transaction_id.as_ref())?;
            Handle { text: query.query.clone(), ..Handle::default() }
        }
        Command::CommandPreparedStatementQuery(query) => {
            prepared(state, &query.prepared_statement_handle, caller)?
        }
        Command::CommandStatementSubstraitPlan(_) => return Err(substrait()),
        other => {
            return Err(Error::request(format!(
                "{} returns no rows: GetFlightInfo takes statements and metadata commands",
                command::name(other)
            )));
        }
    };
    let handle = Handle { session: Session::of(caller)?, ..handle };
    state.reach(handle.session.after).await?;
    let statement = prepare(sql, &handle, caller).await?;
    Ok((handle, statement))
}

/// The schema of the answer, with the types that bound values give it.
async fn schema_of(
    sql: &Sql,
    session: &SqlSession,
    statement: &Statement,
    bound: Vec<RecordBatch>,
    times: Times,
) -> Result<SchemaRef> {
    let first = if bound.is_empty() { None } else { parameters::rows(bound).next() };
    let schema = match first {
        Some(row) => sql.bind(session, statement, &row?).await?.schema(),
        None => statement.schema(),
    };
    Ok(timed_schema(&schema, times))
}
