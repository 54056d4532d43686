//! The repetition of tail rows at the end of the log, so that the space before can be given back.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::max;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::ipc::writer::StreamWriter;
use barograph_lake::{Hour, KeySelection, LogPosition, TimeRange, Timestamp};
use tokio::sync::oneshot;

use super::State;
use crate::log::Record;
use crate::table::Table;
use crate::{Error, Result};

/// Some rows of an hour, to be written to the log again. Only who lands may ask for it, and not while the hour
/// lands: what is written again must not have landed.
#[derive(Debug)]
pub(crate) struct Relog {
    pub(crate) table: Arc<Table>,
    pub(crate) hour: Hour,
    /// The keys whose rows are written. Those of one hour are asked for one after another, all keys in the end.
    pub(crate) keys: KeySelection,
    /// What the first of them was answered.
    pub(crate) first: Option<LogPosition>,
    /// Whether these are the last: the rows then stand where they were written.
    pub(crate) last: bool,
    /// The position of the first rows that were written of the hour.
    pub(crate) reply: oneshot::Sender<Result<LogPosition>>,
}

impl State {
    /// Writes rows again as they are at this moment: nothing is put between reading and writing them.
    pub(super) fn relog(&mut self, asked: Relog) {
        let Relog { table, hour, keys, first, last, reply } = asked;
        let done = self.again(&table, hour, &keys, first, last);
        let _ = reply.send(done);
    }

    fn again(
        &mut self,
        table: &Arc<Table>,
        hour: Hour,
        keys: &KeySelection,
        first: Option<LogPosition>,
        last: bool,
    ) -> Result<LogPosition> {
        let name = table.schema.name();
        let begin = self.log.end();
        let columns: Vec<_> = (0..table.schema.arrow().fields().len()).collect();
        let view = self.tails.get(name).map(|tail| tail.view());
        let rows = match view.as_ref().and_then(|view| view.hour(hour)) {
            Some(hour) => hour.read(keys, TimeRange::ALL, &columns)?,
            None => return Ok(first.unwrap_or(begin)),
        };
        let mut through = begin;
        if rows.num_rows() > 0 {
            let positions = self.log.append(&[record(name, &rows)?], last)?;
            through = positions.last().copied().unwrap_or(begin);
            self.gauge.rows_again(rows.num_rows() as u64);
            self.measure();
        } else if last {
            self.log.sync()?;
        }
        let first = first.unwrap_or(begin);
        if last {
            if let Some(tail) = self.tails.get_mut(name) {
                tail.moved(hour, first, through);
            }
            let snapshot = Arc::clone(&table.view.load().snapshot);
            self.publish(name, table, snapshot);
            self.give_back();
        }
        Ok(first)
    }
}

/// Rows with the instants at which they came, which each row keeps.
fn record(table: &str, rows: &RecordBatch) -> Result<Record> {
    let ingested =
        rows.columns().last().and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let ingested =
        ingested.ok_or_else(|| Error::internal("rows of the tail without their instant"))?;
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref())?;
    writer.write(rows)?;
    Ok(Record {
        table: table.into(),
        source: String::new(),
        ingested_at: max(ingested).map_or(Timestamp::MIN, Timestamp::from_micros),
        rows: rows.num_rows() as u32,
        body: writer.into_inner()?.into(),
    })
}
