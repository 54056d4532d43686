//! The clients of the model: batches under ids, sent again until they are acknowledged, and sources with offsets, which
//! several processes read at once.

use barograph_lake::Timestamp;
use rand::Rng;
use rand::rngs::SmallRng;

use crate::log::Record;
use crate::log::batch::{Batch, BatchId, Origin};

/// A batch that a client wants in the log.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub id: BatchId,
    pub origin: Option<Origin>,
    records: usize,
    /// It, or for a source what it holds, is in the log as far as the client knows.
    pub is_acknowledged: bool,
}

/// Rows of a source in a batch.
const ROWS: u64 = 10;

impl Wanted {
    pub(super) fn new(rng: &mut SmallRng, number: u128) -> Self {
        let records = rng.random_range(1..4);
        Self {
            id: BatchId::of((number + 1).to_be_bytes()),
            origin: None,
            records,
            is_acknowledged: false,
        }
    }

    /// The part of a source from an offset on.
    pub(super) fn of_source(rng: &mut SmallRng, number: u128, source: &str, first: u64) -> Self {
        let origin = Origin { source: source.into(), partition: 0, first, next: first + ROWS };
        Self { origin: Some(origin), ..Self::new(rng, number) }
    }

    /// The batch as a process gives it to the log.
    pub(super) fn batch(&self, ingested_at: Timestamp) -> Batch {
        let record = |n: usize| Record {
            table: "readings".into(),
            source: String::new(),
            ingested_at,
            rows: n as u32,
            body: self.id.bytes().repeat(n).into(),
        };
        Batch {
            id: self.id,
            origin: self.origin.clone(),
            records: (0..self.records).map(record).collect(),
        }
    }
}
