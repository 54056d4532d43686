//! The times of versions, in ascending order although clocks step: computed from the times that their commits state.
//!
//! ```text
//! stated     10:00  10:05   9:07   9:12  10:20      a clock that stepped back: later versions are later
//! in order   10:00  10:05  10:05⁺ 10:05⁺ 10:20      ⁺ a millisecond after the one before
//!
//! stated     10:00   2036  10:10  10:15             a clock that was far ahead for a while: the others count
//! in order   10:00  10:00⁺ 10:10  10:15
//! ```
//!
//! A step back of a day or less is treated as in the Delta protocol: a time that is not later than the one before
//! counts as a millisecond after it. Of times that are further apart in the wrong order as few as possible are ignored;
//! times in the future are always ignored.

use crate::snapshot::AHEAD_MAX;
use crate::{Span, Timestamp};

/// One millisecond, which the times of two versions are apart at least.
const STEP: Span = Span::millis(1);

/// When one version was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// What its commit states.
    Stated(Timestamp),
    /// When the store says that the commit was written, as it states nothing.
    Written(Timestamp),
}

/// The times of versions in their order, which grow; `now` is the clock of who asks.
pub(super) fn in_order(made: &[Made], now: Timestamp) -> Vec<Timestamp> {
    let nobody_states = !made.iter().any(|made| matches!(made, Made::Stated(_)));
    let believable = |made: &Made| match *made {
        Made::Stated(at) => (at <= now).then_some(at),
        Made::Written(at) => (nobody_states && at <= now).then_some(at),
    };
    let mut times: Vec<Option<Timestamp>> = made.iter().map(believable).collect();
    level_small_steps(&mut times);
    pass_over_the_fewest(&mut times);
    let mut bound = None;
    let mut ceilings: Vec<Option<Timestamp>> = Vec::with_capacity(made.len());
    for time in times.iter().rev() {
        ceilings.push(bound);
        bound = time.or(bound);
    }
    let mut last: Option<Timestamp> = None;
    let ceilings = ceilings.into_iter().rev();
    let versions = made.iter().zip(times).zip(ceilings);
    let ordered = versions.map(|((made, time), ceiling)| {
        let (Made::Stated(said) | Made::Written(said)) = *made;
        let guess = || said.min(now).min(ceiling.unwrap_or(now));
        let guess = match (time, *made) {
            (Some(time), _) => time,
            (None, Made::Written(_)) => guess(),
            (None, Made::Stated(_)) => last.unwrap_or_else(guess),
        };
        let at = last.map_or(guess, |last| guess.max(last.saturating_add(STEP)));
        last = Some(at);
        at
    });
    ordered.collect()
}

/// Lifts times that are earlier by a day at most than the one before to that one.
fn level_small_steps(times: &mut [Option<Timestamp>]) {
    let mut before: Option<Timestamp> = None;
    for time in times.iter_mut().flatten() {
        if let Some(before) = before.filter(|before| before > time)
            && before.since(*time) <= AHEAD_MAX
        {
            *time = before;
        }
        before = Some(*time);
    }
}

/// Leaves the longest run of times that do not fall, of several the one that begins latest.
fn pass_over_the_fewest(times: &mut [Option<Timestamp>]) {
    // From the end: `heads[n]` is where the run of n + 1 times begins that leaves the most room before it.
    let mut heads: Vec<(Timestamp, usize)> = Vec::new();
    let mut next: Vec<Option<usize>> = vec![None; times.len()];
    for (at, time) in times.iter().enumerate().rev() {
        let Some(time) = *time else { continue };
        let length = heads.partition_point(|&(head, _)| head >= time);
        if let Some(next) = next.get_mut(at) {
            *next = length.checked_sub(1).and_then(|shorter| heads.get(shorter)).map(|head| head.1);
        }
        match heads.get_mut(length) {
            Some(head) => *head = (time, at),
            None => heads.push((time, at)),
        }
    }
    let mut kept = heads.last().map(|head| head.1);
    for (at, time) in times.iter_mut().enumerate() {
        if kept == Some(at) {
            kept = next.get(at).copied().flatten();
        } else {
            *time = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::MICROS_PER_HOUR;

    const STEP: i64 = super::STEP.micros();
    const MINUTE: i64 = MICROS_PER_HOUR / 60;
    const YEAR: i64 = 365 * 24 * MICROS_PER_HOUR;
    /// Ten o'clock of some day.
    const TEN: i64 = 56 * YEAR + 10 * MICROS_PER_HOUR;

    /// [`in_order`] in µs.
    fn in_order(made: &[Made], now: i64) -> Vec<i64> {
        let now = Timestamp::from_micros(now);
        super::in_order(made, now).into_iter().map(Timestamp::as_micros).collect()
    }

    fn stated(at: i64) -> Made {
        Made::Stated(Timestamp::from_micros(at))
    }

    fn written(at: i64) -> Made {
        Made::Written(Timestamp::from_micros(at))
    }

    fn ordered(minutes: &[i64]) -> Vec<i64> {
        let made: Vec<_> = minutes.iter().map(|at| stated(TEN + at * MINUTE)).collect();
        in_order(&made, TEN + 24 * MICROS_PER_HOUR).iter().map(|at| at - TEN).collect()
    }

    #[test]
    fn a_step_back_is_levelled_as_the_protocol_says() {
        let found = ordered(&[0, 5, -53, -48, 20]);
        assert_eq!(found, [0, 5 * MINUTE, 5 * MINUTE + STEP, 5 * MINUTE + 2 * STEP, 20 * MINUTE]);
    }

    #[test]
    fn a_clock_that_was_far_off_for_a_while_moves_no_other_version() {
        let years = 10 * YEAR / MINUTE;
        for wrong in [years, -years] {
            let found = ordered(&[0, 5, wrong, wrong + 1, 15, 20]);
            let (before, after) = (5 * MINUTE, [15 * MINUTE, 20 * MINUTE]);
            assert_eq!(found, [0, before, before + STEP, before + 2 * STEP, after[0], after[1]]);
        }
    }

    #[test]
    fn the_newest_version_is_not_in_the_future() {
        let ahead = TEN + 10 * YEAR;
        let made = [TEN, TEN + MINUTE, ahead, ahead + MINUTE].map(stated);
        let found = in_order(&made, TEN + 2 * MINUTE);
        let second = TEN + MINUTE;
        assert_eq!(found, [TEN, second, second + STEP, second + 2 * STEP]);
    }

    #[test]
    fn what_the_store_says_counts_where_commits_say_nothing() {
        let made = [written(TEN + 5 * MINUTE), stated(TEN), stated(TEN + MINUTE)];
        let found = in_order(&made, TEN + MICROS_PER_HOUR);
        assert_eq!(found, [TEN, TEN + STEP, TEN + MINUTE]);
        let made = [5, 9, 12].map(|minute| TEN + minute * MINUTE);
        assert_eq!(in_order(&made.map(written), TEN + MICROS_PER_HOUR), made);
    }

    proptest! {
        #[test]
        fn times_grow_and_those_in_order_stay(
            minutes in proptest::collection::vec(-100_000..100_000i64, 0..40),
        ) {
            let found = ordered(&minutes);
            prop_assert_eq!(found.len(), minutes.len());
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
            let mut sorted = minutes;
            sorted.sort_unstable();
            sorted.dedup();
            sorted.retain(|at| *at <= 24 * 60);
            let kept: Vec<_> = sorted.iter().map(|at| at * MINUTE).collect();
            prop_assert_eq!(ordered(&sorted), kept);
        }
    }
}
