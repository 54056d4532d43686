//! The messages of the actions `delete` and `redrive`.

use barograph_engine::{DeletionReport, DeletionRequest};
use barograph_lake::{Key, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which dead letters to put again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedriveJson {
    table: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl RedriveJson {
    pub(crate) fn new(table: &str, time: TimeRange) -> Self {
        let (from, to) = texts(time);
        Self { table: table.to_owned(), from, to }
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn time(&self) -> Result<TimeRange> {
        time("redrive", &self.from, &self.to)
    }
}

/// Which rows to delete, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteJson {
    table: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<Key>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    reason: String,
}

impl DeleteJson {
    pub(crate) fn new(table: &str, keys: Option<Vec<Key>>, time: TimeRange, reason: &str) -> Self {
        let (from, to) = texts(time);
        Self { table: table.to_owned(), keys, from, to, reason: reason.to_owned() }
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn request(self, by: String, keys_max: usize) -> Result<DeletionRequest> {
        let refused = |what: String| Err(Error::request(format!("action delete: {what}")));
        if self.reason.trim().is_empty() {
            return refused("\"reason\" is empty: say why, it is kept with the record".to_owned());
        }
        if self.keys.as_ref().is_some_and(|keys| keys.len() > keys_max) {
            return refused(format!(
                "\"keys\" lists more than flight.ticket_keys_max allows, {keys_max}: delete in several steps"
            ));
        }
        let time = time("delete", &self.from, &self.to)?;
        if time.from >= time.to {
            return refused("\"to\" is exclusive and must be later than \"from\"".to_owned());
        }
        Ok(DeletionRequest { keys: self.keys, time, by, reason: self.reason })
    }
}

/// The report of a deletion as clients read it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeletionJson {
    rows: u64,
    files: u64,
    version: Option<u64>,
    /// Position in the log, as text like that of an acknowledgement; absent if no others share the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<String>,
}

impl From<DeletionReport> for DeletionJson {
    fn from(DeletionReport { rows, files, version, position }: DeletionReport) -> Self {
        let position = position.map(|position| position.to_string());
        Self { rows, files, version, position }
    }
}

impl TryFrom<DeletionJson> for DeletionReport {
    type Error = Error;

    fn try_from(DeletionJson { rows, files, version, position }: DeletionJson) -> Result<Self> {
        let position = position.map(|position| position.parse()).transpose()?;
        Ok(Self { rows, files, version, position })
    }
}

/// A range as an action names it; an open end is not named.
fn texts(time: TimeRange) -> (Option<String>, Option<String>) {
    let text = |instant: Timestamp, open| (instant != open).then(|| instant.to_string());
    (text(time.from, TimeRange::ALL.from), text(time.to, TimeRange::ALL.to))
}

/// The range that an action names.
fn time(action: &str, from: &Option<String>, to: &Option<String>) -> Result<TimeRange> {
    let instant = |text: &Option<String>, open| text.as_deref().map_or(Ok(open), str::parse);
    let request =
        |e: barograph_lake::Error| Error::request(format!("action {action}")).with_source(e);
    Ok(TimeRange {
        from: instant(from, TimeRange::ALL.from).map_err(request)?,
        to: instant(to, TimeRange::ALL.to).map_err(request)?,
    })
}
