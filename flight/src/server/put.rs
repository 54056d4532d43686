//! DoPut: each batch is put as it arrives and acknowledged in order; several may be on their way to the disk at one
//! time.
//!
//! ```text
//! batches ─► put, at most put_batches_in_flight at a time ─► acknowledgements in order ─► PutResult
//!                                                              └ error: status, end of stream
//! ```

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, PutResult};
use barograph_engine::clock::pause;
use barograph_engine::{Ack, Durability, ErrorKind};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use tokio::sync::OwnedSemaphorePermit;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

use super::descriptor::put_table;
use super::shutdown::{Phase, Shutdown};
use super::{Serving, State};
use crate::sql::{self, Caller};
use crate::{Error, Result};

/// The request header that names the durability of a put's acknowledgements.
pub const DURABILITY_HEADER: &str = "x-barograph-durability";

/// A batch with more rows is put when those before it are done, and those after it when it is: the engine
/// validates large batches aside, where a later small one could overtake it, and the rows of the later
/// batch must win.
const PIPELINED_ROWS_MAX: usize = 32_768;

/// When a batch that found no room looks again, if nobody says.
const RETRY_AFTER: Duration = Duration::from_millis(250);

type Acks = BoxStream<'static, Result<PutResult, Status>>;

/// The acknowledgements of a put, or what a DoPut of SQL did.
pub(super) async fn answer(
    serving: &Arc<Serving>,
    request: Request<Streaming<FlightData>>,
) -> Result<Response<Acks>, Status> {
    let state = &serving.current();
    state.shutdown.check()?;
    let peer = request.remote_addr();
    let (metadata, _, mut messages) = request.into_parts();
    let headers = metadata.as_ref();
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
        let caller = Caller::new(headers, peer);
        let deadline = state.deadline(headers);
        let done = sql::put::answer(serving, command, first, messages, caller, deadline).await;
        return done.map(changed).map_err(|error| error.in_sql().into());
    }
    let durability = durability(headers)?;
    let source = match peer {
        Some(peer) => format!("flight:{peer}"),
        None => "flight".to_owned(),
    };
    let table = put_table(descriptor)?;
    state.engine.schema(&table).map_err(Error::from)?;
    let batches = batches_of(state, first, messages);
    let writing = Writing::new(serving, table, source, durability, batches, false)?;
    Ok(Response::new(writing.acks().boxed()))
}

/// What a DoPut of SQL did, as a response.
fn changed(done: sql::put::Done) -> Response<Acks> {
    let mut response = Response::new(stream::iter([Ok(done.result)]).boxed());
    for (name, count) in done.ingested.iter().flat_map(sql::put::counts) {
        response.metadata_mut().insert(name, MetadataValue::from(count));
    }
    response
}

/// The batches that a client sends, from the message with the schema on.
pub(crate) fn batches_of(
    state: &State,
    first: FlightData,
    messages: Streaming<FlightData>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let limit = state.settings.request_bytes_max;
    let messages =
        stream::once(std::future::ready(Ok(first))).chain(messages).map_err(move |status| {
            if status.code() == Code::OutOfRange {
                let mend = format!(
                    "flight.request_bytes_max is {limit}: send smaller batches ({})",
                    status.message()
                );
                return FlightError::from(Status::invalid_argument(mend));
            }
            FlightError::from(status)
        });
    FlightRecordBatchStream::new_from_flight_data(messages).map_err(Error::from).boxed()
}

/// Where batches go.
struct Target {
    serving: Arc<Serving>,
    table: String,
    source: String,
    durability: Durability,
    /// Whether a batch that finds no room waits for it rather than end the put. One at a time, as a later
    /// batch may not overtake one that waits.
    patient: bool,
}

impl Target {
    async fn put(self: Arc<Self>, batch: RecordBatch) -> Result<Ack> {
        let deadline = self.serving.current().deadline(&HeaderMap::new());
        loop {
            let batch = batch.clone();
            let put = async {
                let (state, _kept) = self.serving.to_put().await;
                state.engine.put(&self.table, batch, &self.source, self.durability).await
            };
            let error = match deadline.bound(put).await {
                Err(error) if self.patient && error.kind() == ErrorKind::Resources => error,
                done => return done,
            };
            let wait = error.retry_after().unwrap_or(RETRY_AFTER);
            if wait > deadline.left() {
                return Err(error);
            }
            pause(wait).await;
        }
    }
}

/// A running put.
pub(crate) struct Writing {
    batches: BoxStream<'static, Result<RecordBatch>>,
    target: Arc<Target>,
    /// Batches that are put at one time at most.
    in_flight: usize,
    running: FuturesOrdered<BoxFuture<'static, Result<Ack>>>,
    /// A large batch that waits for the running ones.
    alone: Option<RecordBatch>,
    /// Why no more batches are taken.
    end: Option<Result<()>>,
    drained: BoxFuture<'static, ()>,
    _permit: OwnedSemaphorePermit,
}

impl Writing {
    /// Puts `batches` into `table` as they come; `patient`, if they shall wait for room.
    pub(crate) fn new(
        serving: &Arc<Serving>,
        table: String,
        source: String,
        durability: Durability,
        batches: BoxStream<'static, Result<RecordBatch>>,
        patient: bool,
    ) -> Result<Self> {
        let state = serving.current();
        let permit = state.limits.stream()?;
        let shutdown = state.shutdown.clone();
        let drained = async move { shutdown.reached(Phase::Draining).await }.boxed();
        Ok(Self {
            batches,
            in_flight: state.settings.put_batches_in_flight.max(1),
            target: Arc::new(Target {
                serving: Arc::clone(serving),
                table,
                source,
                durability,
                patient,
            }),
            running: FuturesOrdered::new(),
            alone: None,
            end: None,
            drained,
            _permit: permit,
        })
    }

    fn acks(self) -> impl Stream<Item = Result<PutResult, Status>> {
        stream::unfold(Some(self), async |writing| {
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

    /// The next acknowledgement, in the order of the batches.
    pub(crate) async fn next(&mut self) -> Result<Option<Ack>> {
        let most = match self.target.patient {
            true => 1,
            false => self.in_flight,
        };
        loop {
            if self.running.is_empty() {
                if let Some(batch) = self.alone.take() {
                    return Arc::clone(&self.target).put(batch).await.map(Some);
                }
                if let Some(end) = self.end.take() {
                    self.end = Some(Ok(()));
                    return end.map(|()| None);
                }
            }
            let takes = self.end.is_none() && self.alone.is_none() && self.running.len() < most;
            tokio::select! {
                biased;
                () = &mut self.drained, if self.end.is_none() => self.end = Some(Err(Shutdown::error())),
                Some(ack) = self.running.next() => return ack.map(Some),
                batch = self.batches.next(), if takes => match batch {
                    None => self.end = Some(Ok(())),
                    Some(Err(error)) => self.end = Some(Err(error)),
                    Some(Ok(batch)) if batch.num_rows() > PIPELINED_ROWS_MAX => self.alone = Some(batch),
                    Some(Ok(batch)) => {
                        let mut put = Arc::clone(&self.target).put(batch).boxed();
                        // Begun at once, so that batches reach the log in the order they came in.
                        match (&mut put).now_or_never() {
                            Some(done) => self.running.push_back(std::future::ready(done).boxed()),
                            None => self.running.push_back(put),
                        }
                    }
                },
                else => {}
            }
        }
    }
}

/// An acknowledgement as clients read it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct AckJson {
    /// Position in the log, as text: it may be larger than what a JSON number holds exactly.
    position: String,
    durability: Durability,
    accepted: u64,
    rejected: u64,
}

impl From<&Ack> for AckJson {
    fn from(ack: &Ack) -> Self {
        Self {
            position: ack.position.to_string(),
            durability: ack.durability,
            accepted: ack.accepted,
            rejected: ack.rejected,
        }
    }
}

impl TryFrom<AckJson> for Ack {
    type Error = Error;

    fn try_from(ack: AckJson) -> Result<Self> {
        Ok(Self {
            position: ack.position.parse()?,
            durability: ack.durability,
            accepted: ack.accepted,
            rejected: ack.rejected,
        })
    }
}

/// The durability that a request's headers ask for; disk if they say nothing.
pub(crate) fn durability(headers: &HeaderMap) -> Result<Durability> {
    let asked = headers.get(DURABILITY_HEADER).map(|value| value.as_bytes());
    asked.map_or(Ok(Durability::Disk), |name| {
        durability_of(&format!("header {DURABILITY_HEADER}"), name)
    })
}

/// The durability of a name that stands in `place`.
pub(crate) fn durability_of(place: &str, name: &[u8]) -> Result<Durability> {
    match name {
        b"disk" => Ok(Durability::Disk),
        b"memory" => Ok(Durability::Memory),
        other => Err(Error::request(format!(
            "{place} is {:?}: write memory or disk",
            String::from_utf8_lossy(other)
        ))),
    }
}
