//! Tests of the shared log.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod conforms;
mod format;
mod fuzz;
mod model;
mod several;

use std::sync::Arc;

use barograph_lake::{LakeStore, LogPosition};
use object_store::memory::InMemory;

use super::SharedLog;
use crate::log::conformance::small;
use crate::{Clock, SystemClock};

/// A lake in memory.
fn memory() -> LakeStore {
    LakeStore::with_store(Arc::new(InMemory::new()), "memory:///lake".parse().unwrap())
}

fn open(lake: &LakeStore) -> SharedLog {
    open_by(lake, Arc::new(SystemClock))
}

fn open_by(lake: &LakeStore, clock: Arc<dyn Clock>) -> SharedLog {
    SharedLog::open(lake, &small(), clock, LogPosition::new(0), "http://here").unwrap()
}
