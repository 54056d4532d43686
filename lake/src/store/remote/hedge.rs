//! Hedged requests: one that takes longer than nearly all others of its size is sent a second time, and the first reply
//! taken (Dean, Barroso: "The Tail at Scale", 2013).

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use object_store::Result;
use parking_lot::Mutex;

/// Requests of a size from which the limit is taken.
const RECENT: usize = 128;
/// Fewer say nothing about the slowest of them.
const RECENT_MIN: usize = 20;
/// Of so many requests one may be sent twice.
const SHARE: u32 = 20;
/// So many may be sent twice at once after a quiet time.
const BURST: u32 = 4;
/// How many times the least limit is waited as long as nothing is known.
const UNKNOWN: u32 = 20;

/// When requests are sent a second time.
#[derive(Debug)]
pub(super) struct Hedge {
    after_min: Duration,
    /// Recent times by size: up to 64 KiB, 1 MiB, 8 MiB, more.
    sizes: [Mutex<Times>; 4],
    /// Shares of second requests that are due.
    due: Mutex<u32>,
}

#[derive(Debug, Default)]
struct Times {
    recent: VecDeque<Duration>,
    /// The time within which 95 of 100 were answered.
    usual: Option<Duration>,
    /// Requests since it was found.
    since: usize,
}

impl Hedge {
    pub(super) fn new(after_min: Duration) -> Self {
        Self { after_min, sizes: Default::default(), due: Mutex::new(BURST * SHARE) }
    }

    /// Sends `request` (`false`), and a second time (`true`) if it takes long. Its errors are answers, unless the other
    /// request still runs.
    pub(super) async fn run<T, F: Future<Output = Result<T>> + Send>(
        &self,
        bytes: u64,
        request: impl Fn(bool) -> F,
    ) -> Result<T> {
        self.earn();
        let begun = now();
        let first = Box::pin(request(false));
        let result = match select(first, Box::pin(wait(self.limit(bytes)))).await {
            Either::Left((result, _)) => result,
            Either::Right(((), first)) if !self.spend() => first.await,
            Either::Right(((), first)) => match select(first, Box::pin(request(true))).await {
                Either::Left((Ok(found), _)) | Either::Right((Ok(found), _)) => Ok(found),
                Either::Left((Err(_), second)) => second.await,
                Either::Right((Err(_), first)) => first.await,
            },
        };
        if result.is_ok() {
            self.learn(bytes, begun.elapsed());
        }
        result
    }

    /// The time after which a request of this size is slow.
    fn limit(&self, bytes: u64) -> Duration {
        match self.times(bytes).lock().usual {
            Some(usual) => usual.max(self.after_min),
            None => self.after_min * UNKNOWN,
        }
    }

    fn learn(&self, bytes: u64, took: Duration) {
        let mut times = self.times(bytes).lock();
        times.recent.push_back(took);
        if times.recent.len() > RECENT {
            times.recent.pop_front();
        }
        times.since += 1;
        if times.recent.len() >= RECENT_MIN && (times.usual.is_none() || times.since >= 8) {
            let mut sorted: Vec<_> = times.recent.iter().copied().collect();
            sorted.sort_unstable();
            times.usual = sorted.get(sorted.len() * 95 / 100).copied();
            times.since = 0;
        }
    }

    fn times(&self, bytes: u64) -> &Mutex<Times> {
        let [small, page, part, large] = &self.sizes;
        match bytes {
            0..=0x1_0000 => small,
            0x1_0001..=0x10_0000 => page,
            0x10_0001..=0x80_0000 => part,
            _ => large,
        }
    }

    fn earn(&self) {
        let mut due = self.due.lock();
        *due = (*due + 1).min(BURST * SHARE);
    }

    fn spend(&self) -> bool {
        let mut due = self.due.lock();
        let left = due.checked_sub(SHARE);
        *due = left.unwrap_or(*due);
        left.is_some()
    }
}

#[allow(clippy::disallowed_methods, reason = "replies of a store are slow by the machine's clock")]
fn now() -> Instant {
    Instant::now()
}

#[allow(clippy::disallowed_methods, reason = "replies of a store are slow by the machine's clock")]
async fn wait(length: Duration) {
    tokio::time::sleep(length).await;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_slow_request_is_sent_twice_and_not_all_of_them() {
        let hedge = Hedge::new(Duration::from_millis(1));
        for _ in 0..RECENT {
            hedge.run(1, |_| async { Ok(()) }).await.unwrap();
        }
        let seconds = AtomicU32::new(0);
        let slow = |is_second: bool| {
            seconds.fetch_add(u32::from(is_second), Ordering::Relaxed);
            async move {
                if !is_second {
                    std::future::pending::<()>().await;
                }
                Ok(is_second)
            }
        };
        assert!(hedge.run(1, slow).await.unwrap());
        // A store that is slow all the time is not asked twice for everything.
        let late = |is_second: bool| {
            seconds.fetch_add(u32::from(is_second), Ordering::Relaxed);
            async move {
                wait(Duration::from_millis(5)).await;
                Ok(())
            }
        };
        for _ in 0..20 {
            hedge.run(1, late).await.unwrap();
        }
        assert!(seconds.load(Ordering::Relaxed) <= BURST + 1, "{seconds:?}");
    }

    #[tokio::test]
    async fn an_error_is_an_answer_unless_the_other_request_answers() {
        let hedge = Hedge::new(Duration::from_millis(1));
        let error = || object_store::Error::Generic { store: "test", source: "broken".into() };
        hedge.run(1, |_| async { Err::<(), _>(error()) }).await.unwrap_err();
        let [begun, failed] = &[const { Notify::const_new() }; 2];
        let found = hedge.run(1, |is_second: bool| async move {
            if is_second {
                begun.notify_one();
                failed.notified().await;
                return Ok(2);
            }
            begun.notified().await;
            failed.notify_one();
            Err(error())
        });
        assert_eq!(found.await.unwrap(), 2);
    }
}
