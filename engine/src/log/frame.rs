//! The frame of a group: the byte layout of the records of one append.
//!
//! ```text
//! group   = magic u32 │ crc u32 │ position u64 │ payload u32 │ count u32 │ record × count │ 0 × 0…7
//!                          over ▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔▔
//! record  = bytes u32 │ crc u32 │ position u64 │ ingested_at i64 │ rows u32 │ table u16 │ source u16
//!           │ table name │ source │ body
//! ```
//! Numbers are little-endian, checksums CRC-32C (Castagnoli, RFC 3720 appendix B.4). A record's `bytes`
//! counts its header; its checksum covers all of it but the checksum. Groups begin at multiples of 8, and
//! each names its own position, so that bytes that came from elsewhere never pass for a group.

use std::io::IoSlice;
use std::sync::Arc;

use barograph_lake::{LogPosition, Timestamp};
use bytes::Bytes;

use super::Record;
use crate::{Error, Result};

/// Groups begin at multiples of this.
pub(super) const ALIGNMENT: u64 = 8;
/// Bytes before a group's first record.
pub(super) const GROUP_HEADER: usize = 24;
/// Largest group.
pub(super) const GROUP_BYTES_MAX: u64 = 1 << 30;

const MAGIC: u32 = u32::from_le_bytes(*b"BGRP");
const RECORD_HEADER: usize = 32;
/// Bodies up to this size are copied beside their header: cheaper than one more slice to write.
const COPY_MAX: usize = 4096;
/// Buffer kept from one append to the next.
const KEEP_MAX: usize = 1 << 20;

/// Why bytes are not a group.
pub(super) type Flaw = &'static str;

/// One group ready to be written; reused to keep its buffer.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// Everything but the large bodies.
    small: Vec<u8>,
    /// Large bodies, each with the length of `small` that stands before it.
    large: Vec<(usize, Bytes)>,
    bytes: u64,
}

/// What a group says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub position: u64,
    pub payload: u32,
    pub count: u32,
}

/// A record inside the payload it was checked in.
#[derive(Debug)]
pub(super) struct RecordView<'a> {
    pub position: LogPosition,
    ingested_at: Timestamp,
    rows: u32,
    table: &'a str,
    source: &'a str,
    body: std::ops::Range<usize>,
}

impl Frame {
    /// Lays out `records` as the group at `position` and returns their positions.
    #[expect(clippy::indexing_slicing, reason = "the group begins with room for its header")]
    pub(super) fn encode(&mut self, position: u64, records: &[Record]) -> Vec<LogPosition> {
        self.clear();
        self.small.resize(GROUP_HEADER, 0);
        let mut offset = GROUP_HEADER as u64;
        let mut positions = Vec::with_capacity(records.len());
        for record in records {
            positions.push(LogPosition::new(position + offset));
            offset += self.push(position + offset, record);
        }
        let padding = offset.next_multiple_of(ALIGNMENT) - offset;
        self.small.resize(self.small.len() + padding as usize, 0);
        self.bytes = offset + padding;
        let mut header = [0; GROUP_HEADER];
        header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[8..16].copy_from_slice(&position.to_le_bytes());
        let payload = (self.bytes - GROUP_HEADER as u64) as u32;
        header[16..20].copy_from_slice(&payload.to_le_bytes());
        header[20..24].copy_from_slice(&(records.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        self.small[..GROUP_HEADER].copy_from_slice(&header);
        positions
    }

    #[expect(clippy::indexing_slicing, reason = "the record's header was just appended")]
    fn push(&mut self, position: u64, record: &Record) -> u64 {
        let bytes = record_bytes(record);
        let start = self.small.len();
        self.small.extend_from_slice(&(bytes as u32).to_le_bytes());
        self.small.extend_from_slice(&[0; 4]);
        self.small.extend_from_slice(&position.to_le_bytes());
        self.small.extend_from_slice(&record.ingested_at.as_micros().to_le_bytes());
        self.small.extend_from_slice(&record.rows.to_le_bytes());
        self.small.extend_from_slice(&(record.table.len() as u16).to_le_bytes());
        self.small.extend_from_slice(&(record.source.len() as u16).to_le_bytes());
        self.small.extend_from_slice(record.table.as_bytes());
        self.small.extend_from_slice(record.source.as_bytes());
        let crc = crc32c::crc32c(&self.small[start..start + 4]);
        let crc = crc32c::crc32c_append(crc, &self.small[start + 8..]);
        let crc = crc32c::crc32c_append(crc, &record.body);
        self.small[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        if record.body.len() <= COPY_MAX {
            self.small.extend_from_slice(&record.body);
        } else {
            self.large.push((self.small.len(), record.body.clone()));
        }
        bytes
    }

    /// Length of the group in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The group as slices to write one after the other.
    #[expect(
        clippy::indexing_slicing,
        reason = "large bodies stand in the order of where they belong among the small bytes"
    )]
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.large.len() + 1);
        let mut from = 0;
        for (at, body) in &self.large {
            slices.push(IoSlice::new(&self.small[from..*at]));
            slices.push(IoSlice::new(body));
            from = *at;
        }
        if from < self.small.len() {
            slices.push(IoSlice::new(&self.small[from..]));
        }
        slices
    }

    /// Lets go of the records.
    pub(super) fn clear(&mut self) {
        self.small.clear();
        self.small.shrink_to(KEEP_MAX);
        self.large.clear();
        self.bytes = 0;
    }
}

impl GroupHeader {
    /// Reads the header that should stand at `position`.
    pub(super) fn parse(bytes: &[u8; GROUP_HEADER], position: u64) -> Result<Self, Flaw> {
        if bytes == &[0; GROUP_HEADER] {
            return Err("zeros where a group should begin");
        }
        if u32_at(bytes, 0) != MAGIC {
            return Err("no group begins here");
        }
        if u32_at(bytes, 4) != crc32c::crc32c(&bytes[8..]) {
            return Err("the checksum of a group header is wrong");
        }
        let header = Self {
            position: u64_at(bytes, 8),
            payload: u32_at(bytes, 16),
            count: u32_at(bytes, 20),
        };
        if header.position != position {
            return Err("the group belongs to another position");
        }
        if !(header.position + u64::from(header.payload)).is_multiple_of(ALIGNMENT) {
            return Err("a group header contradicts itself");
        }
        Ok(header)
    }

    /// Position after the group.
    pub(super) fn end(&self) -> u64 {
        self.position + GROUP_HEADER as u64 + u64::from(self.payload)
    }

    /// Checks every byte of `payload` and returns its records.
    pub(super) fn records<'a>(&self, payload: &'a [u8]) -> Result<Vec<RecordView<'a>>, Flaw> {
        let mut views =
            Vec::with_capacity((self.count as usize).min(payload.len() / RECORD_HEADER));
        let mut at = 0;
        for _ in 0..self.count {
            let position = self.position + (GROUP_HEADER + at) as u64;
            let (view, bytes) = record_view(payload, at, position)?;
            views.push(view);
            at += bytes;
        }
        let padding = payload.get(at..).unwrap_or_default();
        if padding.len() >= ALIGNMENT as usize || padding.iter().any(|&byte| byte != 0) {
            return Err("a group holds bytes that belong to no record");
        }
        Ok(views)
    }
}

impl RecordView<'_> {
    /// The record, its body a slice of `payload`, which is what it was checked in.
    pub(super) fn record(&self, payload: &Bytes) -> Record {
        Record {
            table: Arc::from(self.table),
            source: self.source.to_owned(),
            ingested_at: self.ingested_at,
            rows: self.rows,
            body: payload.slice(self.body.clone()),
        }
    }
}

/// Refuses records that do not fit the layout or the bound `body_max` in bytes.
pub(super) fn check(records: &[Record], body_max: usize) -> Result<()> {
    for record in records {
        if record.body.len() > body_max {
            return Err(Error::request(format!(
                "a batch of {} bytes for table {:?} is larger than log.record_bytes_max, {body_max} \
                 bytes: split it or raise the setting",
                record.body.len(),
                record.table
            )));
        }
        let names = [("table name", record.table.len()), ("source", record.source.len())];
        for (what, length) in names {
            if length > usize::from(u16::MAX) {
                return Err(Error::request(format!(
                    "a {what} of {length} bytes is longer than the log keeps, 65535 bytes"
                )));
            }
        }
    }
    let bytes: u64 = records.iter().map(record_bytes).sum();
    if bytes > GROUP_BYTES_MAX {
        return Err(Error::request(format!(
            "{} batches of {bytes} bytes together are more than one write to the log may hold, \
             {GROUP_BYTES_MAX} bytes: send fewer at once",
            records.len()
        )));
    }
    Ok(())
}

/// Bytes `record` takes in a group.
pub(super) fn record_bytes(record: &Record) -> u64 {
    (RECORD_HEADER + record.table.len() + record.source.len() + record.body.len()) as u64
}

fn record_view(payload: &[u8], at: usize, position: u64) -> Result<(RecordView<'_>, usize), Flaw> {
    const SHORT: Flaw = "a record is longer than its group";
    let rest = payload.get(at..).unwrap_or_default();
    if rest.len() < RECORD_HEADER {
        return Err(SHORT);
    }
    let bytes = u32_at(rest, 0) as usize;
    let record = rest.get(..bytes).ok_or(SHORT)?;
    let (header, names) =
        record.split_first_chunk::<RECORD_HEADER>().ok_or("a record is shorter than its header")?;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..4]), &header[8..]);
    let crc = crc32c::crc32c_append(crc, names);
    if crc != u32_at(record, 4) {
        return Err("the checksum of a record is wrong");
    }
    if u64_at(record, 8) != position {
        return Err("a record belongs to another position");
    }
    let table = usize::from(u16_at(record, 28));
    let source = usize::from(u16_at(record, 30));
    let text = |range| names.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let (Some(table), Some(source)) = (text(0..table), text(table..table + source)) else {
        return Err("the names in a record are not text");
    };
    let body = at + RECORD_HEADER + table.len() + source.len();
    let view = RecordView {
        position: LogPosition::new(position),
        ingested_at: Timestamp::from_micros(u64_at(record, 16) as i64),
        rows: u32_at(record, 24),
        table,
        source,
        body: body..at + bytes,
    };
    Ok((view, bytes))
}

/// The number at `at`; zero past the end, which callers exclude by checking lengths first.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    u64::from_le_bytes(found.unwrap_or_default())
}

/// As [`u64_at`].
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_le_bytes(found.unwrap_or_default())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    u16::from_le_bytes(found.unwrap_or_default())
}
