//! The pace of a function: rows per call, as many as take half a millisecond, judging by its last call. Between two
//! calls the statement can be stopped, and others get the processor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use barograph_lake::internal::yield_if_background;

/// Target duration of one call.
const CALL: Duration = Duration::from_micros(500);
/// Rows of the first call of a function.
const FIRST: usize = 32;

/// Duration of the last call of a function.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Time for a row in ps; 0 if there was no call.
    picos: AtomicU64,
    /// Bytes of a row's arguments.
    bytes: AtomicU64,
}

impl Pace {
    /// Rows of `bytes` each that a call should take. Time is assumed to grow with the square of larger arguments, as
    /// where each byte is compared with each.
    pub(super) fn rows(&self, bytes: u64) -> usize {
        let picos = self.picos.load(Ordering::Relaxed);
        if picos == 0 {
            return FIRST;
        }
        let larger = bytes.div_ceil(self.bytes.load(Ordering::Relaxed).max(1)).max(1);
        let picos = picos.saturating_mul(larger).saturating_mul(larger);
        usize::try_from(picos_of(CALL) / picos).unwrap_or(usize::MAX).max(1)
    }

    /// Makes a call with `rows` rows of `bytes` each, and measures it.
    pub(super) fn call<T>(&self, rows: usize, bytes: u64, call: impl FnOnce() -> T) -> T {
        let listed = now();
        let made = call();
        self.note(rows, bytes, now().duration_since(listed));
        yield_if_background();
        made
    }

    fn note(&self, rows: usize, bytes: u64, time: Duration) {
        let Some(picos) = picos_of(time).checked_div(rows as u64) else { return };
        self.picos.store(picos.max(1), Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }
}

fn picos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1_000)
}

#[expect(clippy::disallowed_methods, reason = "how long a function takes, whatever a clock says")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_take_as_many_rows_as_half_a_millisecond_allows() {
        let pace = Pace::default();
        assert_eq!(pace.rows(8), FIRST);
        // A quarter of a millisecond a row.
        pace.note(32, 500, Duration::from_millis(8));
        assert_eq!(pace.rows(500), 2);
        assert_eq!(pace.rows(5), 2);
        assert_eq!(pace.rows(1_000), 1);
        assert_eq!(pace.rows(u64::MAX), 1);
        // 10 ns a row.
        pace.note(1_000, 16, Duration::from_micros(10));
        assert_eq!(pace.rows(16), 50_000);
        assert_eq!(pace.rows(17), 12_500);
        pace.note(0, 16, Duration::from_secs(1));
        assert_eq!(pace.rows(16), 50_000);
        pace.note(8_192, 0, Duration::ZERO);
        assert_eq!(pace.rows(0), 500_000_000);
        assert_eq!(pace.rows(u64::MAX), 1);
    }
}
