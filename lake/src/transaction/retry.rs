//! The retry policy of transactions: how often a change is decided again because other writers committed first, and how
//! long it waits in between.

use std::time::Duration;

use uuid::Uuid;

use super::Conflict;
use crate::{Error, ErrorKind, Result, Snapshot};

/// How often another writer may be first.
const ATTEMPTS: u32 = 12;
/// The longest wait after the first time; it doubles with each.
const WAIT: Duration = Duration::from_millis(5);
/// The longest of all.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A bounded number of retries, each of which decides again on the newest snapshot.
///
/// ```text
/// loop { decide on `base` ─► commit ─► Conflicted(conflict): base = retry.newest(conflict).await? }
/// ```
#[derive(Debug, Default)]
pub struct Retry {
    lost: u32,
}

impl Retry {
    /// The newest version, on which the change is to be decided again, after a wait.
    ///
    /// # Errors
    /// `Conflict` if others were first too often. As of [`crate::LakeTable::refresh`].
    pub async fn newest(&mut self, conflict: Conflict) -> Result<Snapshot> {
        let table = conflict.table.clone();
        self.wait(conflict).await?;
        table.refresh().await
    }

    /// Waits, unless others were first too often.
    pub(crate) async fn wait(&mut self, conflict: Conflict) -> Result<()> {
        self.lost += 1;
        let table = conflict.table.schema().name();
        if self.lost >= ATTEMPTS {
            let why = format!(
                "table {table:?}: other writers committed first {ATTEMPTS} times: try again when they are less busy"
            );
            return Err(Error::new(ErrorKind::Conflict, why).with_source(Error::from(conflict)));
        }
        let version = conflict.version;
        tracing::info!(table, %version, "another writer committed first: deciding again");
        let most = WAIT.saturating_mul(1 << (self.lost - 1)).min(WAIT_MAX);
        // Two that wait for each other do not come back at the same time.
        let share = (Uuid::new_v4().as_u128() & 0xffff) as f64 / 65_536.0;
        pause(most.mul_f64(share)).await;
        Ok(())
    }
}

/// Gives a store, or another writer, some time. Nothing follows from how long it is.
#[allow(clippy::disallowed_methods, reason = "a wait between two tries decides nothing")]
pub(super) async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}
