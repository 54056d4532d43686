//! The notices of a shared log: versions of tables that this process is to tell, those that others told, and where the
//! awaited ones stand.

use std::collections::HashMap;
use std::sync::Arc;

use barograph_lake::{LogPosition, TableVersion};

use super::group::{Group, Kind};
use crate::log::Notice;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// What others told, and nobody has taken.
    heard: Vec<Notice>,
    /// What is to be told with the next group.
    waiting: Vec<Notice>,
    /// The latest awaited version of each table, and the group that tells of it first.
    awaited: HashMap<Arc<str>, (TableVersion, LogPosition)>,
}

impl Notices {
    /// Has a version told with the next group. One that was to be told of the same table is told along with it.
    pub(super) fn tell(&mut self, mut notice: Notice) {
        let table = Arc::clone(&notice.table);
        for before in self.waiting.extract_if(.., |waiting| waiting.table == table) {
            notice.version = notice.version.max(before.version);
            notice.is_awaited |= before.is_awaited;
        }
        self.waiting.push(notice);
    }

    /// What the next group is to tell.
    pub(super) fn waiting(&self) -> &[Notice] {
        &self.waiting
    }

    /// They stand in the log.
    pub(super) fn sent(&mut self) {
        self.waiting.clear();
    }

    /// Notes what a group tells, which is in the log.
    pub(super) fn read(&mut self, group: &Group, is_own: bool) {
        let batches = group.batches.iter().filter(|batch| batch.kind == Kind::Notices);
        let records = batches.flat_map(|batch| &batch.records);
        for notice in records.filter_map(|(_, record)| Notice::read(record)) {
            let is_later = |(version, _): &(TableVersion, LogPosition)| *version < notice.version;
            if notice.is_awaited && self.awaited.get(&notice.table).is_none_or(is_later) {
                let place = (notice.version, LogPosition::new(group.position));
                self.awaited.insert(Arc::clone(&notice.table), place);
            }
            if !is_own {
                self.heard.push(notice);
            }
        }
    }

    /// What others told since this was last asked.
    pub(super) fn take(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.heard)
    }

    /// The position of a group that tells of a table's version, or of a later one, as awaited; `None` if none does.
    pub(super) fn told_at(&self, table: &str, version: TableVersion) -> Option<LogPosition> {
        let told = self.awaited.get(table).filter(|(told, _)| *told >= version);
        told.map(|(_, position)| *position)
    }

    /// Forgets what was read: the log is read anew.
    pub(super) fn forget_read(&mut self) {
        self.heard.clear();
        self.awaited.clear();
    }
}
