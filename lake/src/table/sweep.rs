//! The sweep of a table's folder: objects that no version needs, and the leftovers of unfinished puts, are deleted.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::LakeTable;
use crate::delta;
use crate::paths::{ALTERED_FOLDER, DELETIONS_FOLDER, WATERMARKS_FOLDER};
use crate::snapshot::decoded;
use crate::store::is_temporary;
use crate::{Error, ErrorKind, FilePath, ForeignFile, Result, Snapshot, Timestamp};

/// A data file that no version needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreferenced {
    /// Its path below the table's folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

impl LakeTable {
    /// The data files that were last modified before `older_than`, are active neither in `snapshot` nor
    /// in the newest version, and were not removed by a commit since `older_than`. Files of other programs are data files
    /// if a commit that the log holds removed them.
    ///
    /// Files that were removed earlier, and files whose commit is still to come, look the same: the
    /// caller chooses `older_than` such that no reader holds a view from before it and no landing takes as
    /// long. A commit that was expired from the log protects nothing, so that it lies within seven days.
    pub async fn unreferenced(
        &self,
        snapshot: &Snapshot,
        older_than: Timestamp,
    ) -> Result<Vec<Unreferenced>> {
        let objects = self.data_objects().await?;
        let newest = self.refresh().await?;
        let removed = delta::removed_since(self.store(), older_than).await?;
        let mut needed: HashSet<String> = removed.iter().map(|path| decoded(path)).collect();
        let active = snapshot.files().iter().chain(newest.files());
        needed.extend(active.map(|entry| entry.path.to_string()));
        needed.extend(
            snapshot.foreign_files().iter().chain(newest.foreign_files()).map(ForeignFile::decoded),
        );
        let (own, others): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .filter(|(_, meta)| delta::written(meta) < older_than)
            .filter(|(name, _)| !needed.contains(name))
            .partition(|(name, _)| name.parse::<FilePath>().is_ok());
        let mut known = HashSet::new();
        if !others.is_empty() {
            let removed = delta::removed_since(self.store(), Timestamp::MIN).await?;
            known.extend(removed.iter().map(|path| decoded(path)));
        }
        let others = others.into_iter().filter(|(name, _)| known.contains(name));
        let found = own.into_iter().chain(others);
        Ok(found.map(|(path, meta)| Unreferenced { path, bytes: meta.size }).collect())
    }

    /// Deletes the files that are [`Self::unreferenced`], and the leftovers of unfinished puts that were
    /// last modified before `older_than`. Returns their paths below the table's folder.
    pub async fn sweep(&self, snapshot: &Snapshot, older_than: Timestamp) -> Result<Vec<String>> {
        let doomed = self.unreferenced(snapshot, older_than).await?;
        let folder = |file: &Unreferenced| Some(file.path.parse::<FilePath>().ok()?.folder());
        let folders: HashSet<_> = doomed.iter().filter_map(folder).collect();
        let locations: Vec<_> =
            doomed.iter().map(|file| Ok(self.store().path(&file.path))).collect();
        let deletions = self.store().object().delete_stream(stream::iter(locations).boxed());
        let mut swept: Vec<String> = deletions
            .filter_map(|deleted| async {
                match deleted {
                    Ok(path) => self.store().relative(&path).map(Ok),
                    Err(object_store::Error::NotFound { .. }) => None,
                    Err(e) => Some(Err(Error::from(e))),
                }
            })
            .try_collect()
            .await?;
        if let Some(folder) = self.store().local_path("") {
            let folders: Vec<_> =
                folders.iter().filter_map(|folder| self.store().local_path(folder)).collect();
            let leftovers = tokio::task::spawn_blocking(move || {
                // Succeeds for empty folders only, and a put makes its folder anew.
                folders.iter().for_each(|folder| drop(fs::remove_dir(folder)));
                remove_temporary(&folder, older_than)
            })
            .await
            .map_err(|e| Error::new(ErrorKind::Internal, "the sweep ended early").with_source(e))?;
            swept.extend(leftovers?);
        }
        swept.sort_unstable();
        Ok(swept)
    }

    /// Everything in the table's folder but its log, watermarks, records and notes, by the path below the folder.
    pub(super) async fn data_objects(&self) -> Result<Vec<(String, ObjectMeta)>> {
        let others = [delta::LOG_FOLDER, WATERMARKS_FOLDER, DELETIONS_FOLDER, ALTERED_FOLDER];
        let others = others.map(|folder| self.store().path(folder));
        let listed: Vec<ObjectMeta> =
            self.store().object().list(Some(&self.store().path(""))).try_collect().await?;
        Ok(listed
            .into_iter()
            .filter(|meta| !others.iter().any(|other| meta.location.prefix_matches(other)))
            .filter_map(|meta| Some((self.store().relative(&meta.location)?, meta)))
            .collect())
    }
}

/// Removes the leftovers of puts that a crash cut off, which no listing of the store shows.
fn remove_temporary(folder: &Path, older_than: Timestamp) -> Result<Vec<String>> {
    let failed = |e: std::io::Error| {
        Error::new(ErrorKind::Store, format!("sweeping {}", folder.display())).with_source(e)
    };
    let limit = UNIX_EPOCH + Duration::from_micros(older_than.as_micros().max(0).unsigned_abs());
    let mut removed = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(path);
            } else if is_temporary(&entry.file_name().to_string_lossy()) {
                // A put that ends meanwhile takes its file away.
                let Ok(modified) = entry.metadata().and_then(|meta| meta.modified()) else {
                    continue;
                };
                if modified < limit && fs::remove_file(&path).is_ok() {
                    let name = path.strip_prefix(folder).unwrap_or(&path);
                    removed.push(name.to_string_lossy().into_owned());
                }
            }
        }
    }
    Ok(removed)
}
