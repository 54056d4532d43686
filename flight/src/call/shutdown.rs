//! The phases of a server (serving, draining, stopped), shared with all running calls.

use std::time::Duration;

use barograph_engine::{Clock, ErrorKind};
use tokio::sync::watch;

use crate::{Error, Result};

/// Where the server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It takes calls.
    Serving,
    /// It takes no new calls, and tells writers and exchanges to come to an end.
    Draining,
    /// It ends what still runs.
    Stopped,
}

/// The phase, shared by all calls.
#[derive(Debug, Clone)]
pub(crate) struct Shutdown(watch::Sender<Phase>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Shutdown {
    /// Goes on to `phase`.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Refuses a new call where none is taken any more.
    pub(crate) fn check(&self) -> Result<()> {
        match self.phase() {
            Phase::Serving => Ok(()),
            Phase::Draining | Phase::Stopped => Err(Self::error()),
        }
    }

    /// Ready when `phase` is reached.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut watch = self.0.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = watch.wait_for(|current| *current >= phase).await;
    }

    /// Ready `limit` after draining began.
    pub(crate) async fn drained_for(&self, limit: Duration, clock: &dyn Clock) {
        self.reached(Phase::Draining).await;
        clock.sleep(limit).await;
    }

    /// What a call is told that cannot go on.
    pub(crate) fn error() -> Error {
        Error::new(
            ErrorKind::Unavailable,
            "the server is shutting down: send the request again to the next one",
        )
    }
}
