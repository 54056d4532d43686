//! Tokens: secrets of 256 random bits, of which a file holds the hashes. A plain SHA-256 is right for them: there is nothing
//! to guess that a slow hash would protect.
//!
//! ```text
//! brg_ 4f1c09a2b77e _ 9b0d…        shown once
//!      id             secret       file: id, SHA-256 of the whole, name, roles, expiry
//! ```

mod file;
mod secret;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use barograph_lake::Timestamp;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use crate::access::Roles;
use crate::identity::{Identity, Proof};
use crate::keys::KeyRanges;
use crate::reloads::{Reload, Reloads};
use crate::rights::RowRule;
use crate::{Error, Refusal, Result};
pub(crate) use file::as_text;
pub use file::{NewToken, TokenEntry, create, list, revoke};
pub(crate) use secret::hash;
pub use secret::read_secret;

/// The tokens that are known at present.
#[derive(Debug)]
pub(crate) struct Tokens {
    path: PathBuf,
    known: ArcSwap<HashMap<String, Known>>,
    /// What the file held when it was last looked at; an error that was reported.
    last: Mutex<std::result::Result<Vec<u8>, String>>,
}

#[derive(Debug, Clone)]
struct Known {
    entry: TokenEntry,
    identity: Arc<Identity>,
}

impl Tokens {
    /// Reads the file; one that is missing holds no token yet.
    pub(crate) fn open(path: &Path, roles: &Roles<'_>) -> Result<Self> {
        let bytes =
            present(std::fs::read(path)).map_err(|e| Error::file("access.tokens", path, e))?;
        let entries = file::parse(path, &bytes)?;
        let known = known(entries, &HashMap::new(), roles);
        Ok(Self {
            path: path.to_owned(),
            known: ArcSwap::from_pointee(known),
            last: Mutex::new(Ok(bytes)),
        })
    }

    /// Whose token this is. What is compared with a secret is compared in constant time.
    pub(crate) fn find(&self, token: &str) -> Option<Arc<Identity>> {
        let id = secret::id(token)?;
        let hash = secret::hash(token);
        let known = self.known.load();
        let found = known.get(id)?;
        bool::from(found.entry.hash.0.ct_eq(&hash)).then(|| Arc::clone(&found.identity))
    }

    /// Reads the file again if it has changed; tells how many tokens it has, and how many are gone. One that cannot be used
    /// changes nothing, and is reported once.
    pub(crate) async fn refresh(
        &self,
        roles: &Roles<'_>,
        reloads: &Reloads,
    ) -> Option<(usize, usize)> {
        let read = present(tokio::fs::read(&self.path).await).map_err(|e| e.to_string());
        let mut last = self.last.lock();
        if *last == read {
            return None;
        }
        let entries = match &read {
            Ok(bytes) => file::parse(&self.path, bytes).map_err(|e| e.to_string()),
            Err(error) => Err(error.clone()),
        };
        reloads.count(Reload::Tokens, entries.is_ok());
        let changed = match entries {
            Ok(entries) => {
                let before = self.known.load_full();
                let now = known(entries, &before, roles);
                let gone = before.iter().filter(|(id, of)| {
                    now.get(*id).is_none_or(|is| !Arc::ptr_eq(&is.identity, &of.identity))
                });
                let gone: Vec<_> = gone.map(|(_, of)| Arc::clone(&of.identity)).collect();
                let count = now.len();
                self.known.store(Arc::new(now));
                gone.iter().for_each(|of| of.revoke());
                tracing::info!(
                    tokens = count,
                    revoked = gone.len(),
                    "access.tokens was read again"
                );
                Some((count, gone.len()))
            }
            Err(error) => {
                let file = self.path.display();
                tracing::error!(%file, error, "access.tokens has changed and cannot be used: the tokens from before count");
                None
            }
        };
        *last = read;
        changed
    }

    /// Gives identities what their roles give from now on. Those that are given something else end.
    pub(crate) fn regrant(&self, roles: &Roles<'_>) {
        // The file is not read again meanwhile.
        let _last = self.last.lock();
        let before = self.known.load_full();
        let entries = before.values().map(|known| known.entry.clone()).collect();
        let mut now = known(entries, &HashMap::new(), roles);
        for (id, of) in &mut now {
            let Some(old) = before.get(id) else { continue };
            match old.identity.is_given_as(&of.identity) {
                true => of.identity = Arc::clone(&old.identity),
                false => old.identity.revoke(),
            }
        }
        self.known.store(Arc::new(now));
    }
}

impl Identity {
    /// Refuses an identity whose credentials do not count any more at `now`.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.revoked.load(Ordering::Acquire) {
            return Err(Refusal::unauthenticated(
                "the token was revoked, or what it gives has changed: ask again",
            ));
        }
        match self.expires_at {
            Some(expires_at) if expires_at <= now => {
                Err(Refusal::unauthenticated("the token has expired"))
            }
            _ => Ok(()),
        }
    }
}

/// The identities of tokens. Those whose entry is as it was before stay the same.
fn known(
    entries: Vec<TokenEntry>,
    before: &HashMap<String, Known>,
    roles: &Roles<'_>,
) -> HashMap<String, Known> {
    let known = entries.into_iter().map(|entry| {
        let same = before.get(&entry.id).filter(|of| of.entry == entry);
        let known = match same {
            Some(same) => same.clone(),
            None => {
                if let Some(unknown) =
                    entry.roles.iter().find(|role| !roles.settings.has_role(role))
                {
                    tracing::warn!(token = entry.id, role = unknown, "access.tokens: a token has a role that is not declared, and which gives it nothing");
                }
                let within = RowRule {
                    keys: entry.keys.as_ref().map(|keys| KeyRanges::new(keys.iter().copied())),
                    filters: entry.filter.iter().map(|filter| filter.as_str().into()).collect(),
                };
                let identity =
                    roles.identity(&entry.name, Proof::Token, &entry.roles, Some(within));
                let identity = Identity { expires_at: entry.expires_at, ..identity };
                Known { entry, identity: Arc::new(identity) }
            }
        };
        (known.entry.id.clone(), known)
    });
    known.collect()
}

/// A file that is not there is empty.
fn present(read: std::io::Result<Vec<u8>>) -> std::io::Result<Vec<u8>> {
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

#[cfg(test)]
mod tests;
