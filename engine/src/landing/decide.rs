//! The decision on which hours land: a pure function of the contents of the tail and of the time.
//!
//! ```text
//!            landed      closed        open
//! hours   ──┬─────────┬───────────┬───────────►  reading_at
//!           │ late    │ watermark - lateness   watermark      or `lateness` after their end and their first row,
//!           │         │                                       by the clock: nothing newer may come
//! Due        merge*    land        wait
//! Pressure   merge     land        land, oldest first, until enough is freed
//! Flush      merge     land        land                * at most every `late_merge_every`, or
//!                                                          `compacted_merge_every` into days and months
//! ```

use barograph_lake::{Hour, Span, Tier, Timestamp};

/// The reason of a landing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Hours are due by time.
    Due,
    /// Everything is to land, open hours included.
    Flush,
}

/// The facts of an hour that has rows in the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HourFacts {
    /// The hour.
    pub hour: Hour,
    /// Bytes its rows take in the tail.
    pub bytes: usize,
    /// The tier of the hour's file in the lake, if it has one, so that these rows are late.
    pub file: Option<Tier>,
    /// When its first row arrived.
    pub since: Timestamp,
}

/// The situation that an hour's landing depends on, besides its own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Situation {
    /// Newest instant seen, but no later than `now`.
    pub watermark: Timestamp,
    /// The current time.
    pub now: Timestamp,
    /// How long after its end an hour stays open.
    pub lateness: Span,
    /// Whether enough time has passed since late rows were last merged into files of hours.
    pub merge_due: bool,
    /// Whether enough time has passed since late rows were last merged into files of days and months.
    pub compacted_merge_due: bool,
    /// Bytes to free; 0 if memory is not short.
    pub bytes_to_free: usize,
}

/// The hours to land now, ascending.
pub(crate) fn decide(hours: &[HourFacts], situation: &Situation, reason: Reason) -> Vec<Hour> {
    let is_over = |instant: Timestamp, by| instant.saturating_add(situation.lateness) <= by;
    let closed = |facts: &HourFacts| {
        // A row that came in the future came before the clock was set back.
        let waited = is_over(facts.since, situation.now) || facts.since > situation.now;
        let end = facts.hour.end();
        is_over(end, situation.watermark) || (waited && is_over(end, situation.now))
    };
    let wanted = |facts: &HourFacts| match reason {
        Reason::Flush => true,
        Reason::Due => {
            closed(facts)
                && match facts.file {
                    None => true,
                    Some(Tier::Hour) => situation.merge_due,
                    Some(Tier::Day | Tier::Month) => situation.compacted_merge_due,
                }
        }
    };
    let mut chosen: Vec<_> = hours.iter().filter(|facts| wanted(facts)).copied().collect();
    let mut freed: usize = chosen.iter().map(|facts| facts.bytes).sum();
    let mut others: Vec<_> = hours.iter().filter(|facts| !wanted(facts)).copied().collect();
    others.sort_by_key(|facts| facts.hour);
    for facts in others {
        if freed >= situation.bytes_to_free {
            break;
        }
        freed += facts.bytes;
        chosen.push(facts);
    }
    let mut chosen: Vec<_> = chosen.into_iter().map(|facts| facts.hour).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: i64 = 3_600_000_000;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn hour(n: i64) -> Hour {
        Hour::of(at(n * H)).unwrap()
    }

    fn facts(n: i64, landed: bool) -> HourFacts {
        HourFacts {
            hour: hour(n),
            bytes: 100,
            file: landed.then_some(Tier::Hour),
            since: at(n * H),
        }
    }

    fn situation(watermark: i64) -> Situation {
        Situation {
            watermark: at(watermark),
            now: at(watermark),
            lateness: Span::from_micros(H / 12),
            merge_due: false,
            compacted_merge_due: false,
            bytes_to_free: 0,
        }
    }

    #[test]
    fn an_hour_closes_when_the_watermark_passes_its_end_plus_lateness() {
        let hours = [facts(10, false), facts(11, false)];
        assert_eq!(decide(&hours, &situation(11 * H + H / 12 - 1), Reason::Due), []);
        assert_eq!(decide(&hours, &situation(11 * H + H / 12), Reason::Due), [hour(10)]);
    }

    #[test]
    fn an_hour_closes_by_the_clock_where_nothing_newer_comes() {
        let (end, lateness) = (11 * H, H / 12);
        let due = |since, now| {
            let (since, now) = (at(since), at(now));
            let facts = HourFacts { since, ..facts(10, false) };
            !decide(&[facts], &Situation { now, ..situation(10 * H + 1) }, Reason::Due).is_empty()
        };
        assert!(!due(10 * H, end + lateness - 1));
        assert!(due(10 * H, end + lateness));
        // Old readings get as long to come.
        assert!(!due(20 * H, 20 * H + lateness - 1));
        assert!(due(20 * H, 20 * H + lateness));
        // The clock was set back.
        assert!(due(90 * H, end + lateness));
        assert!(!due(90 * H, end + lateness - 1));
    }

    #[test]
    fn late_rows_wait_for_the_next_merge() {
        let hours = [facts(8, true), facts(11, false)];
        let mut now = situation(11 * H + H / 2);
        assert_eq!(decide(&hours, &now, Reason::Due), []);
        now.merge_due = true;
        assert_eq!(decide(&hours, &now, Reason::Due), [hour(8)]);
    }

    #[test]
    fn late_rows_of_compacted_hours_wait_longer() {
        let mut now = situation(11 * H + H / 2);
        now.merge_due = true;
        let hours = [HourFacts { file: Some(Tier::Day), ..facts(8, true) }];
        assert_eq!(decide(&hours, &now, Reason::Due), []);
        now.compacted_merge_due = true;
        assert_eq!(decide(&hours, &now, Reason::Due), [hour(8)]);
    }

    #[test]
    fn an_hour_that_landed_early_is_not_merged_while_it_is_open() {
        let mut now = situation(11 * H + H / 2);
        now.merge_due = true;
        assert_eq!(decide(&[facts(11, true)], &now, Reason::Due), []);
    }

    #[test]
    fn short_memory_lands_the_oldest_hours_until_enough_is_free() {
        let hours = [facts(12, false), facts(8, true), facts(11, false)];
        let mut now = situation(8 * H);
        now.bytes_to_free = 150;
        assert_eq!(decide(&hours, &now, Reason::Due), [hour(8), hour(11)]);
    }

    #[test]
    fn a_flush_lands_everything() {
        let hours = [facts(12, false), facts(8, true)];
        assert_eq!(decide(&hours, &situation(0), Reason::Flush), [hour(8), hour(12)]);
    }
}
