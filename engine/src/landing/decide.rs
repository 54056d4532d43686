//! Which hours should land? A pure function of what the tail holds and of the time.
//!
//! ```text
//!            landed      closed        open
//! hours   ──┬─────────┬───────────┬───────────►  reading_at
//!           │ late    │ watermark - lateness   watermark
//! Due        merge*    land        wait
//! Pressure   merge     land        land, oldest first, until enough is freed
//! Flush      merge     land        land                * at most every `late_merge_every`, or
//!                                                          `folded_merge_every` into days and months
//! ```

use barograph_lake::{Hour, Micros, Tier};

/// Why a landing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Time has passed.
    Due,
    /// Everything is to land.
    Flush,
}

/// What is known of an hour that has rows in the tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourFacts {
    /// The hour.
    pub hour: Hour,
    /// Bytes its rows take in the tail.
    pub bytes: usize,
    /// The tier of the hour's file in the lake, if it has one, so that these rows are late.
    pub home: Option<Tier>,
}

/// What an hour's landing depends on besides its own facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Newest instant seen, but no later than the present.
    pub watermark: Micros,
    /// How long after its end an hour stays open.
    pub lateness: Micros,
    /// Whether enough time has passed since late rows were last merged into files of hours.
    pub merge_due: bool,
    /// The same of files of days and months.
    pub folded_merge_due: bool,
    /// Bytes to free; 0 if memory is not short.
    pub bytes_to_free: usize,
}

/// The hours to land now, ascending.
pub fn decide(hours: &[HourFacts], situation: &Situation, reason: Reason) -> Vec<Hour> {
    let closed = |hour: Hour| hour.end().saturating_add(situation.lateness) <= situation.watermark;
    let wanted = |facts: &HourFacts| match reason {
        Reason::Flush => true,
        Reason::Due => {
            closed(facts.hour)
                && match facts.home {
                    None => true,
                    Some(Tier::Hour) => situation.merge_due,
                    Some(Tier::Day | Tier::Month) => situation.folded_merge_due,
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

    const H: Micros = 3_600_000_000;

    fn hour(n: i64) -> Hour {
        Hour::of(n * H).unwrap()
    }

    fn facts(n: i64, landed: bool) -> HourFacts {
        HourFacts { hour: hour(n), bytes: 100, home: landed.then_some(Tier::Hour) }
    }

    fn situation(watermark: Micros) -> Situation {
        Situation {
            watermark,
            lateness: H / 12,
            merge_due: false,
            folded_merge_due: false,
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
    fn late_rows_wait_for_the_next_merge() {
        let hours = [facts(8, true), facts(11, false)];
        let mut now = situation(11 * H + H / 2);
        assert_eq!(decide(&hours, &now, Reason::Due), []);
        now.merge_due = true;
        assert_eq!(decide(&hours, &now, Reason::Due), [hour(8)]);
    }

    #[test]
    fn late_rows_of_folded_hours_wait_longer() {
        let mut now = situation(11 * H + H / 2);
        now.merge_due = true;
        let hours = [HourFacts { home: Some(Tier::Day), ..facts(8, true) }];
        assert_eq!(decide(&hours, &now, Reason::Due), []);
        now.folded_merge_due = true;
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
