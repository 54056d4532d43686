//! The limits of calls: how many streams may run at one time, and the deadline of each call.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use barograph_engine::{Clock, ErrorKind, retry};
use barograph_lake::Span;
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Result};

/// The bound on running streams.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    streams: Arc<Semaphore>,
    streams_max: usize,
}

impl Limits {
    pub(crate) fn new(streams_max: usize) -> Self {
        let streams_max = streams_max.min(Semaphore::MAX_PERMITS);
        Self { streams: Arc::new(Semaphore::new(streams_max)), streams_max }
    }

    /// Leave to run one stream for as long as the permit is held.
    pub(crate) fn stream(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Error::resources(
                "flight.streams_max",
                format_args!("{0} of {0} streams are running", self.streams_max),
                retry::READ_ENDS,
            )
        })
    }

    /// How many streams run.
    pub(crate) fn running(&self) -> usize {
        self.streams_max - self.streams.available_permits()
    }

    /// How many streams may run.
    pub(crate) fn most(&self) -> usize {
        self.streams_max
    }
}

/// The instant by which a call must be done, and how long that was.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    /// By the time that has passed.
    at: Span,
    after: Duration,
    asked: bool,
}

impl Deadline {
    /// The server's `limit`, or less if the client asked for less in the `grpc-timeout` header.
    pub(crate) fn new(clock: &Arc<dyn Clock>, limit: Duration, headers: &HeaderMap) -> Self {
        let asked = headers.get("grpc-timeout").and_then(|value| timeout_of(value.to_str().ok()?));
        let after = asked.map_or(limit, |asked| asked.min(limit));
        Self {
            clock: Arc::clone(clock),
            at: clock.elapsed() + Span::from_duration(after),
            after,
            asked: asked.is_some_and(|asked| asked < limit),
        }
    }

    /// Runs `work` until the deadline.
    pub(crate) async fn bound<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T>
    where
        Error: From<E>,
    {
        tokio::select! {
            biased;
            done = work => Ok(done?),
            error = self.reached() => Err(error),
        }
    }

    /// Comes when no time is left.
    pub(crate) async fn reached(&self) -> Error {
        self.clock.sleep_until(self.at).await;
        self.error()
    }

    /// How much time is left.
    pub(crate) fn left(&self) -> Duration {
        (self.at - self.clock.elapsed()).duration()
    }

    /// The error of work that was not done by the deadline.
    fn error(&self) -> Error {
        let ms = self.after.as_millis();
        let mend = if self.asked {
            "allow more in the call's timeout, or ask for less"
        } else {
            "ask for less at a time, or raise flight.request_timeout"
        };
        Error::new(
            ErrorKind::Timeout,
            format!("not done after {ms} ms, the answer is incomplete: {mend}"),
        )
    }
}

/// Reads a `grpc-timeout` header: up to 8 digits and a unit.
fn timeout_of(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_after_the_last_is_refused_with_the_bound_and_a_delay() {
        let limits = Limits::new(1);
        let running = limits.stream().unwrap();
        let error = limits.stream().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Resources);
        assert_eq!(error.retry_after(), Some(retry::READ_ENDS));
        assert!(error.to_string().starts_with("flight.streams_max: 1 of 1"), "{error}");
        drop(running);
        assert!(limits.stream().is_ok());
    }

    #[test]
    fn grpc_timeouts_are_read() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("1H", Some(Duration::from_secs(3_600))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("S", None),
            ("", None),
            ("123456789S", None),
            ("-1S", None),
            ("1µ", None),
            ("1x", None),
        ] {
            assert_eq!(timeout_of(text), expected, "{text:?}");
        }
    }
}
