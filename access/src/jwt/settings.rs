//! The settings of JSON web tokens.

use std::path::PathBuf;

use barograph_lake::Span;
use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::source::parse_url;
use crate::{Error, Result};

/// JSON web tokens of one issuer. Without `keys` and `keys_url` none are accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtSettings {
    /// File with the public keys of the issuer, as a JSON web key set. It is read again when it changes: add a new key
    /// before tokens are signed with it, and take the old one away when the last of its tokens has expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<PathBuf>,
    /// URL of the public keys of the issuer, in place of `keys`, such as `https://issuer.example/.well-known/jwks.json`.
    /// `http://` only for this machine. While it does not answer, the keys from before count. A token with a key that is
    /// not known has them asked for at once, once in `keys_refreshed` at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_url: Option<String>,
    /// File with the certificates of the authorities that the server at `keys_url` is checked against, in PEM. If absent,
    /// those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_ca: Option<PathBuf>,
    /// How often the keys at `keys_url` are asked for, from `1s` to `1d`.
    pub keys_refreshed: Span,
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
            keys_url: None,
            keys_ca: None,
            keys_refreshed: Span::seconds(5 * 60),
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
    /// Whether tokens of the issuer are accepted.
    pub(crate) fn is_set(&self) -> bool {
        self.keys.is_some() || self.keys_url.is_some()
    }

    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_set() {
            return Ok(());
        }
        self.check_url()?;
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

    fn check_url(&self) -> Result<()> {
        let Some(url) = &self.keys_url else { return Ok(()) };
        if self.keys.is_some() {
            return Err(Error::new(
                "access.jwt.keys and access.jwt.keys_url are both set: leave one of them out",
            ));
        }
        parse_url(url)?;
        let fits = (Span::SECOND..=Span::seconds(24 * 60 * 60)).contains(&self.keys_refreshed);
        match fits {
            true => Ok(()),
            false => Err(Error::new(format!(
                "access.jwt.keys_refreshed is {}: give 1s to 1d",
                self.keys_refreshed
            ))),
        }
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
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
