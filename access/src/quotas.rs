//! The quotas of identities and roles: rates, and queries that run at one time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use barograph_lake::{Size, Span};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::settings::AccessSettings;
use crate::{Error, Refusal, Result};

/// Accounts of identities that are kept; beyond that, those that nobody holds are forgotten.
const ACCOUNTS_MAX: usize = 16_384;
/// How long one who has too many queries running is told to wait.
const RUNNING_WAIT: Span = Span::millis(250);

/// Limits of an identity or a role. What is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u64>,
    /// Rows put in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_in_per_second: Option<u64>,
    /// Bytes of rows put in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_in_per_second: Option<Size>,
    /// Rows of answers in a second; faster answers are slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_out_per_second: Option<u64>,
    /// Bytes of answers in a second; faster answers are slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_out_per_second: Option<Size>,
    /// Requests that run at one time: answers, puts and exchanges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_max: Option<usize>,
    /// Cost of a statement of SQL, in bytes of lake files that it may have to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_bytes_max: Option<Size>,
    /// Memory that running statements of SQL hold together. One that needs more spills to disk where it can, and is
    /// refused where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<Size>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let size = |size: Option<Size>| size.map(|size| size.get() as u64);
        for (name, value) in [
            ("requests_per_second", self.requests_per_second),
            ("rows_in_per_second", self.rows_in_per_second),
            ("bytes_in_per_second", size(self.bytes_in_per_second)),
            ("rows_out_per_second", self.rows_out_per_second),
            ("bytes_out_per_second", size(self.bytes_out_per_second)),
            ("running_max", self.running_max.map(|count| count as u64)),
            ("memory_bytes_max", size(self.memory_bytes_max)),
        ] {
            if value == Some(0) {
                return Err(Error::new(format!(
                    "{name} is 0: give at least 1, or take the grant away"
                )));
            }
        }
        Ok(())
    }
}

/// What is used of one set of limits.
#[derive(Debug)]
struct Meter {
    role: String,
    limits: Limits,
    requests: Option<Bucket>,
    rows_in: Option<Bucket>,
    bytes_in: Option<Bucket>,
    rows_out: Option<Bucket>,
    bytes_out: Option<Bucket>,
    running: AtomicUsize,
}

impl Meter {
    fn new(role: &str, limits: Limits) -> Self {
        let bucket = |rate: Option<u64>| rate.map(Bucket::new);
        let bytes = |rate: Option<Size>| rate.map(|rate| Bucket::new(rate.get() as u64));
        Self {
            role: role.to_owned(),
            limits,
            requests: bucket(limits.requests_per_second),
            rows_in: bucket(limits.rows_in_per_second),
            bytes_in: bytes(limits.bytes_in_per_second),
            rows_out: bucket(limits.rows_out_per_second),
            bytes_out: bytes(limits.bytes_out_per_second),
            running: AtomicUsize::new(0),
        }
    }

    /// Refuses a request where a rate is used up.
    fn admit(&self, now: Span) -> Result<(), Refusal> {
        for (bucket, bound, what) in [
            (&self.rows_in, "access.limits.rows_in_per_second", "rows put"),
            (&self.bytes_in, "access.limits.bytes_in_per_second", "bytes put"),
            (&self.rows_out, "access.limits.rows_out_per_second", "rows read"),
            (&self.bytes_out, "access.limits.bytes_out_per_second", "bytes read"),
        ] {
            let wait = bucket.as_ref().map_or(Span::ZERO, |bucket| bucket.overdrawn(now));
            if wait > Span::ZERO {
                let message = format!("role {} allows no more {what} at present", self.role);
                return Err(Refusal::exhausted(bound, message, wait));
            }
        }
        if let Some(requests) = &self.requests
            && let Err(wait) = requests.take(now, 1)
        {
            let rate = self.limits.requests_per_second.unwrap_or_default();
            let message = format!("role {} allows {rate} requests in a second", self.role);
            return Err(Refusal::exhausted("access.limits.requests_per_second", message, wait));
        }
        Ok(())
    }

    fn enter(&self) -> Result<(), Refusal> {
        let most = self.limits.running_max.unwrap_or(usize::MAX);
        let more = |running: usize| (running < most).then(|| running + 1);
        match self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(()),
            Err(running) => {
                let message =
                    format!("{running} requests run, as many as role {} allows", self.role);
                Err(Refusal::exhausted("access.limits.running_max", message, RUNNING_WAIT))
            }
        }
    }

    fn leave(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All limits that one identity is under.
#[derive(Debug, Default)]
pub(crate) struct Account(Vec<Arc<Meter>>);

/// A request that runs; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<Account>);

impl Account {
    /// Lets a request in, or refuses it.
    pub(crate) fn enter(self: &Arc<Self>, now: Span) -> Result<Running, Refusal> {
        self.0.iter().try_for_each(|meter| meter.admit(now))?;
        for (at, meter) in self.0.iter().enumerate() {
            if let Err(refusal) = meter.enter() {
                self.0.iter().take(at).for_each(|meter| meter.leave());
                return Err(refusal);
            }
        }
        Ok(Running(Arc::clone(self)))
    }

    /// Counts another request of one that runs, such as one of an exchange.
    pub(crate) fn again(&self, now: Span) -> Result<(), Refusal> {
        self.0.iter().try_for_each(|meter| meter.admit(now))
    }

    /// Counts what was put; returns how long the next has to wait.
    pub(crate) fn received(&self, now: Span, rows: u64, bytes: u64) -> Span {
        let of = |meter: &Arc<Meter>| {
            charge(&meter.rows_in, now, rows).max(charge(&meter.bytes_in, now, bytes))
        };
        self.0.iter().map(of).max().unwrap_or(Span::ZERO)
    }

    /// Counts what was sent; returns how long the next has to wait.
    pub(crate) fn sent(&self, now: Span, rows: u64, bytes: u64) -> Span {
        let of = |meter: &Arc<Meter>| {
            charge(&meter.rows_out, now, rows).max(charge(&meter.bytes_out, now, bytes))
        };
        self.0.iter().map(of).max().unwrap_or(Span::ZERO)
    }

    /// The most memory that statements may hold together.
    pub(crate) fn memory_bytes_max(&self) -> Option<u64> {
        let of = |meter: &Arc<Meter>| meter.limits.memory_bytes_max.map(|size| size.get() as u64);
        self.0.iter().filter_map(of).min()
    }

    /// Whether the same is limited as by `other`.
    pub(crate) fn is_limited_as(&self, other: &Self) -> bool {
        let limits = |of: &Self| -> Vec<_> {
            of.0.iter().map(|meter| (meter.role.clone(), meter.limits)).collect()
        };
        limits(self) == limits(other)
    }

    /// The most that a statement may cost.
    pub(crate) fn cost_bytes_max(&self) -> Option<u64> {
        let of = |meter: &Arc<Meter>| meter.limits.cost_bytes_max.map(|size| size.get() as u64);
        self.0.iter().filter_map(of).min()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.iter().for_each(|meter| meter.leave());
    }
}

fn charge(bucket: &Option<Bucket>, now: Span, count: u64) -> Span {
    match (bucket, count) {
        (Some(bucket), 1..) => bucket.charge(now, count),
        _ => Span::ZERO,
    }
}

/// Accounts by name and roles.
type Accounts = HashMap<(String, Vec<String>), Arc<Account>>;

/// The accounts of all identities.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    shared: HashMap<String, Arc<Meter>>,
    own: HashMap<String, Limits>,
    accounts: Mutex<Accounts>,
}

impl Quotas {
    /// The quotas of `settings`. What is used of limits that are as `before` goes on to be counted.
    pub(crate) fn new(settings: &AccessSettings, before: Option<&Self>) -> Self {
        let limits = |of: fn(&crate::RoleSettings) -> Limits| {
            let roles = settings.roles.iter().map(move |(name, role)| (name.clone(), of(role)));
            roles.filter(|(_, limits)| !limits.is_none())
        };
        let shared = limits(|role| role.shared_limits).map(|(name, limits)| {
            let same = before.and_then(|before| before.shared.get(&name));
            let same = same.filter(|meter| meter.limits == limits);
            let meter = same.cloned().unwrap_or_else(|| Arc::new(Meter::new(&name, limits)));
            (name, meter)
        });
        let (shared, own) = (shared.collect(), limits(|role| role.limits).collect());
        let new = Self { shared, own, accounts: Mutex::default() };
        if let Some(before) = before {
            let mut accounts = before.accounts.lock().clone();
            accounts.retain(|(_, roles), _| roles.iter().all(|role| new.limits_as(before, role)));
            *new.accounts.lock() = accounts;
        }
        new
    }

    /// Whether the limits of a role are those of `before`.
    fn limits_as(&self, before: &Self, role: &str) -> bool {
        let shared = |of: &Self| of.shared.get(role).map(|meter| meter.limits);
        self.own.get(role) == before.own.get(role) && shared(self) == shared(before)
    }

    /// The account of an identity, the same for as long as it asks.
    pub(crate) fn account(&self, name: &str, roles: &[String]) -> Arc<Account> {
        if self.shared.is_empty() && self.own.is_empty() {
            return Arc::default();
        }
        let mut accounts = self.accounts.lock();
        let key = (name.to_owned(), roles.to_vec());
        if let Some(account) = accounts.get(&key) {
            return Arc::clone(account);
        }
        if accounts.len() >= ACCOUNTS_MAX {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        let own = roles.iter().filter_map(|role| Some(Meter::new(role, *self.own.get(role)?)));
        let shared = roles.iter().filter_map(|role| self.shared.get(role).map(Arc::clone));
        let account = Arc::new(Account(own.map(Arc::new).chain(shared).collect()));
        accounts.insert(key, Arc::clone(&account));
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RefusalKind, RoleSettings};

    fn quotas(limits: Limits, shared_limits: Limits) -> Quotas {
        let role = RoleSettings { limits, shared_limits, ..RoleSettings::default() };
        let roles = [("reader".to_owned(), role)].into_iter().collect();
        Quotas::new(&AccessSettings { roles, ..AccessSettings::default() }, None)
    }

    #[test]
    fn each_identity_has_limits_of_its_own_and_shares_those_of_its_role() {
        let own = Limits { requests_per_second: Some(2), ..Limits::default() };
        let shared = Limits { running_max: Some(3), ..Limits::default() };
        let (quotas, roles) = (quotas(own, shared), ["reader".to_owned()]);
        let (anna, ben) = (quotas.account("anna", &roles), quotas.account("ben", &roles));
        let first = anna.enter(Span::ZERO).unwrap();
        let _second = anna.enter(Span::ZERO).unwrap();
        let refused = anna.enter(Span::ZERO).unwrap_err();
        assert_eq!(refused.bound(), Some("access.limits.requests_per_second"));
        assert_eq!(refused.retry_after(), Some(Span::millis(500)));
        let _third = ben.enter(Span::ZERO).unwrap();
        let refused = ben.enter(Span::ZERO).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.bound()),
            (RefusalKind::Exhausted, Some("access.limits.running_max"))
        );
        drop(first);
        let _fourth = quotas.account("ben", &roles).enter(Span::seconds(1)).unwrap();
        quotas.account("other", &[]).enter(Span::ZERO).unwrap();
    }

    #[test]
    fn who_has_read_too_much_waits() {
        let own = Limits { bytes_out_per_second: Some(Size::bytes(100)), ..Limits::default() };
        let (quotas, roles) = (quotas(own, Limits::default()), ["reader".to_owned()]);
        let anna = quotas.account("anna", &roles);
        assert_eq!(anna.sent(Span::ZERO, 5, 100), Span::ZERO);
        assert_eq!(anna.sent(Span::ZERO, 5, 100), Span::SECOND);
        assert_eq!(anna.enter(Span::ZERO).unwrap_err().retry_after(), Some(Span::SECOND));
        anna.enter(Span::SECOND).unwrap();
        assert_eq!(anna.received(Span::ZERO, 1_000, 1_000_000), Span::ZERO);
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        let limits = Limits { running_max: Some(0), ..Limits::default() };
        assert!(limits.check().unwrap_err().to_string().contains("running_max is 0"));
    }
}
