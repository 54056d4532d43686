//! Reads: the answer to a ticket, batch by batch, and the readings of keys as one batch.

use std::pin::Pin;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow_flight::Ticket as FlightTicket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use barograph_engine::ErrorKind;
use barograph_lake::{Key, Timestamp};
use futures::{Stream, StreamExt, TryStreamExt};

use super::{Client, Flight};
use crate::{Error, Result, Ticket};

/// The batches of an answer as they arrive. An answer that is not whole ends with an error. Dropping it
/// stops the server's work.
pub struct Answer {
    batches: FlightRecordBatchStream,
    schema: SchemaRef,
    /// The first batch, which came with the schema.
    first: Option<RecordBatch>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Answer {
    /// Columns of the answer, known even if it has no rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// All rows as one batch.
    pub async fn collect(self) -> Result<RecordBatch> {
        let schema = self.schema.clone();
        let batches: Vec<_> = self.try_collect().await?;
        match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => Ok(batch),
            Err(batches) => Ok(concat_batches(&schema, &batches)?),
        }
    }
}

impl Stream for Answer {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        self.batches.poll_next_unpin(cx).map_err(Error::from)
    }
}

impl Client {
    /// The answer to a ticket, batch by batch.
    pub async fn get(&self, ticket: &Ticket) -> Result<Answer> {
        self.get_raw(FlightTicket::new(ticket.to_json())).await
    }

    /// The newest reading of each of `keys` (`None`: of every key) with `columns` (`None`: all).
    pub async fn latest(
        &self,
        table: &str,
        keys: Option<&[Key]>,
        columns: Option<&[&str]>,
    ) -> Result<RecordBatch> {
        let ticket = Ticket::latest(table, keys.map(<[_]>::to_vec));
        self.whole(&with_columns(ticket, columns)).await
    }

    /// The newest reading at or before `time` of each of `keys`.
    pub async fn at(
        &self,
        table: &str,
        keys: Option<&[Key]>,
        time: Timestamp,
        columns: Option<&[&str]>,
    ) -> Result<RecordBatch> {
        let ticket = Ticket::at(table, keys.map(<[_]>::to_vec), time);
        self.whole(&with_columns(ticket, columns)).await
    }

    /// The rows of a short answer. It is asked for again where it breaks off.
    async fn whole(&self, ticket: &Ticket) -> Result<RecordBatch> {
        let ticket = FlightTicket::new(ticket.to_json());
        self.repeated(async |flight| self.get_at(flight, ticket.clone()).await?.collect().await)
            .await
    }

    pub(crate) async fn get_raw(&self, ticket: FlightTicket) -> Result<Answer> {
        self.repeated(|flight| self.get_at(flight, ticket.clone())).await
    }

    /// The answer of one server.
    pub(super) async fn get_at(&self, mut flight: Flight, ticket: FlightTicket) -> Result<Answer> {
        let messages = flight.do_get(self.request(ticket)).await?.into_inner();
        let mut batches =
            FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from));
        let first = batches.try_next().await?;
        let schema = batches
            .schema()
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the server's answer has no schema"))?;
        Ok(Answer { batches, schema, first })
    }
}

fn with_columns(ticket: Ticket, columns: Option<&[&str]>) -> Ticket {
    match columns {
        None => ticket,
        Some(columns) => ticket.columns(columns.iter().copied()),
    }
}
