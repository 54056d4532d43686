//! A group that is being put: its bytes, which stay the same until it is decided, and the batches it is for.

use std::sync::Arc;

use barograph_lake::{LogPosition, TableVersion, Timestamp};
use bytes::Bytes;

use super::super::batch::{BatchId, Notice, Placement};
use super::group::{Draft, DraftBatch, Group, Kind, Writer, encode};
use super::message::Append;
use super::state::{State, Verdict};
use crate::log::Record;

/// The source of a notice's record, if answers behind it have to show its version.
const AWAITED: &str = "awaited";

/// See the module.
#[derive(Debug)]
pub(super) struct InFlight {
    pub object: Bytes,
    /// Nobody waits for it any more.
    pub abandoned: bool,
    /// For each batch of the append: the outcome, if it was known before, or `None` if it is in the group.
    known: Vec<Option<Placement>>,
}

impl InFlight {
    /// The group of an append at the end of `state`, with a checkpoint if one `is_due`.
    ///
    /// # Errors
    /// All batches are in the log already: their outcomes.
    pub(super) fn new(
        append: Append,
        state: &State,
        writer: &Writer,
        now: Timestamp,
        is_due: bool,
    ) -> Result<Self, Vec<Placement>> {
        let known: Vec<_> = append
            .batches
            .iter()
            .map(|batch| match state.judge(batch.id, batch.origin.as_ref()) {
                Verdict::Counts => None,
                Verdict::Duplicate(place) => Some(Placement::Duplicate(place)),
                Verdict::Stale { next } => Some(Placement::Stale { next }),
            })
            .collect();
        if !known.is_empty() && known.iter().all(Option::is_some) {
            return Err(known.into_iter().flatten().collect());
        }
        let checkpoint = [checkpoint_record(state)];
        let notices: Vec<Record> =
            append.notices.iter().map(|notice| notice_record(state, notice)).collect();
        let mut batches = Vec::with_capacity(append.batches.len() + 2);
        if is_due {
            let id = BatchId::of([0; 16]);
            let kind = Kind::Checkpoint;
            batches.push(DraftBatch { id, kind, origin: None, records: &checkpoint });
        }
        let new = append.batches.iter().zip(&known).filter(|(_, known)| known.is_none());
        batches.extend(new.map(|(batch, _)| DraftBatch {
            id: batch.id,
            kind: Kind::Rows,
            origin: batch.origin.as_ref(),
            records: &batch.records,
        }));
        if !notices.is_empty() {
            let id = BatchId::of([0; 16]);
            batches.push(DraftBatch { id, kind: Kind::Notices, origin: None, records: &notices });
        }
        let object = encode(&Draft {
            position: state.end(),
            end_min: append.end_min,
            writer,
            written_at: now,
            previous: state.tip(),
            batches: &batches,
        });
        Ok(Self { object, abandoned: false, known })
    }

    /// The outcome for each batch of the append, as `group` holds the new ones, of which `verdicts` were given.
    pub(super) fn placements(self, group: &Group, verdicts: &[Verdict]) -> Vec<Placement> {
        let rows = group.batches.iter().zip(verdicts).filter(|(batch, _)| batch.kind == Kind::Rows);
        let mut rows = rows.map(|(batch, verdict)| match *verdict {
            Verdict::Counts => Placement::Appended(
                batch.records.iter().map(|(position, _)| *position).collect::<Vec<LogPosition>>(),
            ),
            Verdict::Duplicate(place) => Placement::Duplicate(place),
            Verdict::Stale { next } => Placement::Stale { next },
        });
        self.known.into_iter().filter_map(|known| known.or_else(|| rows.next())).collect()
    }
}

/// A notice as a record; [`Notice::read`] is its inverse.
fn notice_record(state: &State, notice: &Notice) -> Record {
    Record {
        table: Arc::clone(&notice.table),
        source: if notice.is_awaited { AWAITED } else { "" }.to_owned(),
        ingested_at: state.ingested_at(),
        rows: 0,
        body: Bytes::copy_from_slice(&notice.version.get().to_le_bytes()),
    }
}

impl Notice {
    /// The notice that a record is; `None` if it is none that can be read.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let version = u64::from_le_bytes(record.body.as_ref().try_into().ok()?);
        Some(Self {
            table: Arc::clone(&record.table),
            version: TableVersion::new(version),
            is_awaited: record.source == AWAITED,
        })
    }
}

fn checkpoint_record(state: &State) -> Record {
    Record {
        table: "".into(),
        source: String::new(),
        ingested_at: state.ingested_at(),
        rows: 0,
        body: state.checkpoint(),
    }
}
