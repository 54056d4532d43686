//! The versions of tables that were told through the log: who hears of one looks at once, and who answers for a position
//! behind an awaited one shows it.

use std::sync::Arc;

use barograph_lake::TableVersion;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::log::Notice;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<HashMap<Arc<str>, Told>>);

/// What was told of a table.
#[derive(Debug)]
struct Told {
    newest: TableVersion,
    /// The newest that answers have to show.
    awaited: Option<TableVersion>,
}

impl Heard {
    pub(crate) fn hear(&self, notices: Vec<Notice>) {
        let mut versions = self.0.lock();
        for Notice { table, version, is_awaited } in notices {
            let told = versions.entry(table).or_insert(Told { newest: version, awaited: None });
            told.newest = version.max(told.newest);
            told.awaited = told.awaited.max(is_awaited.then_some(version));
        }
    }

    /// Whether a table is said to have a later version than `held`.
    pub(crate) fn is_beyond(&self, table: &str, held: TableVersion) -> bool {
        self.0.lock().get(table).is_some_and(|told| told.newest > held)
    }

    /// The newest awaited version of each table, of those that were told so far.
    pub(crate) fn awaited(&self) -> Vec<(Arc<str>, TableVersion)> {
        let versions = self.0.lock();
        let awaited = versions.iter().filter_map(|(table, told)| Some((table, told.awaited?)));
        awaited.map(|(table, version)| (Arc::clone(table), version)).collect()
    }
}
