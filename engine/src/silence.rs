//! Silence: which keys of a table have reported lately, and which have stopped. Nothing of it is done when rows are put: who
//! watches has the tail looked through, once a minute at most.
//!
//! ```text
//! tail ─newest reading of each key─► known keys ─older than `silent_after`?─► silent
//!                                        └ forgotten after a week, and beyond 1,048,576 keys
//! ```

use barograph_lake::{Key, Span, Timestamp};
use hashbrown::HashMap;
use parking_lot::Mutex;

/// How often a tail is looked through at most.
const LOOKED_EVERY: Span = Span::seconds(60);
/// How long a key is known after its last reading.
const KNOWN_FOR: Span = Span::seconds(7 * 24 * 60 * 60);
/// Keys of a table that are known at most.
const KEYS_MAX: usize = 1 << 20;

/// Keys that have reported within a week, as far as this process has seen it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyActivity {
    /// Keys with a reading that is younger than `silent_after`.
    pub reporting: u64,
    /// The others.
    pub silent: u64,
}

/// The keys of a table that are known, by their newest readings.
#[derive(Debug, Default)]
pub(crate) struct Reported(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    looked_at: Option<Timestamp>,
    newest: HashMap<Key, Timestamp>,
}

impl Reported {
    /// Which keys report at `now`, by what was known and the newest readings that `look` shows.
    pub(crate) fn activity(
        &self,
        look: impl FnOnce(&mut dyn FnMut(Key, Timestamp)),
        now: Timestamp,
        silent_after: Span,
    ) -> KeyActivity {
        let mut known = self.0.lock();
        // A clock that was set back looks anew.
        let is_due = known.looked_at.is_none_or(|at| at > now || now.since(at) >= LOOKED_EVERY);
        if is_due {
            known.looked_at = Some(now);
            known.newest.retain(|_, newest| now.since(*newest) < KNOWN_FOR);
            look(&mut |key, at| known.saw(key, at, now));
        }
        let is_silent = |newest: &Timestamp| now.since(*newest) >= silent_after;
        let silent = known.newest.values().filter(|newest| is_silent(newest)).count() as u64;
        KeyActivity { reporting: known.newest.len() as u64 - silent, silent }
    }
}

impl Known {
    fn saw(&mut self, key: Key, at: Timestamp, now: Timestamp) {
        if now.since(at) >= KNOWN_FOR {
            return;
        }
        if let Some(newest) = self.newest.get_mut(&key) {
            *newest = at.max(*newest);
        } else if self.newest.len() < KEYS_MAX {
            self.newest.insert(key, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_key_is_silent_until_it_reports_or_is_forgotten() {
        let reported = Reported::default();
        let saw = |key: i64, seconds: i64, now: i64| {
            reported.0.lock().saw(Key::new(key), at(seconds), at(now));
        };
        let hour = Span::seconds(3_600);
        let activity = |now: i64| {
            let of = reported.activity(|_| {}, at(now), hour);
            (of.reporting, of.silent)
        };
        saw(1, 1_000_000, 1_000_000);
        saw(2, 1_002_000, 1_002_000);
        saw(3, 1, 1_002_000);
        assert_eq!(activity(1_002_000), (2, 0), "what is older than a week is history");
        assert_eq!(activity(1_003_600), (1, 1));
        saw(1, 1_003_600, 1_003_600);
        // An older reading that comes late.
        saw(1, 1_000_500, 1_003_600);
        assert_eq!(activity(1_003_600), (2, 0));
        assert_eq!(activity(1_010_000), (0, 2));
        assert_eq!(activity(1_002_000 + 7 * 86_400), (0, 1));
        assert_eq!(activity(2_000_000), (0, 0));
    }
}
