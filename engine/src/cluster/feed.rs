//! The feed of a process that leads: the groups that it appends, for the processes that follow it.
//!
//! ```text
//! writer ─group─► queue of one follower ─► its stream       a queue that is full ends: its follower looks by itself
//!              └► queue of another ─► …
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use barograph_lake::LogPosition;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{Error, ErrorKind, Result};

/// Followers at a time.
const FOLLOWERS_MAX: usize = 64;
/// Bytes that wait for a follower. Queues share the groups that they hold.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// A larger group is named without its bytes: who follows gets it from the store.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// Memory of a group in a queue beside its bytes.
const GROUP_OVERHEAD: usize = 256;

/// A group that a process has appended to a shared log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendedGroup {
    /// Where it stands; the end of the log, in the first one of a stream.
    pub position: LogPosition,
    /// Its object; empty if it is to be looked for in the store.
    pub object: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Feed(Mutex<Followers>);

#[derive(Debug, Default)]
struct Followers {
    queues: Vec<Queue>,
    /// The group that was sent last.
    sent: Option<LogPosition>,
}

/// The groups that wait for one follower.
#[derive(Debug)]
struct Queue {
    groups: UnboundedSender<AppendedGroup>,
    bytes: Arc<AtomicUsize>,
}

impl Feed {
    /// The groups that are sent from now on, after one without bytes that says where the log ends. It ends when this
    /// process leads no longer, and for a follower that does not keep up.
    ///
    /// # Errors
    /// `Unavailable` if there are too many followers.
    pub(crate) fn follow(&self, end: LogPosition) -> Result<BoxStream<'static, AppendedGroup>> {
        let mut followers = self.0.lock();
        followers.queues.retain(|queue| !queue.groups.is_closed());
        if followers.queues.len() >= FOLLOWERS_MAX {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("{FOLLOWERS_MAX} processes follow this one already: look into the store"),
            ));
        }
        let (groups, receiver) = unbounded_channel();
        let bytes = Arc::new(AtomicUsize::new(0));
        let queue = Queue { groups, bytes: Arc::clone(&bytes) };
        queue.push(AppendedGroup { position: end, object: Bytes::new() });
        followers.queues.push(queue);
        let stream = unfold((receiver, bytes), async |(mut receiver, bytes)| {
            let group = next(&mut receiver, &bytes).await?;
            Some((group, (receiver, bytes)))
        });
        Ok(stream.boxed())
    }

    /// Sends a group, unless it was the last one.
    pub(crate) fn send(&self, position: LogPosition, object: &Bytes) {
        let mut followers = self.0.lock();
        if followers.sent.replace(position) == Some(position) {
            return;
        }
        let object = match object.len() <= GROUP_BYTES_MAX {
            true => object.clone(),
            false => Bytes::new(),
        };
        let group = AppendedGroup { position, object };
        followers.queues.retain(|queue| queue.push(group.clone()));
    }

    /// Ends all streams: another process leads.
    pub(crate) fn close(&self) {
        self.0.lock().queues.clear();
    }
}

impl Queue {
    /// Whether the follower is still there and has kept up.
    fn push(&self, group: AppendedGroup) -> bool {
        let bytes = group.object.len() + GROUP_OVERHEAD;
        let waiting = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        waiting + bytes <= WAITING_BYTES_MAX && self.groups.send(group).is_ok()
    }
}

async fn next(
    receiver: &mut UnboundedReceiver<AppendedGroup>,
    bytes: &AtomicUsize,
) -> Option<AppendedGroup> {
    let group = receiver.recv().await?;
    bytes.fetch_sub(group.object.len() + GROUP_OVERHEAD, Ordering::Relaxed);
    Some(group)
}

/// The groups that a leader has sent to this process, until the writer takes them.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    inbox: Mutex<Inbox>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    groups: VecDeque<AppendedGroup>,
    bytes: usize,
    /// Whether a leader sends what it appends.
    is_live: bool,
}

impl Offered {
    /// Keeps a group for the writer. Gives whether there was room, and whether it is the only one.
    pub(crate) fn push(&self, group: AppendedGroup) -> (bool, bool) {
        let mut inbox = self.inbox.lock();
        let bytes = group.object.len() + GROUP_OVERHEAD;
        if inbox.bytes + bytes > WAITING_BYTES_MAX {
            return (false, false);
        }
        inbox.bytes += bytes;
        inbox.groups.push_back(group);
        self.arrived.notify_one();
        (true, inbox.groups.len() == 1)
    }

    /// Ready once a group has come since this was last asked. The only caller is the writer.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// All that is there.
    pub(crate) fn take(&self) -> VecDeque<AppendedGroup> {
        let mut inbox = self.inbox.lock();
        inbox.bytes = 0;
        std::mem::take(&mut inbox.groups)
    }

    /// Whether a leader sends what it appends, so that there is little to look for.
    pub(crate) fn is_live(&self) -> bool {
        self.inbox.lock().is_live
    }

    pub(crate) fn set_live(&self, is_live: bool) {
        self.inbox.lock().is_live = is_live;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use futures::FutureExt;

    use super::*;

    fn now(stream: &mut BoxStream<'static, AppendedGroup>) -> Option<Option<AppendedGroup>> {
        stream.next().now_or_never()
    }

    fn at(position: u64, bytes: usize) -> AppendedGroup {
        let object = Bytes::from(vec![7; bytes]);
        AppendedGroup { position: LogPosition::new(position), object }
    }

    #[test]
    fn followers_get_each_group_once_until_another_leads() {
        let feed = Feed::default();
        let mut stream = feed.follow(LogPosition::new(8)).unwrap();
        for group in [at(8, 3), at(8, 3), at(16, GROUP_BYTES_MAX + 1)] {
            feed.send(group.position, &group.object);
        }
        let all: Vec<_> = std::iter::from_fn(|| now(&mut stream)).flatten().collect();
        assert_eq!(all, [at(8, 0), at(8, 3), at(16, 0)], "a large one is named");
        feed.close();
        assert_eq!(now(&mut stream), Some(None));
    }

    #[test]
    fn who_does_not_keep_up_is_dropped_and_others_are_not() {
        let feed = Feed::default();
        let mut slow = feed.follow(LogPosition::new(8)).unwrap();
        let mut fast = feed.follow(LogPosition::new(8)).unwrap();
        let groups: Vec<_> = (1..6).map(|n| at(8 * n, 2 << 20)).collect();
        for group in &groups {
            feed.send(group.position, &group.object);
            while now(&mut fast).is_some() {}
        }
        let kept = std::iter::from_fn(|| now(&mut slow).expect("the stream ends")).count();
        assert!(kept < groups.len(), "{kept}");
        assert_eq!(now(&mut fast), None, "this one goes on");
    }

    #[test]
    fn there_are_not_more_followers_than_allowed() {
        let feed = Feed::default();
        let mut streams: Vec<_> =
            (0..FOLLOWERS_MAX).map(|_| feed.follow(LogPosition::new(8)).unwrap()).collect();
        assert!(feed.follow(LogPosition::new(8)).is_err());
        streams.pop();
        assert!(feed.follow(LogPosition::new(8)).is_ok());
    }

    #[test]
    fn what_is_offered_is_kept_up_to_a_bound() {
        let offered = Offered::default();
        assert_eq!(offered.push(at(8, 4 << 20)), (true, true));
        assert_eq!(offered.push(at(16, 3 << 20)), (true, false));
        assert_eq!(offered.push(at(24, 3 << 20)), (false, false));
        assert_eq!(offered.take().len(), 2);
        assert_eq!(offered.push(at(24, 3 << 20)), (true, true));
    }
}
