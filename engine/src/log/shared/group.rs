//! The group of a shared log: the byte layout of an object of `_log/groups`, and what it says.
//!
//! ```text
//! object = head │ group as in a segment file, which begins at the object's position + the head's bytes
//! head   = "BSHG" │ crc u32 │ bytes u32 │ version u32 │ position u64 │ end u64 │ written_at i64 │ previous u32
//!          │ batches u32 │ writer [16] │ address text │ batch × batches │ 0 × 0…7
//! batch  = id [16] │ records u32 │ kind u8 │ origin u8 │ (source text │ partition u32 │ first u64 │ next u64) × origin
//! text   = bytes u16 │ UTF-8
//! ```
//! Numbers are little-endian, checksums CRC-32C. `crc` covers the head behind it; `previous` is the checksum of the
//! whole object before. `end` is the position of the next object: that of this one's last byte, or more if positions
//! are left out. The records of a group belong to its batches in their order. The rules for readers stand in
//! `docs/adr/0033-shared-log.md`.

use bytes::Bytes;

use super::super::batch::{BatchId, Origin};
use super::super::frame::{ALIGNMENT, Flaw, Frame, GROUP_HEADER, GroupHeader};
use super::cursor::{Cursor, put_text};
use crate::log::Record;
use barograph_lake::{LogPosition, Timestamp};

const MAGIC: &[u8; 4] = b"BSHG";
const VERSION: u32 = 1;
/// Bytes of a head before its checksummed part.
const CHECKSUMMED_FROM: usize = 8;
/// From here on a reader passes over kinds that it does not know.
const IGNORABLE: u8 = 128;

/// A process that appends, for as long as it lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Writer {
    /// Random, made at its start.
    pub id: [u8; 16],
    /// Where other processes reach it; empty if they cannot.
    pub address: String,
}

/// What a batch in a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows of tables.
    Rows,
    /// The state of the log before the group.
    Checkpoint,
    /// Versions of tables: each record names a table, its body the version (u64), and its source is `awaited` if an answer
    /// for a later position has to show the version.
    Notices,
    /// Something that a later version writes and this one may pass over.
    Ignored(u8),
}

/// A batch with its records and their positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedBatch {
    pub id: BatchId,
    pub kind: Kind,
    pub origin: Option<Origin>,
    pub records: Vec<(LogPosition, Record)>,
}

/// A group to be written.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub position: u64,
    /// The next position is at least this.
    pub end_min: u64,
    pub writer: &'a Writer,
    pub written_at: Timestamp,
    pub previous: u32,
    pub batches: &'a [DraftBatch<'a>],
}

/// A batch to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftBatch<'a> {
    pub id: BatchId,
    pub kind: Kind,
    pub origin: Option<&'a Origin>,
    pub records: &'a [Record],
}

/// A group that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub position: u64,
    pub end: u64,
    pub bytes: u64,
    /// Checksum of the whole object.
    pub crc: u32,
    /// That of the object before.
    pub previous: u32,
    pub writer: Writer,
    pub written_at: Timestamp,
    pub batches: Vec<LoggedBatch>,
}

/// The bytes of a group's object.
pub(super) fn encode(draft: &Draft<'_>) -> Bytes {
    let mut head = head(draft);
    let frame_at = draft.position + head.len() as u64;
    let records: Vec<Record> =
        draft.batches.iter().flat_map(|batch| batch.records).cloned().collect();
    let mut frame = Frame::default();
    frame.encode(frame_at, &records);
    let end = (frame_at + frame.bytes()).max(draft.end_min.next_multiple_of(ALIGNMENT));
    finish(&mut head, end);
    head.reserve(frame.bytes() as usize);
    for slice in frame.slices() {
        head.extend_from_slice(&slice);
    }
    head.into()
}

/// The head without what is known once the records are laid out.
fn head(draft: &Draft<'_>) -> Vec<u8> {
    let mut head = Vec::with_capacity(128 + 64 * draft.batches.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&[0; 8]);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&draft.position.to_le_bytes());
    head.extend_from_slice(&[0; 8]);
    head.extend_from_slice(&draft.written_at.as_micros().to_le_bytes());
    head.extend_from_slice(&draft.previous.to_le_bytes());
    head.extend_from_slice(&(draft.batches.len() as u32).to_le_bytes());
    head.extend_from_slice(&draft.writer.id);
    put_text(&mut head, &draft.writer.address);
    for batch in draft.batches {
        head.extend_from_slice(&batch.id.bytes());
        head.extend_from_slice(&(batch.records.len() as u32).to_le_bytes());
        head.push(batch.kind.number());
        head.push(u8::from(batch.origin.is_some()));
        if let Some(origin) = batch.origin {
            put_text(&mut head, &origin.source);
            head.extend_from_slice(&origin.partition.to_le_bytes());
            head.extend_from_slice(&origin.first.to_le_bytes());
            head.extend_from_slice(&origin.next.to_le_bytes());
        }
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
    head
}

#[expect(clippy::indexing_slicing, reason = "a head begins with these fields")]
fn finish(head: &mut [u8], end: u64) {
    let bytes = head.len() as u32;
    head[8..12].copy_from_slice(&bytes.to_le_bytes());
    head[24..32].copy_from_slice(&end.to_le_bytes());
    let crc = crc32c::crc32c(&head[CHECKSUMMED_FROM..]);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
}

impl Group {
    /// Reads the object that should stand at `position`, and checks every byte of it.
    pub(super) fn decode(position: u64, object: &Bytes) -> Result<Self, Flaw> {
        const SHORT: Flaw = "a group ends inside its head";
        let mut cursor = Cursor(object);
        if cursor.array().as_ref() != Some(MAGIC) {
            return Err("no group of a shared log");
        }
        let crc = cursor.u32().ok_or(SHORT)?;
        let bytes = cursor.u32().ok_or(SHORT)? as usize;
        let checked = object.get(CHECKSUMMED_FROM..bytes).ok_or(SHORT)?;
        if crc != crc32c::crc32c(checked) {
            return Err("the checksum of a group's head is wrong");
        }
        if cursor.u32() != Some(VERSION) {
            return Err("a group of a later version: it takes a newer program");
        }
        let frame = object.slice(bytes..);
        Self::parse(position, checked.get(8..).ok_or(SHORT)?, object, frame).ok_or(SHORT)?
    }

    /// Reads the head behind its version.
    fn parse(
        position: u64,
        head: &[u8],
        object: &Bytes,
        frame: Bytes,
    ) -> Option<Result<Self, Flaw>> {
        let mut cursor = Cursor(head);
        let (named, end) = (cursor.u64()?, cursor.u64()?);
        let (written_at, previous) = (cursor.instant()?, cursor.u32()?);
        let count = cursor.u32()?;
        let writer = Writer { id: cursor.array()?, address: cursor.text()?.to_owned() };
        if named != position {
            return Some(Err("a group belongs to another position"));
        }
        let bytes = object.len() as u64;
        if end < position + bytes || !end.is_multiple_of(ALIGNMENT) {
            return Some(Err("a group's head contradicts itself"));
        }
        let frame_at = position + bytes - frame.len() as u64;
        let mut records = match records(frame_at, &frame) {
            Ok(records) => records.into_iter(),
            Err(flaw) => return Some(Err(flaw)),
        };
        let mut batches = Vec::new();
        for _ in 0..count {
            let (id, length) = (BatchId::of(cursor.array()?), cursor.u32()? as usize);
            let (kind, has_origin) = (cursor.u8()?, cursor.u8()?);
            let origin = if has_origin == 0 { None } else { Some(origin(&mut cursor)?) };
            let records: Vec<_> = records.by_ref().take(length).collect();
            if records.len() < length {
                return Some(Err("a group has fewer records than its batches"));
            }
            match Kind::of(kind) {
                Some(kind) => batches.push(LoggedBatch { id, kind, origin, records }),
                None => return Some(Err("a batch of an unknown kind: it takes a newer program")),
            }
        }
        if records.next().is_some() {
            return Some(Err("a group has more records than its batches"));
        }
        let crc = crc32c::crc32c(object);
        Some(Ok(Self { position, end, bytes, crc, previous, writer, written_at, batches }))
    }
}

fn origin(cursor: &mut Cursor<'_>) -> Option<Origin> {
    let source = cursor.text()?.into();
    Some(Origin { source, partition: cursor.u32()?, first: cursor.u64()?, next: cursor.u64()? })
}

/// The records of the framed group, whose bytes are all of `frame`.
fn records(position: u64, frame: &Bytes) -> Result<Vec<(LogPosition, Record)>, Flaw> {
    const SHORT: Flaw = "a group ends inside its records";
    let header = frame.first_chunk::<GROUP_HEADER>().ok_or(SHORT)?;
    let header = GroupHeader::parse(header, position)?;
    if header.end() != position + frame.len() as u64 {
        return Err(SHORT);
    }
    let payload = frame.slice(GROUP_HEADER..);
    let views = header.records(&payload)?;
    Ok(views.iter().map(|view| (view.position, view.record(&payload))).collect())
}

impl Kind {
    fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Rows),
            1 => Some(Self::Checkpoint),
            IGNORABLE => Some(Self::Notices),
            number if number >= IGNORABLE => Some(Self::Ignored(number)),
            _ => None,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Rows => 0,
            Self::Checkpoint => 1,
            Self::Notices => IGNORABLE,
            Self::Ignored(number) => number,
        }
    }
}
