//! JSON web tokens (RFC 7519): who a caller is, signed by an issuer whose public keys are known.
//!
//! ```text
//! token ─► key by `kid` ─► signature, by an algorithm of the settings that fits the key ─► issuer, audience, times ─► roles
//! ```
//!
//! What the header of a token says is believed only where the settings allow it: no algorithm that is not named, no key but
//! those of the issuer, and no symmetric one, which whoever can verify could sign with.

mod crypto;
mod keys;
mod settings;
mod source;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_lake::time::MICROS_PER_SECOND;
use barograph_lake::{Span, Timestamp};
use jsonwebtoken::{Validation, decode, decode_header};
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::access::Roles;
use crate::identity::{Identity, Proof};
use crate::reloads::{Reload, Reloads};
use crate::tokens::hash;
use crate::{Error, Refusal, Result};
use keys::{IssuerKey, parse};
pub use settings::{JwtAlgorithm, JwtSettings};
use source::Source;

/// Longest token that is looked at.
const BYTES_MAX: usize = 16 << 10;
/// Tokens that were verified and are known again.
const KNOWN_MAX: usize = 4_096;

/// The issuer whose tokens count.
#[derive(Debug)]
pub(crate) struct Issuer {
    settings: JwtSettings,
    source: Source,
    keys: ArcSwap<Vec<IssuerKey>>,
    /// What was read last; an error that was reported.
    last: Mutex<std::result::Result<Vec<u8>, String>>,
    /// Identities by the hashes of tokens that were verified by keys that are there.
    known: Mutex<HashMap<[u8; 32], Known>>,
}

/// A token that was verified.
#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    /// The key that it was verified by.
    key: [u8; 32],
    /// The roles that it names, whether they are declared or not.
    roles: Vec<String>,
}

impl Issuer {
    /// The issuer of the settings, if there is one. Keys of a file are read; those of a URL come with the first
    /// [refresh](Self::refresh_remote), and until then no token counts.
    pub(crate) fn open(settings: &JwtSettings) -> Result<Option<Self>> {
        let Some(source) = Source::of(settings)? else { return Ok(None) };
        crypto::install();
        let (bytes, keys) = match &source {
            Source::Remote(_) => (Vec::new(), Vec::new()),
            Source::File(path) => {
                let bytes =
                    std::fs::read(path).map_err(|e| Error::file("access.jwt.keys", path, e))?;
                let keys = parse(&source.name(), &bytes)?;
                (bytes, keys)
            }
        };
        Ok(Some(Self {
            settings: settings.clone(),
            source,
            keys: ArcSwap::from_pointee(keys),
            last: Mutex::new(Ok(bytes)),
            known: Mutex::default(),
        }))
    }

    /// Whether a text has the form of a JSON web token.
    pub(crate) fn is_token(text: &str) -> bool {
        text.len() <= BYTES_MAX && text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Whose token this is, at `now`.
    pub(crate) fn find(
        &self,
        token: &str,
        now: Timestamp,
        roles: &Roles<'_>,
    ) -> Result<Arc<Identity>, Refusal> {
        let hash = hash(token);
        if let Some(known) = self.known.lock().get(&hash) {
            return Ok(Arc::clone(&known.identity));
        }
        let (claims, key) = self.verified(token, &self.keys.load_full())?;
        let (identity, named) = self.identity(&claims, now, roles)?;
        let identity = Arc::new(identity);
        let mut known = self.known.lock();
        // It may have been taken away meanwhile: what comes after that would not find the token.
        if !self.keys.load().iter().any(|of| of.print == key) {
            return Err(Refusal::unauthenticated(
                "the JSON web token is signed by a key that is not known",
            ));
        }
        if known.len() >= KNOWN_MAX {
            // Those that something runs by have to be found when they are revoked.
            known.retain(|_, of| Arc::strong_count(&of.identity) > 1);
        }
        let new = Known { identity: Arc::clone(&identity), key, roles: named };
        known.insert(hash, new);
        Ok(identity)
    }

    /// The claims of a token whose signature, issuer and audience are right, and the key that says so.
    fn verified(
        &self,
        token: &str,
        keys: &[IssuerKey],
    ) -> Result<(Map<String, Value>, [u8; 32]), Refusal> {
        let refused = |why: &str| Refusal::unauthenticated(format!("the JSON web token {why}"));
        let header = decode_header(token).map_err(|_| refused("cannot be read"))?;
        if header.crit.is_some() {
            return Err(refused("has a header that must be understood (crit), and is not"));
        }
        if !self.settings.allows(header.alg) {
            return Err(refused(
                "is signed by an algorithm that access.jwt.algorithms does not name",
            ));
        }
        let of_token = |key: &&IssuerKey| {
            let named = header.kid.is_none() || key.id.is_none() || key.id == header.kid;
            named && key.algorithms.contains(&header.alg)
        };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["iss", "aud"]);
        // Times are compared by the server's own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let mut why = "is signed by a key that is not known";
        if let Source::Remote(remote) = &self.source
            && !keys.iter().any(|key| of_token(&key))
        {
            remote.want();
        }
        for key in keys.iter().filter(of_token) {
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(data) => return Ok((data.claims, key.print)),
                Err(error) => {
                    use jsonwebtoken::errors::ErrorKind;
                    why = match error.kind() {
                        ErrorKind::InvalidIssuer => "is of another issuer",
                        ErrorKind::InvalidAudience => "is for another audience",
                        ErrorKind::MissingRequiredClaim(_) => {
                            "does not say its issuer and audience"
                        }
                        _ => "has no right signature",
                    };
                }
            }
        }
        Err(refused(why))
    }

    /// The identity that claims give, and all roles that they name.
    fn identity(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
        roles: &Roles<'_>,
    ) -> Result<(Identity, Vec<String>), Refusal> {
        let refused = |why: &str| Refusal::unauthenticated(format!("the JSON web token {why}"));
        let leeway = self.settings.leeway;
        let Some(expires_at) = instant(claims.get("exp")) else {
            return Err(refused("does not say in seconds when it expires (exp)"));
        };
        match (claims.get("nbf"), instant(claims.get("nbf"))) {
            (None, _) => {}
            (Some(_), Some(from)) if from <= now.saturating_add(leeway) => {}
            _ => return Err(refused("does not count yet (nbf)")),
        }
        let name = claims.get(&self.settings.name_claim).and_then(Value::as_str);
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(refused("does not say whose it is"));
        };
        let given = match claims.get(&self.settings.roles_claim) {
            Some(Value::String(role)) => vec![role.clone()],
            Some(Value::Array(list)) => {
                list.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        // Another one than who has a token of that name.
        let identity = granted(&format!("jwt:{name}"), &given, roles);
        let identity = Identity { expires_at: Some(expires_at.saturating_add(leeway)), ..identity };
        identity.check(now)?;
        Ok((identity, given))
    }

    /// Reads the file of keys again if it has changed. One that cannot be used changes nothing, and is reported once.
    pub(crate) async fn refresh(&self, reloads: &Reloads) {
        if let Source::File(path) = &self.source {
            let read = tokio::fs::read(path).await.map_err(|e| e.to_string());
            self.take(read, reloads);
        }
    }

    /// Asks for the keys at a URL if it is time to. A server that fails, or answers late, changes nothing.
    pub(crate) async fn refresh_remote(&self, elapsed: Span, reloads: &Reloads) {
        if let Source::Remote(remote) = &self.source
            && remote.is_due(elapsed)
        {
            let read = remote.fetch().await;
            remote.asked(elapsed, read.is_ok());
            self.take(read, reloads);
        }
    }

    /// Takes up what was read. Identities whose keys are still there stay, the others end.
    fn take(&self, read: Result<Vec<u8>, String>, reloads: &Reloads) {
        if *self.last.lock() == read {
            return;
        }
        let name = self.source.name();
        let keys = match &read {
            Ok(bytes) => parse(&name, bytes).map_err(|e| e.to_string()),
            Err(error) => Err(error.clone()),
        };
        reloads.count(Reload::Keys, keys.is_ok());
        match keys {
            Ok(keys) => {
                let prints: Vec<_> = keys.iter().map(|key| key.print).collect();
                self.keys.store(Arc::new(keys));
                let mut known = self.known.lock();
                let gone = known.extract_if(|_, of| !prints.contains(&of.key));
                let gone = gone.map(|(_, of)| of.identity.revoke()).count();
                tracing::info!(keys = prints.len(), ended = gone, "{name} was read again");
            }
            Err(error) => {
                tracing::error!(error, "{name} cannot be used: the keys from before count");
            }
        }
        *self.last.lock() = read;
    }

    /// Gives identities what their roles give from now on. Those that are given something else end.
    pub(crate) fn regrant(&self, roles: &Roles<'_>) {
        let mut known = self.known.lock();
        known.retain(|_, of| {
            let now = granted(&of.identity.name, &of.roles, roles);
            let is_same = of.identity.is_given_as(&now);
            if !is_same {
                of.identity.revoke();
            }
            is_same
        });
    }
}

/// An identity with those of its roles that are declared.
fn granted(name: &str, named: &[String], roles: &Roles<'_>) -> Identity {
    let declared = named.iter().filter(|role| roles.settings.has_role(role)).cloned();
    roles.identity(name, Proof::Jwt, &declared.collect::<Vec<_>>(), None)
}

/// Seconds since the Unix epoch, with or without a fraction.
fn instant(claim: Option<&Value>) -> Option<Timestamp> {
    let claim = claim?;
    if let Some(seconds) = claim.as_i64() {
        return seconds.checked_mul(MICROS_PER_SECOND).map(Timestamp::from_micros);
    }
    let micros = claim.as_f64()? * MICROS_PER_SECOND as f64;
    (micros.is_finite() && micros.abs() < 9e18).then_some(Timestamp::from_micros(micros as i64))
}

#[cfg(test)]
mod tests;
