//! The job `verify`: it compares every file in the lake with its table's log. Each is read in full, file by file in
//! order of table and time, so that a run that was cut off goes on behind the last file it looked at.

use std::sync::Arc;

use barograph_lake::table::{FileCheck, Finding as Found};
use barograph_lake::{FileEntry, Key, KeySelection, LakeStore, LakeTable, TimeRange, Timestamp};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Opened, tables};
use crate::schedule::{Context, Figures, Finding, Job, Plan, RunRequest};
use crate::{Error, ErrorKind, Result};

/// Memory is given out in pieces of this size.
const PIECE: usize = 1 << 20;
/// Memory for a byte of a file: the file itself, and what is decoded of it.
const MEMORY_PER_BYTE: usize = 2;

/// The job `verify`.
#[derive(Debug)]
pub struct Verify {
    /// The tables.
    pub lake: LakeStore,
}

/// How far a run is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// The table it is at; those with smaller names are done.
    table: String,
    /// The file that was looked at last; those before are done.
    file: Option<Place>,
    /// Whether the table is done.
    whole: bool,
    /// Tables and files that could not be read: they are looked at again.
    #[serde(default)]
    again: Vec<(String, Option<Place>)>,
}

/// Memory that is given out to files.
struct Room {
    pieces: Semaphore,
    count: usize,
}

impl Room {
    fn new(bytes: usize) -> Self {
        let count = (bytes / PIECE).max(1);
        Self { pieces: Semaphore::new(count), count }
    }

    /// How many pieces a file of a size takes; a file that is larger than all takes all.
    fn pieces(&self, bytes: u64) -> u32 {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let pieces = bytes.saturating_mul(MEMORY_PER_BYTE).div_ceil(PIECE).clamp(1, self.count);
        u32::try_from(pieces).unwrap_or(u32::MAX)
    }
}

impl Checkpoint {
    /// Whether a file of a table, or with `None` the table, has not been come to.
    fn is_before(&self, table: &str, file: Option<Place>) -> bool {
        match table.cmp(&self.table) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => !self.whole && (file.is_none() || file > self.file),
        }
    }

    /// Whether a file of a table, or with `None` anything of the table, is still to be looked at.
    fn leaves(&self, table: &str, file: Option<Place>) -> bool {
        let mut again = self.again.iter().filter(|(of, _)| of == table);
        self.is_before(table, file)
            || again.any(|(_, left)| file.is_none() || left.is_none() || *left == file)
    }

    /// Comes to a file, or with `None` to the end of the table.
    fn advance(&mut self, table: &str, file: Option<Place>) {
        if self.is_before(table, file) {
            (self.table, self.file, self.whole) = (table.to_owned(), file, file.is_none());
        }
    }
}

impl Job for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn about(&self) -> &'static str {
        "reads every active file and compares it with its table's log"
    }

    fn plan<'a>(&'a self, request: &'a RunRequest) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let mut plan = Plan::default();
            for opened in tables(&self.lake).await?.planned(&mut plan) {
                let files = files(&opened, request.time());
                let cost = Figures {
                    files: files.len() as u64,
                    rows: files.iter().map(|file| file.rows).sum(),
                    bytes: files.iter().map(|file| file.bytes).sum(),
                };
                let what = match (files.first(), files.last()) {
                    (Some(first), Some(last)) => format!(
                        "read version {} from {} to {}",
                        opened.snapshot.version(),
                        first.path.period().start(),
                        last.path.period().end()
                    ),
                    _ => format!("version {} has no files", opened.snapshot.version()),
                };
                plan.add(&opened.name, what, cost);
            }
            Ok(plan)
        })
    }

    fn run<'a>(
        &'a self,
        request: &'a RunRequest,
        context: &'a Context,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut checkpoint: Checkpoint = context.checkpoint()?.unwrap_or_default();
            let tables = tables(&self.lake).await?;
            checkpoint.again.extend(tables.unopened().map(|name| (name.to_owned(), None)));
            for opened in tables.begun(context)? {
                if !checkpoint.leaves(&opened.name, None) {
                    continue;
                }
                let mut files = files(&opened, request.time());
                files.retain(|file| checkpoint.leaves(&opened.name, Some(place(file))));
                let unread = verify(&opened, files, &mut checkpoint, context).await?;
                let mut found = Vec::new();
                // Gaps and orphans are of the table as a whole.
                if *request == RunRequest::default() && checkpoint.is_before(&opened.name, None) {
                    match opened.table.check_places(&opened.snapshot).await {
                        Ok(places) => {
                            found.extend(places.into_iter().map(|at| finding(&opened.name, at)));
                        }
                        Err(error) => context.failed(&opened.name, "the listing", error.into())?,
                    }
                }
                checkpoint.again.retain(|(table, _)| *table != opened.name);
                checkpoint.again.extend(unread);
                checkpoint.advance(&opened.name, None);
                context.save(&checkpoint, Figures::default(), found).await?;
            }
            match context.damage() {
                (_, None) => Ok(()),
                (count, Some(first)) => Err(Error::new(
                    ErrorKind::Damage,
                    format!(
                        "{count} findings of damage, the first in {}: {}: {}",
                        first.table, first.subject, first.detail
                    ),
                )),
            }
        })
    }
}

/// The active files with rows in a range of time, in order of time.
fn files(opened: &Opened, time: TimeRange) -> Vec<Arc<FileEntry>> {
    opened.snapshot.prune(&KeySelection::All, time).cloned().collect()
}

/// Looks at files of a table, several at a time, and saves them in their order; gives those that could not be read.
async fn verify(
    opened: &Opened,
    files: Vec<Arc<FileEntry>>,
    checkpoint: &mut Checkpoint,
    context: &Context,
) -> Result<Vec<(String, Option<Place>)>> {
    let room = Room::new(context.memory().get());
    let checks = stream::iter(files)
        .map(|file| check_file(&opened.table, file, &room, context))
        .buffered(context.threads());
    let mut checks = std::pin::pin!(checks);
    let mut unread = Vec::new();
    while let Some((file, check)) = checks.next().await {
        let place = place(&file);
        let check = match check {
            Ok(check) => check,
            Err(error) => {
                context.failed(&opened.name, file.path, error)?;
                let left = (opened.name.clone(), Some(place));
                unread.push(left.clone());
                checkpoint.again.push(left);
                checkpoint.advance(&opened.name, Some(place));
                continue;
            }
        };
        let done = Figures { files: 1, rows: check.rows, bytes: check.bytes };
        let found = check.findings.into_iter().map(|found| finding(&opened.name, found)).collect();
        checkpoint.advance(&opened.name, Some(place));
        context.save(checkpoint, done, found).await?;
    }
    Ok(unread)
}

async fn check_file(
    table: &LakeTable,
    file: Arc<FileEntry>,
    room: &Room,
    context: &Context,
) -> (Arc<FileEntry>, Result<FileCheck>) {
    let check = async {
        let taken = room.pieces.acquire_many(room.pieces(file.bytes)).await;
        let _taken = taken.map_err(|e| Error::internal("memory for a file").with_source(e))?;
        context.pace(file.bytes).await?;
        Ok(table.check_file(Arc::clone(&file)).await?)
    };
    let check = check.await;
    (file, check)
}

/// Where a file stands among those of a table: first instant of its period, smallest key.
type Place = (Timestamp, Key);

fn place(file: &FileEntry) -> Place {
    (file.path.period().start(), file.keys.0)
}

fn finding(table: &str, found: Found) -> Finding {
    Finding {
        table: table.to_owned(),
        damage: found.kind.is_damage(),
        subject: found.subject,
        detail: format!("{}: {}", found.kind, found.detail),
    }
}
