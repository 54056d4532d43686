//! The settings of access: where identities come from, and what their roles may do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::AuditSettings;
use crate::jwt::JwtSettings;
use crate::quotas::Limits;
use crate::rights::Grant;
use crate::{Error, Result, Verb};

/// The role that is always there, and may do everything.
pub const ADMIN: &str = "admin";

/// Who may ask for what. Without any of `tokens`, `jwt.keys`, `jwt.keys_url`, `certificates` and `anonymous`, everybody who
/// reaches the server may do everything, and it listens on the loopback interface only. Roles, `certificates` and `anonymous`
/// are read again when the settings file changes; the rest needs a restart. [docs/security.md](security.md) describes identities
/// and roles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessSettings {
    /// File of the tokens that `barograph token create` makes. It holds hashes, and is read again when it changes. If
    /// set, callers have to show a token, unless `anonymous` or `certificates` lets them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<PathBuf>,
    /// Role of callers that show nothing. If absent, they are refused. Setting it to `"admin"` opens the server to
    /// everybody who reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<String>,
    /// Roles by names in client certificates: `certificates = { "gateway.example.org" = ["writer"] }`. Needs
    /// `flight.tls_client_ca`. Names are the DNS names and URIs among the certificate's subject alternative names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, Vec<String>>,
    /// File with the token that this server shows to the other servers of a shared log. Its role needs the verb
    /// `peer`. If absent, the servers know each other by their certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_token: Option<PathBuf>,
    /// Roles by name, such as `[access.roles.reader]` with `grants = [{ verbs = ["read"], tables = ["*"] }]`. The role
    /// `admin` is built in and may do everything.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, RoleSettings>,
    /// JSON web tokens of an issuer.
    pub jwt: JwtSettings,
    /// Records of who asked for what.
    pub audit: AuditSettings,
}

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoleSettings {
    /// What it may do.
    pub grants: Vec<Grant>,
    /// Limits of each identity that has the role.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Limits of all identities together that have the role.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub shared_limits: Limits,
}

impl AccessSettings {
    /// Whether callers have to say who they are, or have a role otherwise.
    pub fn is_configured(&self) -> bool {
        let tokens = self.tokens.is_some() || self.jwt.is_set();
        tokens || self.anonymous.is_some() || !self.certificates.is_empty()
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// With the name of the setting, its value and the mend.
    pub fn check(&self) -> Result<()> {
        for (name, role) in &self.roles {
            if name == ADMIN {
                let text = "access.roles.admin: that role is built in and may do everything: give yours another name";
                return Err(Error::new(text));
            }
            for (at, grant) in role.grants.iter().enumerate() {
                let place = format!("access.roles.{name}.grants[{at}]");
                grant.check().map_err(|e| Error::new(place).with_source(e))?;
            }
            for (place, limits) in [("limits", role.limits), ("shared_limits", role.shared_limits)]
            {
                let place = format!("access.roles.{name}.{place}");
                limits.check().map_err(|e| Error::new(place).with_source(e))?;
            }
        }
        self.check_roles("access.anonymous", self.anonymous.as_slice())?;
        for (name, roles) in &self.certificates {
            self.check_roles(&format!("access.certificates.{name:?}"), roles)?;
        }
        if !self.roles.is_empty() && !self.is_configured() {
            let text = "access.roles has roles that nobody can have: set access.tokens, access.jwt.keys, access.certificates or access.anonymous";
            return Err(Error::new(text));
        }
        self.jwt.check()?;
        self.audit.check()
    }

    /// Refuses roles that are not declared.
    ///
    /// # Errors
    /// With the name that is not one.
    pub fn check_roles(&self, of: &str, roles: &[String]) -> Result<()> {
        match roles.iter().find(|role| !self.has_role(role)) {
            None => Ok(()),
            Some(unknown) => {
                let names: Vec<_> = self.roles.keys().map(String::as_str).chain([ADMIN]).collect();
                let names = names.join(", ");
                Err(Error::new(format!("{of}: there is no role {unknown:?}, there are {names}")))
            }
        }
    }

    pub(crate) fn has_role(&self, role: &str) -> bool {
        role == ADMIN || self.roles.contains_key(role)
    }

    /// The grants of a role; none of one that is not declared.
    pub(crate) fn grants(&self, role: &str) -> Vec<Grant> {
        match self.roles.get(role) {
            Some(of) => of.grants.clone(),
            None if role == ADMIN => vec![Grant::everything()],
            None => Vec::new(),
        }
    }

    /// Filters of all grants, with where they stand and the tables they are about.
    pub fn filters(&self) -> impl Iterator<Item = (String, &Grant, &str)> {
        self.roles.iter().flat_map(|(name, role)| {
            role.grants.iter().enumerate().filter_map(move |(at, grant)| {
                let place = format!("access.roles.{name}.grants[{at}].filter");
                Some((place, grant, grant.filter.as_deref()?))
            })
        })
    }

    /// Whether some role may `verb`.
    pub fn grants_verb(&self, verb: Verb) -> bool {
        self.roles.values().flat_map(|role| &role.grants).any(|grant| grant.verbs.contains(&verb))
    }
}
