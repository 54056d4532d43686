//! The public keys of an issuer, a JSON web key set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::tokens::hash;
use crate::{Error, Result};

/// A JSON web key set.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// A public key of the issuer.
#[derive(Debug)]
pub(super) struct IssuerKey {
    pub(super) id: Option<String>,
    pub(super) key: DecodingKey,
    /// What it can verify.
    pub(super) algorithms: Vec<Algorithm>,
    /// By which it is known again.
    pub(super) print: [u8; 32],
}

/// The keys in `bytes`, those of `place`. Keys that verify nothing here are passed over.
pub(super) fn parse(place: &str, bytes: &[u8]) -> Result<Vec<IssuerKey>> {
    let wrong = |why: String| Error::new(format!("{place}: {why}"));
    let set: KeySet = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    let mut keys = Vec::new();
    // Of an issuer with keys of kinds that are not known the others count.
    for jwk in set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
        let algorithms = algorithms(&jwk);
        if algorithms.is_empty() {
            continue;
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|e| wrong(format!("a key: {e}")))?;
        let id = jwk.common.key_id.clone();
        let print = print(&jwk, &algorithms).map_err(|e| wrong(format!("a key: {e}")))?;
        keys.push(IssuerKey { id, key, algorithms, print });
    }
    match keys.is_empty() {
        true => Err(wrong("there is no public key in it that can verify a signature".to_owned())),
        false => Ok(keys),
    }
}

/// What two keys have in common only if they verify the same.
fn print(jwk: &Jwk, algorithms: &[Algorithm]) -> serde_json::Result<[u8; 32]> {
    let parts = (&jwk.common.key_id, algorithms, &jwk.algorithm);
    Ok(hash(&serde_json::to_string(&parts)?))
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
