//! The header of an Arrow IPC record batch: a flatbuffer of a fixed shape, written here without a builder, because its
//! length depends on the numbers of columns and buffers alone.
//!
//! ```text
//!    0 root ──► 16        4 vtable of Message { version, header_type, header, body_length }
//!   16 Message:           soffset, header ──► 48, body_length, version = V5, header_type = RecordBatch
//!   36 vtable of RecordBatch { length, nodes, buffers }
//!   48 RecordBatch:       soffset, nodes ──► 68, length, buffers ──► 76 + 16 n
//!   68 nodes:             n, then n × { length, null_count }
//!   76 + 16 n buffers:    b, then b × { offset, length }
//! ```
//!
//! Format: `Message.fbs` and `Schema.fbs` of Apache Arrow, format version 1.0 (metadata V5).

use bytes::{BufMut, BytesMut};

/// Bytes of a header for `columns` columns that have `buffers` buffers in all; a multiple of 8.
pub(super) const fn header_bytes(columns: usize, buffers: usize) -> usize {
    80 + 16 * columns + 16 * buffers
}

/// What the header says of one column: its rows and its nulls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) rows: usize,
    pub(super) nulls: usize,
}

/// Alignment of buffers in the body.
pub(super) const ALIGNMENT: usize = 8;

/// `bytes` rounded up to the alignment.
pub(super) const fn padded(bytes: usize) -> usize {
    bytes.div_ceil(ALIGNMENT) * ALIGNMENT
}

/// Appends the header of a record batch of `rows` rows. `lengths` are those of the body's buffers, which
/// stand in the body one after another, each padded.
pub(super) fn write_header(
    out: &mut BytesMut,
    rows: usize,
    body_bytes: usize,
    nodes: impl ExactSizeIterator<Item = Node>,
    lengths: impl ExactSizeIterator<Item = usize>,
) {
    const V5: i16 = 4;
    const RECORD_BATCH: u8 = 3;
    let (columns, buffers) = (nodes.len(), lengths.len());
    out.put_u32_le(16);
    // Vtable of Message: its length, the table's length, and where each field stands in the table.
    for entry in [12_u16, 20, 16, 18, 4, 8] {
        out.put_u16_le(entry);
    }
    out.put_i32_le(12);
    out.put_u32_le(28);
    out.put_i64_le(body_bytes as i64);
    out.put_i16_le(V5);
    out.put_u8(RECORD_BATCH);
    out.put_u8(0);
    // Vtable of RecordBatch, padded to 8.
    for entry in [10_u16, 20, 8, 4, 16, 0] {
        out.put_u16_le(entry);
    }
    out.put_i32_le(12);
    out.put_u32_le(16);
    out.put_i64_le(rows as i64);
    out.put_u32_le(12 + 16 * columns as u32);
    out.put_u32_le(columns as u32);
    for node in nodes {
        out.put_i64_le(node.rows as i64);
        out.put_i64_le(node.nulls as i64);
    }
    out.put_u32_le(0);
    out.put_u32_le(buffers as u32);
    let mut offset = 0;
    for length in lengths {
        out.put_i64_le(offset as i64);
        out.put_i64_le(length as i64);
        offset += padded(length);
    }
}
