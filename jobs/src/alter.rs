//! The alteration of a table that holds rows: columns are dropped or renamed. File after file is rewritten beside
//! readers, and one commit puts the new files in the place of the old. An interrupted alteration goes on from the
//! files that were noted.

use std::sync::Arc;

use barograph_engine::Clock;
use barograph_engine::internal::Threads;
use barograph_engine::rewrite::{Rewrite, RewriteBounds, RewriteOf};
use barograph_lake::file::FileCache;
use barograph_lake::table::Alteration;
use barograph_lake::{FileEntry, LakeTable, Outcome, Retry, Size, Snapshot};
use tokio::runtime::Handle;

use crate::{Error, ErrorKind, Result};

/// How often a commit is put again of which the store does not say whether it was made.
const REPEATS: usize = 3;
/// Share of the memory that page indexes and dictionaries of the files take.
const CACHE_SHARE: usize = 4;

/// What an alteration may take.
#[derive(Debug, Clone, Copy)]
pub struct AlterBounds {
    /// Memory.
    pub memory: Size,
    /// Threads.
    pub threads: usize,
    /// Size from which on the next key goes into another file.
    pub file_bytes: Size,
}

/// A table that is given other columns.
#[derive(Debug, Clone, Copy)]
pub struct Alter<'a> {
    /// The table, with the columns that are stored.
    pub table: &'a LakeTable,
    /// What becomes of them.
    pub alteration: &'a Alteration,
    /// What that may take.
    pub bounds: AlterBounds,
}

impl Alter<'_> {
    /// Writes the files of `base` anew, beside whoever reads and writes, and notes them for [`Self::run`]; files that
    /// were are passed over. `progress` is told how many rows have been written, and says whether to go on. Gives how
    /// many files were written.
    pub async fn write_ahead(
        &self,
        base: &Snapshot,
        progress: &mut (dyn FnMut(u64) -> bool + Send),
    ) -> Result<usize> {
        let target = self.alteration.target(self.table);
        let threads = Threads::for_rewrite("barograph-alter", self.bounds.threads)?;
        let known = target.altered(base).await?;
        let (mut rows, mut written) = (0, 0);
        for file in base.files() {
            if !known.contains_key(&file.path) {
                let new = self.rewrite(file, threads.handle()?).await?;
                target.note_altered(file, &new).await?;
                written += 1;
            }
            rows += file.rows;
            if !progress(rows) {
                return Err(Error::new(
                    ErrorKind::Stopped,
                    "stopped; run it again to continue with the remaining files",
                ));
            }
        }
        Ok(written)
    }

    /// Gives the table, which is at `base`, its other columns; `progress` is told how many rows have been written. The
    /// caller sees to it that nobody has rows with the earlier columns that are still to land.
    ///
    /// # Errors
    /// `Unavailable` if other writers commit again and again, or if the store does not say whether the columns are
    /// others: what was asked and is done already is passed over, so that the same can be asked again. After any other
    /// error the table is as it was. Files that were written anew need not be again.
    pub async fn run(
        &self,
        mut base: Snapshot,
        clock: &dyn Clock,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Snapshot> {
        let Self { table, alteration, .. } = *self;
        let target = alteration.target(table);
        // Who asked waits for it, and perhaps who puts: it keeps its priority.
        let on = Handle::current();
        let mut retry = Retry::default();
        loop {
            let mut known = target.altered(&base).await?;
            let (mut added, mut rows) = (Vec::new(), 0);
            for file in base.files() {
                let new = match known.remove(&file.path) {
                    Some(new) => new,
                    None => {
                        let new = self.rewrite(file, &on).await?;
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
                        tracing::warn!(%error, table, "the columns have changed; leftover files of the alteration are ignored");
                    }
                    return Ok(after);
                }
                Outcome::Conflicted(conflict) => base = retry.newest(conflict).await?,
                Outcome::Unknown(unknown) => return Err(unknown.into()),
            }
        }
    }

    /// The files that hold the rows of one with other columns.
    async fn rewrite(&self, file: &Arc<FileEntry>, on: &Handle) -> Result<Vec<Arc<FileEntry>>> {
        let Self { table, alteration, bounds } = *self;
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
}
