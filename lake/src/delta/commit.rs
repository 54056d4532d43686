//! How is a commit written so that of several racing writers exactly one wins?

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt, PutMode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::actions::{Action, Add, Info, Protocol, Remove};
use super::difference::Columns;
use super::expired;
use super::log_path::LogName;
use super::metadata::Metadata;
use super::stats;
use crate::store::LakeStore;
use crate::{
    Error, ErrorKind, FileEntry, Hour, Key, Micros, OtherFile, Result, Snapshot, TableSchema,
    TableVersion,
};

const MICROS_PER_MILLI: Micros = 1_000;
/// Name of the hours of a change among the parameters of a commit.
pub(super) const HOURS: &str = "hours";
/// Name of its keys there.
pub(super) const KEYS: &str = "keys";
/// Keys that a commit names at most: beyond them whoever follows the table has much to do anyway.
const KEYS_MAX: usize = 256;

/// What a commit is for.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What the history calls it: `LAND`, `MERGE` and so on.
    pub operation: &'a str,
    /// The hours whose rows are others than before, ascending; none if the same rows have moved to other
    /// files. What is derived of these hours is out of date from this version on.
    pub hours: &'a [Hour],
    /// The only keys whose rows are others than before, ascending; `None` if that may be any.
    pub keys: Option<&'a [Key]>,
    /// When it is made.
    pub at: Micros,
}

/// The bytes of a commit, unlike those of any other commit.
#[derive(Debug, Clone)]
pub(crate) struct Commit(Bytes);

impl Commit {
    /// The commit that creates a table.
    pub(crate) fn create(metadata: &Metadata, schema: &TableSchema) -> Result<Self> {
        let info = info("CREATE TABLE", None, Map::new(), Map::new());
        Self::of(&[info, protocol(), Action::MetaData(Box::new(metadata.action(schema)))])
    }

    /// The commit that changes what a table declares of itself, `columns` among it.
    pub(crate) fn redeclare(
        metadata: &Metadata,
        schema: &TableSchema,
        columns: &Columns,
    ) -> Result<Self> {
        let mut parameters = Map::new();
        for (what, names) in [("added", &columns.added), ("widened", &columns.widened)] {
            if !names.is_empty() {
                parameters.insert(what.to_owned(), json!(names).to_string().into());
            }
        }
        if !columns.added.is_empty() {
            // What is computed of the table has more to say of every hour.
            parameters.insert(HOURS.to_owned(), "all".into());
        }
        let info = info(columns.operation(), None, parameters, Map::new());
        Self::of(&[info, Action::MetaData(Box::new(metadata.action(schema)))])
    }

    /// The commit that replaces files of `base` by others, which makes it `after`. With `declared`, the table is
    /// declared anew in it, and, if that is true, the protocol that it needs.
    pub(crate) fn replace(
        schema: &TableSchema,
        declared: Option<(&Metadata, bool)>,
        removed: &[Arc<FileEntry>],
        added: &[Arc<FileEntry>],
        change: &Change<'_>,
        [base, after]: [&Snapshot; 2],
    ) -> Result<Self> {
        let data_change = !change.hours.is_empty();
        let info = (change.operation, parameters(change), metrics(removed, added));
        let mut actions = vec![info_at(change.at, info)];
        if let Some((metadata, with_protocol)) = declared {
            actions.extend(with_protocol.then(protocol));
            actions.push(Action::MetaData(Box::new(metadata.action(schema))));
        }
        // An entry of the same name takes the place of one without deleted rows.
        let again: HashSet<_> = added.iter().map(|entry| entry.path.to_string()).collect();
        let gone = base.others().iter().filter(|other| !after.others().contains(other));
        let gone = gone.filter(|other| other.deleted.is_some() || !again.contains(&other.path));
        let gone: Vec<_> = own(removed).chain(gone.cloned()).collect();
        actions.extend(moved(schema, gone, added, (change.at, data_change))?);
        if after.expired_through() != base.expired_through() {
            actions.push(Action::Txn(expired::action(after.expired_through())));
        }
        Self::of(&actions)
    }

    /// The commit that puts `added` in the place of all files of a table, `removed`, and the columns of `schema`, which
    /// they have, in the place of its columns.
    pub(crate) fn alter(
        metadata: &Metadata,
        schema: &TableSchema,
        removed: &[Arc<FileEntry>],
        added: &[Arc<FileEntry>],
        (operation, at): (&str, Micros),
    ) -> Result<Self> {
        let columns: Vec<_> = schema.values().iter().map(|column| &column.name).collect();
        let mut parameters = Map::new();
        parameters.insert("columns".to_owned(), json!(columns).to_string().into());
        // What is computed of the table may have been computed of columns that went.
        parameters.insert(HOURS.to_owned(), "all".into());
        let mut actions = vec![info_at(at, (operation, parameters, metrics(removed, added)))];
        actions.push(Action::MetaData(Box::new(metadata.action(schema))));
        actions.extend(moved(schema, own(removed).collect(), added, (at, true))?);
        Self::of(&actions)
    }

    fn of(actions: &[Action]) -> Result<Self> {
        let mut lines = Vec::new();
        for action in actions {
            serde_json::to_writer(&mut lines, action)
                .map_err(|e| Error::new(ErrorKind::Internal, "Delta commit").with_source(e))?;
            lines.push(b'\n');
        }
        Ok(Self(lines.into()))
    }
}

/// Writes `commit` as `version` if there is no such version.
///
/// # Errors
/// `Conflict` if another writer was first. `Store` if the store failed: the commit may exist then or later,
/// which the next attempt finds out as a conflict.
pub(crate) async fn put_commit(
    store: &LakeStore,
    version: TableVersion,
    commit: &Commit,
) -> Result<()> {
    let path = store.path(&LogName::commit(version).path());
    let put = store.object().put_opts(&path, commit.0.clone().into(), PutMode::Create.into()).await;
    match put {
        Ok(_) => Ok(()),
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => {
            // A client of an object store sends a put again when the reply was lost, and then meets its
            // own commit.
            match stands(store, version, commit).await? {
                true => Ok(()),
                false => Err(Error::new(
                    ErrorKind::Conflict,
                    format!("version {version} of {} was committed by another writer", store.url()),
                )),
            }
        }
        // Only the reply may be lost.
        Err(e) => match stands(store, version, commit).await {
            Ok(true) => Ok(()),
            _ => Err(e.into()),
        },
    }
}

/// Whether `commit` is that of a version.
async fn stands(store: &LakeStore, version: TableVersion, commit: &Commit) -> Result<bool> {
    let path = store.path(&LogName::commit(version).path());
    Ok(store.object().get(&path).await?.bytes().await? == commit.0)
}

/// Files of this program as any program's.
fn own(files: &[Arc<FileEntry>]) -> impl Iterator<Item = OtherFile> {
    let file = |entry: &Arc<FileEntry>| OtherFile {
        path: entry.path.to_string(),
        bytes: entry.bytes,
        deleted: None,
    };
    files.iter().map(file)
}

/// That files cease to be active and others become so, at a time; whether their rows are others than before.
fn moved(
    schema: &TableSchema,
    removed: Vec<OtherFile>,
    added: &[Arc<FileEntry>],
    (at, data_change): (Micros, bool),
) -> Result<Vec<Action>> {
    let millis = at.div_euclid(MICROS_PER_MILLI);
    let mut actions = Vec::with_capacity(removed.len() + added.len());
    actions.extend(removed.into_iter().map(|file| {
        Action::Remove(Remove {
            path: file.path,
            deletion_timestamp: millis,
            data_change,
            extended_file_metadata: true,
            partition_values: Map::new(),
            size: file.bytes,
            deletion_vector: file.deleted,
        })
    }));
    for entry in added {
        actions.push(Action::Add(Add {
            path: entry.path.to_string(),
            partition_values: Map::new(),
            size: entry.bytes,
            modification_time: millis,
            data_change,
            stats: stats::encode(schema, entry)?,
        }));
    }
    Ok(actions)
}

fn info_at(
    at: Micros,
    (operation, parameters, metrics): (&str, Map<String, Value>, Map<String, Value>),
) -> Action {
    info(operation, Some(at.div_euclid(MICROS_PER_MILLI)), parameters, metrics)
}

fn protocol() -> Action {
    Action::Protocol(Protocol { min_reader_version: 1, min_writer_version: 2 })
}

fn info(
    operation: &str,
    timestamp: Option<i64>,
    operation_parameters: Map<String, Value>,
    operation_metrics: Map<String, Value>,
) -> Action {
    Action::CommitInfo(Info {
        timestamp,
        operation: operation.to_owned(),
        operation_parameters,
        operation_metrics,
        engine_info: concat!("barograph/", env!("CARGO_PKG_VERSION")).to_owned(),
        txn_id: Uuid::new_v4().to_string(),
        ..Info::default()
    })
}

/// Hours and keys of a change, as texts.
fn parameters(change: &Change<'_>) -> Map<String, Value> {
    let mut parameters = Map::new();
    if !change.hours.is_empty() {
        parameters.insert(HOURS.to_owned(), json!(spans(change.hours)));
    }
    if let Some(keys) = change.keys.filter(|keys| keys.len() <= KEYS_MAX) {
        let keys: Vec<_> = keys.iter().map(Key::to_string).collect();
        parameters.insert(KEYS.to_owned(), json!(keys.join(" ")));
    }
    parameters
}

/// The keys of a change; `None` if the text is none.
pub(super) fn keys(text: &str) -> Option<Vec<Key>> {
    text.split_whitespace().map(|key| key.parse().ok()).collect()
}

/// Hours as spans from their first to the first after them: `2026-11-22T10/2026-11-22T13 …`.
pub fn spans(hours: &[Hour]) -> String {
    let runs = hours.chunk_by(|hour, then| hour.next() == *then);
    let runs = runs.filter_map(|run| Some(format!("{}/{}", run.first()?, run.last()?.next())));
    runs.collect::<Vec<_>>().join(" ")
}

/// The hours of [`spans`]; `None` if the text is none.
pub(super) fn hours(spans: &str) -> Option<Vec<Hour>> {
    let mut hours = Vec::new();
    for span in spans.split_whitespace() {
        let (from, to) = span.split_once('/')?;
        let (from, to): (Hour, Hour) = (from.parse().ok()?, to.parse().ok()?);
        hours.extend(
            std::iter::successors(Some(from), |hour| Some(hour.next()))
                .take_while(|hour| *hour < to),
        );
    }
    Some(hours)
}

/// Metrics under the names, and as the text, that other engines write.
fn metrics(removed: &[Arc<FileEntry>], added: &[Arc<FileEntry>]) -> Map<String, Value> {
    let rows: u64 = added.iter().map(|entry| entry.rows).sum();
    let bytes: u64 = added.iter().map(|entry| entry.bytes).sum();
    [
        ("numAddedFiles", added.len() as u64),
        ("numRemovedFiles", removed.len() as u64),
        ("numOutputRows", rows),
        ("numOutputBytes", bytes),
    ]
    .into_iter()
    .map(|(name, count)| (name.to_owned(), json!(count.to_string())))
    .collect()
}
