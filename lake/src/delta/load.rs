//! A table loaded from its Delta log: its declaration, its columns and the snapshot of its active files, at the newest
//! version or an earlier one.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::scan::StatsOptions;
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use super::difference::{Columns, Difference};
use super::expired;
use super::foreign::{incompatibility, own_before};
use super::history::head;
use super::kernel::{kernel_error, with_engine, with_engine_over};
use super::log_path::LOG_FOLDER;
use super::metadata::Metadata;
use super::stats;
use super::without_hint::{HINT, WithoutHint};
use crate::snapshot::{DeletionVector, ForeignFile};
use crate::store::LakeStore;
use crate::store::decorator::Decorated;
use crate::{Error, ErrorKind, FileEntry, FilePath, Result, Snapshot, TableSchema, TableVersion};

/// A table as its log tells it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) metadata: Metadata,
    pub(crate) schema: TableSchema,
    pub(crate) snapshot: Snapshot,
    /// The columns as the protocol has them.
    pub(crate) columns: Value,
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
    let loaded = match replayed(store, store.object().clone(), version).await {
        Err(error) if error.kind() == ErrorKind::Damage && has_hint(store).await? => {
            let without_hint = Arc::new(Decorated(WithoutHint(store.object().clone())));
            let loaded = replayed(store, without_hint, version).await.map_err(|_| error)?;
            tracing::warn!("{HINT} of {} names no checkpoint: it is ignored", store.url());
            loaded
        }
        loaded => loaded?,
    };
    let newest = loaded.snapshot.version();
    let newest_head = head(store, newest).await?;
    let own = own_before(store, newest, newest_head.as_ref()).await?;
    let snapshot = loaded.snapshot.committed(newest_head.and_then(|head| head.at)).with_own(own);
    Ok(Loaded { snapshot, ..loaded })
}

async fn has_hint(store: &LakeStore) -> Result<bool> {
    let hint = store.path(&format!("{LOG_FOLDER}/{HINT}"));
    match store.object().head(&hint).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Reads a version, or the newest, of the table at `store` from `object`, without what its commit says of itself.
async fn replayed(
    store: &LakeStore,
    object: Arc<dyn ObjectStore>,
    version: Option<TableVersion>,
) -> Result<Loaded> {
    let table = store.clone();
    with_engine_over(object, move |engine| {
        let failed = |e| kernel_error(&table, e);
        let newest = delta_kernel::Snapshot::builder_for(table.url());
        let wanted = match version {
            None => newest,
            Some(version) => newest.at_version(version.get()),
        };
        let kernel = wanted.build(engine).map_err(failed)?;
        let metadata = Metadata::read(&kernel);
        let schema = metadata.schema()?;
        let version = TableVersion::new(kernel.version());
        let through = expired::read(&kernel, engine).map_err(failed)?;
        let stored = kernel.table_configuration().metadata().schema_string();
        let columns = serde_json::from_str(stored).unwrap_or_default();
        let incompatibility = incompatibility(&kernel, &metadata, &schema, &columns);
        let scan = kernel
            .scan_builder()
            .with_stats(StatsOptions::json_only())
            .without_row_transforms()
            .build()
            .map_err(failed)?;
        let (mut files, mut others) = (Vec::new(), Vec::new());
        for part in scan.scan_metadata(engine).map_err(failed)? {
            let rows = part.map_err(failed)?.scan_files.apply_selection_vector().map_err(failed)?;
            let rows = ArrowEngineData::try_from_engine_data(rows).map_err(failed)?;
            let (own, foreign) = entries(&schema, rows.record_batch())?;
            files.extend(own);
            others.extend(foreign);
        }
        let snapshot = Snapshot::new(version, files)
            .expired(through)
            .with_foreign_files(others, incompatibility);
        Ok(Loaded { metadata, schema, snapshot, columns })
    })
    .await
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a Arc<dyn Array>> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::damage(format!("Delta scan rows lack the column {name:?}")))
}

fn size(rows: &RecordBatch, row: usize) -> Result<u64> {
    let size = column(rows, "size")?.as_primitive::<Int64Type>().value(row);
    u64::try_from(size)
        .map_err(|e| Error::damage("a Delta entry has a negative size").with_source(e))
}

/// The files that a batch of the kernel's scan rows tells of: those of this program, whose entries say all of them, and
/// those that other programs wrote, deleted rows of, or told less of.
fn entries(
    schema: &TableSchema,
    rows: &RecordBatch,
) -> Result<(Vec<Arc<FileEntry>>, Vec<ForeignFile>)> {
    let paths = column(rows, "path")?.as_string::<i32>();
    let stats = column(rows, "stats")?.as_string::<i32>();
    let deletions = column(rows, "deletionVector")?;
    let is_own = |row: &usize| {
        let stated = stats.is_valid(*row) && deletions.is_null(*row);
        stated && paths.value(*row).parse::<FilePath>().is_ok()
    };
    let (own, others): (Vec<_>, Vec<_>) = (0..rows.num_rows()).partition(is_own);
    let documents: Vec<_> = own.iter().map(|&row| stats.value(row)).collect();
    let names: Vec<_> = own.iter().map(|&row| paths.value(row)).collect();
    let decoded = stats::decode(schema, &documents, &names)?;
    let own = own.into_iter().zip(decoded).map(|(row, stats)| {
        let bytes = size(rows, row)?;
        Ok(Arc::new(FileEntry {
            path: paths.value(row).parse()?,
            bytes,
            rows: stats.rows,
            keys: stats.keys,
            times: stats.times,
            columns: stats.columns,
        }))
    });
    let others = others.into_iter().map(|row| {
        let (path, bytes) = (paths.value(row).to_owned(), size(rows, row)?);
        Ok(ForeignFile { path, bytes, deleted: DeletionVector::at(deletions, row)? })
    });
    Ok((own.collect::<Result<_>>()?, others.collect::<Result<_>>()?))
}
