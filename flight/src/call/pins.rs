//! Pinned views: GetFlightInfo pins the view it planned with, so that its endpoints, fetched one after another or at
//! the same time, together show exactly the rows of one moment.
//!
//! A pinned view holds memory (its tail) and the files of its snapshot, so their number and their
//! lifetime are bounded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barograph_engine::{Clock, ErrorKind, View};
use barograph_lake::{Span, Timestamp};

use crate::{Error, Result};

/// How often expired views are looked for.
pub(crate) const RELEASE_EVERY: Duration = Duration::from_secs(1);

/// The pinned views. Generic so that a test can pin what is easy to make.
#[derive(Debug)]
pub(crate) struct Pins<V = View> {
    clock: Arc<dyn Clock>,
    lifetime: Span,
    max: usize,
    /// Part of every id, so that a ticket of an earlier process finds nothing here.
    started: Timestamp,
    next: AtomicU64,
    held: Mutex<BTreeMap<String, Pin<V>>>,
}

#[derive(Debug)]
struct Pin<V> {
    table: String,
    view: Arc<V>,
    /// By the time that has passed.
    expires: Span,
}

/// A view that was pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// Names it in tickets.
    pub(crate) id: String,
    /// Until when it is held.
    pub(crate) expires: Timestamp,
}

impl<V> Pins<V> {
    pub(crate) fn new(clock: &Arc<dyn Clock>, lifetime: Span, max: usize) -> Self {
        let (clock, started) = (Arc::clone(clock), clock.now());
        Self { clock, lifetime, max, started, next: AtomicU64::new(0), held: Mutex::default() }
    }

    /// Holds `view` for the lifetime. A view that is held already is held longer under the same id.
    pub(crate) fn pin(&self, table: &str, view: &Arc<V>) -> Result<Pinned> {
        let now = self.clock.elapsed();
        let until = now + self.lifetime;
        let expires = self.clock.now() + self.lifetime;
        let mut held = self.held(now);
        if let Some((id, pin)) = held.iter_mut().find(|(_, pin)| Arc::ptr_eq(&pin.view, view)) {
            pin.expires = until;
            return Ok(Pinned { id: id.clone(), expires });
        }
        if held.len() >= self.max {
            let first = held.values().map(|pin| pin.expires).min().unwrap_or(until);
            let wait = first.saturating_sub(now).max(Span::millis(1));
            return Err(Error::resources(
                "flight.views_max",
                format_args!("endpoints hold {0} of {0} views", self.max),
                wait.duration(),
            ));
        }
        let id = format!(
            "{:x}-{:x}",
            self.started.as_micros(),
            self.next.fetch_add(1, Ordering::Relaxed)
        );
        let (table, view) = (table.to_owned(), Arc::clone(view));
        held.insert(id.clone(), Pin { table, view, expires: until });
        Ok(Pinned { id, expires })
    }

    /// The view that a ticket names.
    pub(crate) fn get(&self, id: &str, table: &str) -> Result<Arc<V>> {
        let held = self.held(self.clock.elapsed());
        held.get(id).filter(|pin| pin.table == table).map(|pin| Arc::clone(&pin.view)).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!(
                    "view {id:?} of table {table:?} is no longer held: endpoints are valid for {}; call GetFlightInfo again",
                    self.lifetime
                ),
            )
        })
    }

    /// Whether a view is held under a name.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.held(self.clock.elapsed()).contains_key(id)
    }

    /// Releases expired views, so that they are let go even if nobody asks. Gives whether any are held.
    pub(crate) fn release(&self) -> bool {
        !self.held(self.clock.elapsed()).is_empty()
    }

    /// The views that have not expired when so much time has passed.
    fn held(&self, now: Span) -> MutexGuard<'_, BTreeMap<String, Pin<V>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, pin| pin.expires > now);
        held
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use barograph_engine::{Clock, ErrorKind, ManualClock};
    use barograph_lake::{Span, Timestamp};

    use super::Pins;

    fn pins(max: usize) -> (Pins<u32>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
        (Pins::new(&(Arc::clone(&clock) as _), Span::seconds(10), max), clock)
    }

    #[test]
    fn a_view_is_held_for_its_lifetime_and_no_longer() {
        let (pins, clock) = pins(4);
        let view = Arc::new(7);
        let pinned = pins.pin("readings", &view).unwrap();
        assert_eq!(pinned.expires, Timestamp::from_micros(11_000_000));
        clock.set(Timestamp::from_micros(10_999_999));
        assert_eq!(*pins.get(&pinned.id, "readings").unwrap(), 7);
        clock.set(Timestamp::from_micros(11_000_000));
        let error = pins.get(&pinned.id, "readings").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("call GetFlightInfo again"), "{error}");
        assert_eq!(Arc::strong_count(&view), 1);
    }

    #[test]
    fn a_clock_that_is_set_neither_releases_a_view_nor_keeps_it() {
        let (pins, clock) = pins(1);
        let id = pins.pin("readings", &Arc::new(7)).unwrap().id;
        for years in [10, -20] {
            clock.step(Span::seconds(years * 31_557_600));
            pins.get(&id, "readings").unwrap();
        }
        clock.set(clock.now() + Span::seconds(10));
        assert!(pins.get(&id, "readings").is_err());
        pins.pin("readings", &Arc::new(8)).unwrap();
    }

    #[test]
    fn pinning_the_same_view_again_holds_it_longer() {
        let (pins, clock) = pins(1);
        let view = Arc::new(7);
        let first = pins.pin("readings", &view).unwrap();
        clock.set(Timestamp::from_micros(6_000_000));
        let again = pins.pin("readings", &view).unwrap();
        assert_eq!((again.id, again.expires), (first.id, Timestamp::from_micros(16_000_000)));
    }

    #[test]
    fn over_the_bound_the_delay_lasts_until_the_first_expires() {
        let (pins, clock) = pins(2);
        pins.pin("readings", &Arc::new(1)).unwrap();
        clock.set(Timestamp::from_micros(3_000_000));
        pins.pin("readings", &Arc::new(2)).unwrap();
        let error = pins.pin("readings", &Arc::new(3)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Resources);
        assert_eq!(error.retry_after().unwrap().as_secs(), 8);
        clock.set(Timestamp::from_micros(11_000_000));
        pins.pin("readings", &Arc::new(3)).unwrap();
    }

    #[test]
    fn a_view_of_another_table_or_process_is_unknown() {
        let (pins, clock) = pins(2);
        let id = pins.pin("readings", &Arc::new(1)).unwrap().id;
        assert!(pins.get(&id, "dead_letters").is_err());
        clock.set(Timestamp::from_micros(2_000_000));
        let later = Pins::<u32>::new(&(clock as _), Span::seconds(10), 2);
        later.pin("readings", &Arc::new(2)).unwrap();
        assert!(later.get(&id, "readings").is_err());
    }
}
