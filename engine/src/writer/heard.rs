//! The versions of tables that other processes told through the log: who hears of one looks at once.

use std::sync::Arc;

use barograph_lake::TableVersion;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::log::Notice;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<HashMap<Arc<str>, TableVersion>>);

impl Heard {
    pub(super) fn hear(&self, notices: Vec<Notice>) {
        let mut versions = self.0.lock();
        for Notice { table, version } in notices {
            let known = versions.entry(table).or_insert(version);
            *known = version.max(*known);
        }
    }

    /// Whether a table is said to have a later version than `held`.
    pub(crate) fn is_beyond(&self, table: &str, held: TableVersion) -> bool {
        self.0.lock().get(table).is_some_and(|told| *told > held)
    }
}
