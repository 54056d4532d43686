//! The hour through which rows may have expired: a number that stands in the log as long as the table exists.
//!
//! Rollups of such an hour are all that is left of it, so they are not computed again. The commits that name changed
//! hours leave the log after some days; this number does not.

use delta_kernel::{Engine, KernelResult, Snapshot};

use super::actions::Txn;
use crate::Hour;

/// Under which name the log keeps the number of the hour, counted from the Unix epoch.
const APPLICATION: &str = "barograph.expired_through";
/// The number that says that none has.
const NONE: i64 = i64::MIN;

/// What a commit says.
pub(super) fn action(through: Option<Hour>) -> Txn {
    Txn { app_id: APPLICATION, version: through.map_or(NONE, Hour::number) }
}

/// What the log says.
pub(super) fn read(table: &Snapshot, engine: &dyn Engine) -> KernelResult<Option<Hour>> {
    let number = table.get_app_id_version(APPLICATION, engine)?;
    Ok(number.and_then(Hour::of_number))
}
