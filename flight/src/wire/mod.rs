//! The wire format: batches as bytes. One gRPC message is one `FlightData`, which carries one Arrow IPC message:
//!
//! ```text
//! gRPC     │ 0 │ length, 4 bytes │ FlightData                                                  │
//! protobuf                       │ 12 n │ IPC header │ [1a n │ app_metadata] │ c2 3e n │ body │
//! Arrow                                 │ flatbuffer │                                │ buffers of the columns │
//! ```
//!
//! Large buffers are not copied: they go from the column to the socket as they are
//! (`docs/adr/0008-flight-encoding.md`).

mod batch;
mod body;
mod columns;
mod header;
mod pieces;
mod plain;
mod schema;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use prost::Message;
use tonic::codec::{DecodeBuf, Decoder};
use tonic::{Code, Status};

pub(crate) use batch::{BatchEncoder, encode_rows};
pub(crate) use body::GrpcBody;
pub(crate) use pieces::Pieces;
pub(crate) use plain::{Times, plain_batch, plain_schema, timed_schema};
pub(crate) use schema::{Shape, Shapes};

/// Bytes before every gRPC message: one flag, four of length.
const PREFIX_BYTES: usize = 5;

/// Reads protobuf messages of a gRPC stream.
#[derive(Debug)]
pub(crate) struct Protobuf<T>(std::marker::PhantomData<T>);

impl<T> Protobuf<T> {
    pub(crate) const fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Message + Default + Send + 'static> Decoder for Protobuf<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(buffer).map(Some).map_err(|e| Status::internal(format!("protobuf: {e}")))
    }
}

/// Reads the one message of a gRPC call that sends one.
pub(crate) async fn read_message<T: Message + Default>(
    body: axum::body::Body,
    bytes_max: usize,
) -> Result<T, Status> {
    let mut body = std::pin::pin!(body);
    let mut buffer = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let frame = frame.map_err(|e| Status::from_error(e.into()))?;
        let Ok(data) = frame.into_data() else { break };
        if buffer.len() + data.len() > bytes_max.saturating_add(PREFIX_BYTES) {
            return Err(Status::new(
                Code::InvalidArgument,
                format!(
                    "ticket of more than {bytes_max} bytes: flight.ticket_bytes_max allows no more; \
                     ask for fewer keys at a time"
                ),
            ));
        }
        buffer.extend_from_slice(&data);
    }
    let message = buffer.freeze();
    match message.first_chunk::<PREFIX_BYTES>() {
        Some([0, length @ ..])
            if message.len() - PREFIX_BYTES == u32::from_be_bytes(*length) as usize =>
        {
            T::decode(message.slice(PREFIX_BYTES..))
                .map_err(|e| Status::internal(format!("protobuf: {e}")))
        }
        Some([1, ..]) => Err(Status::unimplemented(
            "the request is compressed: this server takes uncompressed messages",
        )),
        _ => Err(Status::internal("the request is not one whole gRPC message")),
    }
}

/// A small protobuf message with its gRPC prefix.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + message.encoded_len());
    bytes.push(0);
    bytes.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.into()
}
