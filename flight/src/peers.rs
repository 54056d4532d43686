//! The other servers of a shared log: whether they are there, the batches that they take, and the groups that they send.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use arrow_flight::Action;
use arrow_flight::flight_service_client::FlightServiceClient;
use barograph_engine::log::Place;
use barograph_engine::{AppendedGroup, Error as EngineError, ErrorKind, ForwardedBatch, Peers};
use barograph_lake::LogId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::client::{AUTHORIZATION, bearer, channel};
use crate::message::{FORWARD, ForwardReply, ForwardRequest, GROUPS, GroupMessage};
use crate::tls::ClientTls;

/// Largest message of a group.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// Connections to the other servers, made when they are needed and kept.
#[derive(Debug, Default)]
pub struct FlightPeers {
    channels: Mutex<HashMap<String, Channel>>,
    /// How they are reached by TLS, if they are.
    tls: Option<ClientTlsConfig>,
    /// What says to them who this server is.
    authorization: Option<MetadataValue<Ascii>>,
}

impl FlightPeers {
    /// Connections by TLS.
    ///
    /// # Errors
    /// `Request` if a file cannot be used.
    pub async fn by_tls(tls: &ClientTls) -> crate::Result<Self> {
        Ok(Self { tls: Some(tls.config().await?), ..Self::default() })
    }

    /// The same connections, over which this server says by `token` who it is.
    ///
    /// # Errors
    /// `Request` if it is no text that a header can hold.
    pub fn with_token(self, token: &str) -> crate::Result<Self> {
        Ok(Self { authorization: Some(bearer(token)?), ..self })
    }

    fn channel(&self, address: &str) -> Result<Channel, EngineError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let url = self.tls.as_ref().map(|_| format!("https://{address}"));
        let url = url.as_deref().unwrap_or(address);
        let made =
            channel(url, self.tls.as_ref()).map_err(|e| EngineError::request(e.to_string()))?;
        channels.insert(address.to_owned(), made.clone());
        Ok(made)
    }

    /// A request that says who this server is.
    fn request(&self, action: Action) -> Request<Action> {
        let mut request = Request::new(action);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

impl Peers for FlightPeers {
    fn is_alive<'a>(&'a self, address: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Ok(channel) = self.channel(address) else { return false };
            let asked = HealthCheckRequest { service: String::new() };
            let answer = HealthClient::new(channel).check(asked).await;
            answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
        })
    }

    fn forward<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
        batches: Vec<ForwardedBatch>,
    ) -> BoxFuture<'a, Result<Vec<Result<Place, EngineError>>, EngineError>> {
        Box::pin(async move {
            let mut flight = FlightServiceClient::new(self.channel(address)?);
            let body = ForwardRequest::new(log, batches).encode_to_vec();
            let unavailable = |status: Status| {
                let message = format!("the leader of the log at {address} did not take batches");
                EngineError::new(ErrorKind::Unavailable, message).with_source(status)
            };
            let asked = self.request(Action::new(FORWARD, body));
            let results = flight.do_action(asked).await.map_err(unavailable)?;
            let reply = results.into_inner().message().await.map_err(unavailable)?;
            ForwardReply::read(reply.map(|reply| reply.body).unwrap_or_default())
        })
    }

    fn groups<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<AppendedGroup, EngineError>>, EngineError>>
    {
        Box::pin(async move {
            let mut flight = FlightServiceClient::new(self.channel(address)?)
                .max_decoding_message_size(GROUP_BYTES_MAX);
            let unavailable = |status: Status| {
                let message = "the leader of the log sends no groups";
                EngineError::new(ErrorKind::Unavailable, message).with_source(status)
            };
            let asked = self.request(Action::new(GROUPS, log.to_string()));
            let groups = flight.do_action(asked).await.map_err(unavailable)?.into_inner();
            let groups =
                groups.map(move |group| GroupMessage::read(group.map_err(unavailable)?.body));
            Ok(groups.boxed())
        })
    }
}
