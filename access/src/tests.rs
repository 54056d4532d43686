//! Fuzz targets of what callers show, and of what files and settings say of them.

use std::sync::Arc;

use barograph_fuzz::Target;
use barograph_lake::{Span, Timestamp};

use crate::keys::KeyRange;
use crate::tokens::{TokenEntry, hash, list};
use crate::{Access, AccessSettings, Credentials, RoleSettings, TablePattern, Time, basic};

/// A time that stands still.
#[derive(Debug)]
pub(crate) struct Still;

impl Time for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000)
    }

    fn elapsed(&self) -> Span {
        Span::ZERO
    }
}

fn token() -> String {
    format!("brg_4f1c09a2b77e_{}", "9b".repeat(32))
}

/// A file with the token.
fn file() -> String {
    let hash: String = hash(&token()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        r#"{{"version":1,"tokens":[{{"id":"4f1c09a2b77e","name":"anna","hash":"sha256:{hash}","roles":["reader"],"created_at":"2026-01-01T00:00:00Z","expires_at":"2027-01-01T00:00:00Z","keys":[-7,"5..9"],"filter":"temperature > 1"}}]}}"#
    )
}

#[test]
fn fuzz_authorization() {
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("tokens.json");
    std::fs::write(&path, file()).unwrap();
    let settings = AccessSettings {
        tokens: Some(path),
        roles: [("reader".to_owned(), RoleSettings::default())].into(),
        ..AccessSettings::default()
    };
    let access = Access::open(settings, Arc::new(Still)).unwrap();
    let seeds = [
        format!("Bearer {}", token()),
        format!("token  {}", token()),
        basic("anna", &token()),
        basic("", &token()),
        "Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbm5hIn0.AAAA".to_owned(),
    ];
    let tokens = ["Bearer ", "Basic ", "Token ", "brg_", "_", ".", "=", ":", "anna", " "];
    let target =
        Target::new("authorization", 60_000).seeds(seeds).tokens(tokens).bytes_max(4 << 10);
    target.run(|input| {
        let header = String::from_utf8_lossy(input);
        let shown = Credentials { authorization: Some(&header), ..Credentials::default() };
        let identity = access.identify(&shown).map_err(|refusal| refusal.to_string())?;
        assert_eq!(identity.name(), "anna");
        let said = header.contains(&token()) || header.trim().to_lowercase().starts_with("basic");
        assert!(said, "{header}");
        Ok(())
    });
}

#[test]
fn fuzz_tokens_files() {
    let folder = tempfile::tempdir_in(barograph_fuzz::folder()).unwrap();
    let path = folder.path().join("tokens.json");
    let target = Target::new("tokens-files", 15_000).seeds([file()]).bytes_max(4 << 10);
    target.run(|input| {
        std::fs::write(&path, input).unwrap();
        let entries = list(&path).map_err(|error| error.to_string())?;
        for entry in entries {
            let json = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<TokenEntry>(&json).unwrap(), entry, "{json}");
        }
        Ok(())
    });
}

/// Whether a pattern means a name, character by character.
fn means(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len()).any(|at| means(rest, &name[at..])),
        Some((first, rest)) => {
            name.split_first().is_some_and(|(of, name)| of == first && means(rest, name))
        }
    }
}

#[test]
fn fuzz_patterns_and_keys() {
    let seeds = [
        "r*s_*h\nreadings_1h",
        "*\n",
        "a*a\naa",
        "dead_*\ndead_letters",
        "-7..9\n5",
        "1\n9223372036854775807",
    ];
    let target = Target::new("patterns-and-keys", 60_000).seeds(seeds).bytes_max(24);
    target.run(|input| {
        let text = String::from_utf8_lossy(input);
        let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
        let matches = TablePattern::new(pattern).matches(name);
        // Stars side by side are one, or the model would not come to an end.
        let of = |text: &str| {
            let mut characters: Vec<_> = text.chars().collect();
            characters.dedup_by(|a, b| *a == '*' && *b == '*');
            characters
        };
        let expected = match name {
            "dead_letters" => pattern == name,
            name => means(&of(pattern), &name.chars().collect::<Vec<_>>()),
        };
        assert_eq!(matches, expected, "{pattern:?} {name:?}");
        let range: KeyRange = pattern.parse()?;
        assert_eq!(range.to_string().parse::<KeyRange>(), Ok(range));
        Ok(())
    });
}

#[test]
fn fuzz_access_settings() {
    let seeds = [
        r#"{"tokens":"t.json","anonymous":"reader","roles":{"reader":{"grants":[{"verbs":["read"],"tables":["a*"],"columns":["t"],"keys":[1,"5..9"],"filter":"t > 1"}],"limits":{"requests_per_second":5}}}}"#,
        r#"{"certificates":{"a.example":["admin"]},"jwt":{"issuer":"i","audience":"b","algorithms":["ES256"],"leeway":"30s"},"audit":{}}"#,
    ];
    let target = Target::new("access-settings", 30_000).seeds(seeds).bytes_max(4 << 10);
    target.run(|input| {
        let settings: AccessSettings =
            serde_json::from_slice(input).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())?;
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<AccessSettings>(&json).unwrap(), settings, "{json}");
        Ok(())
    });
}
