//! The client: typed calls over one connection, which many tasks may share by cloning it.

mod exchange;
mod info;
mod put;
mod read;
mod sql;

use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightDescriptor};
use barograph_engine::{DeletionReport, ErrorKind, FlushReport, RedriveReport};
use barograph_lake::{Key, TimeRange};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use tonic::transport::{Channel, Endpoint};

use crate::message::{AlterMessage, AlterProgress, AlterRequest, DeleteJson, RedriveJson};
use crate::{Error, Result, Ticket};

pub use exchange::{Exchange, ExchangeAnswer, ExchangeSender};
pub use info::{FlightPlan, TableSummary};
pub use put::Acks;
pub use read::Answer;

/// Largest message the client takes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// HTTP/2 flow-control windows: what a server may send ahead.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Largest frame that a server may send: a column of a batch goes out and comes in with few calls.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a server. Errors have the kind that the server's error had.
#[derive(Debug, Clone)]
pub struct Client {
    flight: FlightServiceClient<Channel>,
}

impl Client {
    /// Connects to `url`: `http://host:port`, or `grpc://host:port` as other Flight clients write it.
    ///
    /// # Errors
    /// `Request` for a URL that cannot be read, `Unavailable` if nobody answers there.
    pub fn connect(url: &str) -> BoxFuture<'_, Result<Self>> {
        Box::pin(async move {
            let http = ["grpc://", "grpc+tcp://"]
                .into_iter()
                .find_map(|scheme| url.strip_prefix(scheme))
                .map_or_else(|| url.to_owned(), |rest| format!("http://{rest}"));
            let with_scheme = if http.contains("://") { http } else { format!("http://{http}") };
            let endpoint = Endpoint::from_shared(with_scheme)
                .map_err(|e| {
                    Error::request(format!("endpoint {url:?}: write it like http://127.0.0.1:8815"))
                        .with_source(e)
                })?
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_frame_size(FRAME_BYTES_MAX)
                .http2_keep_alive_interval(Duration::from_secs(30));
            let channel = endpoint.connect().await.map_err(|e| {
                Error::new(
                    ErrorKind::Unavailable,
                    format!("no server answers at {url}: is it running?"),
                )
                .with_source(e)
            })?;
            let flight = FlightServiceClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(usize::MAX);
            Ok(Self { flight })
        })
    }

    /// Lands everything in the tail.
    pub async fn flush(&self) -> Result<FlushReport> {
        self.json_action("flush", Bytes::new()).await
    }

    /// The plan of a range read as text: what the read would touch.
    pub async fn plan(&self, ticket: &Ticket) -> Result<String> {
        let text = self.action("plan", ticket.to_json().into()).await?;
        String::from_utf8(text.into()).map_err(|e| unexpected("plan", e))
    }

    /// Stops a query by its id in `system.queries`, whoever started it.
    pub async fn kill(&self, query: &str) -> Result<()> {
        self.action("kill", query.to_owned().into()).await.map(drop)
    }

    /// Puts the dead letters of `table` that were rejected in `time` again.
    pub async fn redrive(&self, table: &str, time: TimeRange) -> Result<RedriveReport> {
        let body = serde_json::to_vec(&RedriveJson::new(table, time))
            .map_err(|e| unexpected("redrive", e))?;
        self.json_action("redrive", body.into()).await
    }

    /// Deletes the rows of `keys` (`None`: of every key) and `time` for good. `reason` is kept with the record.
    pub async fn delete(
        &self,
        table: &str,
        keys: Option<Vec<Key>>,
        time: TimeRange,
        reason: &str,
    ) -> Result<DeletionReport> {
        let body = serde_json::to_vec(&DeleteJson::new(table, keys, time, reason))
            .map_err(|e| unexpected("delete", e))?;
        self.json_action("delete", body.into()).await
    }

    /// Alters a table to the columns that the server's settings declare, while reads and puts go on. `progress` is
    /// called as rows are written. Returns lines that say what was done.
    pub async fn alter(
        &self,
        asked: &AlterRequest,
        progress: &mut (dyn FnMut(AlterProgress) + Send),
    ) -> Result<Vec<String>> {
        let body = serde_json::to_vec(asked).map_err(|e| unexpected("alter", e))?;
        let mut results =
            self.flight.clone().do_action(Action::new("alter", body)).await?.into_inner();
        while let Some(result) = results.message().await? {
            match serde_json::from_slice(&result.body).map_err(|e| unexpected("alter", e))? {
                AlterMessage::Progress(how_far) => progress(how_far),
                AlterMessage::Done(lines) => return Ok(lines),
            }
        }
        Err(Error::new(ErrorKind::Internal, "action \"alter\" gave no result"))
    }

    async fn json_action<T: DeserializeOwned>(&self, name: &str, body: Bytes) -> Result<T> {
        let json = self.action(name, body).await?;
        serde_json::from_slice(&json).map_err(|e| unexpected(name, e))
    }

    async fn action(&self, name: &str, body: Bytes) -> Result<Bytes> {
        let mut results =
            self.flight.clone().do_action(Action::new(name, body)).await?.into_inner();
        let result = results.message().await?;
        result.map(|result| result.body).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("action {name:?} gave no result"))
        })
    }
}

/// The descriptor of a ticket.
fn command(ticket: &Ticket) -> FlightDescriptor {
    FlightDescriptor::new_cmd(ticket.to_json())
}

fn unexpected(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: the server's answer cannot be read"))
        .with_source(error)
}
