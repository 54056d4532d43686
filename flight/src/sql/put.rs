//! DoPut of SQL: it executes a statement that changes something, binds values to a prepared statement, or appends rows
//! to a table.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow_flight::sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_flight::{FlightData, PutResult};
use barograph_access::Call;
use barograph_engine::internal::schema_of;
use futures::TryStreamExt;
use prost::Message;
use tonic::Streaming;

use super::handle::Handle;
use super::ingest::{Ingested, ingest};
use super::session::Session;
use super::{
    bound_name, command, encode, no_transaction, parameters, prepare, prepared, substrait,
};
use crate::call::{Caller, Deadline, Serving, State, batches_of};
use crate::wire::BatchEncoder;
use crate::{Error, Result};

/// The number of changed rows is not known.
const UNKNOWN: i64 = -1;
/// Name of the column with the number of changed rows.
const COUNT: &str = "count";

/// What a DoPut did.
pub(crate) struct Done {
    /// What the client is told.
    pub(crate) result: PutResult,
    /// Rows of an ingest, which `result` counts in part only.
    pub(crate) ingested: Option<Ingested>,
}

/// Does what the first message's command says with the messages that follow.
pub(crate) async fn answer(
    serving: &Arc<Serving>,
    asked: Command,
    (first, messages): (FlightData, Streaming<FlightData>),
    caller: Caller<'_>,
    mut call: Call,
    deadline: Deadline,
) -> Result<Done> {
    let state = &serving.current();
    match asked {
        Command::CommandStatementUpdate(update) => {
            no_transaction(update.transaction_id.as_ref())?;
            let handle = Handle { text: update.query, ..Handle::default() };
            // Some clients wait for the answer before they end their stream.
            call.does("update");
            let work = change(state, handle, Vec::new(), caller);
            deadline.bound(work).await.map(|count| updated(count, None))
        }
        Command::CommandPreparedStatementUpdate(update) => {
            call.does("update");
            let handle = prepared(state, &update.prepared_statement_handle, caller)?;
            let work = async {
                let rows = bound(state, first, messages).await?;
                change(state, handle, rows, caller).await
            };
            deadline.bound(work).await.map(|count| updated(count, None))
        }
        Command::CommandPreparedStatementQuery(query) => {
            let handle = Handle::decode(&query.prepared_statement_handle)?;
            let rows = deadline.bound(bound(state, first, messages)).await?;
            let parameters = parameters::encode(&rows)?;
            state.bound_parameters.insert(&bound_name(caller, &handle.name), &parameters);
            call.does("bind");
            call.done();
            let handle = encode(state, &Handle { parameters, ..handle })?;
            let result = DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) };
            Ok(Done { result: put_result(&result), ingested: None })
        }
        Command::CommandStatementIngest(command) => {
            let ingested = ingest(serving, command, (first, messages), caller, call).await?;
            Ok(updated(i64::try_from(ingested.accepted).unwrap_or(i64::MAX), Some(ingested)))
        }
        Command::CommandStatementSubstraitPlan(_) => Err(substrait()),
        other => Err(Error::request(format!(
            "{} is not a command of DoPut: it takes updates, bound values and ingests",
            command::name(&other)
        ))),
    }
}

fn updated(record_count: i64, ingested: Option<Ingested>) -> Done {
    Done { result: put_result(&DoPutUpdateResult { record_count }), ingested }
}

fn put_result(message: &impl Message) -> PutResult {
    PutResult { app_metadata: message.encode_to_vec().into() }
}

/// The rows of values that a client sends after its command, in all no more than a handle may carry.
async fn bound(
    state: &Arc<State>,
    mut first: FlightData,
    mut messages: Streaming<FlightData>,
) -> Result<Vec<RecordBatch>> {
    // The command may come alone, with the values in later messages or without any.
    while first.data_header.is_empty() {
        match messages.message().await? {
            Some(next) => first = next,
            None => return Ok(Vec::new()),
        }
    }
    let most = state.settings.request_bytes_max;
    let schema = schema_of(&first.data_header)
        .map_err(|error| Error::request("bound values").with_source(error))?;
    let mut batches = batches_of(state, first, messages);
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    while let Some(batch) = batches.try_next().await? {
        bytes = bytes.saturating_add(BatchEncoder::estimate(&batch).unwrap_or_default());
        if bytes > most.get() {
            return Err(Error::request(format!(
                "the bound values have more bytes than flight.request_bytes_max = {most}: bind fewer rows at a time"
            ))
            .with_sqlstate("54000"));
        }
        rows.push(batch);
    }
    if rows.is_empty() {
        // No row of values is no execution, which is not the same as no values.
        rows.push(RecordBatch::new_empty(schema));
    }
    // Clients that bind nothing may send a batch without columns.
    rows.retain(|batch: &RecordBatch| batch.num_columns() > 0);
    Ok(rows)
}

/// Executes a statement that changes something, once for each row of values; gives how many rows it
/// changed.
async fn change(
    state: &Arc<State>,
    handle: Handle,
    rows: Vec<RecordBatch>,
    caller: Caller<'_>,
) -> Result<i64> {
    state.shutdown.check()?;
    let _permit = state.limits.stream()?;
    let handle = Handle { session: Session::of(caller)?, ..handle };
    state.reach(handle.session.after).await?;
    let sql = caller.sql(state)?;
    let statement = prepare(&sql, &handle, caller).await?;
    if statement.is_query() {
        return Err(Error::request(
            "the statement is a query, it changes no rows: ask for its answer (GetFlightInfo, in most \
             drivers `execute` or `executeQuery`)",
        ));
    }
    let rows = if rows.is_empty() { parameters::decode(&handle.parameters)? } else { rows };
    parameters::check(&rows, statement.parameters().fields().len())?;
    let session = caller.session(handle.session.for_sql());
    let mut count = Some(0_i64);
    for row in parameters::rows(rows) {
        let mut answer = sql.execute(&session, &statement, &row?).await?;
        while let Some(batch) = answer.batches.try_next().await? {
            count = count.and_then(|count| count.checked_add(counted(&batch)?));
        }
    }
    Ok(count.unwrap_or(UNKNOWN))
}

/// The number of changed rows that an answer tells.
fn counted(batch: &RecordBatch) -> Option<i64> {
    let column = batch.column_by_name(COUNT)?;
    if let Some(counts) = column.as_primitive_opt::<UInt64Type>() {
        return i64::try_from(counts.iter().flatten().sum::<u64>()).ok();
    }
    Some(column.as_primitive_opt::<Int64Type>()?.iter().flatten().sum())
}

/// Headers of the answer that count the rows of an ingest.
pub(crate) fn counts(ingested: &Ingested) -> [(&'static str, u64); 2] {
    [(ACCEPTED_HEADER, ingested.accepted), (REJECTED_HEADER, ingested.rejected)]
}

/// Response header with the position of the last batch in the log.
pub(crate) const POSITION_HEADER: &str = "x-barograph-position";
/// Response header with the rows that went into the table.
pub(crate) const ACCEPTED_HEADER: &str = "x-barograph-accepted";
/// Response header with the rows that went to `dead_letters`.
pub(crate) const REJECTED_HEADER: &str = "x-barograph-rejected";
