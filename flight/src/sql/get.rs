//! DoGet of SQL: a statement is executed and its batches are sent as they come; answers of the catalog are sent at
//! once.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::sql::Command;
use barograph_access::Call;
use barograph_lake::{Key, Timestamp};
use barograph_query::{Answer, AnswerPartition, QueryId, Sql, SqlSession, Statement};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::handle::Handle;
use super::session::Session;
use super::{catalog, command, no_transaction, own_name, parameters, prepare, prepared, substrait};
use crate::call::{
    Caller, Cancellation, Deadline, Execution, Planned, RequestKind, Running, State,
};
use crate::message::after;
use crate::wire::{BatchEncoder, GrpcBody, Pieces, Shape, plain_batch, timed_schema};
use crate::{Error, Result};

type Batches = BoxStream<'static, Result<RecordBatch>>;

/// The answer to a ticket of SQL: that of a planned statement, or the command itself.
pub(crate) async fn answer(
    state: &Arc<State>,
    asked: Command,
    caller: Caller<'_>,
    call: Call,
    deadline: Deadline,
) -> Result<GrpcBody> {
    state.shutdown.check()?;
    let permit = state.limits.stream()?;
    let handle = match &asked {
        Command::TicketStatementQuery(ticket) => Handle::decode(&ticket.statement_handle)?,
        Command::CommandPreparedStatementQuery(query) => {
            let handle = prepared(state, &query.prepared_statement_handle, caller)?;
            Handle { session: Session::of(caller)?, name: String::new(), ..handle }
        }
        Command::CommandStatementQuery(query) => {
            no_transaction(query.transaction_id.as_ref())?;
            let text = query.query.clone();
            Handle { text, session: Session::of(caller)?, ..Handle::default() }
        }
        Command::CommandStatementSubstraitPlan(_) => return Err(substrait()),
        other => {
            return match catalog::rows(state, other, caller)? {
                Some(rows) => whole(state, &rows, call),
                None => Err(Error::request(format!(
                    "{} is not a ticket: use those that GetFlightInfo returns",
                    command::name(other)
                ))),
            };
        }
    };
    let after = handle.session.after.max(after(caller.headers())?);
    deadline.bound(state.reach(after)).await?;
    execute(state, handle, caller, call, deadline, permit).await
}

/// Rows that are there already.
fn whole(state: &State, rows: &RecordBatch, mut call: Call) -> Result<GrpcBody> {
    let mut pieces = Pieces::default();
    pieces.copy(&Shape::new(rows.schema()).message);
    let encoder = BatchEncoder { message_bytes: state.settings.message_bytes.get() };
    encoder.encode(&mut pieces, rows)?;
    call.sent(rows.num_rows() as u64, pieces.len() as u64);
    call.done();
    Ok(GrpcBody::whole(pieces))
}

async fn execute(
    state: &Arc<State>,
    handle: Handle,
    caller: Caller<'_>,
    mut call: Call,
    deadline: Deadline,
    permit: OwnedSemaphorePermit,
) -> Result<GrpcBody> {
    let begun_at = state.engine.clock().elapsed();
    let state = &state.holding(handle.part.as_ref().map(|part| part.view.as_str()));
    let executions = &state.executions;
    let sql = caller.sql(state)?;
    // A name that another caller was given means nothing here.
    let name = match own_name(state, caller, &handle.name) {
        Some(name) => name.to_owned(),
        None => executions.name(),
    };
    let execution = executions.begin(&name)?;
    let cancellation = execution.cancellation();
    let mut cancelled = Box::pin(cancellation.clone().reached());
    let mut observed = state.observe(begun_at, RequestKind::Sql, "query");
    let begun = async {
        let statement = match (&handle.part, executions.take_plan(&name)) {
            (None, Some(planned)) if Arc::ptr_eq(&planned.sql, &sql) => planned.statement,
            (None, _) => Arc::new(prepare(&sql, &handle, caller).await?),
            (Some(part), _) => {
                let part = AnswerPartition {
                    view: state.pins.get(&part.view, &part.table)?,
                    table: part.table.clone(),
                    now: Timestamp::from_micros(part.now),
                    keys: (Key::new(part.key_from), Key::new(part.key_to)),
                };
                Arc::new(prepare(&sql, &handle, caller).await?.of_partition(part))
            }
        };
        observed.is_about(statement.kind());
        statement.tables().iter().for_each(|table| call.is_about(table));
        let session = caller.session(handle.session.for_sql());
        begin(&sql, &handle, session, statement, cancellation).await
    };
    let begun = tokio::select! {
        biased;
        error = &mut cancelled => return Err(error),
        begun = deadline.bound(begun) => begun,
    };
    let (schema, batches, query) = begun.inspect_err(|error| error.record(&mut call))?;
    let mut first = Pieces::default();
    first.copy(&Shape::new(Arc::clone(&schema)).message);
    let batches = until_cancelled(batches, schema, cancelled, execution);
    if let Some(id) = query {
        observed = observed.with_cost(move || sql.queries().get(id)?.cost);
    }
    let running = Running::new(state, batches, deadline, permit, call)
        .with_error_map(Error::in_sql)
        .observed(observed);
    Ok(GrpcBody::stream(first, Box::pin(running.messages())))
}

/// Starts the execution of the first row of parameters, and gives its id; the others follow when it is done.
async fn begin(
    sql: &Arc<Sql>,
    handle: &Handle,
    session: SqlSession,
    statement: Arc<Statement>,
    cancellation: Cancellation,
) -> Result<(SchemaRef, Batches, Option<QueryId>)> {
    let bound = parameters::decode(&handle.parameters)?;
    parameters::check(&bound, statement.parameters().fields().len())?;
    let (mut rows, times) = (parameters::rows(bound), handle.session.timestamps);
    let sql = Arc::clone(sql);
    let Some(row) = rows.next() else {
        return Ok((timed_schema(&statement.schema(), times), stream::empty().boxed(), None));
    };
    let first = sql.execute(&session, &statement, &row?).await?;
    let (schema, id) = (timed_schema(&first.schema, times), first.id);
    let first = watched(&sql, first, cancellation.clone());
    let others = stream::iter(rows)
        .then(move |row| {
            let (sql, session, statement, cancellation) =
                (Arc::clone(&sql), session.clone(), Arc::clone(&statement), cancellation.clone());
            async move {
                let answer = sql.execute(&session, &statement, &row?).await?;
                Ok::<_, Error>(watched(&sql, answer, cancellation))
            }
        })
        .try_flatten();
    Ok((schema, first.chain(others).boxed(), Some(id)))
}

/// A task that ends with whoever holds it.
struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The batches of an answer whose query is stopped when it is cancelled, even while its client does not
/// read.
fn watched(sql: &Arc<Sql>, answer: Answer, cancellation: Cancellation) -> Batches {
    let (sql, id) = (Arc::clone(sql), answer.id);
    let watcher = Held(tokio::spawn(async move {
        cancellation.reached().await;
        // An error says that it has ended by itself.
        let _ = sql.queries().cancel(id);
    }));
    let batches = answer.batches.map(move |batch| {
        let _watcher = &watcher;
        batch.map_err(Error::from)
    });
    batches.boxed()
}

/// The batches in the types that were promised, until the execution is cancelled.
fn until_cancelled(
    batches: Batches,
    schema: SchemaRef,
    cancelled: impl Future<Output = Error> + Send + Unpin + 'static,
    execution: Execution<Planned>,
) -> Batches {
    stream::unfold(Some((batches, schema, cancelled, execution)), async |running| {
        let (mut batches, schema, mut cancelled, execution) = running?;
        let next = tokio::select! {
            biased;
            error = &mut cancelled => Err(error),
            next = batches.next() => next?.and_then(|batch| plain_batch(batch, &schema)),
        };
        match next {
            Ok(batch) => Some((Ok(batch), Some((batches, schema, cancelled, execution)))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}
