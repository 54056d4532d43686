//! The generated Flight service: each method is passed to the module that answers it.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult,
    Ticket,
};
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::{action, alter, exchange, get, groups, info, list, put};
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
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented(
            "this server needs no handshake: call the other methods directly",
        ))
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        let flights = list::answer(&self.0.current(), request.get_ref())?;
        Ok(Response::new(stream::iter(flights).map(Ok).boxed()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let peer = request.remote_addr();
        let (metadata, _, asked) = request.into_parts();
        let caller = Caller::new(metadata.as_ref(), peer);
        Ok(Response::new(info::answer(&state, asked, caller, deadline).await?))
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
        let caller = Caller::new(request.metadata().as_ref(), request.remote_addr());
        let schema = info::schema(&state, request.get_ref(), caller, deadline).await?;
        Ok(Response::new(schema))
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let peer = request.remote_addr();
        let (metadata, _, ticket) = request.into_parts();
        let caller = Caller::new(metadata.as_ref(), peer);
        Ok(Response::new(messages(get::dispatch(&state, ticket, caller, deadline).await?)))
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
        let after = after(request.metadata().as_ref())?;
        Ok(Response::new(messages(exchange::answer(&self.0, request.into_inner(), after)?)))
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        let state = self.0.current();
        let deadline = deadline_of(&state, request.metadata());
        let peer = request.remote_addr();
        let (metadata, _, asked) = request.into_parts();
        let caller = Caller::new(metadata.as_ref(), peer);
        if asked.r#type == GROUPS {
            return Ok(Response::new(groups::answer(&self.0, &asked.body)?));
        }
        let by = caller.user();
        deadline.bound(state.reach(after(caller.headers())?)).await?;
        let done = sql::action::answer(&state, &asked, caller, deadline.clone()).await;
        let Some(done) = done.map_err(crate::Error::in_sql)? else {
            if asked.r#type == alter::NAME {
                return Ok(Response::new(alter::answer(&self.0, &asked.body)?));
            }
            let body = action::answer(&self.0, asked, by, deadline).await?;
            return Ok(Response::new(stream::iter([Ok(ActionResult { body })]).boxed()));
        };
        let results = done.body.into_iter().map(|body| Ok(ActionResult { body }));
        let mut response = Response::new(stream::iter(results).boxed());
        if let Some(cookie) = done.cookie {
            response.metadata_mut().insert("set-cookie", cookie);
        }
        Ok(response)
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = action::list().into_iter().chain(sql::action::list());
        Ok(Response::new(stream::iter(actions).map(Ok).boxed()))
    }
}
