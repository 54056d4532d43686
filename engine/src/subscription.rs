//! The subscription to the leader of a shared log: a task that reads the groups which the leader appends, right after it
//! has appended them, and hands them to the writer. While there is none, the writer looks into the store more often.
//!
//! ```text
//! leader known ─► stream ─group─► inbox ─► writer
//!      ▲             │ it ends, another leads, the inbox is full
//!      └──── wait ◄──┘
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::LogId;
use futures::StreamExt;
use futures::future::{Either, select};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::cluster::{Offered, Peers};
use crate::writer::{LogGauge, WriterHandle};
use crate::{Clock, Result};

/// Between two tries to reach a leader, and two looks for one.
const WAIT: Duration = Duration::from_millis(500);

/// What the task works with.
#[derive(Debug)]
pub(crate) struct SubscriptionParts {
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) log: LogId,
    /// Where the others reach this process.
    pub(crate) address: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) offered: Arc<Offered>,
    pub(crate) writer: WriterHandle,
}

/// The task. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Subscription(Mutex<Option<JoinHandle<()>>>);

impl Subscription {
    pub(crate) fn start(parts: SubscriptionParts) -> Self {
        Self(Mutex::new(Some(tokio::spawn(run(parts)))))
    }

    /// Ends the task.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.0.lock().take() {
            task.abort();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(parts: SubscriptionParts) {
    let mut applied = parts.gauge.applied_to();
    loop {
        if let Some(address) = parts.leader() {
            let followed = parts.follow(&address).await;
            parts.offered.set_live(false);
            // The writer looks more often again; it is gone when the engine is.
            if parts.writer.take_offered().is_err() {
                return;
            }
            if let Err(error) = followed {
                tracing::debug!(%error, address, "the leader of the log sends no groups: they are looked for in the store");
                parts.clock.sleep(WAIT).await;
                continue;
            }
        }
        // Another leads only after a group of its own.
        let changed = pin!(applied.changed());
        let _ = select(changed, parts.clock.sleep(WAIT)).await;
    }
}

impl SubscriptionParts {
    /// Where the leader is reached, if it is another process.
    fn leader(&self) -> Option<String> {
        let leader = self.gauge.leader().filter(|leader| !leader.is_self)?;
        let is_other = !leader.address.is_empty() && leader.address != self.address;
        is_other.then_some(leader.address)
    }

    /// Hands over what the leader appends, until its stream ends or another leads.
    async fn follow(&self, address: &str) -> Result<()> {
        let asked = pin!(self.peers.groups(address, self.log));
        let mut groups = match select(asked, self.clock.sleep(WAIT)).await {
            Either::Left((groups, _)) => groups?,
            Either::Right(_) => return Ok(()),
        };
        let mut applied = self.gauge.applied_to();
        // A stream of one that is stopped or cut off says nothing, while another leads.
        while self.leader().as_deref() == Some(address) {
            let changed = pin!(applied.changed());
            let group = match select(groups.next(), changed).await {
                Either::Left((Some(group), _)) => group?,
                Either::Left((None, _)) => break,
                Either::Right(_) => continue,
            };
            let (has_room, is_first) = self.offered.push(group);
            if !has_room {
                break;
            }
            self.offered.set_live(true);
            if is_first {
                self.writer.take_offered()?;
            }
        }
        Ok(())
    }
}
