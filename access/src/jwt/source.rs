//! The source of an issuer's keys: a file, or a URL that is asked now and then.
//!
//! | | asked again |
//! |---|---|
//! | it has answered | after `keys_refreshed` |
//! | it has not | after 10 s, or `keys_refreshed` if that is less |
//! | a token has a key that is not known | at once, but only once in `keys_refreshed` |

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barograph_lake::Span;
use parking_lot::Mutex;
use reqwest::{Certificate, Client, ClientBuilder, Url};

use super::settings::JwtSettings;
use crate::{Error, Result};

/// Largest key set that is read.
const BYTES_MAX: usize = 1 << 20;
/// How long the server of keys may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it is left alone after it has failed.
const RETRY_AFTER: Span = Span::seconds(10);

/// Where the keys are.
#[derive(Debug)]
pub(super) enum Source {
    File(PathBuf),
    Remote(Remote),
}

/// A server of keys.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    url: Url,
    every: Span,
    /// Whether a token had a key that is not known.
    wanted: AtomicBool,
    asked: Mutex<Asked>,
}

/// When the server was asked, by elapsed time.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// Last, and whether it has answered.
    last: Option<(Span, bool)>,
    /// Last because of a key that was not known.
    early: Option<Span>,
}

impl Source {
    /// The source that the settings name.
    pub(super) fn of(settings: &JwtSettings) -> Result<Option<Self>> {
        Ok(match (&settings.keys, &settings.keys_url) {
            (Some(path), _) => Some(Self::File(path.clone())),
            (None, Some(url)) => Some(Self::Remote(Remote::new(url, settings)?)),
            (None, None) => None,
        })
    }

    /// How messages name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => format!("access.jwt.keys {}", path.display()),
            Self::Remote(remote) => format!("access.jwt.keys_url {}", remote.url),
        }
    }
}

impl Remote {
    fn new(url: &str, settings: &JwtSettings) -> Result<Self> {
        let url = parse_url(url)?;
        let is_encrypted = url.scheme() == "https";
        let mut client = Client::builder()
            .timeout(FETCH_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tls_built_in_root_certs(settings.keys_ca.is_none() && is_encrypted);
        if let Some(path) = &settings.keys_ca {
            let bytes =
                std::fs::read(path).map_err(|e| Error::file("access.jwt.keys_ca", path, e))?;
            let of_file = Certificate::from_pem_bundle(&bytes)
                .map_err(|e| Error::file("access.jwt.keys_ca", path, e))?;
            if of_file.is_empty() {
                let text = format!("access.jwt.keys_ca {}: no certificate in it", path.display());
                return Err(Error::new(text));
            }
            client = of_file.into_iter().fold(client, ClientBuilder::add_root_certificate);
        }
        let client = client.build();
        let client = client.map_err(|e| Error::new("access.jwt.keys_url").with_source(e))?;
        let every = settings.keys_refreshed;
        Ok(Self { client, url, every, wanted: AtomicBool::new(false), asked: Mutex::default() })
    }

    /// Says that a token has a key that is not known.
    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether it is time to ask.
    pub(super) fn is_due(&self, now: Span) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        is_due(*self.asked.lock(), wanted, now, self.every)
    }

    /// Says that it was asked, and whether it has answered.
    pub(super) fn asked(&self, now: Span, has_answered: bool) {
        let mut asked = self.asked.lock();
        let was_due = is_due(*asked, false, now, self.every);
        if self.wanted.swap(false, Ordering::Relaxed) && !was_due {
            asked.early = Some(now);
        }
        asked.last = Some((now, has_answered));
    }

    /// What the server answers.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, String> {
        let mut answer = self.client.get(self.url.clone()).send().await.map_err(|e| chain(&e))?;
        if !answer.status().is_success() {
            return Err(format!("the server answers {}", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(|e| chain(&e))? {
            if bytes.len() + more.len() > BYTES_MAX {
                return Err(format!("the answer has more than {BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }
}

/// Whether a server that was asked so is asked again.
fn is_due(asked: Asked, wanted: bool, now: Span, every: Span) -> bool {
    let Some((last, has_answered)) = asked.last else { return true };
    let wait = if has_answered { every } else { RETRY_AFTER.min(every) };
    let is_early = wanted && has_answered && asked.early.is_none_or(|early| now - early >= every);
    now - last >= wait || is_early
}

/// The URL of keys, which nobody on the way can change.
pub(super) fn parse_url(text: &str) -> Result<Url> {
    let wrong = || {
        Error::new(format!(
            "access.jwt.keys_url {text:?}: write an https:// URL (http:// only for this machine)"
        ))
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_own = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_own => Ok(url),
        _ => Err(wrong()),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_when_it_is_time_and_once_more_for_keys_that_are_not_known() {
        let (every, second) = (Span::seconds(300), Span::SECOND);
        let asked = |last, has_answered, early| Asked { last: Some((last, has_answered)), early };
        assert!(is_due(Asked::default(), false, Span::ZERO, every), "at the beginning");
        let answered = asked(second, true, None);
        assert!(!is_due(answered, false, Span::seconds(300), every));
        assert!(is_due(answered, false, Span::seconds(301), every));
        assert!(is_due(answered, true, Span::seconds(2), every), "for a key that is not known");
        let again = asked(Span::seconds(2), true, Some(Span::seconds(2)));
        assert!(!is_due(again, true, Span::seconds(301), every), "once only");
        assert!(is_due(again, true, Span::seconds(302), every));
        let failed = asked(second, false, None);
        assert!(!is_due(failed, false, Span::seconds(10), every));
        assert!(is_due(failed, false, Span::seconds(11), every));
        assert!(is_due(failed, false, Span::seconds(3), Span::seconds(2)));
    }

    #[test]
    fn keys_come_encrypted_or_from_this_machine() {
        for good in [
            "https://issuer.example/jwks.json",
            "http://127.0.0.1:8080/jwks",
            "http://[::1]/jwks",
            "http://localhost/jwks",
        ] {
            parse_url(good).unwrap();
        }
        for wrong in ["http://issuer.example/jwks", "http://127.0.0.1.example/", "ftp://a/", "jwks"]
        {
            let error = parse_url(wrong).unwrap_err().to_string();
            assert!(error.contains("access.jwt.keys_url") && error.contains(wrong), "{error}");
        }
    }
}
