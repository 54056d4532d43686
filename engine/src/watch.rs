//! The watch over the processes that share a log: a task that keeps this process's entry among the members, and asks
//! each second whether the leader answers. If it does not twice in a row, this process takes the lead: it appends an empty
//! group, unless another is faster.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::Span;
use futures::future::{Either, select};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::Clock;
use crate::cluster::{Members, Peers};
use crate::writer::{LogGauge, WriterHandle};

/// The leader is asked this often, and has as long to answer.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After so many times without an answer in a row it is taken for gone.
const MISSES_MAX: u32 = 2;
/// This process's entry is written this often.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Entries of others that are gone are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// What the task works with.
#[derive(Debug)]
pub(crate) struct WatchParts {
    pub(crate) members: Arc<Members>,
    pub(crate) peers: Option<Arc<dyn Peers>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gauge: Arc<LogGauge>,
    pub(crate) writer: WriterHandle,
}

/// The task.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) members: Arc<Members>,
    stop: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What the task remembers.
#[derive(Debug, Default)]
struct Memory {
    /// Times in a row that this leader did not answer.
    misses: (String, u32),
    /// When this process's entry was written, and its part then.
    written: Option<(Span, bool)>,
    swept: Option<Span>,
}

impl Watch {
    pub(crate) fn start(parts: WatchParts) -> Self {
        let (members, stop) = (Arc::clone(&parts.members), Arc::new(Notify::new()));
        let task = tokio::spawn(run(parts, Arc::clone(&stop)));
        Self { members, stop, task: Mutex::new(Some(task)) }
    }

    /// Ends the task, and takes this process off the members.
    pub(crate) async fn stop(&self) {
        self.stop.notify_one();
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
        if let Err(error) = self.members.leave().await {
            tracing::debug!(%error, "the entry of this process stays until it is swept");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn run(parts: WatchParts, stop: Arc<Notify>) {
    let mut memory = Memory::default();
    loop {
        {
            let keeping = pin!(keep_entry(&parts, &mut memory));
            if let Either::Right((_, keeping)) = select(keeping, pin!(stop.notified())).await {
                // A write that is under way would come after the entry is taken away.
                let _ = select(keeping, parts.clock.sleep(ASK_EVERY)).await;
                return;
            }
        }
        let turn = pin!(async {
            ask(&parts, &mut memory).await;
            parts.clock.sleep(ASK_EVERY).await;
        });
        if let Either::Right(_) = select(turn, pin!(stop.notified())).await {
            return;
        }
    }
}

/// Writes this process's entry if it is due, or its part has changed.
async fn keep_entry(parts: &WatchParts, memory: &mut Memory) {
    let now = parts.clock.elapsed();
    let standing = parts.gauge.standing(parts.clock.as_ref());
    let is_due = memory.written.is_none_or(|(at, leads)| {
        leads != standing.leads || now.saturating_sub(at) >= Span::from_duration(WRITE_EVERY)
    });
    if !is_due {
        return;
    }
    memory.written = Some((now, standing.leads));
    let mut done = parts.members.write(standing).await;
    let swept = *memory.swept.get_or_insert(now);
    if done.is_ok()
        && standing.leads
        && now.saturating_sub(swept) >= Span::from_duration(SWEEP_EVERY)
    {
        memory.swept = Some(now);
        done = parts.members.sweep().await;
    }
    if let Err(error) = done {
        tracing::debug!(%error, "could not write this process's entry among the members: trying again");
    }
}

/// Asks whether the leader answers, and takes the lead if it is gone.
async fn ask(parts: &WatchParts, memory: &mut Memory) {
    let leader = parts.gauge.leader().filter(|leader| !leader.is_self);
    let (Some(leader), Some(peers)) = (leader, &parts.peers) else {
        memory.misses.1 = 0;
        return;
    };
    // Nobody reaches one without an address, such as a command that told of a version: one that is reached takes its place.
    let is_unreached = leader.address.is_empty();
    if is_unreached && parts.members.address().is_empty() {
        return;
    }
    if memory.misses.0 != leader.address {
        memory.misses = (leader.address.clone(), 0);
    }
    // This process has taken the place of one that is gone.
    let is_replaced = leader.address == parts.members.address();
    let answers = !is_replaced && !is_unreached && {
        let asked = peers.is_alive(&leader.address);
        match select(asked, parts.clock.sleep(ASK_EVERY)).await {
            Either::Left((answers, _)) => answers,
            Either::Right(_) => false,
        }
    };
    memory.misses.1 = if answers { 0 } else { memory.misses.1 + 1 };
    if is_replaced || memory.misses.1 >= MISSES_MAX {
        memory.misses.1 = 0;
        tracing::info!(
            leader = leader.address,
            "the leader of the log does not answer: this process takes the lead"
        );
        // The writer ends when the engine does.
        let _ = parts.writer.take_lead();
    }
}
