//! TLS of the client: which authorities it trusts, and its own certificate, if the server asks for one.

use std::error::Error as _;
use std::path::PathBuf;

use barograph_engine::ErrorKind;
use rustls::RootCertStore;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::files;
use crate::{Error, Result};

/// The files of a client. Without any, it trusts the authorities that the system does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientTls {
    /// Certificates of the authorities that it trusts, in PEM, in place of the system's.
    pub ca: Option<PathBuf>,
    /// Its own certificate, with those between it and the authority, in PEM.
    pub certificate: Option<PathBuf>,
    /// The private key of its certificate, in PEM.
    pub key: Option<PathBuf>,
}

impl ClientTls {
    /// Trusts the authorities of a file.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Shows a certificate.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.certificate, self.key) = (Some(certificate.into()), Some(key.into()));
        self
    }

    /// The configuration that the files make.
    pub(crate) async fn config(&self) -> Result<ClientTlsConfig> {
        let config = ClientTlsConfig::new();
        let config = match &self.ca {
            Some(path) => {
                let bytes = files::read(path).await?;
                // Checked here, so that an error names the file.
                files::roots(path, &bytes)?;
                config.ca_certificate(Certificate::from_pem(bytes))
            }
            None => config.trust_anchors(system_roots()?.roots),
        };
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (files::read(certificate).await?, files::read(key).await?);
                Ok(config.identity(Identity::from_pem(certificate, key)))
            }
            (None, None) => Ok(config),
            (Some(_), None) => Err(Error::request("a client's certificate needs its key: name it")),
            (None, Some(_)) => Err(Error::request("a client's key needs its certificate: name it")),
        }
    }
}

/// The authorities that the system trusts.
fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    match added {
        0 => Err(Error::request(
            "the system has no certificates of authorities to trust: name a file with that of the server",
        )),
        _ => Ok(roots),
    }
}

/// Where a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The address as the transport takes it.
    pub(crate) uri: String,
    pub(crate) is_tls: bool,
}

/// The address in a URL: `http://` and `https://`, or `grpc://`, `grpc+tcp://`, `grpcs://` and `grpc+tls://` as Flight clients
/// write them; without a scheme, `http://`.
pub(crate) fn target(url: &str) -> Target {
    const SCHEMES: [(&str, bool); 6] = [
        ("grpc://", false),
        ("grpc+tcp://", false),
        ("http://", false),
        ("grpcs://", true),
        ("grpc+tls://", true),
        ("https://", true),
    ];
    let known = SCHEMES
        .into_iter()
        .find_map(|(scheme, is_tls)| url.strip_prefix(scheme).map(|rest| (rest, is_tls)));
    match known {
        Some((rest, true)) => Target { uri: format!("https://{rest}"), is_tls: true },
        Some((rest, false)) => Target { uri: format!("http://{rest}"), is_tls: false },
        None if url.contains("://") => Target { uri: url.to_owned(), is_tls: false },
        None => Target { uri: format!("http://{url}"), is_tls: false },
    }
}

/// Why no connection was made to `urls`.
pub(crate) fn not_connected(urls: &str, error: tonic::transport::Error) -> Error {
    if let Some(tls) = tls_error(&error) {
        let text = format!(
            "{urls}: no connection by TLS: {tls}; name the authority of the server's certificate, and its host as in the certificate"
        );
        return Error::request(text);
    }
    let text = format!("no server answers at {urls}: is it running?");
    Error::new(ErrorKind::Unavailable, text).with_source(error)
}

/// What TLS says, if it is the cause of an error.
fn tls_error(error: &tonic::transport::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.to_string());
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return Some(tls.to_string());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_flight_clients_write_them() {
        for (url, uri, is_tls) in [
            ("h:1", "http://h:1", false),
            ("grpc://h:1", "http://h:1", false),
            ("grpc+tcp://h:1", "http://h:1", false),
            ("http://h:1", "http://h:1", false),
            ("https://h:1", "https://h:1", true),
            ("grpcs://h:1", "https://h:1", true),
            ("grpc+tls://h:1", "https://h:1", true),
            ("ftp://h:1", "ftp://h:1", false),
        ] {
            assert_eq!(target(url), Target { uri: uri.to_owned(), is_tls }, "{url}");
        }
    }
}
