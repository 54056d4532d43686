//! The actions of Flight SQL: prepared statements, cancellation and sessions. Transactions and Substrait are known and
//! refused.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
    ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command,
    ProstMessageExt,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    IpcMessage, SchemaAsIpc,
};
use bytes::Bytes;
use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};

use super::handle::Handle;
use super::session::Session;
use super::session::messages::{
    CloseSessionResult, CloseStatus, GetSessionOptionsResult, OptionError,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};
use super::{
    bound_name, command, encode, name_for, no_transaction, own_name, substrait, transactions,
};
use crate::call::{Caller, Cancelled, Deadline, State};
use crate::wire::timed_schema;
use crate::{Error, Result};

const CREATE_PREPARED_STATEMENT: &str = "CreatePreparedStatement";
const CREATE_PREPARED_SUBSTRAIT_PLAN: &str = "CreatePreparedSubstraitPlan";
const CLOSE_PREPARED_STATEMENT: &str = "ClosePreparedStatement";
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
const CANCEL_QUERY: &str = "CancelQuery";
const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";
const TRANSACTIONS: [&str; 4] =
    ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint"];

/// The actions with their descriptions; those that are always refused are not among them.
const ACTIONS: [(&str, &str); 7] = [
    (
        CREATE_PREPARED_STATEMENT,
        "Flight SQL: plans a statement. Body: ActionCreatePreparedStatementRequest. Result: ActionCreatePreparedStatementResult.",
    ),
    (
        CLOSE_PREPARED_STATEMENT,
        "Flight SQL: forgets a prepared statement. Body: ActionClosePreparedStatementRequest. No result.",
    ),
    (
        CANCEL_FLIGHT_INFO,
        "Cancels a statement. Body: CancelFlightInfoRequest. Result: CancelFlightInfoResult.",
    ),
    (
        CANCEL_QUERY,
        "Flight SQL: cancels a statement, for older clients. Body: ActionCancelQueryRequest. Result: ActionCancelQueryResult.",
    ),
    (
        SET_SESSION_OPTIONS,
        "Sets timeout and time_zone of later calls that send the returned cookie. Body: SetSessionOptionsRequest. Result: SetSessionOptionsResult.",
    ),
    (
        GET_SESSION_OPTIONS,
        "The options of the session. Body: GetSessionOptionsRequest. Result: GetSessionOptionsResult.",
    ),
    (CLOSE_SESSION, "Ends the session. Body: CloseSessionRequest. Result: CloseSessionResult."),
];

/// What an action did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Its result, if it has one.
    pub(crate) body: Option<Bytes>,
    /// A cookie that the client shall keep.
    pub(crate) cookie: Option<MetadataValue<Ascii>>,
}

/// The actions of SQL, for ListActions.
pub(crate) fn list() -> impl Iterator<Item = ActionType> {
    ACTIONS.into_iter().map(|(name, description)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    })
}

/// Does an action of SQL; `None` if it is not one.
pub(crate) async fn answer(
    state: &Arc<State>,
    asked: &Action,
    caller: Caller<'_>,
    deadline: Deadline,
) -> Result<Option<Done>> {
    let done = match asked.r#type.as_str() {
        CREATE_PREPARED_STATEMENT => {
            state.shutdown.check()?;
            deadline.bound(prepare(state, unpack(asked)?, caller)).await?
        }
        CLOSE_PREPARED_STATEMENT => {
            let close: ActionClosePreparedStatementRequest = unpack(asked)?;
            let handle = Handle::decode(&close.prepared_statement_handle)?;
            state.bound_parameters.remove(&bound_name(caller, &handle.name));
            Done::default()
        }
        CANCEL_FLIGHT_INFO => {
            let request: CancelFlightInfoRequest = decode(asked)?;
            let info =
                request.info.ok_or_else(|| Error::request("CancelFlightInfo without info"))?;
            let status = cancel(state, &info, caller).await? as i32;
            message(&CancelFlightInfoResult { status })
        }
        CANCEL_QUERY => {
            let request: ActionCancelQueryRequest = unpack(asked)?;
            let info = FlightInfo::decode(request.info)
                .map_err(|e| Error::request("CancelQuery: info").with_source(e))?;
            // The older result has the same values.
            let result = cancel(state, &info, caller).await? as i32;
            message(&ActionCancelQueryResult { result }.as_any())
        }
        SET_SESSION_OPTIONS => set(decode(asked)?, caller)?,
        GET_SESSION_OPTIONS => {
            let session_options = Session::of(caller)?.options();
            message(&GetSessionOptionsResult { session_options })
        }
        CLOSE_SESSION => Done {
            cookie: Some(cookie(&Session::forget())?),
            ..message(&CloseSessionResult { status: CloseStatus::Closed as i32 })
        },
        CREATE_PREPARED_SUBSTRAIT_PLAN => return Err(substrait()),
        name if TRANSACTIONS.contains(&name) => return Err(transactions()),
        _ => return Ok(None),
    };
    Ok(Some(done))
}

async fn prepare(
    state: &Arc<State>,
    request: ActionCreatePreparedStatementRequest,
    caller: Caller<'_>,
) -> Result<Done> {
    no_transaction(request.transaction_id.as_ref())?;
    let name = name_for(state, caller);
    let handle = Handle { text: request.query, name, ..Handle::default() };
    let planned = Handle { session: Session::of(caller)?, ..handle.clone() };
    let statement = super::prepare(&*caller.sql(state)?, &planned, caller).await?;
    // Drivers take a statement without a schema for one that changes something.
    let times = planned.session.timestamps;
    let rows = statement.is_query().then(|| timed_schema(&statement.schema(), times));
    let parameters = Some(statement.parameters()).filter(|schema| !schema.fields().is_empty());
    let result = ActionCreatePreparedStatementResult {
        prepared_statement_handle: encode(state, &handle)?,
        dataset_schema: schema_bytes(rows)?,
        parameter_schema: schema_bytes(parameters)?,
    };
    Ok(message(&result.as_any()))
}

fn schema_bytes(schema: Option<SchemaRef>) -> Result<Bytes> {
    let Some(schema) = schema else { return Ok(Bytes::new()) };
    let IpcMessage(bytes) = SchemaAsIpc::new(&schema, &IpcWriteOptions::default()).try_into()?;
    Ok(bytes)
}

/// Cancels the statements that the endpoints of `info` execute: those of the caller.
async fn cancel(state: &Arc<State>, info: &FlightInfo, caller: Caller<'_>) -> Result<CancelStatus> {
    let mut status = None;
    for ticket in info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()) {
        let Some(Command::TicketStatementQuery(ticket)) = command::read(&ticket.ticket)? else {
            continue;
        };
        let handle = Handle::decode(&ticket.statement_handle)?;
        let one = match own_name(state, caller, &handle.name) {
            // That of another caller, or of another server.
            None => CancelStatus::NotCancellable,
            Some(name) => match state.executions.cancel(name).await {
                Cancelled::Done => CancelStatus::Cancelled,
                Cancelled::Soon => CancelStatus::Cancelling,
                Cancelled::TooLate => CancelStatus::NotCancellable,
            },
        };
        // Of several the one that is furthest from its end says how far all are.
        status = Some(match (status, one) {
            (None, one) => one,
            (Some(CancelStatus::Cancelling), _) | (_, CancelStatus::Cancelling) => {
                CancelStatus::Cancelling
            }
            (Some(CancelStatus::Cancelled), _) | (_, CancelStatus::Cancelled) => {
                CancelStatus::Cancelled
            }
            (Some(all), _) => all,
        });
    }
    // A native read is cancelled by leaving its call, what the catalog says cannot be.
    Ok(status.unwrap_or(CancelStatus::NotCancellable))
}

fn set(request: SetSessionOptionsRequest, caller: Caller<'_>) -> Result<Done> {
    let mut session = Session::of(caller)?;
    let mut result = SetSessionOptionsResult::default();
    for (name, value) in request.session_options {
        if let Err(error) = session.set(&name, value) {
            result.errors.insert(name, OptionError { value: error as i32 });
        }
    }
    Ok(Done { cookie: Some(cookie(&session.to_cookie())?), ..message(&result) })
}

fn cookie(text: &str) -> Result<MetadataValue<Ascii>> {
    text.parse()
        .map_err(|e| Error::request(format!("session {text:?} is not a cookie")).with_source(e))
}

fn message(message: &impl Message) -> Done {
    Done { body: Some(message.encode_to_vec().into()), cookie: None }
}

/// A message of Flight SQL, which travels in an `Any`.
fn unpack<M: ProstMessageExt>(action: &Action) -> Result<M> {
    let wrong =
        || Error::request(format!("action {}: the body is not a {}", action.r#type, M::type_url()));
    let any = Any::decode(action.body.clone()).map_err(|e| wrong().with_source(e))?;
    any.unpack().map_err(|e| wrong().with_source(e))?.ok_or_else(wrong)
}

/// A message of Flight, which travels as it is.
fn decode<M: Message + Default>(action: &Action) -> Result<M> {
    M::decode(action.body.clone())
        .map_err(|e| Error::request(format!("action {}: body", action.r#type)).with_source(e))
}
