//! The rebuilding of the tails from a log that was read anew, since its floor has passed what this process knew: a
//! process that slept for hours goes on, and its readers go from one whole view to the next.
//!
//! ```text
//! log read anew: records from the floor on ─┐
//! newest snapshots, what has landed in them ┴► new tails ─► views, one after another ─► puts are taken again
//! ```

use std::sync::Arc;

use barograph_lake::Snapshot;
use tokio::sync::oneshot;

use super::State;
use crate::logged::LandedThrough;
use crate::table::Table;
use crate::tail::Tail;
use crate::{Error, ErrorKind, Result};

/// A table's newest snapshot, loaded after the log was read.
#[derive(Debug)]
pub(crate) struct RebuiltTable {
    pub(crate) table: Arc<Table>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) through: LandedThrough,
}

/// The tables of a rebuilding, all that there are.
#[derive(Debug)]
pub(super) struct Rebuild {
    pub(super) tables: Vec<RebuiltTable>,
    pub(super) reply: oneshot::Sender<Result<()>>,
}

impl State {
    /// Reads the log anew. Until [`Self::rebuild`] the views stay as they are, and nothing is put.
    pub(super) fn read_anew(&mut self) -> Result<()> {
        self.awaits_tails = true;
        let read = self.log.read_anew();
        self.measure();
        read
    }

    /// An error given back poisons the writer.
    pub(super) fn rebuild(&mut self, rebuild: Rebuild) -> Option<Error> {
        let Rebuild { tables, reply } = rebuild;
        if self.log.is_passed() || !self.awaits_tails {
            let _ = reply.send(Err(self.not_read()));
            return None;
        }
        for RebuiltTable { table, through, .. } in &tables {
            let name = table.schema.name();
            let mut tail = Tail::new(Arc::clone(&table.schema), Arc::clone(&self.budget));
            tail.keep_positions();
            self.tails.insert(name.to_owned(), tail);
            self.landed.insert(name.to_owned(), through.clone());
        }
        let shown = self.show();
        if let Err(error) = shown {
            let _ = reply.send(Err(error.again()));
            return Some(error);
        }
        for RebuiltTable { table, snapshot, .. } in tables {
            self.publish(table.schema.name(), &table, snapshot);
        }
        self.gauge.swapped();
        self.awaits_tails = false;
        self.gauge.count_read_anew();
        self.measure();
        self.gauge.applied(self.log.end(), None);
        let _ = reply.send(Ok(()));
        None
    }

    /// Why nothing is put or followed while the log is read anew.
    pub(super) fn not_read(&self) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            "this process reads the log anew, of which it was too far behind: send the batch again under its id",
        )
    }
}
