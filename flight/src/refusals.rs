//! The refusals of this process, counted by the bound that was reached. An error becomes a status where neither server
//! nor engine is known, so that they are those of the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Stands for a bound without a name.
const OTHER: &str = "other";

static REFUSALS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// Counts a refusal, by the name of its bound if it has one.
pub(crate) fn count(bound: Option<&'static str>) {
    let mut refusals = REFUSALS.lock().unwrap_or_else(PoisonError::into_inner);
    *refusals.entry(bound.unwrap_or(OTHER)).or_default() += 1;
}

/// How often each bound was reached.
pub(crate) fn by_bound() -> Vec<(&'static str, u64)> {
    let refusals = REFUSALS.lock().unwrap_or_else(PoisonError::into_inner);
    refusals.iter().map(|(bound, count)| (*bound, *count)).collect()
}
