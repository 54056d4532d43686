//! Audit: the records of who asked for what, and what came of it. The newest stay in memory, all go to a file if the
//! settings name one.
//!
//! ```text
//! record ─► ring of the newest ─► system.audit
//!        └► bounded queue ─► thread ─► lines of JSON, rotated by size
//! ```
//!
//! A record never holds a secret, nor the text or values of a request. A queue that is full loses records, which are counted:
//! a disk that is slow must not hold up those who ask.

mod file;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use barograph_lake::{Size, Timestamp};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Records of who asked for what: at most those of `recent_max` in `system.audit`, all of them in a file if one is
/// named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSettings {
    /// File that records are appended to, one JSON object a line. If absent, only `system.audit` has them, the newest.
    /// Every server of a shared log needs its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Size at which the file is renamed to `FILE.1`, that to `FILE.2` and so on, and another is begun.
    pub file_bytes_max: Size,
    /// Renamed files that are kept; the oldest are deleted.
    pub files_kept: usize,
    /// Records that may wait to be written. More are lost, and counted in `barograph_audit_lost_total`.
    pub queue_max: usize,
    /// Newest records that `system.audit` shows.
    pub recent_max: usize,
    /// Whether reads are recorded, too; writes, deletions, refusals and all else always are.
    pub reads: bool,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was let in, and failed or was given up.
    Failed,
    /// It was not known who asks.
    Unauthenticated,
    /// It was not allowed.
    Denied,
    /// A limit was reached.
    Exhausted,
}

/// The record of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEntry {
    /// When it ended.
    #[serde(with = "crate::tokens::as_text")]
    pub at: Timestamp,
    /// Who asked; empty if that is not known.
    pub identity: Arc<str>,
    /// How that was proved.
    pub proof: &'static str,
    /// The address it came from.
    pub address: Option<String>,
    /// The door it came by.
    pub door: &'static str,
    /// What was asked, such as `read` or `flush`.
    pub action: &'static str,
    /// Of which tables, separated by commas.
    pub tables: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why not, or what else there is to say.
    pub detail: String,
    /// Rows that were sent or put.
    pub rows: u64,
    /// Bytes that were sent or put.
    pub bytes: u64,
    /// How long it took, in µs.
    pub duration_us: u64,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            file: None,
            file_bytes_max: Size::mebibytes(64),
            files_kept: 8,
            queue_max: 8_192,
            recent_max: 1_024,
            reads: true,
        }
    }
}

impl AuditSettings {
    pub(crate) fn check(&self) -> Result<()> {
        if self.queue_max == 0 || self.queue_max > 1 << 20 {
            let text =
                format!("access.audit.queue_max is {}: give 1 to {}", self.queue_max, 1 << 20);
            return Err(Error::new(text));
        }
        if self.recent_max > 1 << 20 {
            let text =
                format!("access.audit.recent_max is {}: give {} at most", self.recent_max, 1 << 20);
            return Err(Error::new(text));
        }
        if self.file_bytes_max.get() < 64 << 10 {
            let text = format!(
                "access.audit.file_bytes_max is {}: give 64KiB or more",
                self.file_bytes_max
            );
            return Err(Error::new(text));
        }
        Ok(())
    }
}

impl Outcome {
    /// As records name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Exhausted => "exhausted",
        }
    }
}

/// The records.
#[derive(Debug)]
pub struct Audit {
    recent_max: usize,
    /// Whether reads that were let in are recorded.
    pub(crate) reads: bool,
    recent: Mutex<VecDeque<Arc<AuditEntry>>>,
    queue: Option<SyncSender<Arc<AuditEntry>>>,
    /// The thread that writes what is in the queue.
    writer: Option<JoinHandle<()>>,
    recorded: AtomicU64,
    lost: Arc<AtomicU64>,
}

impl Audit {
    /// Opens the file if one is named.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn open(settings: &AuditSettings) -> Result<Self> {
        let lost = Arc::new(AtomicU64::new(0));
        let (queue, writer) = match &settings.file {
            None => (None, None),
            Some(path) => {
                let file = file::Rotated::open(path, settings.file_bytes_max, settings.files_kept)
                    .map_err(|e| Error::file("access.audit.file", path, e))?;
                let (sender, receiver) = sync_channel(settings.queue_max);
                let lost = Arc::clone(&lost);
                let writer = std::thread::Builder::new()
                    .name("audit".to_owned())
                    .spawn(move || file::write(file, &receiver, &lost))
                    .map_err(|e| Error::new("a thread for access.audit.file").with_source(e))?;
                (Some(sender), Some(writer))
            }
        };
        Ok(Self {
            recent_max: settings.recent_max,
            reads: settings.reads,
            recent: Mutex::default(),
            queue,
            writer,
            recorded: AtomicU64::new(0),
            lost,
        })
    }

    /// Adds a record.
    pub fn record(&self, entry: AuditEntry) {
        let entry = Arc::new(entry);
        self.recorded.fetch_add(1, Ordering::Relaxed);
        if let Some(queue) = &self.queue
            && let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
                queue.try_send(Arc::clone(&entry))
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        if self.recent_max > 0 {
            let mut recent = self.recent.lock();
            if recent.len() >= self.recent_max {
                recent.pop_front();
            }
            recent.push_back(entry);
        }
    }

    /// The newest records, newest first.
    pub fn recent(&self) -> Vec<Arc<AuditEntry>> {
        self.recent.lock().iter().rev().cloned().collect()
    }

    /// How many records there were.
    pub fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// How many of them did not reach the file.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Audit {
    /// Waits until all records are in the file: the thread ends when there is nobody to send it more.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // One that panicked has nothing more to write.
            let _ = writer.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(rows: u64) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_micros(1_700_000_000_000_000),
            identity: "anna".into(),
            proof: "token",
            address: Some("10.0.0.7".to_owned()),
            door: "flight",
            action: "read",
            tables: "readings".to_owned(),
            outcome: Outcome::Done,
            detail: String::new(),
            rows,
            bytes: 8,
            duration_us: 3,
        }
    }

    #[test]
    fn the_newest_stay_and_all_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let file = Some(path.clone());
        let settings = AuditSettings { file, recent_max: 2, ..AuditSettings::default() };
        let audit = Audit::open(&settings).unwrap();
        (0..5).for_each(|rows| audit.record(entry(rows)));
        let rows: Vec<_> = audit.recent().iter().map(|entry| entry.rows).collect();
        assert_eq!((rows, audit.recorded(), audit.lost()), (vec![4, 3], 5, 0));
        drop(audit);
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 5);
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["identity"], "anna");
        assert_eq!(first["at"], "2023-11-14T22:13:20Z");
        assert_eq!(first["outcome"], "done");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("none").join("audit.jsonl"));
        let error = Audit::open(&AuditSettings { file, ..AuditSettings::default() }).unwrap_err();
        assert!(error.to_string().contains("audit.jsonl"), "{error}");
    }
}
