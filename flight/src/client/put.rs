//! How are readings sent?

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
use arrow_flight::error::FlightError;
use arrow_flight::{FlightDescriptor, PutResult};
use barograph_engine::{Ack, Durability, ErrorKind};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

use super::{Client, unexpected};
use crate::server::{AckJson, DURABILITY_HEADER};
use crate::{Error, Result};

/// The acknowledgements of a put, one a batch, in order.
#[derive(Debug)]
pub struct Acks(Streaming<PutResult>);

impl Stream for Acks {
    type Item = Result<Ack>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx).map(|result| {
            result.map(|result| {
                let ack: AckJson = serde_json::from_slice(&result?.app_metadata)
                    .map_err(|e| unexpected("put", e))?;
                Ack::try_from(ack)
            })
        })
    }
}

impl Client {
    /// Sends `batches` to `table`; each is acknowledged at the level of `durability`. Batches go out
    /// while acknowledgements come in: take the acknowledgements as they come, or the server waits.
    ///
    /// # Errors
    /// An error ends the stream of acknowledgements. Those before it stand; of the batches after it, some may have
    /// been written all the same, and may be sent again: writing a row twice changes nothing.
    pub async fn put(
        &self,
        table: &str,
        batches: impl Stream<Item = RecordBatch> + Send + 'static,
        durability: Durability,
    ) -> Result<Acks> {
        // A message is a batch, so that each batch has one acknowledgement.
        let messages = FlightDataEncoderBuilder::new()
            .with_max_flight_data_size(usize::MAX)
            .with_dictionary_handling(DictionaryHandling::Hydrate)
            .with_flight_descriptor(Some(FlightDescriptor::new_path(vec![table.to_owned()])))
            .build(batches.map(Ok::<_, FlightError>));
        // The encoder fails on batches of different schemas; the server then sees the stream end.
        let messages = messages.take_while(|message| std::future::ready(message.is_ok()));
        let messages = messages.filter_map(|message| std::future::ready(message.ok()));
        let level = match durability {
            Durability::Memory => "memory",
            Durability::Disk => "disk",
        };
        let mut request = Request::new(messages);
        request.metadata_mut().insert(DURABILITY_HEADER, MetadataValue::from_static(level));
        Ok(Acks(self.flight.clone().do_put(request).await?.into_inner()))
    }

    /// Sends one batch and waits for its acknowledgement.
    pub async fn put_batch(
        &self,
        table: &str,
        batch: RecordBatch,
        durability: Durability,
    ) -> Result<Ack> {
        let mut acks = self.put(table, stream::iter([batch]), durability).await?;
        acks.try_next().await?.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "a put ended without an acknowledgement")
        })
    }
}
