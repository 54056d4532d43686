//! A commit: the actions that make a version, and a nonce that tells it from all others.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::actions::{Action, Add, Info, Line, Protocol, Remove};
use super::change::{Change, Operation};
use super::difference::Columns;
use super::expired;
use super::log_path::LOG_FOLDER;
use super::metadata::Metadata;
use super::stats;
use crate::register::{Entry, Register};
use crate::store::LakeStore;
use crate::{
    Error, ErrorKind, FileEntry, ForeignFile, Hour, Key, Result, Snapshot, TableSchema, Timestamp,
};

/// Name of the hours of a change among the parameters of a commit.
pub(super) const HOURS: &str = "hours";
/// Name of its keys there.
pub(super) const KEYS: &str = "keys";
/// What stands for all hours there.
const ALL: &str = "all";
/// Keys that a commit names at most: beyond them whoever follows the table has much to do anyway.
const KEYS_MAX: usize = 256;

/// The bytes of a commit, with what tells it from all others; nothing does if another program left that out.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    bytes: Bytes,
    nonce: Option<String>,
}

/// What a table is declared to be from a version on.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) metadata: Metadata,
    pub(crate) schema: Arc<TableSchema>,
    /// Whether the protocol that it needs is, too.
    pub(crate) with_protocol: bool,
}

/// Files that take the place of others.
#[derive(Debug)]
pub(crate) struct Replacement<'a> {
    pub(crate) schema: &'a TableSchema,
    /// What the table is declared to be with it, if it is declared anew.
    pub(crate) declared: Option<&'a Declared>,
    pub(crate) operation: Operation,
    pub(crate) change: &'a Change,
    pub(crate) nonce: &'a str,
    pub(crate) at: Timestamp,
    pub(crate) removed: &'a [Arc<FileEntry>],
    pub(crate) added: &'a [Arc<FileEntry>],
    /// Before it and after it.
    pub(crate) snapshots: [&'a Snapshot; 2],
}

/// The commits of the table at `store`.
pub(crate) fn log(store: &LakeStore) -> Register<Commit> {
    Register::new(store, LOG_FOLDER)
}

impl Entry for Commit {
    fn encode(&self) -> Result<Bytes> {
        Ok(self.bytes.clone())
    }

    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut lines = bytes.split(|b| *b == b'\n');
        let info = lines.find_map(|line| serde_json::from_slice::<Line>(line).ok()?.commit_info);
        let nonce = info.and_then(|info| info.txn_id);
        Ok(Self { bytes: Bytes::copy_from_slice(bytes), nonce })
    }

    fn is_same(&self, found: &Self) -> bool {
        self.nonce.is_some() && self.nonce == found.nonce
    }
}

impl Commit {
    /// The commit that creates a table.
    pub(crate) fn create(metadata: &Metadata, schema: &TableSchema) -> Result<Self> {
        let info = info(Operation::Create, &random(), Map::new());
        Self::of(&[info.action(), protocol(), Action::MetaData(Box::new(metadata.action(schema)))])
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
            parameters.insert(HOURS.to_owned(), ALL.into());
        }
        let info = info(columns.operation(), &random(), parameters);
        Self::of(&[info.action(), Action::MetaData(Box::new(metadata.action(schema)))])
    }

    /// The commit that puts files in the place of others.
    pub(crate) fn replace(of: &Replacement<'_>) -> Result<Self> {
        let [base, after] = of.snapshots;
        let schema = of.declared.map_or(of.schema, |declared| &declared.schema);
        let mut info = info(of.operation, of.nonce, parameters(of, schema));
        info.timestamp = Some(of.at.as_millis());
        info.operation_metrics = metrics(of.removed, of.added);
        let mut actions = vec![info.action()];
        if let Some(Declared { metadata, with_protocol, .. }) = of.declared {
            actions.extend(with_protocol.then(protocol));
            actions.push(Action::MetaData(Box::new(metadata.action(schema))));
        }
        // An entry of the same name takes the place of one without deleted rows.
        let again: HashSet<_> = of.added.iter().map(|entry| entry.path.to_string()).collect();
        let gone =
            base.foreign_files().iter().filter(|other| !after.foreign_files().contains(other));
        let gone = gone.filter(|other| other.deleted.is_some() || !again.contains(&other.path));
        let gone: Vec<_> = own(of.removed).chain(gone.cloned()).collect();
        let data_change = *of.change != Change::Moved;
        actions.extend(moved(schema, gone, of.added, of.at, data_change)?);
        if after.expired_through() != base.expired_through() {
            actions.push(Action::Txn(expired::action(after.expired_through())));
        }
        Self::of(&actions)
    }

    fn of(actions: &[Action]) -> Result<Self> {
        let mut lines = Vec::new();
        for action in actions {
            serde_json::to_writer(&mut lines, action)
                .map_err(|e| Error::new(ErrorKind::Internal, "Delta commit").with_source(e))?;
            lines.push(b'\n');
        }
        let nonce = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => Some(info.txn_id.clone()),
            _ => None,
        });
        Ok(Self { bytes: lines.into(), nonce })
    }
}

fn random() -> String {
    Uuid::new_v4().to_string()
}

/// Files of this program as any program's.
fn own(files: &[Arc<FileEntry>]) -> impl Iterator<Item = ForeignFile> {
    let file = |entry: &Arc<FileEntry>| ForeignFile {
        path: entry.path.to_string(),
        bytes: entry.bytes,
        deleted: None,
    };
    files.iter().map(file)
}

/// That files cease to be active and others become so at `at`; `data_change`: with other rows than before.
fn moved(
    schema: &TableSchema,
    removed: Vec<ForeignFile>,
    added: &[Arc<FileEntry>],
    at: Timestamp,
    data_change: bool,
) -> Result<Vec<Action>> {
    let millis = at.as_millis();
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

fn protocol() -> Action {
    Action::Protocol(Protocol { min_reader_version: 1, min_writer_version: 2 })
}

fn info(operation: Operation, nonce: &str, operation_parameters: Map<String, Value>) -> Info {
    Info {
        operation: operation.as_str().to_owned(),
        operation_parameters,
        engine_info: concat!("barograph/", env!("CARGO_PKG_VERSION")).to_owned(),
        txn_id: nonce.to_owned(),
        ..Info::default()
    }
}

impl Info {
    fn action(self) -> Action {
        Action::CommitInfo(self)
    }
}

/// Hours and keys of a change, and the columns that an alteration leaves, as texts.
fn parameters(of: &Replacement<'_>, schema: &TableSchema) -> Map<String, Value> {
    let mut parameters = Map::new();
    if of.operation == Operation::AlterColumns {
        let columns: Vec<_> = schema.values().iter().map(|column| &column.name).collect();
        parameters.insert("columns".to_owned(), json!(columns).to_string().into());
    }
    let (hours, keys) = match of.change {
        Change::Moved => return parameters,
        Change::Rows { hours, keys } => (spans(hours), keys.as_ref()),
        Change::All => (ALL.to_owned(), None),
    };
    parameters.insert(HOURS.to_owned(), hours.into());
    if let Some(keys) = keys.filter(|keys| keys.len() <= KEYS_MAX) {
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
