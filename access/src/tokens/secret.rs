//! The secret of a token: how it is made, hashed and read from a file.

use std::fmt;
use std::path::Path;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Error, Result};

/// By which scanners of secrets know a token of Barograph.
const PREFIX: &str = "brg_";
/// Hexadecimal digits of an id, which is no secret.
const ID_DIGITS: usize = 12;
const SECRET_BYTES: usize = 32;

/// The hash of a token: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TokenHash(pub(super) [u8; 32]);

/// A new id and the token that begins with it.
pub(super) fn generate() -> Result<(String, String)> {
    let mut bytes = [0; ID_DIGITS / 2 + SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::new("the system gives no random numbers"))?;
    let (id, secret) = bytes.split_at(ID_DIGITS / 2);
    let id = hex(id);
    let token = format!("{PREFIX}{id}_{}", hex(secret));
    Ok((id, token))
}

/// The id in a token, if it is one.
pub(super) fn id(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_once('_')?;
    (id.len() == ID_DIGITS && secret.len() == 2 * SECRET_BYTES).then_some(id)
}

/// The hash of a token.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

/// The token in a file, for those who show it.
///
/// # Errors
/// If the file cannot be read or is empty.
pub fn read_secret(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::file("token", path, e))?;
    match text.trim() {
        "" => Err(Error::file("token", path, "the file is empty")),
        token => Ok(token.to_owned()),
    }
}

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(hash(token))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("sha256:{}", hex(&self.0)))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = text.strip_prefix("sha256:").and_then(unhex);
        hash.map(Self).ok_or_else(|| de::Error::custom("a hash is sha256: and 64 digits"))
    }
}
