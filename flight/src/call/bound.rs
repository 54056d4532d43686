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
pub(crate) struct Bound(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    values: HashMap<String, Bytes>,
    /// Names in the order of their first binding.
    order: VecDeque<String>,
    bytes: usize,
}

impl Bound {
    /// Keeps the values that were bound last.
    pub(crate) fn keep(&self, name: &str, values: &Bytes) {
        let mut kept = self.kept();
        kept.bytes += values.len();
        match kept.values.insert(name.to_owned(), values.clone()) {
            Some(before) => kept.bytes -= before.len(),
            None => kept.order.push_back(name.to_owned()),
        }
        while kept.bytes > BYTES_MAX || kept.values.len() > STATEMENTS_MAX {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.remove(&oldest);
        }
    }

    /// The values that were bound last, if they are still kept.
    pub(crate) fn get(&self, name: &str) -> Option<Bytes> {
        self.kept().values.get(name).cloned()
    }

    /// Forgets the values of a statement that is closed.
    pub(crate) fn forget(&self, name: &str) {
        let mut kept = self.kept();
        kept.order.retain(|kept| kept != name);
        kept.remove(name);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
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
        let bound = Bound::default();
        bound.keep("a", &Bytes::from_static(b"1"));
        bound.keep("a", &Bytes::from_static(b"23"));
        assert_eq!(bound.get("a").unwrap(), "23");
        assert_eq!(bound.get("b"), None);
        assert_eq!(bound.kept().bytes, 2);
        bound.forget("a");
        bound.forget("a");
        assert_eq!((bound.get("a"), bound.kept().bytes), (None, 0));
    }

    #[test]
    fn the_oldest_go_first() {
        let bound = Bound::default();
        let large = Bytes::from(vec![0; BYTES_MAX / 2]);
        for name in ["a", "b", "c"] {
            bound.keep(name, &large);
        }
        assert_eq!((bound.get("a"), bound.get("c").is_some()), (None, true));
        for i in 0..=STATEMENTS_MAX {
            bound.keep(&i.to_string(), &Bytes::from_static(b"x"));
        }
        let kept = bound.kept();
        assert_eq!((kept.values.len(), kept.order.len()), (STATEMENTS_MAX, STATEMENTS_MAX));
    }
}
