//! `system.deletions`: the deletions of rows, with their conditions, user and reason.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use barograph_engine::{Engine, Result};
use barograph_lake::table::Deletion;
use barograph_lake::{Key, Timestamp};
use futures::future::BoxFuture;

use super::{ColumnKind, ColumnSpec, SystemRows, declared, times, whole};

const COLUMNS: &[ColumnSpec] = &[
    ("table_name", ColumnKind::Text, false),
    ("version", ColumnKind::Whole, false),
    ("deleted_at", ColumnKind::Time, false),
    ("deleted_by", ColumnKind::Text, false),
    ("reason", ColumnKind::Text, false),
    ("keys", ColumnKind::Text, true),
    ("rows_from", ColumnKind::Time, true),
    ("rows_to", ColumnKind::Time, true),
    ("rows", ColumnKind::Whole, false),
    ("files", ColumnKind::Whole, false),
];

/// The deletions of all tables.
#[derive(Debug)]
pub(super) struct Deletions(pub(super) Arc<Engine>);

impl SystemRows for Deletions {
    fn name(&self) -> &'static str {
        "deletions"
    }

    fn primary_key(&self) -> &'static [&'static str] {
        &["table_name", "version"]
    }

    fn schema(&self) -> SchemaRef {
        declared(COLUMNS)
    }

    fn rows(&self) -> BoxFuture<'_, Result<RecordBatch>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for table in self.0.tables() {
                let name = table.schema.name().to_owned();
                let deletions = self.0.deletions(&name).await?;
                all.extend(deletions.into_iter().map(|deletion| (name.clone(), deletion)));
            }
            let text = |of: fn(&(String, Deletion)) -> Option<String>| -> ArrayRef {
                Arc::new(all.iter().map(of).collect::<StringArray>())
            };
            let count = |of: fn(&Deletion) -> u64| -> ArrayRef {
                Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, it)| whole(of(it)))))
            };
            let time =
                |of: fn(&Deletion) -> Option<Timestamp>| times(all.iter().map(|(_, it)| of(it)));
            let columns = vec![
                text(|(table, _)| Some(table.clone())),
                count(|deletion| deletion.version.get()),
                time(|deletion| Some(deletion.at)),
                text(|(_, deletion)| Some(deletion.by.clone())),
                text(|(_, deletion)| Some(deletion.reason.clone())),
                text(|(_, deletion)| deletion.keys.as_deref().map(list)),
                time(|deletion| deletion.from),
                time(|deletion| deletion.to),
                count(|deletion| deletion.rows),
                count(|deletion| deletion.files.len() as u64),
            ];
            Ok(RecordBatch::try_new(self.schema(), columns)?)
        })
    }
}

fn list(keys: &[Key]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
