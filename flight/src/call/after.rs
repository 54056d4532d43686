//! How far a process that others append beside has to be before it answers: it has not seen all of theirs yet, and a
//! client reads there what it has put elsewhere.

use std::sync::atomic::Ordering;

use barograph_engine::ErrorKind;
use barograph_lake::LogPosition;

use super::State;
use crate::{Error, Result};

impl State {
    /// Waits until views show what was acknowledged at `after`.
    ///
    /// # Errors
    /// `Unavailable` if that takes too long, or if this process has not known the end of the log for too long: another
    /// may be further.
    pub(crate) async fn reach(&self, after: Option<LogPosition>) -> Result<()> {
        if let Some(after) = after {
            self.wait_for(after).await?;
        }
        let (behind, most) = (self.engine.staleness(), self.settings.stale_max);
        if behind <= most.duration() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "this server has not come to the end of the log for {} ms, and flight.stale_max is {most}: ask another server, or again",
                behind.as_millis()
            ),
        ))
    }

    async fn wait_for(&self, after: LogPosition) -> Result<()> {
        let most = self.settings.after_wait_max;
        tokio::select! {
            biased;
            reached = self.engine.wait_for(after) => Ok(reached?),
            () = self.engine.clock().sleep(most.duration()) => {
                let end = LogPosition::new(self.engine.log_gauge().end.load(Ordering::Relaxed));
                Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "position {after} is asked for, and this server has the log up to {end} after {} ms (flight.after_wait_max): ask another server, or again",
                        most.duration().as_millis()
                    ),
                ))
            }
        }
    }
}
