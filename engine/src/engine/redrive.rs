//! How do dead letters get a second chance? After a fix (of a range, of the known keys) they are read,
//! validated anew, and those that pass are put into their table and marked, in one append.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema, SchemaRef};
use barograph_lake::{KeySelection, TableSchema, TimeRange};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::put::{batch_bytes, entry};
use super::{Durability, Engine};
use crate::Result;
use crate::dead_letters::{DEAD_LETTERS, Letter, decode, encode};
use crate::scan::Scan;
use crate::validate::{logged_schema, validate};

/// What a re-drive did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveReport {
    /// Letters of the table and time that were looked at and not re-driven before.
    pub letters: u64,
    /// Rows that are in their table now.
    pub accepted: u64,
    /// Letters that stay, as they would be rejected again.
    pub rejected: u64,
}

impl Engine {
    /// Puts the dead letters of `table` that were rejected in `time` again, at level `disk`.
    pub async fn redrive(self: &Arc<Self>, table: &str, time: TimeRange) -> Result<RedriveReport> {
        let target = self.table(table)?;
        let letters_table = self.table(DEAD_LETTERS)?;
        let columns = (0..letters_table.schema.arrow().fields().len()).collect();
        let scan = Scan {
            keys: KeySelection::All,
            time,
            columns,
            filter: None,
            aggregation: None,
            limit: None,
        };
        let mut report = RedriveReport::default();
        let mut answer = self.scan(letters_table.view.load_full(), scan).await?.batches;
        while let Some(rows) = answer.try_next().await? {
            let letters = decode(&rows)?
                .into_iter()
                .filter(|letter| letter.table == table && letter.redriven_at.is_none())
                .collect::<Vec<_>>();
            report.letters += letters.len() as u64;
            let rules = self.rules(target);
            let mut passed = Vec::new();
            let mut accepted = Vec::new();
            for letter in letters {
                match parse(&target.schema, &letter.rejected.row)
                    .and_then(|row| validate(&target.schema, &row, &rules))
                {
                    Ok(row) if row.rejected.is_empty() && row.accepted.num_rows() == 1 => {
                        accepted.push(row.accepted);
                        passed.push(Letter { redriven_at: Some(self.now()), ..letter });
                    }
                    _ => report.rejected += 1,
                }
            }
            if passed.is_empty() {
                continue;
            }
            report.accepted += passed.len() as u64;
            let rows = concat_batches(&logged_schema(&target.schema), &accepted)?;
            let marked = encode(&letters_table.schema, &passed)?;
            let reservation = self.reserve_tail(batch_bytes(&rows) + batch_bytes(&marked))?;
            let entries =
                vec![entry(target, rows, "redrive")?, entry(letters_table, marked, "redrive")?];
            self.submit(entries, Durability::Disk, reservation).await?;
        }
        Ok(report)
    }
}

/// One row from its JSON object, with the table's types; what is not in it is null.
fn parse(schema: &TableSchema, row: &str) -> Result<RecordBatch> {
    let nullable = |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_nullable(true));
    let fields: Vec<_> = logged_schema(schema).fields().iter().map(nullable).collect();
    let wanted: SchemaRef = Arc::new(Schema::new(fields));
    let mut reader =
        arrow::json::ReaderBuilder::new(Arc::clone(&wanted)).build(Cursor::new(row.as_bytes()))?;
    Ok(reader.next().transpose()?.unwrap_or_else(|| RecordBatch::new_empty(wanted)))
}
