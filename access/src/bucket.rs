//! The bucket of a rate: how much of something may be done in a second, with a second's worth at once. It may be overdrawn,
//! since what an answer holds is known when it is sent; who overdraws waits.
//!
//! It is one number, the time at which the bucket is full again (the generic cell rate algorithm, ITU-T I.371), so that no
//! lock is taken.

use std::sync::atomic::{AtomicU64, Ordering};

use barograph_lake::Span;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
const NANOS_PER_MICRO: u64 = 1_000;
/// What may be done at once, as time.
const BURST: u64 = 1_000_000_000;

/// A rate that is kept.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// When it is full again, in ns of elapsed time.
    full_at: AtomicU64,
}

impl Bucket {
    /// `per_second` in a second, at least 1.
    pub(crate) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), full_at: AtomicU64::new(0) }
    }

    /// Takes `count` if the bucket is not overdrawn; otherwise says how long it will be.
    pub(crate) fn take(&self, now: Span, count: u64) -> Result<(), Span> {
        let (now, cost) = (nanos(now), self.cost(count));
        let taken = self.full_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, |full_at| {
            // What is larger than a second's worth is taken from a full bucket.
            let full_at = full_at.max(now);
            let fits = full_at == now || full_at.saturating_add(cost) <= now.saturating_add(BURST);
            fits.then(|| full_at.saturating_add(cost))
        });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => {
                let cost = cost.min(BURST);
                Err(span(full_at.saturating_add(cost).saturating_sub(now.saturating_add(BURST))))
            }
        }
    }

    /// Takes `count` whatever is there; returns how long the next has to wait.
    pub(crate) fn charge(&self, now: Span, count: u64) -> Span {
        let (now, cost) = (nanos(now), self.cost(count));
        let add = |full_at: u64| Some(full_at.max(now).saturating_add(cost));
        let before = self.full_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        let full_at = before.unwrap_or_else(|full_at| full_at).max(now).saturating_add(cost);
        span(full_at.saturating_sub(now.saturating_add(BURST)))
    }

    /// How long it is overdrawn.
    pub(crate) fn overdrawn(&self, now: Span) -> Span {
        let full_at = self.full_at.load(Ordering::Acquire);
        span(full_at.saturating_sub(nanos(now).saturating_add(BURST)))
    }

    fn cost(&self, count: u64) -> u64 {
        let nanos = u128::from(count) * NANOS_PER_SECOND / u128::from(self.per_second);
        u64::try_from(nanos).unwrap_or(u64::MAX / 4)
    }
}

fn nanos(span: Span) -> u64 {
    u64::try_from(span.micros()).unwrap_or(0).saturating_mul(NANOS_PER_MICRO)
}

/// In µs, rounded up: who comes back then is let in.
fn span(nanos: u64) -> Span {
    Span::from_micros(i64::try_from(nanos.div_ceil(NANOS_PER_MICRO)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_is_worth_its_rate() {
        let bucket = Bucket::new(10);
        for _ in 0..10 {
            bucket.take(Span::SECOND, 1).unwrap();
        }
        assert_eq!(bucket.take(Span::SECOND, 1), Err(Span::millis(100)));
        bucket.take(Span::millis(1_100), 1).unwrap();
        assert_eq!(bucket.overdrawn(Span::millis(1_100)), Span::ZERO);
    }

    #[test]
    fn what_is_overdrawn_is_waited_for() {
        let bucket = Bucket::new(1_000);
        assert_eq!(bucket.charge(Span::ZERO, 1_000), Span::ZERO);
        assert_eq!(bucket.charge(Span::ZERO, 500), Span::millis(500));
        assert_eq!(bucket.take(Span::ZERO, 1), Err(Span::millis(501)));
        assert_eq!(bucket.overdrawn(Span::millis(200)), Span::millis(300));
        bucket.take(Span::millis(501), 1).unwrap();
    }

    #[test]
    fn more_than_a_seconds_worth_is_let_in_once() {
        let bucket = Bucket::new(10);
        bucket.take(Span::SECOND, 100).unwrap();
        assert_eq!(bucket.take(Span::SECOND, 100), Err(Span::seconds(10)));
        bucket.take(Span::seconds(11), 100).unwrap();
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_gets_through(
            rate in 1_u64..1_000, steps in proptest::collection::vec((0_i64..200_000, 1_u64..4), 1..200),
        ) {
            let (bucket, mut now, mut taken) = (Bucket::new(rate), Span::ZERO, 0);
            for (step, count) in steps {
                now = now + Span::from_micros(step);
                match bucket.take(now, count) {
                    Ok(()) => taken += count,
                    Err(wait) => {
                        prop_assert!(wait > Span::ZERO);
                        now = now + wait;
                        prop_assert!(bucket.take(now, count).is_ok());
                        taken += count;
                    }
                }
                // A bucket, what has run in since, and one request that was larger than what was left.
                let most = rate as f64 * (1.0 + now.micros() as f64 / 1e6) + 4.0;
                prop_assert!(taken as f64 <= most, "{} of {}", taken, most);
            }
        }
    }
}
