//! The generated Flight service: each method is passed to the module that answers it.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket,
};
use async_trait::async_trait;
use barograph_access::{Call, Door, Verb};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::{action, alter, exchange, get, groups, handshake, info, list, put};
use crate::call::{Caller, Deadline, Serving, State};
use crate::message::{GROUPS, after};
use crate::sql;
use crate::wire::{GrpcBody, Protobuf};

/// The Flight service. `DoGet` and `DoExchange` are routed past it to `get` and `exchange`, which write
/// HTTP/2 data themselves; called here, they are read back from that.
#[derive(Debug, Clone)]
pub(super) struct Service(pub(super) Arc<Serving>);

fn deadline_of(state: &State, metadata: &MetadataMap) -> Deadline {
    state.deadline(metadata.as_ref())
}

/// Lets a request in.
fn enter<T>(state: &State, request: &Request<T>, action: &'static str) -> Result<Call, Status> {
    let of = (Door::Flight, action);
    Ok(state.enter(request.metadata().as_ref(), request.extensions(), of)?)
}

fn messages(body: GrpcBody) -> BoxStream<'static, Result<FlightData, Status>> {
    let ok = http::StatusCode::OK;
    Streaming::new_response(Protobuf::<FlightData>::new(), body, ok, None, Some(usize::MAX)).boxed()
}

#[async_trait]
impl FlightService for Service {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<ActionResult, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        handshake::answer(&self.0.current(), request).await
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        let state = self.0.current();
        let call = enter(&state, &request, "list")?;
        let flights = list::answer(&state, request.get_ref(), call.identity())?;
        call.done();
        Ok(Response::new(stream::iter(flights).map(Ok).boxed()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let mut call = enter(&state, &request, "info")?;
        let identity = Arc::clone(call.identity());
        let (metadata, extensions, asked) = request.into_parts();
        let caller = Caller::new(metadata.as_ref(), &extensions, &identity);
        let info = info::answer(&state, asked, caller, &mut call, deadline).await?;
        call.done();
        Ok(Response::new(info))
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        // Answers are planned at once: the first poll is the last.
        Ok(Response::new(
            PollInfo::new().with_info(info).try_with_progress(1.0).map_err(crate::Error::from)?,
        ))
    }

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let mut call = enter(&state, &request, "schema")?;
        let identity = Arc::clone(call.identity());
        let caller = Caller::new(request.metadata().as_ref(), request.extensions(), &identity);
        let asked = request.get_ref();
        let schema = info::schema(&state, asked, caller, &mut call, deadline).await?;
        call.done();
        Ok(Response::new(schema))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let call = enter(&state, &request, get::READ)?;
        let identity = Arc::clone(call.identity());
        let (metadata, extensions, ticket) = request.into_parts();
        let caller = Caller::new(metadata.as_ref(), &extensions, &identity);
        let span = call.span().clone();
        let answer = get::dispatch(&state, ticket, caller, call, deadline).instrument(span);
        Ok(Response::new(messages(answer.await?)))
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        put::answer(&self.0, request).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let call = enter(&self.0.current(), &request, exchange::EXCHANGE)?;
        let after = after(request.metadata().as_ref())?;
        let answer = exchange::answer(&self.0, request.into_inner(), after, call)?;
        Ok(Response::new(messages(answer)))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let mut call = enter(&state, &request, "action")?;
        let identity = Arc::clone(call.identity());
        let (metadata, extensions, asked) = request.into_parts();
        let caller = Caller::new(metadata.as_ref(), &extensions, &identity);
        if asked.r#type == GROUPS {
            call.does(GROUPS);
            call.require(Verb::Peer, "following the log").map_err(crate::Error::from)?;
            return Ok(Response::new(groups::answer(&self.0, &asked.body, call)?));
        }
        deadline.bound(state.reach(after(caller.headers())?)).await?;
        let done = sql::action::answer(&state, &asked, caller, deadline.clone()).await;
        let done = done.inspect_err(|error| error.record(&mut call));
        let Some(done) = done.map_err(crate::Error::in_sql)? else {
            if asked.r#type == alter::NAME {
                call.does(alter::NAME);
                call.require(Verb::Admin, "action alter").map_err(crate::Error::from)?;
                return Ok(Response::new(alter::answer(&self.0, &asked.body, call)?));
            }
            let body = action::answer(&self.0, asked, caller, &mut call, deadline).await?;
            call.done();
            return Ok(Response::new(stream::iter([Ok(ActionResult { body })]).boxed()));
        };
        call.came_by(Door::Sql);
        call.done();
        let results = done.body.into_iter().map(|body| Ok(ActionResult { body }));
        let mut response = Response::new(stream::iter(results).boxed());
        if let Some(cookie) = done.cookie {
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(response)
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        enter(&self.0.current(), &request, "list")?.done();
        let actions = action::list().into_iter().chain(sql::action::list());
        Ok(Response::new(stream::iter(actions).map(Ok).boxed()))
    }
}
