//! Puts: batches sent to a table, and their acknowledgements.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::utils::batches_to_flight_data;
use arrow_flight::{FlightData, FlightDescriptor, PutResult};
use barograph_engine::log::BatchId;
use barograph_engine::{Ack, Durability, ErrorKind};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::Streaming;
use tonic::metadata::MetadataValue;

use super::{Client, Flight, unexpected};
use crate::message::{AckJson, DURABILITY_HEADER, batch_metadata, durability_name};
use crate::{Error, Result};

/// The acknowledgements of a put, one a batch, in order.
#[derive(Debug)]
pub struct Acks {
    /// `None` if nothing was sent.
    results: Option<Streaming<PutResult>>,
    /// Why a batch could not be sent, if one could not.
    unsent: Arc<OnceLock<Error>>,
}

impl Stream for Acks {
    type Item = Result<Ack>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = match &mut self.results {
            Some(results) => ready!(results.poll_next_unpin(cx)),
            None => None,
        };
        let Some(result) = next else {
            let unsent = self.unsent.get().map(|error| Err(error.again()));
            self.unsent = Arc::default();
            return Poll::Ready(unsent);
        };
        let ack: AckJson =
            serde_json::from_slice(&result?.app_metadata).map_err(|e| unexpected("put", e))?;
        Poll::Ready(Some(Ack::try_from(ack)))
    }
}

/// A batch with the id under which it counts once, however often it is sent.
#[derive(Debug, Clone)]
pub struct PutBatch {
    /// Its id.
    pub id: BatchId,
    /// Its rows.
    pub rows: RecordBatch,
}

impl From<RecordBatch> for PutBatch {
    /// With an id that no other batch has.
    fn from(rows: RecordBatch) -> Self {
        Self { id: BatchId::random(), rows }
    }
}

impl Client {
    /// Sends `batches` to `table`; each is acknowledged at the level of `durability`. Batches go out
    /// while acknowledgements come in: take the acknowledgements as they come, or the server waits.
    ///
    /// # Errors
    /// An error ends the stream of acknowledgements. Those before it stand; of the batches after it, some may have
    /// been written all the same, and may be sent again: under the same id ([`PutBatch`]) a batch counts once. A batch
    /// with other columns than the first ends the stream.
    pub async fn put<B: Into<PutBatch> + Send + 'static>(
        &self,
        table: &str,
        batches: impl Stream<Item = B> + Send + 'static,
        durability: Durability,
    ) -> Result<Acks> {
        let flight = self.answering().await?;
        self.put_at(flight, table, batches.map(Into::into), durability).await
    }

    async fn put_at(
        &self,
        mut flight: Flight,
        table: &str,
        batches: impl Stream<Item = PutBatch> + Send + 'static,
        durability: Durability,
    ) -> Result<Acks> {
        let mut batches = Box::pin(batches.peekable());
        let Some(first) = batches.as_mut().peek().await else {
            return Ok(Acks { results: None, unsent: Arc::default() });
        };
        let schema = first.rows.schema();
        let descriptor = Some(FlightDescriptor::new_path(vec![table.to_owned()]));
        let unsent = Arc::new(OnceLock::new());
        let keep = Arc::clone(&unsent);
        let messages = batches.scan(descriptor, move |descriptor, batch| {
            let sent = messages(&schema, batch, descriptor.take());
            let sent = sent.map_err(|error| keep.set(error)).ok();
            std::future::ready(sent.map(stream::iter))
        });
        let mut request = self.request(messages.flatten());
        let level = MetadataValue::from_static(durability_name(durability));
        request.metadata_mut().insert(DURABILITY_HEADER, level);
        let results = flight.do_put(request).await?.into_inner();
        Ok(Acks { results: Some(results), unsent })
    }

    /// Sends one batch and waits for its acknowledgement; again to the next server, if one does not answer.
    pub async fn put_batch(
        &self,
        table: &str,
        batch: impl Into<PutBatch>,
        durability: Durability,
    ) -> Result<Ack> {
        let batch = batch.into();
        self.repeated(async |flight| {
            let batch = stream::iter([batch.clone()]);
            let mut acks = self.put_at(flight, table, batch, durability).await?;
            acks.try_next().await?.ok_or_else(|| {
                Error::new(ErrorKind::Internal, "a put ended without an acknowledgement")
            })
        })
        .await
    }
}

/// The messages of one batch; the first of a put begins with the schema and the descriptor.
fn messages(
    schema: &SchemaRef,
    batch: PutBatch,
    descriptor: Option<FlightDescriptor>,
) -> Result<Vec<FlightData>> {
    let PutBatch { id, rows } = batch;
    if rows.schema() != *schema {
        return Err(Error::request(
            "a batch has other columns than the first of its put: send it with a put of its own",
        ));
    }
    let mut messages = batches_to_flight_data(schema, vec![rows])?;
    if let Some(batch) = messages.last_mut() {
        batch.app_metadata = batch_metadata(id).into();
    }
    match (descriptor, messages.first_mut()) {
        (Some(descriptor), Some(first)) => first.flight_descriptor = Some(descriptor),
        // The schema was sent before.
        _ => drop(messages.drain(..1.min(messages.len()))),
    }
    Ok(messages)
}
