//! Pending windows, for which files of a table may not expire yet: a file may go once everything that is computed
//! from its rows is computed, and only together with the rows that share a window with its own.
//!
//! ```text
//! too old       ◄──────────────────────────┤
//! windows       ├────────┼────────┼────────┼ ─ ─ ─
//! whole windows ◄────────────────┤
//! pending                ├────────┤
//! may go        ◄────────┤
//! ```

use std::collections::BTreeSet;

use barograph_lake::{FileEntry, LakeTable, Snapshot, Timestamp};

use super::{DerivedTable, Materialize};
use crate::Result;

/// What is still to be computed of a table for another.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    derived: &'a dyn DerivedTable,
    from: Timestamp,
    /// First instants of the windows; absent: all.
    windows: Option<BTreeSet<Timestamp>>,
}

impl Materialize {
    /// The last instant up to `before` at which no window of a table that is computed of `source` is under way.
    pub(crate) fn whole_windows(&self, source: &str, before: Timestamp) -> Timestamp {
        let mut end = before;
        loop {
            let windows = self.of(source).map(|derived| derived.window(end));
            let start = windows.fold(end, |start, window| start.min(window.from));
            if start == end {
                return end;
            }
            end = start;
        }
    }

    /// What is still to be computed of the rows of `snapshot`, table by table.
    pub(crate) async fn pending(
        &self,
        table: &LakeTable,
        snapshot: &Snapshot,
    ) -> Result<Vec<Pending<'_>>> {
        let progress = self.progress().await?;
        let mut pending = Vec::new();
        for derived in self.of(table.schema().name()) {
            let windows = match progress.get(derived)? {
                None => None,
                Some(watermark) => {
                    let commits =
                        table.commits_between(watermark.version, snapshot.version()).await?;
                    let hours: Option<Vec<_>> = commits
                        .and_then(|all| all.into_iter().map(|commit| commit.hours).collect());
                    hours.map(|hours| {
                        let mut windows = derived.windows(&hours.into_iter().flatten().collect());
                        windows.extend(watermark.stale);
                        windows
                    })
                }
            };
            let from = derived.computed_from(snapshot);
            pending.push(Pending { derived, from, windows });
        }
        Ok(pending)
    }

    fn of(&self, source: &str) -> impl Iterator<Item = &dyn DerivedTable> {
        let all = self.derived_tables.iter().map(AsRef::as_ref);
        all.filter(move |derived| derived.source() == source)
    }
}

impl Pending<'_> {
    /// The table that is not computed yet.
    pub(crate) fn table(&self) -> &str {
        self.derived.table().name()
    }

    /// Whether a window is still to be computed of rows of `file`.
    pub(crate) fn needs(&self, file: &FileEntry) -> bool {
        let windows = self.derived.windows(&file.hours().collect());
        let mut open = windows.iter().filter(|start| **start >= self.from);
        open.any(|start| self.windows.as_ref().is_none_or(|pending| pending.contains(start)))
    }
}
