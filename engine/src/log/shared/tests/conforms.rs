//! The shared log keeps the promises of a log, over a folder and in memory.

use std::sync::Arc;

use barograph_lake::{LakeStore, LogPosition};
use tempfile::TempDir;

use super::memory;
use crate::SystemClock;
use crate::log::conformance::{self, Bed};
use crate::log::tests::temporary;
use crate::log::{Log, LogSettings, SharedLog};

struct StoreBed {
    lake: LakeStore,
    _folder: Option<TempDir>,
}

impl Bed for StoreBed {
    fn open(&mut self, settings: &LogSettings, at_least: LogPosition) -> Box<dyn Log> {
        let clock = Arc::new(SystemClock);
        Box::new(SharedLog::open(&self.lake, settings, clock, at_least, "").unwrap())
    }
}

#[test]
fn a_shared_log_in_memory_conforms() {
    conformance::run(|| StoreBed { lake: memory(), _folder: None });
}

#[test]
fn a_shared_log_in_a_folder_conforms() {
    conformance::run(|| {
        let folder = temporary();
        StoreBed { lake: LakeStore::local(folder.path()).unwrap(), _folder: Some(folder) }
    });
}
