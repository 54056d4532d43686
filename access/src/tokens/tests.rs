//! Tokens from their making to their end.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use barograph_lake::Span;

use super::*;
use crate::{
    Access, AccessSettings, AuditSettings, Credentials, Door, Outcome, RoleSettings, Time, Verb,
};

#[derive(Debug, Default)]
struct Set(AtomicI64);

impl Time for Set {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn elapsed(&self) -> Span {
        Span::from_micros(self.0.load(Ordering::Relaxed))
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn shown(header: &str) -> Credentials<'_> {
    Credentials { authorization: Some(header), ..Credentials::default() }
}

fn settings(path: &Path) -> AccessSettings {
    let role = RoleSettings {
        grants: vec![serde_json::from_str(r#"{"verbs":["read"],"tables":["a"]}"#).unwrap()],
        ..RoleSettings::default()
    };
    AccessSettings {
        tokens: Some(path.to_owned()),
        roles: [("reader".to_owned(), role)].into(),
        ..AccessSettings::default()
    }
}

fn reader(name: &str) -> NewToken {
    NewToken { name: name.to_owned(), roles: vec!["reader".to_owned()], ..NewToken::default() }
}

#[tokio::test]
async fn a_token_counts_from_its_making_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let time = Arc::new(Set::default());
    let access = Access::open(settings(&path), time.clone()).unwrap();
    let (token, entry) = create(&path, reader("anna"), time.now()).unwrap();
    let header = bearer(&token);
    assert!(access.identify(&shown(&header)).is_err(), "the file was not read again");
    access.refresh().await;
    let anna = access.identify(&shown(&header)).unwrap();
    assert_eq!(
        (anna.name(), anna.proof(), anna.roles()),
        ("anna", Proof::Token, &["reader".to_owned()][..])
    );
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(&token) && text.contains(&entry.id));
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions())
            & 0o777,
        0o600
    );

    // Another token leaves the first one's identity as it is.
    create(&path, reader("ben"), time.now()).unwrap();
    access.refresh().await;
    assert!(Arc::ptr_eq(&anna, &access.identify(&shown(&header)).unwrap()));
    access.recheck(&anna).unwrap();

    fs::write(&path, "{").unwrap();
    access.refresh().await;
    access.identify(&shown(&header)).unwrap();

    fs::write(&path, text).unwrap();
    assert_eq!(revoke(&path, "anna").unwrap().len(), 1);
    access.refresh().await;
    assert!(access.identify(&shown(&header)).is_err());
    assert!(access.recheck(&anna).unwrap_err().to_string().contains("revoked"));
    assert!(revoke(&path, "anna").unwrap_err().to_string().contains("no token"));
}

#[test]
fn what_is_not_a_token_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let time = Arc::new(Set::default());
    let expires_at = Some(Timestamp::from_micros(10));
    let (token, _) = create(&path, NewToken { expires_at, ..reader("anna") }, time.now()).unwrap();
    let access = Access::open(settings(&path), time.clone()).unwrap();
    let basic = |name: &str| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{token}"));
        format!("Basic {text}")
    };
    for header in [bearer(&token), basic("anna"), basic("")] {
        access.identify(&shown(&header)).unwrap();
    }
    let (end, last) = token.split_at(token.len() - 1);
    let other = format!("{end}{}", if last == "0" { "1" } else { "0" });
    for header in [
        bearer(&other),
        bearer(""),
        bearer("brg_"),
        basic("ben"),
        "Basic x".to_owned(),
        token.clone(),
        String::new(),
    ] {
        let refused = access.identify(&shown(&header)).unwrap_err();
        assert_eq!(refused.kind(), crate::RefusalKind::Unauthenticated, "{header}");
        assert!(!refused.to_string().contains(&token), "{refused}");
    }
    assert!(access.identify(&Credentials::default()).is_err());
    time.0.store(10, Ordering::Relaxed);
    let expired = access.identify(&shown(&bearer(&token))).unwrap_err();
    assert!(expired.to_string().contains("expired"));
}

#[test]
fn calls_are_recorded_without_their_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    let time = Arc::new(Set::default());
    let (token, _) = create(&path, reader("anna"), time.now()).unwrap();
    let access = Access::open(settings(&path), time.clone()).unwrap();
    let header = bearer(&token);
    let mut call = access.enter(&shown(&header), Door::Flight, "read").unwrap();
    call.allow(Verb::Read, "a").unwrap();
    let refused = call.allow(Verb::Read, "b").unwrap_err();
    assert_eq!(refused.to_string(), "\"anna\" may not read table \"b\"");
    drop(call);
    let mut call = access.enter(&shown(&header), Door::Flight, "read").unwrap();
    call.allow(Verb::Read, "a").unwrap();
    call.sent(3, 24);
    call.done();
    access.enter(&shown("Bearer no"), Door::Http, "write").unwrap_err();
    let outcomes: Vec<_> = access.audit().recent().iter().map(|of| (of.outcome, of.rows)).collect();
    assert_eq!(outcomes, [(Outcome::Unauthenticated, 0), (Outcome::Done, 3), (Outcome::Denied, 0)]);
    assert!(!format!("{access:?}{:?}", access.audit().recent()).contains(&token));
}

#[test]
fn everybody_may_where_nothing_is_set_and_nobody_where_only_others_are() {
    let time: Arc<dyn Time> = Arc::new(Set::default());
    let open = Access::open(AccessSettings::default(), Arc::clone(&time)).unwrap();
    let local = open.identify(&shown("Bearer of another server")).unwrap();
    assert!(local.may(Verb::Admin) && local.proof() == Proof::Open && !open.is_configured());
    let settings = AccessSettings {
        certificates: [("gateway".to_owned(), vec!["admin".to_owned()])].into(),
        audit: AuditSettings::default(),
        ..AccessSettings::default()
    };
    let access = Access::open(settings.clone(), Arc::clone(&time)).unwrap();
    let names = ["gateway".to_owned()];
    let certificate = Credentials { certificate: &names, ..Credentials::default() };
    assert_eq!(access.identify(&certificate).unwrap().proof(), Proof::Certificate);
    let both = Credentials { authorization: Some("Bearer wrong"), ..certificate };
    assert!(access.identify(&both).is_err(), "a wrong token is not passed over");
    assert!(access.identify(&Credentials::default()).is_err());
    let anonymous = AccessSettings { anonymous: Some("admin".to_owned()), ..settings };
    let access = Access::open(anonymous, time).unwrap();
    assert_eq!(access.identify(&Credentials::default()).unwrap().proof(), Proof::Anonymous);
}

#[test]
fn settings_that_nobody_can_mean_are_refused() {
    let with = |json: &str| serde_json::from_str::<AccessSettings>(json).unwrap().check();
    for (json, expected) in [
        (r#"{"anonymous":"none"}"#, "no role \"none\""),
        (r#"{"roles":{"a":{}}}"#, "nobody can have"),
        (r#"{"anonymous":"admin","roles":{"admin":{}}}"#, "built in"),
        (
            r#"{"anonymous":"a","roles":{"a":{"grants":[{"verbs":[]}]}}}"#,
            "access.roles.a.grants[0]: verbs",
        ),
        (
            r#"{"anonymous":"a","roles":{"a":{"limits":{"running_max":0}}}}"#,
            "access.roles.a.limits",
        ),
        (r#"{"audit":{"queue_max":0}}"#, "queue_max"),
    ] {
        let error = with(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    AccessSettings::default().check().unwrap();
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.json");
    for (text, expected) in [
        ("{}", "missing field"),
        (r#"{"version":2,"tokens":[]}"#, "version 2"),
        (
            r#"{"version":1,"tokens":[{"id":"a","name":"a","hash":"md5:1","roles":[],"created_at":"2026-01-01"}]}"#,
            "sha256",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let error = list(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("tokens.json"), "{error}");
    }
    assert!(create(&path, reader("a b"), Timestamp::MIN).is_err());
    fs::remove_file(&path).unwrap();
    assert!(list(&path).unwrap().is_empty());
    assert!(read_secret(&path).is_err());
}
