//! Tokens of an issuer with keys of Ed25519 and P-256, and what is wrong with others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

mod remote;

use std::path::Path;

use super::*;
use crate::quotas::Quotas;
use crate::{AccessSettings, RoleSettings};

const NOW: i64 = 1_767_225_600;

enum Pair {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
}

struct Signer {
    id: &'static str,
    pair: Pair,
}

impl Signer {
    fn ed(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, pair: Pair::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()) }
    }

    fn ec(id: &'static str) -> Self {
        let (rng, method) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(method, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(method, document.as_ref(), &rng).unwrap();
        Self { id, pair: Pair::Ec(pair) }
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ed(_) => "EdDSA",
            Pair::Ec(_) => "ES256",
        }
    }

    fn jwk(&self) -> Value {
        match &self.pair {
            Pair::Ed(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": "sig", "x": x})
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let [x, y] = [&point[1..33], &point[33..]].map(|of| URL_SAFE_NO_PAD.encode(of));
                json!({"kty": "EC", "crv": "P-256", "kid": self.id, "alg": "ES256", "x": x, "y": y})
            }
        }
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let part = |of: &Value| URL_SAFE_NO_PAD.encode(of.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = match &self.pair {
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Ec(pair) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"}), claims)
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": ["other", "barograph"], "sub": "anna",
        "roles": ["reader", "none"], "exp": NOW + 60, "nbf": NOW - 60,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn write(path: &Path, keys: &[&Signer]) {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    std::fs::write(path, json!({ "keys": keys }).to_string()).unwrap();
}

fn settings(path: &Path) -> JwtSettings {
    JwtSettings {
        keys: Some(path.to_owned()),
        issuer: "https://issuer.example".to_owned(),
        audience: "barograph".to_owned(),
        ..JwtSettings::default()
    }
}

struct Found {
    settings: AccessSettings,
    quotas: Quotas,
}

impl Found {
    fn new() -> Self {
        let roles = [("reader".to_owned(), RoleSettings::default())].into();
        let settings = AccessSettings { roles, ..AccessSettings::default() };
        Self { settings, quotas: Quotas::default() }
    }

    fn of(&self, issuer: &Issuer, token: &str, now: i64) -> Result<Arc<Identity>, Refusal> {
        let roles = Roles { settings: &self.settings, quotas: &self.quotas };
        let found = issuer.find(token, Timestamp::from_micros(now * MICROS_PER_SECOND), &roles)?;
        found.check(Timestamp::from_micros(now * MICROS_PER_SECOND))?;
        Ok(found)
    }
}

#[tokio::test]
async fn tokens_count_while_their_key_is_there_and_until_they_expire() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (first, second) = (Signer::ed("first"), Signer::ec("second"));
    write(&path, &[&first]);
    let (issuer, found) = (Issuer::open(&settings(&path)).unwrap().unwrap(), Found::new());
    let (old, new) = (first.sign(&claims()), second.sign(&claims()));
    let anna = found.of(&issuer, &old, NOW).unwrap();
    assert_eq!((anna.name(), anna.proof()), ("jwt:anna", Proof::Jwt));
    assert_eq!(anna.roles(), ["reader"]);
    assert!(Arc::ptr_eq(&anna, &found.of(&issuer, &old, NOW).unwrap()), "known again");
    assert!(found.of(&issuer, &new, NOW).unwrap_err().to_string().contains("not known"));
    // Both keys, then the new one alone.
    write(&path, &[&first, &second]);
    issuer.refresh(&Reloads::default()).await;
    let ben = found.of(&issuer, &new, NOW).unwrap();
    assert!(Arc::ptr_eq(&anna, &found.of(&issuer, &old, NOW).unwrap()), "its key is still there");
    anna.check(Timestamp::MIN).unwrap();
    write(&path, &[&second]);
    issuer.refresh(&Reloads::default()).await;
    found.of(&issuer, &new, NOW).unwrap();
    assert!(found.of(&issuer, &old, NOW).is_err());
    assert!(anna.check(Timestamp::MIN).is_err(), "what runs by it ends");
    ben.check(Timestamp::MIN).unwrap();
    assert!(Arc::ptr_eq(&ben, &found.of(&issuer, &new, NOW).unwrap()));
    std::fs::write(&path, "{}").unwrap();
    issuer.refresh(&Reloads::default()).await;
    found.of(&issuer, &new, NOW).unwrap();
    // Leeway is 30 s.
    found.of(&issuer, &new, NOW + 89).unwrap();
    assert!(found.of(&issuer, &new, NOW + 90).unwrap_err().to_string().contains("expired"));
}

#[test]
fn what_is_wrong_with_a_token_is_said_without_quoting_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (own, other, curve) = (Signer::ed("own"), Signer::ed("own"), Signer::ec("curve"));
    write(&path, &[&own, &curve]);
    let (issuer, found) = (Issuer::open(&settings(&path)).unwrap().unwrap(), Found::new());
    let good = own.sign(&claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let unsigned = {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims().to_string()))
    };
    for (token, expected) in [
        (own.sign(&with("iss", json!("https://other.example"))), "another issuer"),
        (own.sign(&with("aud", json!("other"))), "another audience"),
        (own.sign(&with("aud", Value::Null)), "token"),
        (own.sign(&with("exp", json!(NOW - 31))), "expired"),
        (own.sign(&with("exp", json!("never"))), "when it expires"),
        (own.sign(&with("exp", Value::Null)), "when it expires"),
        (own.sign(&with("nbf", json!(NOW + 31))), "does not count yet"),
        (own.sign(&with("nbf", json!("soon"))), "does not count yet"),
        (own.sign(&with("sub", json!(7))), "whose it is"),
        (own.sign(&with("sub", json!(""))), "whose it is"),
        (other.sign(&claims()), "no right signature"),
        (format!("{message}."), "no right signature"),
        (unsigned, "cannot be read"),
        // Signed by the one key under the name, or the algorithm, of the other.
        (own.sign_as(&json!({"alg": "EdDSA", "kid": "curve"}), &claims()), "not known"),
        (own.sign_as(&json!({"alg": "ES256", "kid": "curve"}), &claims()), "no right signature"),
        (own.sign_as(&json!({"alg": "HS256", "kid": "own"}), &claims()), "algorithm"),
        (own.sign_as(&json!({"alg": "RS512", "kid": "own"}), &claims()), "algorithm"),
        ("a.b.c".to_owned(), "cannot be read"),
    ] {
        let refused = found.of(&issuer, &token, NOW).unwrap_err();
        assert_eq!(refused.kind(), crate::RefusalKind::Unauthenticated);
        assert!(refused.to_string().contains(expected), "{expected}: {refused}");
        assert!(!refused.to_string().contains(&token), "{refused}");
    }
    found.of(&issuer, &good, NOW).unwrap();
    let nobody = found.of(&issuer, &own.sign(&with("roles", json!(3))), NOW).unwrap();
    assert!(nobody.roles().is_empty());
}

#[test]
fn keys_that_anyone_could_sign_with_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    for keys in [
        json!([]),
        json!([{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]),
        json!([{"kty": "OKP", "crv": "Ed25519", "use": "enc", "x": "AAAA"}]),
    ] {
        std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
        let error = Issuer::open(&settings(&path)).unwrap_err().to_string();
        assert!(error.contains("no public key"), "{error}");
    }
    let without = JwtSettings { audience: String::new(), ..settings(&path) };
    assert!(without.check().unwrap_err().to_string().contains("access.jwt.audience"));
    assert!(Issuer::open(&JwtSettings::default()).unwrap().is_none());
}

#[test]
fn fuzz_json_web_tokens() {
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("jwks.json");
    let pair = Pair::Ed(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());
    let own = Signer { id: "own", pair };
    write(&path, &[&own]);
    let (issuer, found) = (Issuer::open(&settings(&path)).unwrap().unwrap(), Found::new());
    let header = json!({"alg": "EdDSA", "kid": "own", "typ": "JWT"});
    let of = |header: &Value, claims: &Value| format!("{header}\n{claims}");
    let seeds = [
        of(&header, &claims()),
        of(&json!({"alg": "none"}), &with("aud", json!("barograph"))),
        of(&json!({"alg": "EdDSA", "crit": ["b64"]}), &with("exp", json!(1.8e9))),
        // As it is, without a signature of the target.
        own.sign(&claims()),
    ];
    let tokens = [
        "\"alg\":",
        "\"kid\":",
        "\"crit\":[]",
        "\"exp\":",
        "\"nbf\":",
        "\"iss\":",
        "\"aud\":[",
        "null",
        "1e308",
        ".",
    ];
    let target = barograph_fuzz::Target::new("json-web-tokens", 8_000).seeds(seeds).tokens(tokens);
    target.bytes_max(2 << 10).run(|input| {
        let text = String::from_utf8_lossy(input);
        let token = match text.split_once('\n') {
            None => text.into_owned(),
            Some((header, claims)) => {
                let part = |of: &str| URL_SAFE_NO_PAD.encode(of);
                let message = format!("{}.{}", part(header), part(claims));
                let Pair::Ed(pair) = &own.pair else { return Err("another key".to_owned()) };
                let signature = pair.sign(message.as_bytes());
                format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
            }
        };
        if !Issuer::is_token(&token) {
            return Err("no token".to_owned());
        }
        let identity = found.of(&issuer, &token, NOW).map_err(|refusal| refusal.to_string())?;
        assert!(identity.name().starts_with("jwt:"));
        Ok(())
    });
}

#[test]
fn fuzz_json_web_key_sets() {
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("jwks.json");
    crypto::install();
    let pair = Pair::Ed(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap());
    write(&path, &[&Signer { id: "own", pair }]);
    let modulus = URL_SAFE_NO_PAD.encode([0xc5; 256]);
    let point = URL_SAFE_NO_PAD.encode([0x5c; 32]);
    let seeds = [
        std::fs::read_to_string(&path).unwrap(),
        json!({"keys": [{"kty": "RSA", "kid": "r", "alg": "RS256", "n": modulus, "e": "AQAB"}]}).to_string(),
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": point, "y": point}, {"kty": "oct", "k": "AA"}]}).to_string(),
    ];
    let target = barograph_fuzz::Target::new("json-web-key-sets", 15_000).seeds(seeds);
    target
        .bytes_max(4 << 10)
        .run(|input| parse("keys", input).map(drop).map_err(|error| error.to_string()));
}
