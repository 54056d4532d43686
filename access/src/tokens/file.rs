//! The file of tokens: JSON, written whole in place of the one before, under a lock, readable by its user alone.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use barograph_lake::Timestamp;
use serde::{Deserialize, Serialize};

use super::secret::{self, TokenHash};
use crate::keys::KeyRange;
use crate::{Error, Result};

const VERSION: u32 = 1;
/// Longest name of a token's owner.
const NAME_MAX: usize = 128;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    tokens: Vec<TokenEntry>,
}

/// A token as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// By which it is revoked; no secret.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// The hash of the token.
    pub(super) hash: TokenHash,
    /// The roles of its owner.
    pub roles: Vec<String>,
    /// When it was made.
    #[serde(with = "as_text")]
    pub created_at: Timestamp,
    /// From when on it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text_or_absent")]
    pub expires_at: Option<Timestamp>,
    /// The only keys it gives, of those that the roles give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<KeyRange>>,
    /// The only rows it gives for reading, of those that the roles give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// A token that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// The roles of its owner.
    pub roles: Vec<String>,
    /// From when on it does not count any more.
    pub expires_at: Option<Timestamp>,
    /// The only keys it gives.
    pub keys: Option<Vec<KeyRange>>,
    /// The only rows it gives for reading.
    pub filter: Option<String>,
}

/// The tokens in `bytes`, those of the file `path`.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<TokenEntry>> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |why: String| Error::new(format!("access.tokens {}: {why}", path.display()));
    let content: Content = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    if content.version != VERSION {
        return Err(wrong(format!("version {}: this program reads {VERSION}", content.version)));
    }
    for (at, token) in content.tokens.iter().enumerate() {
        if content.tokens.iter().take(at).any(|of| of.id == token.id) {
            return Err(wrong(format!("the token {} is there twice", token.id)));
        }
    }
    Ok(content.tokens)
}

/// Makes a token; returns it, which is known nowhere else, and its entry.
///
/// # Errors
/// If the name cannot be one, or the file cannot be read or written.
pub fn create(path: &Path, new: NewToken, now: Timestamp) -> Result<(String, TokenEntry)> {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
    if new.name.is_empty() || new.name.len() > NAME_MAX || !new.name.chars().all(fits) {
        return Err(Error::new(format!(
            "token name {:?}: use 1 to {NAME_MAX} letters, digits and - _ . @ +",
            new.name
        )));
    }
    if new.roles.is_empty() {
        return Err(Error::new("a token without a role may do nothing: name one"));
    }
    let (id, token) = secret::generate()?;
    let entry = TokenEntry {
        id,
        name: new.name,
        hash: TokenHash::of(&token),
        roles: new.roles,
        created_at: now,
        expires_at: new.expires_at,
        keys: new.keys,
        filter: new.filter,
    };
    change(path, |tokens| {
        tokens.push(entry.clone());
        Ok(())
    })?;
    Ok((token, entry))
}

/// The tokens of a file.
///
/// # Errors
/// If the file cannot be read.
pub fn list(path: &Path) -> Result<Vec<TokenEntry>> {
    let bytes =
        super::present(fs::read(path)).map_err(|e| Error::file("access.tokens", path, e))?;
    parse(path, &bytes)
}

/// Revokes the token with an id, or all of a name; returns them.
///
/// # Errors
/// If there is none, or the file cannot be read or written.
pub fn revoke(path: &Path, of: &str) -> Result<Vec<TokenEntry>> {
    let mut revoked = Vec::new();
    change(path, |tokens| {
        revoked = tokens.extract_if(.., |token| token.id == of || token.name == of).collect();
        match revoked.is_empty() {
            true => Err(Error::new(format!("there is no token with the id or name {of:?}"))),
            false => Ok(()),
        }
    })?;
    Ok(revoked)
}

/// Changes the file, one at a time.
fn change(path: &Path, with: impl FnOnce(&mut Vec<TokenEntry>) -> Result<()>) -> Result<()> {
    let failed = |e: std::io::Error| Error::file("access.tokens", path, e);
    let beside = |suffix: &str| {
        let mut name = path.to_owned().into_os_string();
        name.push(suffix);
        PathBuf::from(name)
    };
    let lock = private(&beside(".lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut tokens = list(path)?;
    with(&mut tokens)?;
    let content = Content { version: VERSION, tokens };
    let mut bytes =
        serde_json::to_vec_pretty(&content).map_err(|e| Error::file("access.tokens", path, e))?;
    bytes.push(b'\n');
    let next = beside(".new");
    // One that was left by a change that did not end.
    let _ = fs::remove_file(&next);
    let mut file = private(&next).map_err(failed)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&next, path).map_err(failed)
}

/// A file that only this user can read.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Instants as text.
pub(crate) mod as_text {
    use barograph_lake::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

mod as_text_or_absent {
    use barograph_lake::Timestamp;
    use serde::{Deserializer, Serializer};

    use super::as_text;

    pub(super) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.collect_str(at),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        as_text::deserialize(from).map(Some)
    }
}
