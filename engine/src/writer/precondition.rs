//! The precondition of a conditional put: the rows that were read before it, and whether they are still the same.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Hour, Key, KeySelection, Span, TimeRange, Timestamp};
use hashbrown::{HashMap, HashSet};

use crate::Result;
use crate::table::Table;
use crate::tail::HourView;
use crate::validate::key_at;
use crate::view::View;

/// Rows of a table as a view shows them.
#[derive(Debug)]
pub(crate) struct Precondition {
    pub(crate) table: Arc<Table>,
    pub(crate) view: Arc<View>,
    /// Keys and instants of the rows, by their hours.
    pub(crate) rows: HashMap<Hour, HashSet<(Key, Timestamp)>>,
}

impl Precondition {
    /// Whether none of the rows was put since. Asked by the writer, which alone changes views.
    pub(super) fn is_unchanged(&self) -> Result<bool> {
        let now = self.table.view.load();
        // What has landed since is no longer in the tail.
        if !Arc::ptr_eq(&now.snapshot, &self.view.snapshot) {
            return Ok(false);
        }
        for (&hour, rows) in &self.rows {
            let (before, now) = (self.view.tail.hour(hour), now.tail.hour(hour));
            if before.map(HourView::rows) != now.map(HourView::rows)
                && self.accepted(before, rows)? != self.accepted(now, rows)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// When each of the rows that an hour of the tail holds was accepted.
    fn accepted(
        &self,
        hour: Option<&HourView>,
        rows: &HashSet<(Key, Timestamp)>,
    ) -> Result<HashMap<(Key, Timestamp), Timestamp>> {
        let Some(hour) = hour else { return Ok(HashMap::new()) };
        let keys = KeySelection::list(rows.iter().map(|row| row.0));
        let start = hour.hour().start();
        let time = TimeRange { from: start, to: start + Span::HOUR };
        let columns = [KEY_COLUMN, TIME_COLUMN, self.table.schema.ingested_at()];
        let held = hour.read(&keys, time, &columns)?;
        let times = held.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        let accepted = held.column(2).as_primitive::<TimestampMicrosecondType>();
        let of = |row| {
            let [time, accepted] =
                [times, accepted].map(|column| Timestamp::from_micros(column.value(row)));
            ((key_at(held.column(KEY_COLUMN), row), time), accepted)
        };
        Ok((0..held.num_rows()).map(of).filter(|(row, _)| rows.contains(row)).collect())
    }
}
