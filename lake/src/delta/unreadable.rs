//! The state of a table whose newest version cannot be read: the files that the commits since the last version of this
//! program added and removed, so that a restore of that version leaves none of them active.

use std::collections::{HashMap, HashSet};

use object_store::ObjectStoreExt;
use serde::Deserialize;

use super::foreign::{last_own, newest};
use super::history::{head, listed};
use super::load::{Loaded, load_at};
use super::log_path::{LogKind, LogName, foreign_checkpoint};
use crate::snapshot::{DeletionVector, ForeignFile, Incompatibility, IncompatibilityKind};
use crate::store::LakeStore;
use crate::{Error, Result, Snapshot, TableVersion};

/// A line of a commit, as far as it tells of files.
#[derive(Debug, Deserialize)]
struct Line {
    add: Option<FileOf>,
    remove: Option<FileOf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileOf {
    path: String,
    size: Option<u64>,
    deletion_vector: Option<DeletionVector>,
}

/// The table as it was in the last version of this program, with the newest version, that cannot be read because of
/// `error`, as its snapshot.
///
/// # Errors
/// `error` if this program made the newest version. Damage that names a commit, if it is the reason.
pub(crate) async fn unreadable(store: &LakeStore, error: Error) -> Result<Loaded> {
    let (Some(own), Some(version)) = (last_own(store).await?, newest(store).await?) else {
        return Err(explained(store, error).await?);
    };
    let loaded = load_at(store, own).await?;
    let own = &loaded.snapshot;
    let mut active = HashMap::new();
    for file in own.files() {
        active.insert((file.path.to_string(), None), file.bytes);
    }
    for file in own.foreign_files() {
        active.insert((file.path.clone(), file.deleted.clone()), file.bytes);
    }
    for version in (own.version().get()..version.get()).map(|before| TableVersion::new(before + 1))
    {
        for line in lines(store, version).await? {
            if let Some(file) = line.remove {
                active.remove(&(file.path, file.deletion_vector));
            }
            if let Some(file) = line.add {
                active.insert((file.path, file.deletion_vector), file.size.unwrap_or(0));
            }
        }
    }
    let mut still = |path: String| active.remove(&(path, None)).is_some();
    let files = own.files().iter().filter(|file| still(file.path.to_string())).cloned().collect();
    let others = active.into_iter();
    let others = others.map(|((path, deleted), bytes)| ForeignFile { path, bytes, deleted });
    let mut others: Vec<_> = others.collect();
    others.sort_by(|a, b| a.path.cmp(&b.path));
    let incompatibility =
        Incompatibility { why: error.to_string(), of: IncompatibilityKind::Protocol };
    let snapshot = Snapshot::new(version, files)
        .expired(own.expired_through())
        .with_foreign_files(others, Some(incompatibility))
        .committed(head(store, version).await?.and_then(|head| head.at))
        .with_own(Some(own.version()));
    Ok(Loaded { snapshot, ..loaded })
}

/// `error` of reading a log, which names the commit that is missing, if one is.
pub(crate) async fn explained(store: &LakeStore, error: Error) -> Result<Error> {
    let (mut present, mut start) = (HashSet::new(), 0);
    for meta in listed(store).await? {
        let Some(name) = meta.location.filename() else { continue };
        let checkpoint = match name.parse::<LogName>() {
            Ok(LogName { version, kind: LogKind::Checkpoint }) => Some(version),
            Ok(LogName { version, kind: LogKind::Commit }) => {
                present.insert(version.get());
                None
            }
            _ => foreign_checkpoint(name),
        };
        start = checkpoint.map_or(start, |version| start.max(version.get() + 1));
    }
    let newest = present.iter().max().copied().unwrap_or(0);
    let missing = (start..newest).find(|version| !present.contains(version));
    Ok(missing.map_or(error, |version| {
        let name = LogName::commit(TableVersion::new(version));
        Error::damage(format!(
            "the commit {name} is missing from the log of {}, which has later ones: restore it from a copy of the lake",
            store.url()
        ))
    }))
}

async fn lines(store: &LakeStore, version: TableVersion) -> Result<Vec<Line>> {
    let name = LogName::commit(version);
    let path = store.path(&name.path());
    let cure = |what: &str| {
        Error::damage(format!(
            "the commit {name} of another program in {} {what}: no reader can get past it; restore it from a copy, or remove it and all later commits from the log",
            store.url()
        ))
    };
    let bytes = match store.object().get(&path).await {
        Err(object_store::Error::NotFound { .. }) => return Err(cure("is missing")),
        object => object?.bytes().await?,
    };
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let lines = lines.map(|line| {
        serde_json::from_slice(line).map_err(|e| cure("is not JSON of the protocol").with_source(e))
    });
    lines.collect()
}
