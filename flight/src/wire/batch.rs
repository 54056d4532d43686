//! The encoder of batches as gRPC messages: header and small buffers are copied, large buffers shared.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use barograph_engine::ErrorKind;
use bytes::{BufMut, Bytes};

use super::columns::{Columns, Source, estimate};
use super::header::{header_bytes, padded, write_header};
use super::pieces::{Pieces, SHARED_BYTES_MIN};
use crate::{Error, Result};

/// Tags of the fields of `FlightData`, and their lengths on the wire.
const HEADER_TAG: u8 = 0x12;
const METADATA_TAG: u8 = 0x1a;
const BODY_TAG: [u8; 2] = [0xc2, 0x3e];

const PADDING: [u8; 8] = [0; 8];

/// Cuts batches into messages of about `message_bytes`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchEncoder {
    /// Size that messages are cut to.
    pub(crate) message_bytes: usize,
}

impl BatchEncoder {
    /// Bytes that a batch takes in one message, within a few bytes a column.
    pub(crate) fn estimate(batch: &RecordBatch) -> Result<usize> {
        body_estimate(batch, 0, batch.num_rows())
    }

    /// Appends `batch` as one or more messages. A batch without rows is no message.
    pub(crate) fn encode(self, out: &mut Pieces, batch: &RecordBatch) -> Result<()> {
        self.encode_range(out, batch, 0, batch.num_rows())
    }

    fn encode_range(
        self,
        out: &mut Pieces,
        batch: &RecordBatch,
        offset: usize,
        length: usize,
    ) -> Result<()> {
        let bytes = body_estimate(batch, offset, length)?;
        let parts = bytes.div_ceil(self.message_bytes.max(1)).max(1);
        if parts == 1 || length <= 1 {
            return if length == 0 { Ok(()) } else { encode_rows(out, batch, offset, length, &[]) };
        }
        let step = length.div_ceil(parts).max(1);
        let mut start = offset;
        while start < offset + length {
            let rows = step.min(offset + length - start);
            // Text may lie unevenly: a part can still be too large.
            self.encode_range(out, batch, start, rows)?;
            start += rows;
        }
        Ok(())
    }
}

/// Appends rows `offset..offset + length` of `batch` as one message, which may have no rows.
pub(crate) fn encode_rows(
    out: &mut Pieces,
    batch: &RecordBatch,
    offset: usize,
    length: usize,
    app_metadata: &[u8],
) -> Result<()> {
    let mut columns = Columns::with_capacity(batch.num_columns());
    for column in batch.columns() {
        columns.add(column, offset, length)?;
    }
    let Columns { nodes, sources } = columns;
    let body: usize = sources.iter().map(|source| padded(source.len())).sum();
    let header = header_bytes(nodes.len(), sources.len());
    let mut message =
        1 + varint_bytes(header) + header + BODY_TAG.len() + varint_bytes(body) + body;
    if !app_metadata.is_empty() {
        message += 1 + varint_bytes(app_metadata.len()) + app_metadata.len();
    }
    let message = u32::try_from(message).map_err(|_| {
        Error::new(ErrorKind::Internal, format!("a message of {message} bytes is too large"))
    })?;

    let open = out.open();
    open.reserve(header + app_metadata.len() + 32 + body.min(SHARED_BYTES_MIN));
    open.put_u8(0);
    open.put_u32(message);
    open.put_u8(HEADER_TAG);
    put_varint(open, header);
    write_header(open, length, body, nodes.into_iter(), sources.iter().map(Source::len));
    if !app_metadata.is_empty() {
        open.put_u8(METADATA_TAG);
        put_varint(open, app_metadata.len());
        open.put_slice(app_metadata);
    }
    open.put_slice(&BODY_TAG);
    put_varint(open, body);
    for source in sources {
        let length = source.len();
        match source {
            Source::Part { buffer, offset, length } if length >= SHARED_BYTES_MIN => {
                out.share(Bytes::from_owner(Shared(buffer.slice_with_length(offset, length))));
            }
            Source::Part { buffer, offset, length } => {
                out.copy(buffer.as_slice().get(offset..offset + length).unwrap_or_default());
            }
            Source::Made(buffer) if length >= SHARED_BYTES_MIN => {
                out.share(Bytes::from_owner(Shared(buffer)));
            }
            Source::Made(buffer) => out.copy(buffer.as_slice()),
            Source::Few(bytes, length) => out.copy(bytes.get(..length).unwrap_or_default()),
        }
        out.copy(PADDING.get(..padded(length) - length).unwrap_or_default());
    }
    Ok(())
}

/// A column's buffer as the owner of the bytes sent.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Bytes that some rows take in a body, within a few bytes a column.
fn body_estimate(batch: &RecordBatch, offset: usize, length: usize) -> Result<usize> {
    batch.columns().iter().map(|column| estimate(column, offset, length)).sum()
}

/// Bytes of `value` as a protobuf varint.
fn varint_bytes(value: usize) -> usize {
    prost::length_delimiter_len(value)
}

fn put_varint(out: &mut impl BufMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
