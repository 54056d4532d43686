//! Values bound by drivers that do not take the new handle. Binding returns a handle that carries the values; older
//! drivers go on with the first handle, and for them the last values are kept for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Bytes of values kept; over it the oldest are forgotten.
const BYTES_MAX: usize = 16 << 20;
/// Prepared statements whose values are kept.
const STATEMENTS_MAX: usize = 4_096;

/// Values by the name of their prepared statement.
#[derive(Debug, Default)]
pub(crate) struct BoundParameters(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    values: HashMap<String, Bytes>,
    /// Names in the order of their first binding.
    order: VecDeque<String>,
    bytes: usize,
}

impl BoundParameters {
    /// Keeps the values that were bound last.
    pub(crate) fn insert(&self, name: &str, values: &Bytes) {
        let mut entries = self.entries();
        entries.bytes += values.len();
        match entries.values.insert(name.to_owned(), values.clone()) {
            Some(before) => entries.bytes -= before.len(),
            None => entries.order.push_back(name.to_owned()),
        }
        while entries.bytes > BYTES_MAX || entries.values.len() > STATEMENTS_MAX {
            let Some(oldest) = entries.order.pop_front() else { break };
            entries.remove(&oldest);
        }
    }

    /// The values that were bound last, if they are still kept.
    pub(crate) fn get(&self, name: &str) -> Option<Bytes> {
        self.entries().values.get(name).cloned()
    }

    /// Forgets the values of a statement that is closed.
    pub(crate) fn remove(&self, name: &str) {
        let mut entries = self.entries();
        entries.order.retain(|entry| entry != name);
        entries.remove(name);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn remove(&mut self, name: &str) {
        if let Some(values) = self.values.remove(name) {
            self.bytes -= values.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_values_are_kept_until_they_are_forgotten() {
        let bound = BoundParameters::default();
        bound.insert("a", &Bytes::from_static(b"1"));
        bound.insert("a", &Bytes::from_static(b"23"));
        assert_eq!(bound.get("a").unwrap(), "23");
        assert_eq!(bound.get("b"), None);
        assert_eq!(bound.entries().bytes, 2);
        bound.remove("a");
        bound.remove("a");
        assert_eq!((bound.get("a"), bound.entries().bytes), (None, 0));
    }

    #[test]
    fn the_oldest_go_first() {
        let bound = BoundParameters::default();
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        for name in ["a", "b", "c"] {
            bound.insert(name, &large);
        }
        assert_eq!((bound.get("a"), bound.get("c").is_some()), (None, true));
        for i in 0..=STATEMENTS_MAX {
            bound.insert(&i.to_string(), &Bytes::from_static(b"x"));
        }
        let entries = bound.entries();
        assert_eq!((entries.values.len(), entries.order.len()), (STATEMENTS_MAX, STATEMENTS_MAX));
    }
}
