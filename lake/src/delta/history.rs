//! The history of a table: the commits that its log still holds, each with its time, its operation, the hours and keys
//! it changed, and the files it added and removed.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt};

use super::actions::{AddedRows, Line, ParsedCommitInfo};
use super::commit::{HOURS, KEYS, hours, keys};
use super::log_path::{LOG_FOLDER, LogKind, LogName};
use crate::store::LakeStore;
use crate::{Error, Hour, Key, Result, TableVersion, Timestamp};

/// How many commits are read at a time.
const READ_AHEAD: usize = 16;
/// Bytes of a commit in which its first line, which says when it was made, has room.
const HEAD_BYTES: u64 = 16 << 10;

/// A commit in the history of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The version it made.
    pub version: TableVersion,
    /// Its time, by the writer's clock, or by the store's if the commit states none.
    pub at: Timestamp,
    /// The operation, as the writer names it.
    pub operation: String,
    /// The nonce that identifies it; `None` if its writer gave none.
    pub nonce: Option<String>,
    /// The hours whose rows it changed; `None` if its writer does not say.
    pub hours: Option<Vec<Hour>>,
    /// The only keys whose rows it changed, ascending; `None` if its writer does not say, or they are many.
    pub keys: Option<Vec<Key>>,
    /// Files that became active.
    pub files_added: u64,
    /// Files that ceased to be.
    pub files_removed: u64,
    /// Rows of the files that became active.
    pub rows_added: u64,
    /// Bytes of the files that became active.
    pub bytes_added: u64,
}

/// The commits that the log still holds, from `from` on, oldest first.
pub(crate) async fn history(store: &LakeStore, from: TableVersion) -> Result<Vec<CommitInfo>> {
    let wanted = commits(store).await?.into_iter().filter(|(version, _)| *version >= from);
    stream::iter(wanted)
        .map(|(version, meta)| async move {
            commit_info(version, &meta, read(store, version, &meta).await?)
        })
        .buffered(READ_AHEAD)
        .try_collect()
        .await
}

/// The commits after a version through another, in order; `None` if the log no longer holds one of them.
pub(crate) async fn between(
    store: &LakeStore,
    after: TableVersion,
    through: TableVersion,
) -> Result<Option<Vec<CommitInfo>>> {
    let read = stream::iter(after.get().saturating_add(1)..=through.get())
        .map(|version| async move {
            let version = TableVersion::new(version);
            let path = store.path(&LogName::commit(version).path());
            let object = match store.object().get(&path).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                object => object?,
            };
            let meta = object.meta.clone();
            let lines = lines(version, &object.bytes().await?)?;
            commit_info(version, &meta, lines).map(Some)
        })
        .buffered(READ_AHEAD);
    let mut read = std::pin::pin!(read);
    let mut commits = Vec::new();
    while let Some(commit) = read.try_next().await? {
        let Some(commit) = commit else { return Ok(None) };
        commits.push(commit);
    }
    Ok(Some(commits))
}

/// The commit of a version; `None` if the log does not hold it.
pub(crate) async fn commit_of(
    store: &LakeStore,
    version: TableVersion,
) -> Result<Option<CommitInfo>> {
    match store.object().head(&store.path(&LogName::commit(version).path())).await {
        Ok(meta) => commit_info(version, &meta, read(store, version, &meta).await?).map(Some),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The files that commits written at `since` or later removed, as their entries name them: by the store's clock, which
/// may step back, so that what comes after such a commit is as young.
pub(crate) async fn removed_since(store: &LakeStore, since: Timestamp) -> Result<HashSet<String>> {
    let commits = commits(store).await?.into_iter();
    let young = commits.skip_while(|(_, meta)| written(meta) < since);
    let removed: Vec<Vec<String>> = stream::iter(young)
        .map(|(version, meta)| async move {
            let lines = read(store, version, &meta).await?;
            let removed = lines.into_iter().filter_map(|line| Some(line.remove?.path));
            Ok::<_, Error>(removed.collect())
        })
        .buffered(READ_AHEAD)
        .try_collect()
        .await?;
    Ok(removed.into_iter().flatten().collect())
}

/// The commits in the log, in order of their versions.
async fn commits(store: &LakeStore) -> Result<Vec<(TableVersion, ObjectMeta)>> {
    let mut commits: Vec<_> = objects(store)
        .await?
        .into_iter()
        .filter(|(name, _)| name.kind == LogKind::Commit)
        .map(|(name, meta)| (name.version, meta))
        .collect();
    commits.sort_by_key(|(version, _)| *version);
    Ok(commits)
}

/// The objects of the log that belong to a version, in any order.
pub(super) async fn objects(store: &LakeStore) -> Result<Vec<(LogName, ObjectMeta)>> {
    let named = |meta: ObjectMeta| Some((meta.location.filename()?.parse().ok()?, meta));
    Ok(listed(store).await?.into_iter().filter_map(named).collect())
}

/// All that lies in the log's own folder.
pub(super) async fn listed(store: &LakeStore) -> Result<Vec<ObjectMeta>> {
    Ok(store.object().list_with_delimiter(Some(&store.path(LOG_FOLDER))).await?.objects)
}

/// What the head of a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// When it was made.
    pub(super) at: Option<Timestamp>,
    /// The program that made it.
    pub(super) engine: Option<String>,
}

/// What a commit says of itself; `None` if the log does not hold it.
pub(super) async fn head(store: &LakeStore, version: TableVersion) -> Result<Option<Head>> {
    let path = store.path(&LogName::commit(version).path());
    let head = GetOptions { range: Some((0..HEAD_BYTES).into()), ..GetOptions::default() };
    let object = match store.object().get_opts(&path, head).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        // Of an object without a byte there is no such range.
        Err(_) => store.object().get(&path).await?,
        object => object?,
    };
    let meta = object.meta.clone();
    let head = object.bytes().await?;
    if head.is_empty() {
        return Ok(Some(Head { at: None, engine: None }));
    }
    let first = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let info = match serde_json::from_slice(first) {
        Ok(Line { commit_info: Some(info), .. }) => Some(info),
        // Of another writer, who says it elsewhere.
        _ => read(store, version, &meta).await?.into_iter().find_map(|line| line.commit_info),
    };
    let at = info.as_ref().and_then(stated);
    Ok(Some(Head { at, engine: info.and_then(|info| info.engine_info) }))
}

fn stated(info: &ParsedCommitInfo) -> Option<Timestamp> {
    info.timestamp.map(Timestamp::from_millis)
}

fn instant(info: Option<&ParsedCommitInfo>, meta: &ObjectMeta) -> Timestamp {
    info.and_then(stated).unwrap_or_else(|| written(meta))
}

/// When the store says that an object was written.
pub(crate) fn written(meta: &ObjectMeta) -> Timestamp {
    Timestamp::from_micros(meta.last_modified.timestamp_micros())
}

async fn read(store: &LakeStore, version: TableVersion, meta: &ObjectMeta) -> Result<Vec<Line>> {
    let bytes = store.object().get(&meta.location).await?.bytes().await?;
    lines(version, &bytes)
}

fn lines(version: TableVersion, commit: &[u8]) -> Result<Vec<Line>> {
    let lines = commit.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|e| damaged(version, e))).collect()
}

fn damaged(version: TableVersion, error: serde_json::Error) -> Error {
    Error::damage(format!("Delta commit of version {version}")).with_source(error)
}

fn commit_info(version: TableVersion, meta: &ObjectMeta, lines: Vec<Line>) -> Result<CommitInfo> {
    let mut commit = CommitInfo {
        version,
        at: instant(None, meta),
        operation: String::new(),
        nonce: None,
        hours: None,
        keys: None,
        files_added: 0,
        files_removed: 0,
        rows_added: 0,
        bytes_added: 0,
    };
    let (mut named, mut changed) = (None, false);
    for line in lines {
        if let Some(info) = line.commit_info {
            commit.at = instant(Some(&info), meta);
            commit.operation = info.operation.unwrap_or_default();
            commit.nonce = info.txn_id;
            let parameters = info.operation_parameters.unwrap_or_default();
            commit.keys = parameters.get(KEYS).and_then(|text| keys(text.as_str()?));
            named = parameters.get(HOURS).map(|spans| spans.as_str().and_then(hours));
        }
        if let Some(add) = line.add {
            commit.files_added += 1;
            changed |= add.data_change;
            commit.bytes_added += add.size;
            if let Some(stats) = add.stats {
                let stats: AddedRows =
                    serde_json::from_str(&stats).map_err(|e| damaged(version, e))?;
                commit.rows_added += stats.num_records;
            }
        }
        if let Some(remove) = line.remove {
            commit.files_removed += 1;
            changed |= remove.data_change;
        }
    }
    commit.hours = named.unwrap_or_else(|| (!changed).then(Vec::new));
    Ok(commit)
}
