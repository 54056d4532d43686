//! The policy: what roles give and how much, and who has them without a token. It is replaced as a whole when the settings
//! change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access::Roles;
use crate::identity::{Identity, Proof};
use crate::quotas::Quotas;
use crate::settings::AccessSettings;
use crate::{Error, Result};

const ANONYMOUS: &str = "anonymous";

/// What the settings say of roles.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) settings: AccessSettings,
    quotas: Quotas,
    pub(crate) anonymous: Option<Arc<Identity>>,
    pub(crate) certificates: HashMap<String, Arc<Identity>>,
}

impl Policy {
    /// The policy of `settings`. What is used of limits that are as `before` goes on to be counted, and identities that
    /// are given the same stay.
    pub(crate) fn new(settings: AccessSettings, before: Option<&Self>) -> Self {
        let quotas = Quotas::new(&settings, before.map(|before| &before.quotas));
        let roles = Roles { settings: &settings, quotas: &quotas };
        let same = |new: Identity, old: Option<&Arc<Identity>>| match old {
            Some(old) if old.is_given_as(&new) => Arc::clone(old),
            _ => Arc::new(new),
        };
        let anonymous = settings.anonymous.as_slice();
        let anonymous = (!anonymous.is_empty()).then(|| {
            let old = before.and_then(|before| before.anonymous.as_ref());
            same(roles.identity(ANONYMOUS, Proof::Anonymous, anonymous, None), old)
        });
        let certificates = settings.certificates.iter().map(|(name, of)| {
            let old = before.and_then(|before| before.certificates.get(name));
            let new = roles.identity(name, Proof::Certificate, of, None);
            (name.clone(), same(new, old))
        });
        let certificates = certificates.collect();
        Self { anonymous, certificates, quotas, settings }
    }

    pub(crate) fn roles(&self) -> Roles<'_> {
        Roles { settings: &self.settings, quotas: &self.quotas }
    }

    /// Ends the identities that `next` has not.
    pub(crate) fn end_those_without(&self, next: &Self) {
        let stays = |old: &Arc<Identity>| {
            let mut next = next.certificates.values().chain(&next.anonymous);
            next.any(|of| Arc::ptr_eq(of, old))
        };
        let own = self.certificates.values().chain(&self.anonymous);
        own.filter(|own| !stays(own)).for_each(|own| own.revoke());
    }

    /// Which roles differ from those of `next`, for records.
    pub(crate) fn changes(&self, next: &AccessSettings) -> String {
        let (old, new) = (&self.settings, next);
        let added = new.roles.keys().filter(|name| !old.roles.contains_key(*name));
        let gone = old.roles.keys().filter(|name| !new.roles.contains_key(*name));
        let changed = new
            .roles
            .iter()
            .filter(|(name, role)| old.roles.get(*name).is_some_and(|before| before != *role));
        let mut parts: Vec<String> = added.map(|name| format!("+{name}")).collect();
        parts.extend(gone.map(|name| format!("-{name}")));
        parts.extend(changed.map(|(name, _)| format!("~{name}")));
        if old.anonymous != new.anonymous {
            parts.push("anonymous".to_owned());
        }
        if old.certificates != new.certificates {
            parts.push("certificates".to_owned());
        }
        parts.join(" ")
    }

    /// Refuses settings that only a restart brings about.
    pub(crate) fn check_next(&self, next: &AccessSettings) -> Result<()> {
        let own = &self.settings;
        let parts = [
            ("access.tokens", own.tokens == next.tokens),
            ("access.jwt", own.jwt == next.jwt),
            ("access.audit", own.audit == next.audit),
            ("access.peer_token", own.peer_token == next.peer_token),
            ("whether callers are asked", own.is_configured() == next.is_configured()),
        ];
        match parts.into_iter().find(|(_, is_same)| !is_same) {
            None => Ok(()),
            Some((name, _)) => Err(Error::new(format!(
                "{name} has changed, which needs a restart: change roles, certificates and anonymous by themselves"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
