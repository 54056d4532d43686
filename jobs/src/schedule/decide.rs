//! The decision on whether a job is due: a pure function of its lease, its spec and the time.

use barograph_lake::{Span, Timestamp};

use super::lease::Lease;
use super::spec::JobSpec;

/// The decision about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It is due at once, for the time `slot`: of several that were missed the last.
    Now {
        /// The time that the run is for.
        slot: Timestamp,
    },
    /// It is to be looked at again at this time.
    At(Timestamp),
    /// It does not run by itself.
    Never,
}

/// A last run that is dated further ahead was dated by a clock that was set back since.
const AHEAD_MAX: Span = Span::HOUR;

/// Decides whether a job is due. `share`, from 0 to 1, is this process's draw of the jitter.
pub(crate) fn due(lease: &Lease, spec: &JobSpec, share: f64, now: Timestamp) -> Due {
    if !spec.enabled {
        return Due::Never;
    }
    if let Some(until) = lease.taken_until(now) {
        return Due::At(until);
    }
    if ahead(lease, now).is_some() {
        return Due::Now { slot: spec.cron.until(now).unwrap_or(now) };
    }
    // Somebody gave it back half done, or died; not for ever, if it is the job that kills.
    let tried_again = lease.until.is_none() || lease.deaths < spec.retries;
    if !lease.ended && tried_again {
        return Due::Now { slot: lease.slot };
    }
    let Some(next) = spec.cron.after(lease.slot) else { return Due::Never };
    let begin = next.saturating_add(jitter(spec, share));
    if now < begin {
        return Due::At(begin);
    }
    Due::Now { slot: spec.cron.until(now).unwrap_or(next).max(next) }
}

/// How far ahead of the clock the last run is dated, if that cannot be.
pub(super) fn ahead(lease: &Lease, now: Timestamp) -> Option<Span> {
    Some(lease.slot.since(now)).filter(|ahead| *ahead > AHEAD_MAX)
}

/// So much later than due this process begins.
fn jitter(spec: &JobSpec, share: f64) -> Span {
    Span::from_micros((spec.jitter.micros() as f64 * share.clamp(0.0, 1.0)) as i64)
}

/// A number from 0 to 1 that stays the same for the same words and says nothing about others: FNV-1a,
/// finished as SplitMix64 does.
pub(crate) fn share(words: &[&str]) -> f64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<Timestamp>().unwrap()
    }

    fn spec() -> JobSpec {
        JobSpec {
            cron: "0 * * * *".parse().unwrap(),
            jitter: "10m".parse::<Span>().unwrap(),
            retries: 2,
            ..JobSpec::default()
        }
    }

    fn free(slot: &str) -> Lease {
        let by = "a".to_owned();
        let duration = Some(Span::seconds(30));
        Lease {
            number: 7,
            by,
            until: None,
            duration,
            run: 3,
            slot: at(slot),
            ended: true,
            deaths: 0,
        }
    }

    #[test]
    fn a_job_waits_for_its_time_and_its_jitter() {
        let lease = free("2026-11-22T10:00:00Z");
        let decide = |share, now| due(&lease, &spec(), share, at(now));
        assert_eq!(decide(0.0, "2026-11-22T10:30:00Z"), Due::At(at("2026-11-22T11:00:00Z")));
        assert_eq!(decide(0.5, "2026-11-22T11:00:00Z"), Due::At(at("2026-11-22T11:05:00Z")));
        let slot = at("2026-11-22T11:00:00Z");
        assert_eq!(decide(0.5, "2026-11-22T11:05:00Z"), Due::Now { slot });
        assert_eq!(decide(1.0, "2026-11-22T11:09:59Z"), Due::At(at("2026-11-22T11:10:00Z")));
        let never = JobSpec { enabled: false, ..spec() };
        assert_eq!(due(&lease, &never, 0.0, at("2027-01-01")), Due::Never);
    }

    #[test]
    fn of_missed_times_the_last_is_caught_up_once() {
        let lease = free("2026-11-20T10:00:00Z");
        let now = at("2026-11-22T10:17:00Z");
        let slot = at("2026-11-22T10:00:00Z");
        assert_eq!(due(&lease, &spec(), 0.9, now), Due::Now { slot });
        let after = Lease { slot, ..lease };
        assert_eq!(due(&after, &spec(), 0.0, now), Due::At(at("2026-11-22T11:00:00Z")));
    }

    #[test]
    fn a_taken_lease_is_left_alone_and_an_abandoned_one_taken_over() {
        let until = at("2026-11-22T10:00:30Z");
        let slot = at("2026-11-22T10:00:00Z");
        let taken = Lease { until: Some(until), ended: false, ..free("2026-11-22T10:00:00Z") };
        assert_eq!(due(&taken, &spec(), 0.0, until - Span::MICROSECOND), Due::At(until));
        assert_eq!(due(&taken, &spec(), 0.0, until), Due::Now { slot });
        let half = Lease { until: None, ..taken.clone() };
        assert_eq!(due(&half, &spec(), 0.0, until), Due::Now { slot });
        // Two deaths in a row are tried again; after a third it waits for its next time.
        let twice = Lease { deaths: 1, ..taken.clone() };
        assert_eq!(due(&twice, &spec(), 0.0, until), Due::Now { slot });
        let deadly = Lease { deaths: 2, ..taken };
        assert_eq!(due(&deadly, &spec(), 0.0, until), Due::At(at("2026-11-22T11:00:00Z")));
        let later = at("2026-11-22T11:00:00Z");
        assert_eq!(due(&deadly, &spec(), 0.0, later), Due::Now { slot: later });
    }

    #[test]
    fn a_slot_of_a_clock_that_was_ahead_holds_nothing_up() {
        let now = at("2026-11-22T10:20:00Z");
        let next = at("2026-11-22T11:00:00Z");
        let slot = at("2026-11-22T10:00:00Z");
        for ended in [true, false] {
            let lease = Lease { ended, ..free("2036-11-22T10:00:00Z") };
            assert_eq!(due(&lease, &spec(), 1.0, now), Due::Now { slot });
            let begun = Lease { slot, ..lease };
            assert_eq!(due(&Lease { ended: true, ..begun }, &spec(), 0.0, now), Due::At(next));
        }
        // It has run for that time by the clock of another process.
        let lease = free("2026-11-22T11:00:00Z");
        assert_eq!(
            due(&lease, &spec(), 0.0, next - Span::millis(1)),
            Due::At(at("2026-11-22T12:00:00Z"))
        );
    }

    #[test]
    fn a_lease_is_over_where_it_ends_later_than_one_can() {
        let now = at("2026-11-22T10:20:00Z");
        let slot = at("2026-11-22T10:00:00Z");
        let taken = |ahead: &str| Lease {
            until: Some(now + ahead.parse::<Span>().unwrap()),
            ended: false,
            ..free("2026-11-22T10:00:00Z")
        };
        assert_eq!(due(&taken("60s"), &spec(), 0.0, now), Due::At(now + Span::MINUTE));
        assert_eq!(due(&taken("61s"), &spec(), 0.0, now), Due::Now { slot });
        assert_eq!(due(&taken("3650d"), &spec(), 0.0, now), Due::Now { slot });
    }

    #[test]
    fn shares_are_between_0_and_1_and_spread() {
        let shares: Vec<f64> = (0..1_000).map(|n| share(&["verify", &n.to_string()])).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            let count = shares.iter().filter(|share| (low..low + 0.1).contains(*share)).count();
            assert!((60..140).contains(&count), "{count} of 1,000 from {low}");
        }
        assert_eq!(share(&["a", "b"]), share(&["a", "b"]));
        assert_ne!(share(&["a", "b"]), share(&["ab"]));
    }
}
