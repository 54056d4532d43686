//! The actions of the Delta protocol, one a line of a commit: those that this crate writes, and the parts that it reads
//! of the commits of any writer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::snapshot::DeletionVector;

/// One line of a commit, to write.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Action {
    CommitInfo(Info),
    Protocol(Protocol),
    MetaData(Box<MetaData>),
    Add(Add),
    Remove(Remove),
    Txn(Txn),
}

/// Who committed what, and when.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    /// ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<i64>,
    pub(super) operation: String,
    pub(super) operation_parameters: Map<String, Value>,
    pub(super) is_blind_append: bool,
    pub(super) operation_metrics: Map<String, Value>,
    pub(super) engine_info: String,
    /// The nonce, which tells a commit from all others.
    pub(super) txn_id: String,
}

/// The protocol versions that a reader and a writer must know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: i32,
    pub(super) min_writer_version: i32,
}

/// Identity, schema and configuration of the table.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetaData {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) schema_string: String,
    pub(super) partition_columns: [String; 0],
    pub(super) configuration: Map<String, Value>,
}

/// Format of the data files.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Format {
    pub(super) provider: &'static str,
    pub(super) options: Map<String, Value>,
}

/// A file becomes active.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    pub(super) path: String,
    pub(super) partition_values: Map<String, Value>,
    pub(super) size: u64,
    /// ms since the Unix epoch.
    pub(super) modification_time: i64,
    pub(super) data_change: bool,
    /// A JSON document.
    pub(super) stats: String,
}

/// A file ceases to be active; the object stays for readers of earlier versions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    pub(super) path: String,
    /// ms since the Unix epoch.
    pub(super) deletion_timestamp: i64,
    pub(super) data_change: bool,
    pub(super) extended_file_metadata: bool,
    pub(super) partition_values: Map<String, Value>,
    pub(super) size: u64,
    /// A file with another one, or none, is another file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deletion_vector: Option<DeletionVector>,
}

/// A number that an application keeps in the log; the newest counts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: &'static str,
    pub(super) version: i64,
}

/// One line of a commit by whichever writer, read for the table's history.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    pub(super) commit_info: Option<ParsedCommitInfo>,
    pub(super) add: Option<Added>,
    pub(super) remove: Option<Removed>,
}

/// What the history tells of a commit as a whole.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParsedCommitInfo {
    /// ms since the Unix epoch.
    pub(super) timestamp: Option<i64>,
    pub(super) operation: Option<String>,
    pub(super) operation_parameters: Option<Map<String, Value>>,
    pub(super) engine_info: Option<String>,
    /// What tells it from all others.
    pub(super) txn_id: Option<String>,
}

/// What the history tells of an added file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Added {
    pub(super) data_change: bool,
    pub(super) size: u64,
    pub(super) stats: Option<String>,
}

/// What the history tells of a removed file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Removed {
    pub(super) data_change: bool,
    pub(super) path: String,
}

/// The part of an added file's statistics that the history tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddedRows {
    /// Other writers may leave it out.
    #[serde(default)]
    pub(super) num_records: u64,
}
