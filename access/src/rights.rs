//! The rights of an identity: the grants of its roles, and the one function that decides from them.
//!
//! | grants that match | columns | rows |
//! |---|---|---|
//! | one | its own | its own |
//! | one that gives all that another does | that one's | that one's |
//! | several with the same rows | those of all | the same |
//! | several with other rows | those that each of them gives | those of all |
//!
//! So no value is shown that no single grant gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::keys::{KeyRange, KeyRanges};
use crate::pattern::TablePattern;
use crate::{Error, Result, Verb};

/// What a role may do with some tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// What it may do.
    pub verbs: Vec<Verb>,
    /// With which tables; `*` in a name stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TablePattern>,
    /// Which columns it may read besides key and time; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Which keys; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<KeyRange>>,
    /// Which rows it may read, as the filter of a ticket; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// Rows by their keys and by conditions, all of which a row meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowRule {
    /// The keys; absent: all.
    pub keys: Option<KeyRanges>,
    /// The conditions, as filters of tickets.
    pub filters: Vec<Arc<str>>,
}

/// The rows of a table that an identity is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All.
    All,
    /// Those that one of the rules lets through; there is at least one.
    Some(Vec<RowRule>),
}

/// What of a table an identity may do something with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The columns besides key and time; `None`: all.
    pub columns: Option<BTreeSet<String>>,
    /// The rows.
    pub rows: Rows,
}

/// The answer to whether an identity may do something with a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may, with this of it.
    Allow(Allowed),
    /// It may not.
    Deny,
}

/// What an identity may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    grants: Vec<Grant>,
    /// What its token alone restricts it to.
    within: Option<RowRule>,
}

impl Grant {
    /// Everything.
    pub(crate) fn everything() -> Self {
        Self {
            verbs: vec![Verb::Admin],
            tables: Vec::new(),
            columns: None,
            keys: None,
            filter: None,
        }
    }

    /// Refuses what could not be carried out as it is written.
    pub(crate) fn check(&self) -> Result<()> {
        let of_tables = self.verbs.iter().filter(|verb| verb.is_of_table()).count();
        let limited = self.columns.is_some() || self.filter.is_some();
        if self.verbs.is_empty() {
            return Err(Error::new("verbs is empty: give some, like [\"read\"]"));
        }
        if of_tables == 0 {
            let restricts = !self.tables.is_empty() || self.keys.is_some() || limited;
            return match restricts {
                true => Err(Error::new(
                    "jobs, observe, peer and admin are about the whole server: leave out tables, columns, keys and filter",
                )),
                false => Ok(()),
            };
        }
        if of_tables < self.verbs.len() {
            return Err(Error::new(
                "read, write and delete are about tables, the other verbs about the server: write two grants",
            ));
        }
        if self.tables.is_empty() {
            return Err(Error::new("tables is empty: name some, or [\"*\"] for all"));
        }
        if limited && self.verbs.iter().any(|verb| *verb != Verb::Read) {
            return Err(Error::new(
                "columns and filter limit what is read, and rows are written and deleted whole: give write and delete in a grant of their own",
            ));
        }
        if self.filter.as_ref().is_some_and(|filter| filter.trim().is_empty()) {
            return Err(Error::new("filter is empty: leave it out to give all rows"));
        }
        Ok(())
    }

    fn is_about(&self, verb: Verb, table: &str) -> bool {
        self.verbs.contains(&verb) && self.tables.iter().any(|pattern| pattern.matches(table))
    }

    fn allowed(&self) -> Allowed {
        let rule = RowRule {
            keys: self.keys.as_ref().map(|keys| KeyRanges::new(keys.iter().copied())),
            filters: self.filter.iter().map(|filter| Arc::from(filter.as_str())).collect(),
        };
        let columns = self.columns.as_ref().map(|columns| columns.iter().cloned().collect());
        let rows = if rule.is_everything() { Rows::All } else { Rows::Some(vec![rule]) };
        Allowed { columns, rows }
    }
}

impl RowRule {
    fn is_everything(&self) -> bool {
        self.keys.is_none() && self.filters.is_empty()
    }

    /// The rows that both let through.
    fn and(&self, other: &Self) -> Self {
        let keys = match (&self.keys, &other.keys) {
            (Some(keys), Some(others)) => Some(keys.and(others)),
            (keys, others) => keys.clone().or_else(|| others.clone()),
        };
        let mut filters = self.filters.clone();
        filters.extend(other.filters.iter().filter(|of| !self.filters.contains(of)).cloned());
        Self { keys, filters }
    }
}

impl Rows {
    /// The rows that one or the other lets through.
    fn or(self, other: Self) -> Self {
        let (Self::Some(mut rules), Self::Some(others)) = (self, other) else { return Self::All };
        for rule in others {
            let same = rules.iter_mut().find(|of| of.filters == rule.filters);
            match same.map(|same| (&mut same.keys, rule.keys.clone())) {
                Some((Some(keys), Some(others))) => *keys = keys.or(&others),
                Some((keys, _)) => *keys = None,
                None => rules.push(rule),
            }
        }
        match rules.iter().any(RowRule::is_everything) {
            true => Self::All,
            false => Self::Some(rules),
        }
    }
}

impl Allowed {
    /// All of a table.
    pub const ALL: Self = Self { columns: None, rows: Rows::All };

    /// Whether that is all of a table.
    pub fn is_everything(&self) -> bool {
        *self == Self::ALL
    }

    /// The keys of the rows; `None` for all. Conditions on rows restrict them further.
    pub fn keys(&self) -> Option<KeyRanges> {
        let Rows::Some(rules) = &self.rows else { return None };
        let keys: Option<Vec<_>> = rules.iter().map(|rule| rule.keys.as_ref()).collect();
        Some(KeyRanges::new(keys?.into_iter().flat_map(KeyRanges::ranges).copied()))
    }

    /// Whether it has all that `other` has.
    fn includes(&self, other: &Self) -> bool {
        let columns = match (&self.columns, &other.columns) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(columns), Some(others)) => others.is_subset(columns),
        };
        columns && (self.rows == Rows::All || self.rows == other.rows)
    }

    /// What both together show, without a value that neither shows by itself.
    fn with(self, other: Self) -> Self {
        if self.includes(&other) {
            return self;
        }
        if other.includes(&self) {
            return other;
        }
        let columns = match (self.columns, other.columns) {
            (Some(columns), Some(others)) if self.rows == other.rows => Some(&columns | &others),
            (Some(columns), Some(others)) => Some(&columns & &others),
            (None, None) => None,
            (columns, others) if self.rows == other.rows => columns.and(others),
            (columns, others) => columns.or(others),
        };
        Self { columns, rows: self.rows.or(other.rows) }
    }
}

impl Rights {
    /// The rights that `grants` give, only to rows `within` a rule if there is one.
    pub(crate) fn new(grants: Vec<Grant>, within: Option<RowRule>) -> Self {
        Self { grants, within: within.filter(|rule| !rule.is_everything()) }
    }

    /// Everything.
    pub(crate) fn everything() -> Self {
        Self::new(vec![Grant::everything()], None)
    }

    /// Whether a verb about the server is given. A caller who is restricted to some rows is given none of them.
    pub fn may(&self, verb: Verb) -> bool {
        let given = |of: &Grant| of.verbs.contains(&Verb::Admin) || of.verbs.contains(&verb);
        !verb.is_of_table() && self.within.is_none() && self.grants.iter().any(given)
    }

    /// Whether everything is given.
    pub fn is_everything(&self) -> bool {
        self.may(Verb::Admin)
    }

    /// Whether `verb` is given on `table`, and on what of it. This is the only place that decides it.
    pub fn decide(&self, verb: Verb, table: &str) -> Decision {
        if !verb.is_of_table() {
            return match self.may(verb) {
                true => Decision::Allow(Allowed::ALL),
                false => Decision::Deny,
            };
        }
        let all = self.grants.iter().any(|grant| grant.verbs.contains(&Verb::Admin));
        let allowed = match all {
            true => Some(Allowed::ALL),
            false => {
                let about = self.grants.iter().filter(|grant| grant.is_about(verb, table));
                united(about.map(Grant::allowed).collect())
            }
        };
        match (allowed, &self.within) {
            (None, _) => Decision::Deny,
            (Some(allowed), None) => Decision::Allow(allowed),
            // Rows are written and deleted whole, whatever is in them.
            (Some(_), Some(rule)) if verb != Verb::Read && !rule.filters.is_empty() => {
                Decision::Deny
            }
            (Some(allowed), Some(rule)) => narrowed(allowed, rule),
        }
    }
}

/// What all of `parts` together show, in whatever order they come.
fn united(parts: Vec<Allowed>) -> Option<Allowed> {
    // Those with the same rows first: their columns add up.
    let mut sums: Vec<Allowed> = Vec::new();
    for part in parts {
        match sums.iter().position(|sum| sum.rows == part.rows) {
            Some(at) => {
                let sum = sums.swap_remove(at);
                sums.push(sum.with(part));
            }
            None => sums.push(part),
        }
    }
    sums.into_iter().reduce(Allowed::with)
}

/// That of `allowed` which `rule` lets through.
fn narrowed(allowed: Allowed, rule: &RowRule) -> Decision {
    let rules = match allowed.rows {
        Rows::All => vec![rule.clone()],
        Rows::Some(rules) => rules.iter().map(|of| of.and(rule)).collect(),
    };
    let some = |rule: &RowRule| rule.keys.as_ref().is_none_or(|keys| !keys.is_empty());
    let rules: Vec<_> = rules.into_iter().filter(some).collect();
    match rules.is_empty() {
        true => Decision::Deny,
        false => Decision::Allow(Allowed { columns: allowed.columns, rows: Rows::Some(rules) }),
    }
}

#[cfg(test)]
mod tests;
