//! JSON web tokens (RFC 7519): who a caller is, signed by an issuer whose public keys are in a file (RFC 7517).
//!
//! ```text
//! token ─► key by `kid` ─► signature, by an algorithm of the settings that fits the key ─► issuer, audience, times ─► roles
//! ```
//!
//! What the header of a token says is believed only where the settings allow it: no algorithm that is not named, no key but
//! those of the file, and no symmetric one, which whoever can verify could sign with.

mod crypto;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_lake::time::MICROS_PER_SECOND;
use barograph_lake::{Span, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Roles;
use crate::identity::{Identity, Proof};
use crate::tokens::hash;
use crate::{Error, Refusal, Result};

/// Longest token that is looked at.
const BYTES_MAX: usize = 16 << 10;
/// Tokens that were verified and are known again.
const KNOWN_MAX: usize = 4_096;

/// JSON web tokens of one issuer. Without `keys` none are accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtSettings {
    /// File with the public keys of the issuer, as a JSON web key set. It is read again when it changes: add a new key
    /// before tokens are signed with it, and take the old one away when the last of its tokens has expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<PathBuf>,
    /// Issuer: what the claim `iss` has to be. Required.
    pub issuer: String,
    /// Audience: what the claim `aud` has to be, or has to have among others. Required.
    pub audience: String,
    /// Algorithms that tokens may be signed with: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
    pub algorithms: Vec<JwtAlgorithm>,
    /// How much the clock of the issuer may differ from this one.
    pub leeway: Span,
    /// Claim with the name of the caller.
    pub name_claim: String,
    /// Claim with the roles of the caller, a text or a list of texts. Those that the settings do not declare are passed
    /// over.
    pub roles_claim: String,
}

/// An algorithm that a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are those of RFC 7518")]
pub enum JwtAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            keys: None,
            issuer: String::new(),
            audience: String::new(),
            algorithms: vec![JwtAlgorithm::RS256, JwtAlgorithm::ES256, JwtAlgorithm::EdDsa],
            leeway: Span::seconds(30),
            name_claim: "sub".to_owned(),
            roles_claim: "roles".to_owned(),
        }
    }
}

impl JwtSettings {
    pub(crate) fn check(&self) -> Result<()> {
        if self.keys.is_none() {
            return Ok(());
        }
        let empty = [("issuer", &self.issuer), ("audience", &self.audience)];
        if let Some((name, _)) = empty.into_iter().find(|(_, value)| value.is_empty()) {
            let text = format!(
                "access.jwt.{name} is empty: say which one is meant, or tokens that were made for others would count"
            );
            return Err(Error::new(text));
        }
        match self.algorithms.is_empty() {
            true => Err(Error::new(
                "access.jwt.algorithms is empty: name those that the issuer signs with",
            )),
            false => Ok(()),
        }
    }

    fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.iter().any(|of| of.of() == algorithm)
    }
}

impl JwtAlgorithm {
    fn of(self) -> Algorithm {
        match self {
            Self::RS256 => Algorithm::RS256,
            Self::RS384 => Algorithm::RS384,
            Self::RS512 => Algorithm::RS512,
            Self::PS256 => Algorithm::PS256,
            Self::PS384 => Algorithm::PS384,
            Self::PS512 => Algorithm::PS512,
            Self::ES256 => Algorithm::ES256,
            Self::ES384 => Algorithm::ES384,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A JSON web key set.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// A public key of the issuer.
#[derive(Debug)]
struct IssuerKey {
    id: Option<String>,
    key: DecodingKey,
    /// What it can verify.
    algorithms: Vec<Algorithm>,
}

/// The issuer whose tokens count.
#[derive(Debug)]
pub(crate) struct Issuer {
    settings: JwtSettings,
    path: PathBuf,
    keys: ArcSwap<Vec<IssuerKey>>,
    last: Mutex<std::result::Result<Vec<u8>, String>>,
    /// Identities by the hashes of tokens that were verified by the keys that are there.
    known: Mutex<HashMap<[u8; 32], Arc<Identity>>>,
}

impl Issuer {
    /// The issuer of the settings, if there is one.
    pub(crate) fn open(settings: &JwtSettings) -> Result<Option<Self>> {
        let Some(path) = &settings.keys else { return Ok(None) };
        crypto::install();
        let bytes = std::fs::read(path).map_err(|e| Error::file("access.jwt.keys", path, e))?;
        let keys = parse(path, &bytes)?;
        Ok(Some(Self {
            settings: settings.clone(),
            path: path.clone(),
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
            return Ok(Arc::clone(known));
        }
        let keys = self.keys.load_full();
        let claims = self.verified(token, &keys)?;
        let identity = Arc::new(self.identity(&claims, now, roles)?);
        let mut known = self.known.lock();
        // Keys that were changed meanwhile would not be asked again.
        if Arc::ptr_eq(&keys, &self.keys.load()) {
            if known.len() >= KNOWN_MAX {
                // Those that something runs by have to be found when they are revoked.
                known.retain(|_, of| Arc::strong_count(of) > 1);
            }
            known.insert(hash, Arc::clone(&identity));
        }
        Ok(identity)
    }

    /// The claims of a token whose signature, issuer and audience are right.
    fn verified(&self, token: &str, keys: &[IssuerKey]) -> Result<Map<String, Value>, Refusal> {
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
        for key in keys.iter().filter(of_token) {
            match decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
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

    /// The identity that claims give.
    fn identity(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
        roles: &Roles<'_>,
    ) -> Result<Identity, Refusal> {
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
        let declared = given.into_iter().filter(|role| roles.settings.has_role(role));
        let declared: Vec<_> = declared.collect();
        // Another one than who has a token of that name.
        let identity = roles.identity(&format!("jwt:{name}"), Proof::Jwt, &declared, None);
        let identity = Identity { expires_at: Some(expires_at.saturating_add(leeway)), ..identity };
        identity.check(now)?;
        Ok(identity)
    }

    /// Reads the file of keys again if it has changed. One that cannot be used changes nothing, and is reported once.
    pub(crate) async fn refresh(&self) {
        let read = tokio::fs::read(&self.path).await.map_err(|e| e.to_string());
        if *self.last.lock() == read {
            return;
        }
        let keys = match &read {
            Ok(bytes) => parse(&self.path, bytes).map_err(|e| e.to_string()),
            Err(error) => Err(error.clone()),
        };
        match keys {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "access.jwt.keys was read again");
                self.keys.store(Arc::new(keys));
                let known = std::mem::take(&mut *self.known.lock());
                let gone = known.into_values();
                gone.for_each(|of| of.revoked.store(true, std::sync::atomic::Ordering::Release));
            }
            Err(error) => {
                let file = self.path.display();
                tracing::error!(%file, error, "access.jwt.keys has changed and cannot be used: the keys from before count");
            }
        }
        *self.last.lock() = read;
    }
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

/// The keys in `bytes`, those of the file `path`. Keys that verify nothing here are passed over.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<IssuerKey>> {
    let wrong = |why: String| Error::new(format!("access.jwt.keys {}: {why}", path.display()));
    let set: KeySet = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    let mut keys = Vec::new();
    // Of an issuer with keys of kinds that are not known the others count.
    for jwk in set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
        let algorithms = algorithms(&jwk);
        if algorithms.is_empty() {
            continue;
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|e| wrong(format!("a key: {e}")))?;
        keys.push(IssuerKey { id: jwk.common.key_id.clone(), key, algorithms });
    }
    match keys.is_empty() {
        true => Err(wrong("there is no public key in it that can verify a signature".to_owned())),
        false => Ok(keys),
    }
}

/// What a key can verify; nothing for a symmetric one, or one for encryption.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Vec::new();
    }
    let all: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(of) => match of.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(of) if of.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => &[],
    };
    // A key that says its algorithm is for no other.
    let own = jwk.common.key_algorithm.map(|of| of.to_string());
    let is_own = |of: &&Algorithm| own.as_ref().is_none_or(|own| *own == format!("{of:?}"));
    all.iter().filter(is_own).copied().collect()
}

#[cfg(test)]
mod tests;
