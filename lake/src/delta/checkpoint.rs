//! Checkpoints, which keep reading a long log quick, and the expiry of the log: commits and checkpoints that no version
//! of the last seven days needs are deleted.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use delta_kernel::checkpoint::LastCheckpointHintStats;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::{KernelError, Snapshot};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutMode;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::history::{objects, written};
use super::kernel::{kernel_error, with_engine};
use super::log_path::{LogKind, LogName};
use crate::store::LakeStore;
use crate::time::MICROS_PER_HOUR;
use crate::{Error, ErrorKind, Result, Span, TableVersion, Timestamp, TrustedTime};

/// For how long every version stays readable, counted back from the newest checkpoint.
const KEPT: Span = Span::from_micros(7 * 24 * MICROS_PER_HOUR);

/// Writes a checkpoint of `version` and makes it the place where readers start.
pub(crate) async fn write_checkpoint(store: &LakeStore, version: TableVersion) -> Result<()> {
    let table = store.clone();
    let runtime = tokio::runtime::Handle::current();
    with_engine(store, move |engine| {
        let failed = |e| kernel_error(&table, e);
        let snapshot = Snapshot::builder_for(table.url())
            .at_version(version.get())
            .build(engine)
            .map_err(failed)?;
        let writer = snapshot.create_checkpoint_writer(engine).map_err(failed)?;
        let data = writer.checkpoint_data(engine).map_err(failed)?;
        let state = data.state();
        let batches = data.map(|part| {
            let rows = ArrowEngineData::try_from_engine_data(part?.apply_selection_vector()?)?;
            Ok((*rows).into())
        });
        let bytes = encode(batches, &table)?;
        let size = bytes.len() as u64;
        let path = table.path(&LogName { version, kind: LogKind::Checkpoint }.path());
        // Whoever writes the checkpoint of a version writes the same actions.
        let put = table.object().put_opts(&path, bytes.into(), PutMode::Overwrite.into());
        runtime.block_on(put)?;
        let state = Arc::into_inner(state).ok_or_else(|| {
            Error::new(ErrorKind::Internal, "checkpoint data is still being read")
        })?;
        let stats =
            LastCheckpointHintStats::from_reconciliation_state(state, size, 0).map_err(failed)?;
        writer.finalize(engine, &stats).map_err(failed)
    })
    .await
}

/// Deletes what readers no longer need: versions before the newest checkpoint that is itself older than
/// seven days. The age is told by the store, against its newest checkpoint, unless its clock has just leapt ahead.
/// Returns what was deleted.
pub(crate) async fn expire(store: &LakeStore) -> Result<Vec<String>> {
    let objects: Vec<_> = objects(store)
        .await?
        .into_iter()
        .map(|(name, meta)| (name, written(&meta), meta.location))
        .collect();
    let names: Vec<_> = objects.iter().map(|(name, age, _)| (*name, *age)).collect();
    let expired = expired(&names);
    let doomed = objects.into_iter().filter(|(name, _, _)| expired.contains(name));
    let locations: Vec<_> = doomed.map(|(_, _, location)| location).collect();
    let deleted = store.object().delete_stream(stream::iter(locations).map(Ok).boxed());
    deleted.map_ok(|path| path.to_string()).try_collect().await.map_err(Error::from)
}

/// Which objects of a log, each with when it was written, are not needed any longer.
fn expired(objects: &[(LogName, Timestamp)]) -> Vec<LogName> {
    let checkpoints = || objects.iter().filter(|(name, _)| name.kind == LogKind::Checkpoint);
    let Some(&(newest, written)) = checkpoints().max_by_key(|(name, _)| name.version) else {
        return Vec::new();
    };
    let before = |(name, _): &&(LogName, Timestamp)| {
        name.kind == LogKind::Commit && name.version <= newest.version
    };
    let mut signs: Vec<_> = objects.iter().filter(before).collect();
    signs.sort_by_key(|(name, _)| std::cmp::Reverse(name.version));
    let now = TrustedTime::of(written, signs.into_iter().map(|(_, written)| *written));
    let limit = now.saturating_sub(KEPT);
    let old = checkpoints().filter(|(_, written)| *written < limit);
    let Some(keep) = old.map(|(name, _)| name.version).max() else { return Vec::new() };
    // What is dated ahead of the newest was written by a clock that was wrong.
    let old = |written: Timestamp| written < limit || written > now;
    let needless = |(name, written): &&(LogName, Timestamp)| name.version < keep && old(*written);
    objects.iter().filter(needless).map(|(name, _)| *name).collect()
}

fn encode(
    batches: impl Iterator<Item = Result<RecordBatch, KernelError>>,
    store: &LakeStore,
) -> Result<Vec<u8>> {
    let mut writer: Option<ArrowWriter<Vec<u8>>> = None;
    for batch in batches {
        let batch = batch.map_err(|e| kernel_error(store, e))?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                none.insert(ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?)
            }
        };
        writer.write(&batch)?;
    }
    let writer =
        writer.ok_or_else(|| Error::new(ErrorKind::Internal, "a checkpoint without actions"))?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * MICROS_PER_HOUR;

    fn at(day: u64) -> Timestamp {
        Timestamp::from_micros(day as i64 * DAY)
    }

    fn object(version: u64, kind: LogKind, written: Timestamp) -> (LogName, Timestamp) {
        (LogName { version: TableVersion::new(version), kind }, written)
    }

    #[test]
    fn versions_before_an_old_checkpoint_expire() {
        let log: Vec<_> = (0..30)
            .map(|day| object(day, LogKind::Commit, at(day)))
            .chain([5, 20, 25, 29].map(|day| object(day, LogKind::Checkpoint, at(day))))
            .collect();
        // Seven days before day 29 is day 22: the checkpoint of day 20 keeps days 22 to 29 readable.
        let gone = expired(&log);
        let commits: Vec<_> =
            gone.iter().filter(|n| n.kind == LogKind::Commit).map(|n| n.version.get()).collect();
        assert_eq!(commits, (0..20).collect::<Vec<_>>());
        let checkpoints: Vec<_> = gone
            .iter()
            .filter(|n| n.kind == LogKind::Checkpoint)
            .map(|n| n.version.get())
            .collect();
        assert_eq!(checkpoints, [5]);
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_while_lets_nothing_expire_before_its_time() {
        let day = |day: u64| object(day, LogKind::Commit, at(day));
        let checkpoint = |day: u64, written: u64| object(day, LogKind::Checkpoint, at(written));
        let mut log: Vec<_> = (0..10).map(day).collect();
        log.push(checkpoint(3, 3));
        assert!(expired(&log).is_empty());
        // Ten years ahead for one commit and its checkpoint.
        log.push(object(10, LogKind::Commit, at(3_650)));
        log.push(checkpoint(10, 3_650));
        assert!(expired(&log).is_empty());
        // Right again: what was written meanwhile goes when those beside it do.
        log.extend((11..40).map(day));
        log.push(checkpoint(12, 12));
        assert!(expired(&log[..15]).is_empty());
        log.push(checkpoint(39, 39));
        let gone = expired(&log);
        assert_eq!(gone.iter().filter(|name| name.kind == LogKind::Commit).count(), 12);
        assert!(gone.iter().all(|name| name.version.get() < 12));
    }

    #[test]
    fn a_log_without_an_old_checkpoint_stays_whole() {
        let log: Vec<_> = (0..30)
            .map(|day| object(day, LogKind::Commit, at(day)))
            .chain([object(29, LogKind::Checkpoint, at(29))])
            .collect();
        assert!(expired(&log).is_empty());
        assert!(expired(&log[..30]).is_empty());
    }
}
