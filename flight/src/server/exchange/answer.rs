//! The answers to a group of requests, from one query to the engine: any number of requests for one key each, or one
//! request for several keys.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use barograph_engine::Point;
use barograph_lake::schema::KEY_COLUMN;
use barograph_lake::{Key, LogPosition};
use http::HeaderMap;
use serde_json::{Map, Value};

use super::shape::ExchangeShape;
use crate::call::{RequestKind, State};
use crate::error::code_name;
use crate::ticket::RequestId;
use crate::wire::{BatchEncoder, Pieces, encode_rows};
use crate::{Error, Result};

/// A request with the defaults of its stream filled in.
#[derive(Debug)]
pub(super) struct BoundRequest {
    pub(super) id: Option<RequestId>,
    pub(super) keys: Option<Vec<Key>>,
    pub(super) point: Point,
    pub(super) after: Option<LogPosition>,
}

/// Requests that are put to the engine together: any number for one key each, or one for several keys.
#[derive(Debug, Default)]
pub(super) struct RequestGroup {
    requests: Vec<BoundRequest>,
}

impl BoundRequest {
    fn one_key(&self) -> Option<Key> {
        match self.keys.as_deref() {
            Some([key]) => Some(*key),
            _ => None,
        }
    }
}

impl RequestGroup {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Adds a request, or gives it back if it cannot be asked together with those that are there.
    pub(super) fn add(&mut self, request: BoundRequest, most: usize) -> Option<BoundRequest> {
        let fits = self.requests.first().is_none_or(|first| {
            self.requests.len() < most
                && first.point == request.point
                && first.after == request.after
                && first.one_key().is_some()
                && request.one_key().is_some()
        });
        if !fits {
            return Some(request);
        }
        self.requests.push(request);
        None
    }

    /// The answers, one message a request. What goes wrong is told to the requests it concerns.
    pub(super) async fn answer(self, state: &State, shape: &ExchangeShape) -> Pieces {
        let mut out = Pieces::default();
        let after = self.requests.first().and_then(|request| request.after);
        if let Err(error) = state.deadline(&HeaderMap::new()).bound(state.reach(after)).await {
            for request in &self.requests {
                or_refuse(Err(error.again()), shape, &mut out, request);
            }
            return out;
        }
        let keys: Option<Vec<Key>> = self.requests.iter().map(BoundRequest::one_key).collect();
        if let (Some(keys), Some(first)) = (keys, self.requests.first())
            && self.requests.len() > 1
        {
            let mut distinct = keys.clone();
            distinct.sort_unstable();
            distinct.dedup();
            if let Ok(rows) = read(state, shape, Some(distinct), first.point).await {
                for (request, key) in self.requests.iter().zip(keys) {
                    let row = row_of(rows.column(KEY_COLUMN), key);
                    let sent = send(&mut out, &rows, row.map_or(0..0, |row| row..row + 1), request);
                    or_refuse(sent, shape, &mut out, request);
                }
                return out;
            }
            // One bad file must not cost the others their answers: each is asked alone.
        }
        for request in self.requests {
            let sent = match read(state, shape, request.keys.clone(), request.point).await {
                Ok(rows) => send_whole(state, &mut out, &rows, &request),
                Err(error) => Err(error),
            };
            if let Err(error) = &sent {
                error.count();
                state.requests.failed(RequestKind::Exchange);
            }
            or_refuse(sent, shape, &mut out, &request);
        }
        out
    }
}

async fn read(
    state: &State,
    shape: &ExchangeShape,
    keys: Option<Vec<Key>>,
    point: Point,
) -> Result<RecordBatch> {
    let deadline = state.deadline(&HeaderMap::new());
    let view = state.engine.view(shape.table())?;
    let query = shape.query(keys, point);
    deadline.bound(state.engine.point_within(&view, &query, shape.given())).await
}

fn send(
    out: &mut Pieces,
    rows: &RecordBatch,
    range: std::ops::Range<usize>,
    request: &BoundRequest,
) -> Result<()> {
    encode_rows(out, rows, range.start, range.len(), &metadata(request.id.as_ref(), None))
}

fn send_whole(
    state: &State,
    out: &mut Pieces,
    rows: &RecordBatch,
    request: &BoundRequest,
) -> Result<()> {
    let encoder = BatchEncoder { message_bytes: state.settings.message_bytes.get() };
    let bytes = BatchEncoder::estimate(rows)?;
    if bytes > encoder.message_bytes {
        return Err(Error::request(format!(
            "answer of {} rows, {bytes} bytes: flight.message_bytes allows {} in one message of an \
             exchange; ask for fewer keys, or with DoGet",
            rows.num_rows(),
            encoder.message_bytes
        )));
    }
    send(out, rows, 0..rows.num_rows(), request)
}

fn or_refuse(sent: Result<()>, shape: &ExchangeShape, out: &mut Pieces, request: &BoundRequest) {
    if let Err(error) = sent {
        // The empty batch of the shape has been encodable since the stream began.
        let _ = refusal(shape, out, request.id.as_ref(), &error);
    }
}

/// The answer to a request that cannot be answered: no rows, and why.
pub(super) fn refusal(
    shape: &ExchangeShape,
    out: &mut Pieces,
    id: Option<&RequestId>,
    error: &Error,
) -> Result<()> {
    encode_rows(out, &shape.nothing, 0, 0, &metadata(id, Some(error)))
}

/// `{"id":…,"error":…,"code":…}`, empty if there is nothing to say.
fn metadata(id: Option<&RequestId>, error: Option<&Error>) -> Vec<u8> {
    match (id, error) {
        (None, None) => Vec::new(),
        (Some(id), None) => format!("{{\"id\":{id}}}").into_bytes(),
        (id, Some(error)) => {
            let mut object = Map::new();
            if let Some(id) = id {
                object.insert("id".to_owned(), id.clone());
            }
            object.insert("error".to_owned(), error.to_string().into());
            object.insert("code".to_owned(), code_name(error.code()).into());
            if let Some(after) = error.retry_after() {
                let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                object.insert("retry_after_ms".to_owned(), ms.into());
            }
            Value::Object(object).to_string().into_bytes()
        }
    }
}

/// The row of `key` in an ascending key column.
fn row_of(keys: &ArrayRef, key: Key) -> Option<usize> {
    match keys.data_type() {
        DataType::Int32 => {
            let key = i32::try_from(key.get()).ok()?;
            keys.as_primitive::<Int32Type>().values().binary_search(&key).ok()
        }
        DataType::Int64 => keys.as_primitive::<Int64Type>().values().binary_search(&key.get()).ok(),
        _ => None,
    }
}
