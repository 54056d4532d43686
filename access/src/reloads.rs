//! Reloads: tokens, keys of an issuer and roles that are read again while a server runs, and counts of them. What cannot be
//! used changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::{AuditEntry, Outcome};
use crate::policy::Policy;
use crate::{Access, AccessSettings, Result};

/// What is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The file of tokens.
    Tokens,
    /// The keys of the issuer of JSON web tokens.
    Keys,
    /// Roles and certificates in the settings.
    Settings,
}

const KINDS: [(Reload, &str); 3] =
    [(Reload::Tokens, "tokens"), (Reload::Keys, "keys"), (Reload::Settings, "settings")];

/// Counts of reloads.
#[derive(Debug, Default)]
pub struct Reloads([[AtomicU64; 2]; KINDS.len()]);

impl Reloads {
    /// Counts one, which could be used or not.
    pub fn count(&self, of: Reload, is_usable: bool) {
        let counts = self.0.get(of as usize).and_then(|of| of.get(usize::from(!is_usable)));
        if let Some(count) = counts {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Names, how often it could be used, and how often not.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = KINDS.iter().zip(&self.0);
        counts.map(move |((_, name), [done, failed])| (*name, read(done), read(failed)))
    }
}

impl Access {
    /// Reads the files of credentials again, if they have changed. To be called every [`Self::REFRESH_EVERY`].
    pub async fn refresh(&self) {
        if let Some(tokens) = &self.tokens {
            let policy = self.policy.load_full();
            let changed = tokens.refresh(&policy.roles(), &self.reloads).await;
            // The policy may have changed while the file was read.
            if !Arc::ptr_eq(&policy, &self.policy.load()) {
                self.regrant();
            }
            if let Some((count, gone)) = changed {
                let detail = format!("{count} tokens count, {gone} do no longer");
                self.record_change("tokens", Outcome::Done, detail);
            }
        }
        if let Some(issuer) = &self.issuer {
            issuer.refresh(&self.reloads).await;
        }
    }

    /// Asks for the keys of the issuer if it is time to; takes as long as their server does, 10 s at most. To be called
    /// every [`Self::REFRESH_EVERY`].
    pub async fn refresh_keys(&self) {
        if let Some(issuer) = &self.issuer {
            issuer.refresh_remote(self.time.elapsed(), &self.reloads).await;
        }
    }

    /// Takes up roles, certificates and the role of anonymous callers as changed settings say. What runs by an identity
    /// that is given something else ends.
    ///
    /// # Errors
    /// If the settings cannot be meant, or need a restart. Nothing is changed then; [`Self::not_reloaded`] reports it.
    pub fn reload(&self, settings: AccessSettings) -> Result<()> {
        let changed = self.take_up(settings);
        if let Ok(Some(detail)) = &changed {
            self.reloads.count(Reload::Settings, true);
            self.record_change("settings", Outcome::Done, detail.clone());
            tracing::info!(changes = detail, "the roles of access were read again");
        }
        changed.map(drop)
    }

    /// Says that changed settings cannot be used.
    pub fn not_reloaded(&self, why: &dyn std::fmt::Display) {
        self.reloads.count(Reload::Settings, false);
        let detail = "they cannot be used, those from before count".to_owned();
        self.record_change("settings", Outcome::Failed, detail);
        tracing::error!(error = %why, "the settings have changed and cannot be used: the roles from before count");
    }

    fn take_up(&self, settings: AccessSettings) -> Result<Option<String>> {
        let _one = self.reloading.lock();
        let before = self.policy.load_full();
        if before.settings == settings {
            return Ok(None);
        }
        settings.check()?;
        before.check_next(&settings)?;
        let detail = before.changes(&settings);
        let policy = Arc::new(Policy::new(settings, Some(&before)));
        self.policy.store(Arc::clone(&policy));
        before.end_those_without(&policy);
        self.regrant();
        Ok(Some(detail))
    }

    /// Gives all that are known what the policy gives.
    pub(crate) fn regrant(&self) {
        let policy = self.policy.load();
        if let Some(tokens) = &self.tokens {
            tokens.regrant(&policy.roles());
        }
        if let Some(issuer) = &self.issuer {
            issuer.regrant(&policy.roles());
        }
    }

    /// Records a change that nobody asked for by a call.
    fn record_change(&self, action: &'static str, outcome: Outcome, detail: String) {
        self.audit.record(AuditEntry {
            at: self.time.now(),
            identity: "".into(),
            proof: "",
            address: None,
            door: "files",
            action,
            tables: String::new(),
            outcome,
            detail,
            rows: 0,
            bytes: 0,
            duration_us: 0,
        });
    }

    /// How often something was read again.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }
}
