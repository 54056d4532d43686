//! The alteration of a table that holds rows: columns are dropped or renamed. File after file is rewritten beside
//! readers, and one commit puts the new files in the place of the old. An interrupted alteration goes on from the
//! files that were noted.

use std::sync::Arc;

use barograph_engine::Clock;
use barograph_engine::rewrite::{Rewrite, RewriteBounds, RewriteOf};
use barograph_engine::threads::Threads;
use barograph_lake::file::FileCache;
use barograph_lake::table::Alteration;
use barograph_lake::{FileEntry, LakeTable, Outcome, Retry, Size, Snapshot};
use tokio::runtime::Handle;

use crate::{Error, ErrorKind, Result};

/// How often a commit is put again of which the store does not say whether it was made.
const REPEATS: usize = 3;
/// Share of the memory that page indexes and dictionaries of the files take.
const CACHE_SHARE: usize = 4;

/// The bounds of an alteration.
#[derive(Debug, Clone, Copy)]
pub struct AlterBounds {
    /// Memory.
    pub memory: Size,
    /// Threads.
    pub threads: usize,
    /// Size of a file from which on the next key begins another file.
    pub file_bytes: Size,
}

/// Rewrites the files of a table, beside readers and writers, and notes them for [`alter`]; files that are rewritten
/// already are passed over. `progress` is told how many rows have been written, and says whether to go on. Returns
/// the number of files written.
pub async fn write_ahead(
    (table, base): (&LakeTable, &Snapshot),
    alteration: &Alteration,
    bounds: AlterBounds,
    progress: &mut (dyn FnMut(u64) -> bool + Send),
) -> Result<usize> {
    let target = alteration.target(table);
    let threads = Threads::for_rewrite("barograph-alter", bounds.threads)?;
    let known = target.altered(base).await?;
    let (mut rows, mut written) = (0, 0);
    for file in base.files() {
        if !known.contains_key(&file.path) {
            let new = rewrite(table, file, alteration, bounds, threads.handle()?).await?;
            target.note_altered(file, &new).await?;
            written += 1;
        }
        rows += file.rows;
        if !progress(rows) {
            return Err(Error::new(
                ErrorKind::Stopped,
                "stopped; asked again, it goes on with the files that are left",
            ));
        }
    }
    Ok(written)
}

/// Gives a table other columns; `progress` is told how many rows have been written. The caller ensures that no rows
/// with the earlier columns are still to land.
///
/// # Errors
/// `Unavailable` if other writers commit first again and again, or if the store does not say whether the alteration
/// was committed: what is done already is passed over, so that the same call can be repeated. After any other error
/// the table is as it was. Files that were rewritten are not rewritten again.
pub async fn alter(
    (table, mut base): (&LakeTable, Snapshot),
    alteration: &Alteration,
    bounds: AlterBounds,
    clock: &dyn Clock,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Snapshot> {
    let target = alteration.target(table);
    // Who asked waits for it, and perhaps who puts: it does not step back before them.
    let on = Handle::current();
    let mut retry = Retry::default();
    loop {
        let mut known = target.altered(&base).await?;
        let (mut added, mut rows) = (Vec::new(), 0);
        for file in base.files() {
            let new = match known.remove(&file.path) {
                Some(new) => new,
                None => {
                    let new = rewrite(table, file, alteration, bounds, &on).await?;
                    target.note_altered(file, &new).await?;
                    new
                }
            };
            added.extend(new);
            rows += file.rows;
            progress(rows);
        }
        let mut outcome = table.alter(&base, alteration, added, clock.now()).await?;
        // Who opens the earlier columns again takes rows for them, which a commit that comes late would turn away.
        for _ in 0..REPEATS {
            let Outcome::Unknown(unknown) = outcome else { break };
            outcome = unknown.repeat().await?;
        }
        match outcome {
            Outcome::Committed(after) => {
                let cleared = target.forget_altered().await;
                if let Err(error) = cleared.and(target.checkpoint(&after).await) {
                    let table = table.schema().name();
                    tracing::warn!(%error, table, "the columns are others; what is left behind is passed over");
                }
                return Ok(after);
            }
            Outcome::Conflicted(conflict) => base = retry.newest(conflict).await?,
            Outcome::Unknown(unknown) => return Err(unknown.into()),
        }
    }
}

/// The files that hold the rows of one with other columns.
async fn rewrite(
    table: &LakeTable,
    file: &Arc<FileEntry>,
    alteration: &Alteration,
    bounds: AlterBounds,
    on: &Handle,
) -> Result<Vec<Arc<FileEntry>>> {
    let memory = bounds.memory.get();
    let cache = FileCache::new(memory / CACHE_SHARE);
    let of = RewriteOf::files(vec![Arc::clone(file)], file.path.period());
    let bounds = RewriteBounds {
        memory: memory - memory / CACHE_SHARE,
        threads: bounds.threads,
        on: on.clone(),
        file_bytes: bounds.file_bytes.get() as u64,
    };
    let rewrite = Rewrite::of(table, &cache, &of, bounds).await?.altered(alteration);
    Ok(rewrite.finish().await?)
}
