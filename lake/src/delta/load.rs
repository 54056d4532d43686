//! Which files are active at a version, as the Delta log says?

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::scan::StatsOptions;
use futures::StreamExt;

use super::difference::{Columns, Difference};
use super::expired;
use super::history::stated_time;
use super::kernel::{kernel_error, with_engine};
use super::log_path::LOG_FOLDER;
use super::metadata::Metadata;
use super::stats;
use crate::store::LakeStore;
use crate::{Error, FileEntry, Result, Snapshot, TableSchema, TableVersion};

/// A table as its log tells it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) metadata: Metadata,
    pub(crate) schema: TableSchema,
    pub(crate) snapshot: Snapshot,
}

impl Loaded {
    /// The snapshot with the columns of `schema`: those that the table did not have at that version are null.
    ///
    /// # Errors
    /// A request error that names the difference if it had columns that `schema` has not.
    pub(crate) fn snapshot_under(self, schema: &TableSchema) -> Result<Snapshot> {
        match Difference::between(&self.schema, schema) {
            Difference::None => Ok(self.snapshot),
            Difference::Description | Difference::Columns(_) => {
                Ok(self.snapshot.under(&self.schema, schema))
            }
            Difference::Unlike(what) => Err(Error::request(format!(
                "version {} of table {:?} has other columns than the table: {what}",
                self.snapshot.version(),
                schema.name()
            ))),
        }
    }

    /// The snapshot, if the table still has the columns of `schema`.
    ///
    /// # Errors
    /// A request error that says how to go on if another process gave it others.
    pub(crate) fn snapshot_of(self, schema: &TableSchema) -> Result<Snapshot> {
        let what = match Difference::between(schema, &self.schema) {
            Difference::None => return Ok(self.snapshot),
            Difference::Description => return Ok(self.snapshot.under(&self.schema, schema)),
            Difference::Columns(Columns { added, widened }) => {
                let changed = [("added", added), ("widened", widened)].map(|(what, names)| {
                    let names = (!names.is_empty()).then(|| names.join(", "));
                    names.map(|names| format!("{names} {what}"))
                });
                changed.into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
            Difference::Unlike(what) => what,
        };
        Err(Error::request(format!(
            "the columns of table {:?} were changed by another process ({what}): declare them and start this \
             one again",
            schema.name()
        )))
    }
}

/// Reads the newest version of the table at `store`; `None` if there is no Delta log.
pub(crate) async fn load(store: &LakeStore) -> Result<Option<Loaded>> {
    let mut log = store.object().list(Some(&store.path(LOG_FOLDER)));
    match log.next().await {
        None => return Ok(None),
        Some(first) => first.map(drop)?,
    }
    drop(log);
    read(store, None).await.map(Some)
}

/// Whether the table at `store` was made by this program, as its log says.
pub(crate) async fn made_here(store: &LakeStore) -> Result<bool> {
    let table = store.clone();
    with_engine(store, move |engine| {
        let newest = delta_kernel::Snapshot::builder_for(table.url()).build(engine);
        let newest = newest.map_err(|e| kernel_error(&table, e))?;
        Ok(Metadata::read(&newest).is_own())
    })
    .await
}

/// Reads a version that the log holds.
pub(crate) async fn load_at(store: &LakeStore, version: TableVersion) -> Result<Loaded> {
    read(store, Some(version)).await
}

/// Reads a version, or the newest.
async fn read(store: &LakeStore, version: Option<TableVersion>) -> Result<Loaded> {
    let table = store.clone();
    let loaded = with_engine(store, move |engine| {
        let failed = |e| kernel_error(&table, e);
        let newest = delta_kernel::Snapshot::builder_for(table.url());
        let wanted = match version {
            None => newest,
            Some(version) => newest.at_version(version.0),
        };
        let kernel = wanted.build(engine).map_err(failed)?;
        let metadata = Metadata::read(&kernel);
        let schema = metadata.schema()?;
        let version = TableVersion(kernel.version());
        let through = expired::read(&kernel, engine).map_err(failed)?;
        let scan = kernel
            .scan_builder()
            .with_stats(StatsOptions::json_only())
            .without_row_transforms()
            .build()
            .map_err(failed)?;
        let mut files = Vec::new();
        for part in scan.scan_metadata(engine).map_err(failed)? {
            let rows = part.map_err(failed)?.scan_files.apply_selection_vector().map_err(failed)?;
            let rows = ArrowEngineData::try_from_engine_data(rows).map_err(failed)?;
            files.extend(entries(&schema, rows.record_batch())?);
        }
        let snapshot = Snapshot::new(version, files).expired(through);
        Ok(Loaded { metadata, schema, snapshot })
    })
    .await?;
    let committed = stated_time(store, loaded.snapshot.version()).await?;
    Ok(Loaded { snapshot: loaded.snapshot.committed(committed), ..loaded })
}

/// The entries that a batch of the kernel's scan rows tells of.
fn entries(schema: &TableSchema, rows: &RecordBatch) -> Result<Vec<Arc<FileEntry>>> {
    let column = |name: &str| {
        rows.column_by_name(name)
            .ok_or_else(|| Error::damage(format!("Delta scan rows lack the column {name:?}")))
    };
    let paths = column("path")?.as_string::<i32>();
    let sizes = column("size")?.as_primitive::<Int64Type>();
    let stats = column("stats")?.as_string::<i32>();
    let deletions = column("deletionVector")?;
    let missing = |what: &str, row: usize| {
        Error::damage(format!("Delta entry of {} {what}", paths.value(row)))
    };
    for row in 0..rows.num_rows() {
        if stats.is_null(row) {
            return Err(missing("has no statistics", row));
        }
        if deletions.is_valid(row) {
            return Err(missing("has a deletion vector, which barograph does not write", row));
        }
    }
    let documents: Vec<_> = (0..rows.num_rows()).map(|row| stats.value(row)).collect();
    let names: Vec<_> = (0..rows.num_rows()).map(|row| paths.value(row)).collect();
    let decoded = stats::decode(schema, &documents, &names)?;
    decoded
        .into_iter()
        .enumerate()
        .map(|(row, stats)| {
            let bytes = u64::try_from(sizes.value(row))
                .map_err(|e| missing("has a negative size", row).with_source(e))?;
            Ok(Arc::new(FileEntry {
                path: paths.value(row).parse()?,
                bytes,
                rows: stats.rows,
                keys: stats.keys,
                times: stats.times,
                columns: stats.columns,
            }))
        })
        .collect()
}
