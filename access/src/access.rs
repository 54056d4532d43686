//! Access as a whole: credentials become identities, identities are let in or refused, and both are recorded.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use barograph_lake::Span;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use crate::audit::{Audit, AuditEntry, Outcome};
use crate::bucket::Bucket;
use crate::call::Origin;
use crate::identity::{Credentials, Identity, Proof};
use crate::jwt::Issuer;
use crate::policy::Policy;
use crate::quotas::Quotas;
use crate::reloads::Reloads;
use crate::rights::RowRule;
use crate::settings::{ADMIN, AccessSettings};
use crate::time::Time;
use crate::tokens::Tokens;
use crate::{Call, Door, Error, Refusal, RefusalKind, Result, Rights, Verb, spans};

/// Records of calls by unknown callers in a second; a flood of them must not push out what others did.
const UNKNOWN_PER_SECOND: u64 = 100;
/// Who asks where everybody may.
const OPEN: &str = "local";
/// Bytes of a mark.
const MARK_BYTES: usize = 8;

/// Who may ask for what.
#[derive(Debug)]
pub struct Access {
    /// Replaced when the settings change.
    pub(crate) policy: ArcSwap<Policy>,
    pub(crate) time: Arc<dyn Time>,
    /// Everybody, where nobody has to say who they are.
    open: Option<Arc<Identity>>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) issuer: Option<Issuer>,
    pub(crate) audit: Audit,
    pub(crate) reloads: Reloads,
    /// Held while something is read again.
    pub(crate) reloading: Mutex<()>,
    unknown: Bucket,
    /// Of marks, for as long as the process lives.
    key: ring::hmac::Key,
}

/// What identities are made of.
#[derive(Debug)]
pub(crate) struct Roles<'a> {
    pub(crate) settings: &'a AccessSettings,
    pub(crate) quotas: &'a Quotas,
}

impl Roles<'_> {
    /// An identity that has `roles`, only for rows `within` a rule if there is one. Roles that are not declared give
    /// nothing.
    pub(crate) fn identity(
        &self,
        name: &str,
        proof: Proof,
        roles: &[String],
        within: Option<RowRule>,
    ) -> Identity {
        let grants = roles.iter().flat_map(|role| self.settings.grants(role)).collect();
        Identity {
            name: name.into(),
            proof,
            roles: roles.into(),
            rights: Arc::new(Rights::new(grants, within)),
            account: self.quotas.account(name, roles),
            expires_at: None,
            revoked: false.into(),
        }
    }
}

impl Access {
    /// Access as the settings say. Reads the files that they name.
    ///
    /// # Errors
    /// If a setting cannot be meant, or a file cannot be used.
    pub fn open(settings: AccessSettings, time: Arc<dyn Time>) -> Result<Arc<Self>> {
        settings.check()?;
        let policy = Policy::new(settings, None);
        let (settings, roles) = (&policy.settings, policy.roles());
        let is_open = !settings.is_configured();
        let open = is_open.then(|| Identity {
            rights: Arc::new(Rights::everything()),
            ..roles.identity(OPEN, Proof::Open, &[ADMIN.to_owned()], None)
        });
        let tokens = match &settings.tokens {
            Some(path) => Some(Tokens::open(path, &roles)?),
            None => None,
        };
        let issuer = Issuer::open(&settings.jwt)?;
        let audit = Audit::open(&settings.audit)?;
        let key =
            ring::hmac::Key::generate(ring::hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
                .map_err(|_| Error::new("the system gives no random numbers"))?;
        Ok(Arc::new(Self {
            open: open.map(Arc::new),
            tokens,
            issuer,
            audit,
            reloads: Reloads::default(),
            reloading: Mutex::default(),
            unknown: Bucket::new(UNKNOWN_PER_SECOND),
            key,
            time,
            policy: ArcSwap::from_pointee(policy),
        }))
    }

    /// Whether callers have to say who they are, or have a role otherwise.
    pub fn is_configured(&self) -> bool {
        self.open.is_none()
    }

    /// Whether some role may `verb`.
    pub fn grants_verb(&self, verb: Verb) -> bool {
        self.policy.load().settings.grants_verb(verb)
    }

    /// The time it counts by.
    pub fn time(&self) -> &Arc<dyn Time> {
        &self.time
    }

    /// The records.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    pub(crate) fn records_reads(&self) -> bool {
        self.audit.reads && self.is_configured()
    }

    /// Who shows these credentials.
    ///
    /// # Errors
    /// [`Refusal`] of the kind `Unauthenticated`. Credentials that are wrong are never passed over for weaker ones.
    pub fn identify(&self, credentials: &Credentials<'_>) -> Result<Arc<Identity>, Refusal> {
        if let Some(open) = &self.open {
            return Ok(Arc::clone(open));
        }
        if let Some(header) = credentials.authorization {
            let (name, secret) = parts(header)?;
            return self.known(name.as_deref(), &secret);
        }
        let policy = self.policy.load();
        let mut names = credentials.certificate.iter();
        if let Some(of) = names.find_map(|name| policy.certificates.get(name)) {
            return Ok(Arc::clone(of));
        }
        policy
            .anonymous
            .clone()
            .ok_or_else(|| Refusal::unauthenticated("this server asks who you are"))
    }

    /// Who has this secret; with a name, it has to be theirs.
    fn known(&self, name: Option<&str>, secret: &str) -> Result<Arc<Identity>, Refusal> {
        let now = self.time.now();
        let found = match &self.issuer {
            Some(issuer) if Issuer::is_token(secret) => {
                let policy = self.policy.load_full();
                let found = issuer.find(secret, now, &policy.roles())?;
                if !Arc::ptr_eq(&policy, &self.policy.load()) {
                    // It was made of roles that do not count any more.
                    self.regrant();
                    return self.known(name, secret);
                }
                found
            }
            _ => {
                let found = self.tokens.as_ref().and_then(|tokens| tokens.find(secret));
                found.ok_or_else(|| Refusal::unauthenticated("the token is not known"))?
            }
        };
        let own = |name: &str| {
            let is_jwt = found.name().strip_prefix("jwt:").is_some_and(|of| of == name);
            name.is_empty() || name == found.name() || is_jwt
        };
        if !name.is_none_or(own) {
            return Err(Refusal::unauthenticated("the token is not known under that name"));
        }
        found.check(now)?;
        Ok(found)
    }

    /// Refuses an identity whose credentials have expired or were revoked since it was known by them.
    ///
    /// # Errors
    /// [`Refusal`] of the kind `Unauthenticated`.
    pub fn recheck(&self, identity: &Identity) -> Result<(), Refusal> {
        identity.check(self.time.now())
    }

    /// Lets a request in: it is known who asks, and that is not too often.
    ///
    /// # Errors
    /// [`Refusal`] of the kinds `Unauthenticated` and `Exhausted`.
    pub fn enter(
        self: &Arc<Self>,
        credentials: &Credentials<'_>,
        door: Door,
        action: &'static str,
    ) -> Result<Call, Refusal> {
        let address = credentials.address;
        let traceparent = credentials.traceparent;
        let identity = match self.identify(credentials) {
            Ok(identity) => identity,
            Err(refusal) => {
                self.refused(None, (door, action), address, &refusal);
                return Err(refusal);
            }
        };
        let now = self.time.elapsed();
        match identity.account.enter(now) {
            Ok(running) => {
                let span = spans::of_call(&identity, door, traceparent);
                let origin = Origin { door, action, address, begun: now, span };
                Ok(Call::new(Arc::clone(self), identity, running, origin))
            }
            Err(refusal) => {
                self.refused(Some(&identity), (door, action), address, &refusal);
                Err(refusal)
            }
        }
    }

    fn refused(
        &self,
        identity: Option<&Identity>,
        (door, action): (Door, &'static str),
        address: Option<IpAddr>,
        refusal: &Refusal,
    ) {
        // Those who are refused again and again are recorded now and then.
        if self.unknown.take(self.time.elapsed(), 1).is_err() {
            return;
        }
        self.audit.record(AuditEntry {
            at: self.time.now(),
            identity: identity.map_or_else(|| "".into(), |of| Arc::clone(&of.name)),
            proof: identity.map_or("", |of| of.proof.name()),
            address: address.map(|address| address.to_string()),
            door: door.name(),
            action,
            tables: String::new(),
            outcome: Outcome::of(refusal),
            detail: refusal.to_string(),
            rows: 0,
            bytes: 0,
            duration_us: 0,
        });
    }

    /// The secret in a header `authorization`, once it is known whose it is: what a client shows from then on.
    ///
    /// # Errors
    /// [`Refusal`] of the kinds `Unauthenticated` and `Exhausted`.
    pub fn handshake(
        self: &Arc<Self>,
        credentials: &Credentials<'_>,
        door: Door,
    ) -> Result<String, Refusal> {
        let call = self.enter(credentials, door, "handshake")?;
        let (_, secret) = parts(credentials.authorization.unwrap_or_default())?;
        call.done();
        Ok(secret)
    }

    /// A mark that only this process can make, by which it knows again what it has given to `owner`.
    pub fn mark(&self, owner: &str, what: &str) -> String {
        let mut text = owner.len().to_le_bytes().to_vec();
        text.extend_from_slice(owner.as_bytes());
        text.extend_from_slice(what.as_bytes());
        let tag = ring::hmac::sign(&self.key, &text);
        tag.as_ref().iter().take(MARK_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `mark` is that of `what` for `owner`.
    pub fn is_marked(&self, owner: &str, what: &str, mark: &str) -> bool {
        self.mark(owner, what).as_bytes().ct_eq(mark.as_bytes()).into()
    }

    /// How often files of credentials are looked at.
    pub const REFRESH_EVERY: Span = Span::seconds(2);
}

impl Outcome {
    pub(crate) fn of(refusal: &Refusal) -> Self {
        match refusal.kind() {
            RefusalKind::Unauthenticated => Self::Unauthenticated,
            RefusalKind::Denied => Self::Denied,
            RefusalKind::Exhausted => Self::Exhausted,
        }
    }
}

/// The name, if there is one, and the secret in a header `authorization`.
fn parts(header: &str) -> Result<(Option<String>, String), Refusal> {
    let wrong = || {
        Refusal::unauthenticated(
            "the header `authorization` is neither `Bearer TOKEN` nor `Basic` with a name and a token",
        )
    };
    let (scheme, value) = header.trim().split_once(' ').ok_or_else(wrong)?;
    let value = value.trim();
    // Clients of InfluxDB write `Token`.
    if ["bearer", "token"].iter().any(|of| scheme.eq_ignore_ascii_case(of)) {
        return Ok((None, value.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let bytes = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value));
    let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let (name, secret) = text.split_once(':').ok_or_else(wrong)?;
    Ok((Some(name.to_owned()), secret.to_owned()))
}

/// The header `authorization` of a name and a secret.
pub fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}
