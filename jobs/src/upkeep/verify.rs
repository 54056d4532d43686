//! Is every file in the lake what its table's log says? Each is read in full, file by file in order of
//! table and time, so that a run that was cut off goes on behind the last file it looked at.

use std::sync::Arc;

use barograph_lake::table::{FileCheck, Finding as Found};
use barograph_lake::time::format_instant;
use barograph_lake::{FileEntry, Key, KeySelection, LakeStore, LakeTable, Micros, TimeRange};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::{Opened, tables};
use crate::schedule::{Asked, Context, Figures, Finding, Job, Plan};
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
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reached {
    /// The table it is at; those with smaller names are done.
    table: String,
    /// The file that was looked at last; those before are done.
    file: Option<Place>,
    /// Whether the table is done.
    whole: bool,
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

impl Reached {
    /// Whether a file of a table, or with `None` the table, is still to be looked at.
    fn leaves(&self, table: &str, file: Option<Place>) -> bool {
        match table.cmp(&self.table) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => !self.whole && (file.is_none() || file > self.file),
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

    fn plan<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let mut plan = Plan::default();
            for opened in tables(&self.lake).await? {
                let files = files(&opened, asked.time());
                let price = Figures {
                    files: files.len() as u64,
                    rows: files.iter().map(|file| file.rows).sum(),
                    bytes: files.iter().map(|file| file.bytes).sum(),
                };
                let what = match (files.first(), files.last()) {
                    (Some(first), Some(last)) => format!(
                        "read version {} from {} to {}",
                        opened.snapshot.version(),
                        format_instant(first.path.period().start()),
                        format_instant(last.path.period().end())
                    ),
                    _ => format!("version {} has no files", opened.snapshot.version()),
                };
                plan.add(&opened.name, what, price);
            }
            Ok(plan)
        })
    }

    fn run<'a>(&'a self, asked: &'a Asked, context: &'a Context) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let reached: Option<Reached> = context.checkpoint()?;
            let left = |table: &str, file| reached.as_ref().is_none_or(|r| r.leaves(table, file));
            for opened in tables(&self.lake).await? {
                if !left(&opened.name, None) {
                    continue;
                }
                let mut files = files(&opened, asked.time());
                files.retain(|file| left(&opened.name, Some(place(file))));
                verify(&opened, files, context).await?;
                let mut found = Vec::new();
                // Gaps and orphans are of the table as a whole.
                if *asked == Asked::default() {
                    let places = opened.table.check_places(&opened.snapshot).await?;
                    found.extend(places.into_iter().map(|place| finding(&opened.name, place)));
                }
                let done = Reached { table: opened.name, file: None, whole: true };
                context.save(&done, Figures::default(), found).await?;
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

/// Looks at files of a table, several at a time, and saves them in their order.
async fn verify(opened: &Opened, files: Vec<Arc<FileEntry>>, context: &Context) -> Result<()> {
    let room = Room::new(context.memory().get());
    let checks = stream::iter(files)
        .map(|file| look(&opened.table, file, &room, context))
        .buffered(context.threads());
    let mut checks = std::pin::pin!(checks);
    while let Some((file, check)) = checks.try_next().await? {
        let done = Figures { files: 1, rows: check.rows, bytes: check.bytes };
        let found = check.findings.into_iter().map(|found| finding(&opened.name, found)).collect();
        let reached = Reached { table: opened.name.clone(), file: Some(file), whole: false };
        context.save(&reached, done, found).await?;
    }
    Ok(())
}

async fn look(
    table: &LakeTable,
    file: Arc<FileEntry>,
    room: &Room,
    context: &Context,
) -> Result<(Place, FileCheck)> {
    let taken = room.pieces.acquire_many(room.pieces(file.bytes)).await;
    let _taken = taken.map_err(|e| Error::internal("memory for a file").with_source(e))?;
    context.pace(file.bytes).await?;
    let place = place(&file);
    Ok((place, table.check_file(file).await?))
}

/// Where a file stands among those of a table: first instant of its period, smallest key.
type Place = (Micros, Key);

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
