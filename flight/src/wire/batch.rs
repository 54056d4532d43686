//! How does a batch become gRPC messages? Header and small buffers are copied, large buffers shared.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::DataType;
use arrow::downcast_primitive_array;
use barograph_engine::ErrorKind;
use bytes::{BufMut, Bytes};

use super::header::{Node, header_bytes, padded, write_header};
use super::pieces::{Pieces, SHARED_BYTES_MIN};
use crate::{Error, Result};

/// Tags of the fields of `FlightData`, and their lengths on the wire.
const HEADER_TAG: u8 = 0x12;
const METADATA_TAG: u8 = 0x1a;
const BODY_TAG: [u8; 2] = [0xc2, 0x3e];

const PADDING: [u8; 8] = [0; 8];

/// One buffer of the body.
enum Source<'a> {
    /// A part of a column's buffer, `offset` and `length` in bytes.
    Part { buffer: &'a Buffer, offset: usize, length: usize },
    /// Made for the message: bits or offsets that did not begin where the rows begin.
    Made(Buffer),
    /// A few bytes made for the message.
    Few([u8; 8], usize),
}

impl Source<'_> {
    const NONE: Self = Source::Few([0; 8], 0);

    fn len(&self) -> usize {
        match self {
            Self::Part { length, .. } => *length,
            Self::Made(buffer) => buffer.len(),
            Self::Few(_, length) => *length,
        }
    }
}

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
    let mut nodes = Vec::with_capacity(batch.num_columns());
    let mut sources = Vec::with_capacity(batch.num_columns() * 3);
    for column in batch.columns() {
        let nulls = validity(column, offset, length, &mut sources);
        nodes.push(Node { rows: length, nulls });
        values(column, offset, length, &mut sources)?;
    }
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

/// Adds the validity bits of a column's rows, none where no row is null, and counts the nulls.
fn validity(
    column: &ArrayRef,
    offset: usize,
    length: usize,
    sources: &mut Vec<Source<'_>>,
) -> usize {
    let rows = column.nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| {
        if offset == 0 && length == nulls.len() {
            nulls.clone()
        } else {
            nulls.slice(offset, length)
        }
    });
    match rows {
        Some(rows) if rows.null_count() > 0 => {
            sources.push(bits(&rows));
            rows.null_count()
        }
        _ => {
            sources.push(Source::NONE);
            0
        }
    }
}

fn bits(rows: &NullBuffer) -> Source<'static> {
    made_bits(rows.inner())
}

fn made_bits(bits: &BooleanBuffer) -> Source<'static> {
    if bits.len() <= 8 {
        let byte = bits.iter().enumerate().fold(0, |byte, (i, set)| byte | (u8::from(set) << i));
        return Source::Few([byte, 0, 0, 0, 0, 0, 0, 0], bits.len().div_ceil(8));
    }
    let buffer = bits.sliced();
    let length = bits.len().div_ceil(8);
    Source::Made(buffer.slice_with_length(0, length))
}

/// Adds the buffers of a column's values.
fn values<'a>(
    column: &'a ArrayRef,
    offset: usize,
    length: usize,
    sources: &mut Vec<Source<'a>>,
) -> Result<()> {
    let array = column.as_ref();
    downcast_primitive_array!(
        array => {
            let width = array.data_type().primitive_width().unwrap_or_default();
            let buffer = array.values().inner();
            sources.push(Source::Part { buffer, offset: offset * width, length: length * width });
        },
        DataType::Utf8 => {
            let text = array.as_string::<i32>();
            bytes_of(text.value_offsets(), text.values(), offset, length, sources);
        }
        DataType::Boolean => {
            sources.push(made_bits(&array.as_boolean().values().slice(offset, length)));
        }
        other => return Err(unsent(other)),
    );
    Ok(())
}

/// Adds the offsets of text, counted from the first row sent, and the text.
fn bytes_of<'a>(
    offsets: &'a [i32],
    text: &'a Buffer,
    offset: usize,
    length: usize,
    sources: &mut Vec<Source<'a>>,
) {
    let rows = offsets.get(offset..=offset + length).unwrap_or(&[0]);
    let (first, last) = match rows {
        [first, .., last] => (*first, *last),
        [only] => (*only, *only),
        [] => (0, 0),
    };
    if length <= 1 {
        let mut few = [0; 8];
        few[4..].copy_from_slice(&(last - first).to_le_bytes());
        sources.push(Source::Few(few, 4 * (length + 1)));
    } else {
        let counted: Vec<i32> = rows.iter().map(|end| end - first).collect();
        sources.push(Source::Made(Buffer::from_vec(counted)));
    }
    sources.push(Source::Part {
        buffer: text,
        offset: first as usize,
        length: (last - first) as usize,
    });
}

/// Bytes that the values and validity bits of some rows take in a body, within a few bytes a column.
fn body_estimate(batch: &RecordBatch, offset: usize, length: usize) -> Result<usize> {
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += match column.data_type() {
            DataType::Utf8 => {
                let offsets = column.as_string::<i32>().value_offsets();
                match offsets.get(offset..=offset + length) {
                    Some([first, .., last]) => (last - first) as usize + 4 * (length + 1),
                    _ => 0,
                }
            }
            DataType::Boolean => length.div_ceil(8),
            other => length * other.primitive_width().ok_or_else(|| unsent(other))?,
        };
        if column.null_count() > 0 {
            bytes += length.div_ceil(8);
        }
    }
    Ok(bytes)
}

fn unsent(data_type: &DataType) -> Error {
    Error::new(ErrorKind::Internal, format!("a column of type {data_type} cannot be sent"))
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
