//! The trusted time: the time that ages are counted by where a clock may be wrong for a while.
//!
//! Signs are times at which something was done before: runs of a job, commits. A clock that leaps ahead of them by more
//! than a day, and further than they are usually apart, is not trusted until signs after the leap span half an hour;
//! meanwhile ages are counted to the last sign before it. A sign that a later one contradicts came from a clock that
//! was wrong, and is ignored.
//!
//! ```text
//! signs   10:00  11:00   2036 (for some seconds)   12:00                 now      counted to
//! then    10:00  11:00   2036                                            2036     11:00
//! after   10:00  11:00    –                        12:00                 13:00    13:00
//! off     10:00  11:00          a week later 9:00                        9:10     11:00
//!         10:00  11:00          a week later 9:00  9:30                  9:31     9:31
//! ```

use crate::time::MICROS_PER_HOUR;
use crate::{Span, Timestamp};

/// Clocks that are set by less are not held up.
const LEAP: Span = Span::DAY;
/// Signs may be as far apart as this, if that is usual.
const USUAL_MAX: Span = Span::from_micros(62 * 24 * MICROS_PER_HOUR);
/// So long signs after a leap must span.
const TRUSTED_AFTER: Span = Span::from_micros(MICROS_PER_HOUR / 2);

/// The time of a clock, checked against signs from new to old.
#[derive(Debug, Clone)]
pub struct TrustedTime {
    /// The time and the signs that do not contradict it, from new to old.
    times: Vec<Timestamp>,
}

impl TrustedTime {
    /// The check of a clock that says `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { times: vec![now] }
    }

    /// The time that ages can be counted by at `now`, by `signs` from new to old.
    pub fn of(now: Timestamp, signs: impl IntoIterator<Item = Timestamp>) -> Timestamp {
        let mut trusted = Self::new(now);
        signs.into_iter().for_each(|sign| trusted.observe(sign));
        trusted.time()
    }

    /// Takes the sign before those taken so far.
    pub fn observe(&mut self, sign: Timestamp) {
        if self.times.last().is_some_and(|after| sign <= *after) {
            self.times.push(sign);
        }
    }

    /// Whether earlier signs change nothing.
    pub fn is_certain(&self) -> bool {
        let spanned = match (self.times.first(), self.times.last()) {
            (Some(now), Some(first)) => now.since(*first),
            _ => Span::ZERO,
        };
        spanned >= TRUSTED_AFTER && self.gaps().all(|gap| gap <= LEAP)
    }

    /// The time that ages can be counted by, according to the signs taken so far.
    pub fn time(&self) -> Timestamp {
        let now = self.times.first().copied().unwrap_or(Timestamp::MIN);
        let mut trusted = now;
        let befores = self.gaps().skip(1).map(Some).chain([None]);
        let pairs = self.times.iter().zip(self.times.iter().skip(1));
        for (((&after, &sign), gap), before) in pairs.zip(self.gaps()).zip(befores) {
            if trusted.since(after) >= TRUSTED_AFTER {
                break;
            }
            if is_leap(gap, before) {
                trusted = sign;
            }
        }
        trusted
    }

    /// How far each time is after the one before it.
    fn gaps(&self) -> impl Iterator<Item = Span> {
        let pairs = self.times.iter().zip(self.times.iter().skip(1));
        pairs.map(|(after, sign)| after.since(*sign))
    }
}

/// Whether signs so far apart tell of a clock that was set; `before` is how far apart those before them are.
fn is_leap(gap: Span, before: Option<Span>) -> bool {
    let is_usual = |before: Span| gap <= before.saturating_mul(2) && gap <= USUAL_MAX;
    gap > LEAP && !before.is_some_and(is_usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = MICROS_PER_HOUR / 60;
    const DAY: i64 = 24 * 60;
    /// Ten years, in minutes.
    const AHEAD: i64 = 10 * 365 * DAY;

    /// What is made of `now`, in minutes; signs from old to new.
    fn trusted(signs: &[i64], now: i64) -> i64 {
        let signs = signs.iter().rev().map(|sign| Timestamp::from_micros(sign * MINUTE));
        let mut all = TrustedTime::new(Timestamp::from_micros(now * MINUTE));
        for sign in signs {
            let (certain, before) = (all.is_certain(), all.time());
            all.observe(sign);
            assert!(!certain || all.time() == before);
        }
        all.time().as_micros() / MINUTE
    }

    #[test]
    fn a_clock_that_goes_on_is_gone_by() {
        assert_eq!(trusted(&[], 7), 7);
        assert_eq!(trusted(&[600], 660), 660);
        assert_eq!(trusted(&[540, 600], 600 + DAY), 600 + DAY);
    }

    #[test]
    fn a_leap_ahead_counts_once_it_lasts() {
        assert_eq!(trusted(&[540, 600], AHEAD), 600);
        assert_eq!(trusted(&[540, 600, AHEAD], AHEAD + 29), 600);
        assert_eq!(trusted(&[540, 600, AHEAD], AHEAD + 30), AHEAD + 30);
        assert_eq!(trusted(&[540, 600, AHEAD, AHEAD + 10], AHEAD + 29), 600);
        assert_eq!(trusted(&[540, 600, AHEAD], 2 * AHEAD), 600);
    }

    #[test]
    fn what_a_wrong_clock_said_is_forgotten_once_it_is_right() {
        assert_eq!(trusted(&[540, 600, AHEAD], 660), 660);
        assert_eq!(trusted(&[540, 600, AHEAD, 660], AHEAD + 120), 660);
        // A clock that begins at 1970 is gone by at once: nothing is old then.
        assert_eq!(trusted(&[AHEAD, AHEAD + 60], 5), 5);
        assert_eq!(trusted(&[AHEAD, AHEAD + 60, 5], AHEAD + 61), 5);
        assert_eq!(trusted(&[AHEAD, AHEAD + 60, 5, AHEAD + 61], AHEAD + 91), AHEAD + 91);
    }

    #[test]
    fn runs_that_are_usually_far_apart_are_believed() {
        assert_eq!(trusted(&[0, 7 * DAY], 14 * DAY), 14 * DAY);
        assert_eq!(trusted(&[0, 30 * DAY], 61 * DAY), 61 * DAY);
        assert_eq!(trusted(&[0, 7 * DAY, 14 * DAY], AHEAD), 14 * DAY);
        assert_eq!(trusted(&[0, 60], 60 + 7 * DAY), 60);
    }
}
