//! The selection of keys that a read asks for.

use std::sync::Arc;

use crate::Key;

/// The keys a read asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySelection {
    /// Every key.
    All,
    /// Keys from `from` to `to`, both inclusive.
    Range {
        /// Smallest key inside.
        from: Key,
        /// Largest key inside.
        to: Key,
    },
    /// Exactly these, ascending and distinct (made by [`KeySelection::list`]).
    List(Arc<[Key]>),
}

impl KeySelection {
    /// Exactly `keys`, in any order, with or without repeats.
    pub fn list(keys: impl IntoIterator<Item = impl Into<Key>>) -> Self {
        let mut keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        keys.sort_unstable();
        keys.dedup();
        Self::List(keys.into())
    }

    /// Every key that one of both asks for, and perhaps others.
    pub fn or(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::List(keys), Self::List(others)) => {
                Self::list(keys.iter().chain(others.iter()).copied())
            }
            _ => Self::All,
        }
    }

    /// Whether `key` is asked for.
    #[inline]
    pub fn contains(&self, key: Key) -> bool {
        match self {
            Self::All => true,
            Self::Range { from, to } => *from <= key && key <= *to,
            Self::List(keys) => keys.binary_search(&key).is_ok(),
        }
    }

    /// The smallest key asked for that is `min` or larger.
    #[inline]
    pub fn next(&self, min: Key) -> Option<Key> {
        match self {
            Self::All => Some(min),
            Self::Range { from, to } => Some(min.max(*from)).filter(|key| key <= to),
            Self::List(keys) => keys.get(keys.partition_point(|&key| key < min)).copied(),
        }
    }

    /// Whether any key of the closed interval `[min, max]` is asked for.
    #[inline]
    pub fn touches(&self, min: Key, max: Key) -> bool {
        match self {
            Self::All => true,
            Self::Range { from, to } => min <= *to && max >= *from && from <= to,
            Self::List(keys) => {
                let first = keys.partition_point(|&key| key < min);
                keys.get(first).is_some_and(|&key| key <= max)
            }
        }
    }

    /// Whether every key of the closed interval `[min, max]` is asked for without looking at each.
    #[inline]
    pub fn covers(&self, min: Key, max: Key) -> bool {
        match self {
            Self::All => true,
            Self::Range { from, to } => *from <= min && max <= *to,
            Self::List(keys) => min == max && keys.binary_search(&min).is_ok(),
        }
    }

    /// The keys asked for that lie in the closed interval `[min, max]`.
    pub fn within(&self, min: Key, max: Key) -> Self {
        match self {
            Self::All => Self::Range { from: min, to: max },
            Self::Range { from, to } => Self::Range { from: min.max(*from), to: max.min(*to) },
            Self::List(keys) => {
                let first = keys.partition_point(|&key| key < min);
                let last = keys.partition_point(|&key| key <= max);
                Self::List(keys.get(first..last.max(first)).unwrap_or_default().into())
            }
        }
    }
}
