//! Column names of a file: those that are asked for, matched in whatever case, and those that turn up row by row.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

/// Most names that are kept.
const NAMES: usize = 1_000;

/// Keys of the JSON objects of a file, as far as rows were read.
#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Each with whether a column is read from it.
    keys: BTreeMap<String, bool>,
    /// Names that were asked for and found.
    found: BTreeSet<String>,
}

impl Keys {
    /// Adds the keys of an object, and which of them stand for the names that were asked for.
    pub(super) fn add(&self, keys: &[String], asked: &[String], by: &[Option<String>]) {
        let mut known = self.0.lock();
        for key in keys {
            let is_read = by.iter().flatten().any(|by| by == key);
            if let Some(read) = known.keys.get_mut(key) {
                *read |= is_read;
            } else if known.keys.len() < NAMES {
                known.keys.insert(key.clone(), is_read);
            }
        }
        let found = asked.iter().zip(by).filter(|(_, by)| by.is_some()).map(|(name, _)| name);
        known.found.extend(found.cloned());
    }

    /// Keys that no column is read from.
    pub(crate) fn unread(&self) -> Vec<String> {
        let known = self.0.lock();
        known.keys.iter().filter(|(_, read)| !**read).map(|(key, _)| key.clone()).collect()
    }

    /// Whether an object had a key for a name that was asked for.
    pub(crate) fn has(&self, asked: &str) -> bool {
        self.0.lock().found.contains(asked)
    }
}

/// For each name that is asked for, the one of `names` that it stands for: the same, or the only one that differs in
/// case alone and is not asked for itself.
///
/// # Errors
/// Says which of `names` one may stand for that differs from several in case.
pub(crate) fn by_name<'a>(
    asked: &[String],
    names: &'a [String],
) -> std::result::Result<Vec<Option<&'a String>>, String> {
    let one = |name: &String| {
        if let Some(same) = names.iter().find(|other| *other == name) {
            return Ok(Some(same));
        }
        let lower = name.to_lowercase();
        // Names of quite other lengths need not be made lower.
        let is_alike = |other: &&String| {
            other.len().abs_diff(name.len()) < 3
                && other.to_lowercase() == lower
                && !asked.contains(other)
        };
        let mut alike = names.iter().filter(is_alike);
        match (alike.next(), alike.next()) {
            (Some(first), Some(second)) => Err(format!(
                "{first:?} and {second:?} both differ from {name:?} in case only: say which one is meant, or give one another name"
            )),
            (only, _) => Ok(only),
        }
    };
    asked.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_stands_for_itself_or_for_the_only_one_of_another_case() {
        let by = |asked: &[&str], names: &[&str]| {
            let (asked, names) = (texts(asked), texts(names));
            by_name(&asked, &names)
                .map(|by| by.into_iter().map(|by| by.cloned()).collect::<Vec<_>>())
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(by(&["a", "b"], &["B", "A", "a"]).unwrap(), [some("a"), some("B")]);
        assert_eq!(by(&["hÖhe", "c"], &["HöHE", "cc"]).unwrap(), [some("HöHE"), None]);
        assert_eq!(by(&["a", "A"], &["A"]).unwrap(), [None, some("A")]);
        let error = by(&["temp"], &["Temp", "x", "TEMP"]).unwrap_err();
        assert!(error.starts_with("\"Temp\" and \"TEMP\" both"), "{error}");
    }
}
