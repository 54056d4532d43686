//! DoPut: each batch is put as it arrives and acknowledged in order.
//!
//! ```text
//! batches ─► put ─► acknowledgements in order ─► PutResult
//!             └ error: status, end of stream
//! ```

use std::sync::Arc;

use arrow_flight::{FlightData, PutResult};
use barograph_access::{Door, Verb};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use super::descriptor::put_table;
use crate::Error;
use crate::call::{Caller, PutRequest, Serving, Writing, sent_batches_of};
use crate::message::{AckJson, BatchIds, durability};
use crate::sql;

type Acks = BoxStream<'static, Result<PutResult, Status>>;

/// The acknowledgements of a put, or what a DoPut of SQL did.
pub(super) async fn answer(
    serving: &Arc<Serving>,
    request: Request<Streaming<FlightData>>,
) -> Result<Response<Acks>, Status> {
    let state = &serving.current();
    state.shutdown.check()?;
    let (metadata, extensions, mut messages) = request.into_parts();
    let headers = metadata.as_ref();
    let mut call = state.enter(headers, &extensions, (Door::Flight, "put"))?;
    call.changes();
    let identity = Arc::clone(call.identity());
    let caller = Caller::new(headers, &extensions, &identity);
    let first = messages.next().await.transpose()?.ok_or_else(|| {
        Status::invalid_argument(
            "a put without any message: send a descriptor and the schema first",
        )
    })?;
    let descriptor = first.flight_descriptor.as_ref().ok_or_else(|| {
        Status::invalid_argument(
            "the first message of a put has no descriptor: name the table with the path [\"readings\"]",
        )
    })?;
    if let Some(command) = sql::command::read(&descriptor.cmd)? {
        let deadline = state.deadline(headers);
        call.came_by(Door::Sql);
        let done =
            sql::put::answer(serving, command, (first, messages), caller, call, deadline).await;
        return done.map(changed).map_err(|error| error.in_sql().into());
    }
    let durability = durability(headers)?;
    let table = put_table(descriptor)?;
    let allowed = call.allow(Verb::Write, &table).map_err(Error::from)?;
    state.table(&identity, &table)?;
    let source = caller.native_source();
    let put = PutRequest { table, source, durability, patient: false, allowed };
    let batches = sent_batches_of(state, first, messages, BatchIds::of(headers)?);
    let writing = Writing::new(serving, put, batches, call)?;
    Ok(Response::new(acks(writing).boxed()))
}

/// What a DoPut of SQL did, as a response.
fn changed(done: sql::put::Done) -> Response<Acks> {
    let mut response = Response::new(stream::iter([Ok(done.result)]).boxed());
    let headers = response.metadata_mut();
    for (name, count) in done.ingested.iter().flat_map(sql::put::counts) {
        headers.insert(name, MetadataValue::from(count));
    }
    let position = done.ingested.and_then(|done| done.position.to_string().parse().ok());
    if let Some(position) = position {
        headers.insert(sql::put::POSITION_HEADER, position);
    }
    response
}

fn acks(writing: Writing) -> impl Stream<Item = Result<PutResult, Status>> {
    stream::unfold(Some(writing), async |writing| {
        let mut this = writing?;
        match this.next().await {
            Ok(None) => None,
            Ok(Some(ack)) => match serde_json::to_vec(&AckJson::from(&ack)) {
                Ok(json) => Some((Ok(PutResult { app_metadata: json.into() }), Some(this))),
                Err(e) => Some((Err(Status::internal(e.to_string())), None)),
            },
            Err(error) => Some((Err(Status::from(error)), None)),
        }
    })
}
