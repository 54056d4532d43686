//! The tables of a server, and the plan of an answer: its endpoints, which can be fetched in parallel.

use std::future::ready;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::{Criteria, FlightDescriptor, FlightInfo, Ticket as FlightTicket};
use barograph_engine::ErrorKind;
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::{Client, command};
use crate::{Error, Result, Ticket};

/// A table of the server.
#[derive(Debug, Clone)]
pub struct TableSummary {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Rows in lake and tail, before late rows replace earlier ones.
    pub rows: u64,
    /// Bytes of its lake files.
    pub bytes: u64,
}

/// The plan of an answer: the endpoints that it is fetched from.
#[derive(Debug, Clone)]
pub struct FlightPlan {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, at most, where that is known.
    pub rows: Option<u64>,
    /// Its endpoints in order: what they give one after the other is the answer.
    pub endpoints: Vec<FlightTicket>,
    /// The server that they have to be fetched from; `None` is any.
    pub location: Option<String>,
}

impl Client {
    /// The tables of the server.
    pub async fn tables(&self) -> Result<Vec<TableSummary>> {
        self.repeated(async |mut flight| {
            let all = self.request(Criteria::default());
            let flights = flight.list_flights(all).await?.into_inner();
            let summaries = flights.map_err(Error::from);
            summaries.and_then(|flight| ready(summary(flight))).try_collect().await
        })
        .await
    }

    /// The columns of a table.
    pub async fn schema(&self, table: &str) -> Result<SchemaRef> {
        self.repeated(async |mut flight| {
            let descriptor = FlightDescriptor::new_path(vec![table.to_owned()]);
            let result = flight.get_schema(self.request(descriptor)).await?.into_inner();
            Ok(Arc::new(Schema::try_from(&result)?))
        })
        .await
    }

    /// The plan of the answer to a ticket. Its endpoints are valid for the server's `view_lifetime`.
    pub async fn info(&self, ticket: &Ticket) -> Result<FlightPlan> {
        self.repeated(async |mut flight| {
            plan(flight.get_flight_info(self.request(command(ticket))).await?.into_inner())
        })
        .await
    }

    /// The rows of all endpoints in order, of which at most `parallel` are fetched at a time. Endpoints that
    /// come before their turn are held in memory.
    pub fn fetch(
        &self,
        plan: &FlightPlan,
        parallel: usize,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
        let client = self.clone();
        let at = |location: &str| self.addresses.at(location);
        let location = plan.location.as_deref().map(at).transpose();
        let at = location.map_err(Arc::new);
        stream::iter(plan.endpoints.clone())
            .map(move |ticket| {
                let (client, at) = (client.clone(), at.clone());
                async move {
                    let answer = match at.map_err(|error| error.again())? {
                        Some(flight) => client.get_at(flight, ticket).await?,
                        None => client.get_raw(ticket).await?,
                    };
                    answer.try_collect::<Vec<_>>().await
                }
            })
            .buffered(parallel.max(1))
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten()
    }
}

fn plan(info: FlightInfo) -> Result<FlightPlan> {
    let schema = Arc::new(info.clone().try_decode_schema()?);
    let ticket = |endpoint: arrow_flight::FlightEndpoint| {
        endpoint.ticket.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the server gave an endpoint without a ticket")
        })
    };
    let mut locations = info.endpoint.iter().flat_map(|endpoint| &endpoint.location);
    let location = locations.next().map(|location| location.uri.clone());
    Ok(FlightPlan {
        schema,
        location,
        rows: u64::try_from(info.total_records).ok(),
        endpoints: info.endpoint.into_iter().map(ticket).collect::<Result<_>>()?,
    })
}

fn summary(info: FlightInfo) -> Result<TableSummary> {
    let schema = Arc::new(info.clone().try_decode_schema()?);
    let name = info.flight_descriptor.and_then(|descriptor| descriptor.path.into_iter().next());
    Ok(TableSummary {
        name: name.ok_or_else(|| {
            Error::new(ErrorKind::Internal, "the server gave a flight without a name")
        })?,
        schema,
        rows: u64::try_from(info.total_records).unwrap_or(0),
        bytes: u64::try_from(info.total_bytes).unwrap_or(0),
    })
}
