//! Landed watermarks: the log position through which the rows of an hour have landed, where no active file states it.
//!
//! The name of an hour's file states the position while the file is active. A commit that removes the file, puts an
//! earlier one in its place, or merges it with others that state less, is preceded by a watermark, so that a replay of
//! the log does not bring back what the commit removed:
//!
//! ```text
//! hour 10 landed through 70   ──►  watermark {"2026-11-22T10": 70}  ──►  commit: hour 10 has no file
//! ```
//!
//! A watermark is true whether or not its commit follows: those rows have landed once. It is needed until no log
//! holds its positions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutMode};

use super::LakeTable;
use crate::paths::{WATERMARKS_FOLDER, WatermarkPath};
use crate::{Error, ErrorKind, FileEntry, Hour, LogPosition, Period, Result, Snapshot};

/// Watermarks that are read at a time.
const READ_AHEAD: usize = 16;

impl LakeTable {
    /// The position through which each hour has landed, as far as a log may hold its rows: a replay skips those rows.
    pub async fn landed_through(&self, snapshot: &Snapshot) -> Result<HashMap<Hour, LogPosition>> {
        let mut landed: HashMap<Hour, LogPosition> = HashMap::new();
        for files in snapshot.periods() {
            let Some((period, through)) = stated(files) else { continue };
            landed.extend(period.hours().map(|hour| (hour, through)));
        }
        let watermarks: Vec<_> = stream::iter(self.watermarks().await?)
            .map(|path| self.read_watermark(path))
            .buffered(READ_AHEAD)
            .try_collect()
            .await?;
        for (hour, through) in watermarks.into_iter().flatten() {
            let known = landed.entry(hour).or_insert(through);
            *known = through.max(*known);
        }
        Ok(landed)
    }

    /// Puts a watermark for those of the hours that have landed, each through its position, of which the files of
    /// `snapshot` say less: of the files of a day, each of other keys, the least counts.
    pub async fn note_landed(
        &self,
        snapshot: &Snapshot,
        landed: impl IntoIterator<Item = (Hour, LogPosition)>,
    ) -> Result<()> {
        let unsaid = landed.into_iter().filter(|(hour, through)| {
            stated(snapshot.files_of_hour(*hour)).is_none_or(|(_, said)| said < *through)
        });
        self.put_watermark(
            unsaid.map(|(hour, through)| (hour.to_string(), through.get())).collect(),
        )
        .await
    }

    /// Deletes the watermarks of positions before `first`, the position of the first record that the log holds.
    pub async fn forget_landed(&self, first: LogPosition) -> Result<()> {
        let watermarks = self.watermarks().await?.into_iter().filter(|path| path.through() < first);
        let locations: Vec<_> =
            watermarks.map(|path| Ok(self.store.path(&path.to_string()))).collect();
        let mut deleted = self.store.object().delete_stream(stream::iter(locations).boxed());
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Puts a watermark for the hours of `removed`, files of `base`, of which the files in `after`, if there are any,
    /// say less.
    pub(crate) async fn put_watermarks(
        &self,
        base: &Snapshot,
        removed: &[Arc<FileEntry>],
        after: &Snapshot,
    ) -> Result<()> {
        let mut landed: BTreeMap<String, u64> = BTreeMap::new();
        for file in removed {
            for hour in file.path.period().hours() {
                let Some((_, before)) = stated(base.files_of_hour(hour)) else { continue };
                if stated(after.files_of_hour(hour)).is_none_or(|(_, through)| through < before) {
                    landed.insert(hour.to_string(), before.get());
                }
            }
        }
        self.put_watermark(landed).await
    }

    async fn put_watermark(&self, landed: BTreeMap<String, u64>) -> Result<()> {
        let Some(through) = landed.values().max() else { return Ok(()) };
        let json = serde_json::to_vec(&landed)
            .map_err(|e| Error::new(ErrorKind::Internal, "mark").with_source(e))?;
        let path = self.store.path(&WatermarkPath::new(LogPosition::new(*through)).to_string());
        let put = Bytes::from(json).into();
        self.store.object().put_opts(&path, put, PutMode::Create.into()).await?;
        Ok(())
    }

    /// Puts a watermark for the hours of files that other programs removed since this program's last commit.
    pub async fn put_watermarks_of_removed(&self, newest: &Snapshot) -> Result<()> {
        let Some(own) = newest.own().filter(|own| *own < newest.version()) else { return Ok(()) };
        let before = crate::delta::load_at(&self.store, own).await?.snapshot;
        self.put_watermarks(&before, &before.without(newest), newest).await
    }

    async fn watermarks(&self) -> Result<Vec<WatermarkPath>> {
        let folder = self.store.path(WATERMARKS_FOLDER);
        let listed: Vec<_> = self.store.object().list(Some(&folder)).try_collect().await?;
        let names = listed.iter().filter_map(|meta| self.store.relative(&meta.location));
        names.map(|name| name.parse()).collect()
    }

    async fn read_watermark(&self, path: WatermarkPath) -> Result<Vec<(Hour, LogPosition)>> {
        let bytes =
            self.store.object().get(&self.store.path(&path.to_string())).await?.bytes().await?;
        let damaged = || Error::damage(format!("landed watermark {path} of {}", self.store.url()));
        let landed: BTreeMap<String, u64> =
            serde_json::from_slice(&bytes).map_err(|e| damaged().with_source(e))?;
        landed
            .into_iter()
            .map(|(hour, through)| {
                let hour = hour.parse().map_err(|e: Error| damaged().with_source(e))?;
                Ok((hour, LogPosition::new(through)))
            })
            .collect()
    }
}

/// Through which position the files of one period say that it has landed: what the least of them says, as each
/// holds other keys. `None` if nothing is known, which position 0 says: no record of a log stands there.
fn stated(files: &[Arc<FileEntry>]) -> Option<(Period, LogPosition)> {
    let period = files.first()?.path.period();
    let through = files.iter().map(|file| file.path.through()).min()?;
    (through > LogPosition::new(0)).then_some((period, through))
}
