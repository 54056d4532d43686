//! An exchange: many point queries over one stream. Requests go out without waiting for answers; answers come in the
//! order of the requests.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::FlightData;
use arrow_flight::utils::flight_data_to_arrow_batch;
use barograph_engine::ErrorKind;
use barograph_lake::{Key, LogPosition, Timestamp};
use futures::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Client, command, unexpected};
use crate::error::kind_of_name;
use crate::ticket::RequestId;
use crate::{Error, Result, Ticket};

/// Requests that wait to be sent.
const QUEUE: usize = 1_024;

/// The answer to one request.
#[derive(Debug)]
pub struct ExchangeAnswer {
    /// The request's id, if it had one.
    pub id: Option<RequestId>,
    /// The rows, or why there are none.
    pub rows: Result<RecordBatch>,
}

/// The sending side of an exchange. Dropping it (and its clones) lets the server end the stream.
#[derive(Debug, Clone)]
pub struct ExchangeSender(mpsc::Sender<FlightData>);

/// The answers of an exchange, in the order of the requests.
#[derive(Debug)]
pub struct Exchange {
    messages: Streaming<FlightData>,
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, arrow::array::ArrayRef>,
}

impl ExchangeSender {
    /// Asks for `keys` what the exchange's ticket asks (the newest reading, or the one at an instant).
    pub async fn keys(&self, keys: &[Key], id: Option<u64>) -> Result<()> {
        let mut json = String::with_capacity(32 + 20 * keys.len());
        json.push_str("{\"keys\":");
        push_keys(&mut json, keys);
        push_id(&mut json, id);
        self.send(json).await
    }

    /// Asks for the same as [`Self::keys`], with what was acknowledged at `position`.
    pub async fn keys_after(&self, keys: &[Key], position: LogPosition) -> Result<()> {
        let mut json = String::from("{\"keys\":");
        push_keys(&mut json, keys);
        json.push_str(&format!(",\"after\":\"{position}\"}}"));
        self.send(json).await
    }

    /// Asks for the newest reading at or before `time` of each of `keys`.
    pub async fn at(&self, keys: &[Key], time: Timestamp, id: Option<u64>) -> Result<()> {
        let mut json = String::from("{\"at\":{\"keys\":");
        push_keys(&mut json, keys);
        json.push_str(",\"time\":\"");
        json.push_str(&time.to_string());
        json.push_str("\"}");
        push_id(&mut json, id);
        self.send(json).await
    }

    async fn send(&self, json: String) -> Result<()> {
        let data = FlightData::new().with_app_metadata(json);
        self.0.send(data).await.map_err(|_| {
            Error::new(ErrorKind::Cancelled, "the exchange has ended: its answers say why")
        })
    }
}

fn push_keys(json: &mut String, keys: &[Key]) {
    json.push('[');
    for (i, key) in keys.iter().enumerate() {
        if i > 0 {
            json.push(',');
        }
        json.push_str(&key.to_string());
    }
    json.push(']');
}

fn push_id(json: &mut String, id: Option<u64>) {
    if let Some(id) = id {
        json.push_str(",\"id\":");
        json.push_str(&id.to_string());
    }
    json.push('}');
}

impl Client {
    /// Opens an exchange for point queries of the shape of `ticket`: its table and columns hold for all
    /// requests, its keys and instant for those that give none.
    pub async fn exchange(&self, ticket: &Ticket) -> Result<(ExchangeSender, Exchange)> {
        let (sender, requests) = mpsc::channel(QUEUE);
        let opening = FlightData::new().with_descriptor(command(ticket));
        sender.try_send(opening).map_err(|e| unexpected("exchange", e))?;
        let mut flight = self.answering().await?;
        let requests = self.request(ReceiverStream::new(requests));
        let answers = flight.do_exchange(requests).await?;
        let answers =
            Exchange { messages: answers.into_inner(), schema: None, dictionaries: HashMap::new() };
        Ok((ExchangeSender(sender), answers))
    }
}

impl Stream for Exchange {
    /// An error here ends the exchange; an error of one request is in its answer.
    type Item = Result<ExchangeAnswer>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let data = match ready!(self.messages.poll_next_unpin(cx)) {
                None => return Poll::Ready(None),
                Some(Err(status)) => return Poll::Ready(Some(Err(status.into()))),
                Some(Ok(data)) => data,
            };
            match &self.schema {
                Some(schema) => {
                    return Poll::Ready(Some(answer(&data, schema, &self.dictionaries)));
                }
                None => match Schema::try_from(&data) {
                    Ok(schema) => self.schema = Some(Arc::new(schema)),
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                },
            }
        }
    }
}

/// What an answer says besides its rows.
#[derive(Deserialize, Default)]
struct Metadata {
    id: Option<RequestId>,
    error: Option<String>,
    code: Option<String>,
}

fn answer(
    data: &FlightData,
    schema: &SchemaRef,
    dictionaries: &HashMap<i64, arrow::array::ArrayRef>,
) -> Result<ExchangeAnswer> {
    let metadata: Metadata = match data.app_metadata.as_ref() {
        [] => Metadata::default(),
        json => serde_json::from_slice(json).map_err(|e| unexpected("exchange", e))?,
    };
    let rows = match metadata.error {
        Some(error) => {
            Err(Error::new(kind_of_name(metadata.code.as_deref().unwrap_or_default()), error))
        }
        None => Ok(flight_data_to_arrow_batch(data, Arc::clone(schema), dictionaries)?),
    };
    Ok(ExchangeAnswer { id: metadata.id, rows })
}
