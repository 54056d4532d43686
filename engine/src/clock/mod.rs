//! The clock of the engine. All time comes from a [`Clock`], so that a test can set it.

mod steps;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use barograph_lake::{Span, Timestamp};
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use steps::{ClockSteps, roughly};

/// A source of time.
///
/// 1. `now` is µs since the Unix epoch, UTC.
/// 2. `now` may step, either way; code that needs it to grow keeps the largest value seen.
/// 3. `elapsed` is the time that has passed, in µs, since a beginning of its own. It never steps, so that waits count
///    by it.
/// 4. `sleep` and `sleep_until` wait by `elapsed`. Turns, leases and deadlines wait by them, so that a test says when
///    they come. A mere delay before another try waits by [`pause`].
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current instant.
    fn now(&self) -> Timestamp;

    /// Time that has passed, in µs.
    fn elapsed(&self) -> Span;

    /// Ready once `elapsed` is `until`.
    fn sleep_until(&self, until: Span) -> BoxFuture<'static, ()>;

    /// Ready once `length` has passed.
    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.elapsed() + Span::from_duration(length))
    }
}

/// A wait before something that failed, or was full, is tried again. It runs by the machine's time, even where a test
/// holds the clock: no outcome may depend on its length.
#[allow(clippy::disallowed_methods, reason = "the one wait that decides nothing")]
pub async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "the machine's clock is made of it")]
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the machine's clock is made of it")]
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(chrono::Utc::now().timestamp_micros())
    }

    fn elapsed(&self) -> Span {
        Span::from_duration(BEGINNING.elapsed())
    }

    #[allow(clippy::disallowed_methods, reason = "the machine's clock is made of it")]
    fn sleep_until(&self, until: Span) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep((until - self.elapsed()).duration()))
    }
}

/// A clock for tests, which moves only when it is set.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    elapsed: watch::Sender<Span>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.as_micros()), elapsed: watch::Sender::new(Span::ZERO) }
    }

    /// Lets time pass until the clock shows `now`. Set back, the clock shows an earlier time, and no time has passed.
    pub fn set(&self, now: Timestamp) {
        let before = Timestamp::from_micros(self.now.swap(now.as_micros(), Ordering::SeqCst));
        let passed = now.since(before).max(Span::ZERO);
        self.elapsed.send_modify(|elapsed| *elapsed = *elapsed + passed);
    }

    /// Steps the clock forward or back while no time passes.
    pub fn step(&self, by: Span) {
        let after = |now| Some((Timestamp::from_micros(now) + by).as_micros());
        let _ = self.now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, after);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Span {
        *self.elapsed.borrow()
    }

    fn sleep_until(&self, until: Span) -> BoxFuture<'static, ()> {
        let mut elapsed = self.elapsed.subscribe();
        Box::pin(async move {
            if elapsed.wait_for(|elapsed| *elapsed >= until).await.is_err() {
                // Nobody can move a clock that is gone.
                std::future::pending::<()>().await;
            }
        })
    }
}
