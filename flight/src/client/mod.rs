//! The client: typed calls over one connection, which many tasks may share by cloning it.

mod addresses;
mod exchange;
mod info;
mod metrics;
mod put;
mod read;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::{Action, FlightDescriptor};
use barograph_engine::{DeletionReport, ErrorKind, FlushReport, RedriveReport};
use barograph_lake::{Key, LogPosition, TimeRange};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};

use crate::message::{
    AFTER_HEADER, AlterMessage, AlterProgress, AlterRequest, DeleteJson, DeletionJson, RedriveJson,
};
use crate::tls::ClientTls;
use crate::{Error, Result, Ticket};

pub(crate) use addresses::channel;
use addresses::{Addresses, Flight};
pub use exchange::{Exchange, ExchangeAnswer, ExchangeSender};
pub use info::{FlightPlan, TableSummary};
pub use put::{Acks, PutBatch};
pub use read::Answer;

/// A connection to a server, or to several that serve one lake. Errors have the kind that the server's error had.
///
/// Of several servers one is asked until it does not answer, or answers UNAVAILABLE. Reads, and puts of one batch, which
/// has an id, are then repeated at the next, within [`Client::with_timeout`]. Other calls end with the error, and the next
/// call goes elsewhere.
#[derive(Debug, Clone)]
pub struct Client {
    addresses: Arc<Addresses>,
    after: Option<LogPosition>,
    timeout: Option<Duration>,
    /// The header that says who calls; printed without its value.
    authorization: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to `url`: `http://host:port` or `https://host:port`, or as other Flight clients write it: `grpc://` and
    /// `grpc+tls://`; or to several of them, separated by commas. By TLS, the authorities of the system are trusted.
    ///
    /// # Errors
    /// `Request` for a URL that cannot be read, `Unavailable` if nobody answers there.
    pub fn connect(url: &str) -> BoxFuture<'_, Result<Self>> {
        Box::pin(async move { Self::connect_with(url, &ClientTls::default()).await })
    }

    /// The same with certificates from files, if the URL says TLS.
    ///
    /// # Errors
    /// As of [`Self::connect`]; also `Request` if a file cannot be used, or the server's certificate is not trusted.
    pub fn connect_with<'a>(url: &'a str, tls: &'a ClientTls) -> BoxFuture<'a, Result<Self>> {
        Box::pin(async move {
            let addresses = Arc::new(Addresses::connect(url, tls).await?);
            Ok(Self { addresses, after: None, timeout: None, authorization: None })
        })
    }

    /// A client of the same connections whose calls show what was acknowledged at `position`, whichever server answers.
    pub fn after(&self, position: LogPosition) -> Self {
        Self { after: Some(position), ..self.clone() }
    }

    /// A client of the same connections whose calls take no longer than `timeout`, the first and its repetitions at other
    /// addresses together.
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    /// A client of the same connections whose calls say by `token` who makes them.
    ///
    /// # Errors
    /// `Request` if it is no text that a header can hold.
    pub fn with_token(&self, token: &str) -> Result<Self> {
        Ok(Self { authorization: Some(bearer(token)?), ..self.clone() })
    }

    /// Lands everything in the tail.
    pub async fn flush(&self) -> Result<FlushReport> {
        let json = self.repeated(|flight| self.action_at(flight, "flush", Bytes::new())).await?;
        read_json("flush", &json)
    }

    /// The plan of a range read as text: what the read would touch.
    pub async fn plan(&self, ticket: &Ticket) -> Result<String> {
        let body = Bytes::from(ticket.to_json());
        let text = self.repeated(|flight| self.action_at(flight, "plan", body.clone())).await?;
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

    /// Deletes the rows of `keys` (`None`: of every key) and `time` for good. `reason` is kept with the record. Of servers that
    /// share a log, any shows none of the rows [after](Self::after) the position in the report.
    pub async fn delete(
        &self,
        table: &str,
        keys: Option<Vec<Key>>,
        time: TimeRange,
        reason: &str,
    ) -> Result<DeletionReport> {
        let body = serde_json::to_vec(&DeleteJson::new(table, keys, time, reason))
            .map_err(|e| unexpected("delete", e))?;
        let report: DeletionJson = self.json_action("delete", body.into()).await?;
        report.try_into()
    }

    /// Alters a table to the columns that the server's settings declare, while reads and puts go on. `progress` is
    /// called as rows are written. Returns lines that say what was done.
    pub async fn alter(
        &self,
        asked: &AlterRequest,
        progress: &mut (dyn FnMut(AlterProgress) + Send),
    ) -> Result<Vec<String>> {
        let body = serde_json::to_vec(asked).map_err(|e| unexpected("alter", e))?;
        let mut flight = self.answering().await?;
        let action = self.request(Action::new("alter", body));
        let mut results = flight.do_action(action).await?.into_inner();
        while let Some(result) = results.message().await? {
            match serde_json::from_slice(&result.body).map_err(|e| unexpected("alter", e))? {
                AlterMessage::Progress(how_far) => progress(how_far),
                AlterMessage::Done(lines) => return Ok(lines),
            }
        }
        Err(Error::new(ErrorKind::Internal, "action \"alter\" gave no result"))
    }

    async fn json_action<T: DeserializeOwned>(&self, name: &str, body: Bytes) -> Result<T> {
        read_json(name, &self.action(name, body).await?)
    }

    /// The result of an action that may not be done twice.
    async fn action(&self, name: &str, body: Bytes) -> Result<Bytes> {
        let flight = self.answering().await?;
        self.action_at(flight, name, body).await
    }

    async fn action_at(&self, mut flight: Flight, name: &str, body: Bytes) -> Result<Bytes> {
        let action = self.request(Action::new(name, body));
        let mut results = flight.do_action(action).await?.into_inner();
        let result = results.message().await?;
        result.map(|result| result.body).ok_or_else(|| {
            Error::new(ErrorKind::Internal, format!("action {name:?} gave no result"))
        })
    }

    /// Makes a call that may be made again: at the next address, where one does not answer.
    async fn repeated<T, F>(&self, call: impl Fn(Flight) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.addresses.repeated(self.timeout, call).await
    }

    /// The connection for a call that may not be made twice: of several, one that has just answered.
    async fn answering(&self) -> Result<Flight> {
        if self.addresses.are_several() {
            self.repeated(|flight| self.action_at(flight, "version", Bytes::new())).await?;
        }
        self.addresses.current().map(|(_, flight)| flight)
    }

    /// A call with what this client says in headers.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let position = self.after.and_then(|after| MetadataValue::try_from(after.to_string()).ok());
        if let Some(position) = position {
            request.metadata_mut().insert(AFTER_HEADER, position);
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

/// Name of the header that says who calls.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// Its value for a token.
pub(crate) fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    // What cannot be a header is not quoted: it may be a secret.
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
    let mut value = value.map_err(|_| {
        Error::request("the token has characters that no token has: give it as it was shown")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_json<T: DeserializeOwned>(name: &str, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| unexpected(name, e))
}

/// The descriptor of a ticket.
fn command(ticket: &Ticket) -> FlightDescriptor {
    FlightDescriptor::new_cmd(ticket.to_json())
}

fn unexpected(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Internal, format!("{what}: the server's answer cannot be read"))
        .with_source(error)
}
