//! Roles that change while identities are known, and settings that cannot be taken up.

use std::path::Path;

use super::*;
use crate::tests::Still;
use crate::tokens::{NewToken, create};
use crate::{Access, Credentials, Decision, Door, Limits, Outcome, RoleSettings, Time, Verb};

fn role(grant: &str) -> RoleSettings {
    RoleSettings { grants: vec![serde_json::from_str(grant).unwrap()], ..RoleSettings::default() }
}

fn settings(folder: &Path) -> AccessSettings {
    let reader = role(r#"{"verbs":["read"],"tables":["a","b"]}"#);
    let mut writer = role(r#"{"verbs":["write"],"tables":["a"]}"#);
    writer.shared_limits = Limits { running_max: Some(1), ..Limits::default() };
    AccessSettings {
        tokens: Some(folder.join("tokens.json")),
        certificates: [("gate".to_owned(), vec!["reader".to_owned()])].into(),
        roles: [("reader".to_owned(), reader), ("writer".to_owned(), writer)].into(),
        ..AccessSettings::default()
    }
}

/// Access with a token of each role.
fn opened(folder: &Path) -> (Arc<Access>, [String; 2]) {
    let settings = settings(folder);
    let path = settings.tokens.clone().unwrap();
    let headers = ["reader", "writer"].map(|role| {
        let new =
            NewToken { name: role.to_owned(), roles: vec![role.to_owned()], ..NewToken::default() };
        format!("Bearer {}", create(&path, new, Still.now()).unwrap().0)
    });
    (Access::open(settings, Arc::new(Still)).unwrap(), headers)
}

fn by(header: &str) -> Credentials<'_> {
    Credentials { authorization: Some(header), ..Credentials::default() }
}

#[test]
fn roles_change_for_those_who_have_them_and_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (access, [reader, writer]) = opened(folder.path());
    let names = ["gate".to_owned()];
    let shown = Credentials { certificate: &names, ..Credentials::default() };
    let [anna, ben, gate] =
        [by(&reader), by(&writer), shown].map(|of| access.identify(&of).unwrap());
    let running = access.enter(&by(&writer), Door::Flight, "put").unwrap();
    let mut changed = settings(folder.path());
    changed.roles.insert("reader".to_owned(), role(r#"{"verbs":["read"],"tables":["a"]}"#));
    changed.roles.insert("other".to_owned(), role(r#"{"verbs":["observe"]}"#));
    access.reload(changed.clone()).unwrap();
    assert!(access.recheck(&anna).is_err() && access.recheck(&gate).is_err());
    let now = access.identify(&by(&reader)).unwrap();
    assert_eq!(now.decide(Verb::Read, "b"), Decision::Deny);
    assert_eq!(access.identify(&shown).unwrap().decide(Verb::Read, "b"), Decision::Deny);
    // What is used of limits that did not change is not forgotten.
    access.recheck(&ben).unwrap();
    assert!(Arc::ptr_eq(&ben, &access.identify(&by(&writer)).unwrap()));
    assert!(access.enter(&by(&writer), Door::Flight, "put").is_err());
    running.done();
    access.enter(&by(&writer), Door::Flight, "put").unwrap().done();
    let recent = access.audit().recent();
    let entry = recent.iter().find(|entry| entry.action == "settings").unwrap();
    assert_eq!((entry.outcome, entry.detail.as_str()), (Outcome::Done, "+other ~reader"));
    // The same again is no change.
    access.reload(changed).unwrap();
    let counts = access.reloads().read().find(|(of, ..)| *of == "settings");
    assert_eq!(counts, Some(("settings", 1, 0)));
}

#[test]
fn settings_that_cannot_be_taken_up_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (access, [reader, _]) = opened(folder.path());
    let anna = access.identify(&by(&reader)).unwrap();
    let own = settings(folder.path());
    let other_file = AccessSettings { tokens: None, ..own.clone() };
    let no_role = AccessSettings { anonymous: Some("none".to_owned()), ..own.clone() };
    let records = crate::AuditSettings { recent_max: 1, ..own.audit.clone() };
    let records = AccessSettings { audit: records, ..own };
    for (wrong, expected) in
        [(other_file, "access.tokens has changed"), (no_role, "no role"), (records, "restart")]
    {
        let error = access.reload(wrong).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        access.not_reloaded(&error);
    }
    assert!(Arc::ptr_eq(&anna, &access.identify(&by(&reader)).unwrap()));
    access.recheck(&anna).unwrap();
    let counts = access.reloads().read().find(|(of, ..)| *of == "settings");
    assert_eq!(counts, Some(("settings", 0, 3)));
    assert_eq!(access.audit().recent()[0].outcome, Outcome::Failed);
}
