//! Time travel: a read of a table at an earlier version, through a view of the lake without a tail.

use std::sync::Arc;

use barograph_lake::{AsOf, KeySelection, TableSchema, TimeRange};

use super::Engine;
use crate::memory::Budget;
use crate::tail::Tail;
use crate::view::View;
use crate::{Error, Result};

impl Engine {
    /// The columns of a table at a version or time.
    pub fn schema_as_of(&self, table: &str, as_of: AsOf) -> Result<Arc<TableSchema>> {
        self.table(table).map(|table| Arc::clone(table.lake.schema_as_of(as_of)))
    }

    /// The view of the rows that had landed at a version or time, for a read of `keys` and `time`.
    ///
    /// # Errors
    /// `Request` if the version is gone from the table's log, if files that the read touches are deleted, or if the
    /// time lies in the future.
    pub async fn view_as_of(
        &self,
        table: &str,
        as_of: AsOf,
        keys: &KeySelection,
        time: TimeRange,
    ) -> Result<Arc<View>> {
        let table = self.table(table)?;
        if let AsOf::Time(time) = as_of
            && time > self.now()
        {
            return Err(Error::request(format!(
                "{time} is in the future: the newest version at that time is not known yet"
            )));
        }
        let version = table.lake.version_as_of(as_of, self.now()).await?;
        let (current, lake) = (table.view.load_full(), &table.lake);
        let schema = lake.schema_as_of(AsOf::Version(version));
        if schema != lake.schema_as_of(as_of) {
            return Err(Error::request(format!(
                "the columns of table {:?} changed about {as_of}: ask for version {version} in its place",
                schema.name()
            )));
        }
        let view = match table.earlier_views.get(|known| *known == version) {
            Some(view) => view,
            None => {
                let snapshot = match version == current.snapshot.version() {
                    true => Arc::clone(&current.snapshot),
                    false => {
                        let earlier = table.lake.snapshot_at(version).await?;
                        Arc::new(earlier.sharing(&current.snapshot))
                    }
                };
                let schema = Arc::clone(schema);
                let tail = Tail::new(Arc::clone(&schema), Budget::new("an empty tail", 0)).view();
                let view = Arc::new(View { schema, snapshot, tail });
                table.earlier_views.keep(version, Arc::clone(&view));
                view
            }
        };
        let touched = view.snapshot.prune(keys, time);
        let replaced = touched.filter(|file| !current.snapshot.is_active(&file.path));
        table.lake.check_there(version, replaced.cloned()).await?;
        Ok(view)
    }
}
