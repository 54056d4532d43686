//! The files that TLS needs, and what rustls makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Protocols above TLS, the preferred one first: gRPC, and HTTP/1.1 for scrapes and probes.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2, with the cipher suites that rustls has: forward secret, authenticated.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];

/// The files of a server.
#[derive(Debug, Clone)]
pub(crate) struct ServerFiles {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    versions: &'static [&'static SupportedProtocolVersion],
}

/// Their content at one moment.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Content {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").finish_non_exhaustive()
    }
}

impl ServerFiles {
    /// The files of these names; none if there is no certificate.
    ///
    /// # Errors
    /// `Request` if a file is missing that another needs.
    pub(crate) fn named(
        certificate: Option<&Path>,
        key: Option<&Path>,
        client_ca: Option<&Path>,
        version_min: TlsVersion,
    ) -> Result<Option<Self>> {
        let versions: &'static [&'static SupportedProtocolVersion] = match version_min {
            TlsVersion::V12 => &FROM_12,
            TlsVersion::V13 => &FROM_13,
        };
        match (certificate, key, client_ca) {
            (Some(certificate), Some(key), client_ca) => Ok(Some(Self {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                client_ca: client_ca.map(Path::to_owned),
                versions,
            })),
            (None, None, None) => Ok(None),
            (None, ..) => Err(Error::request("flight.tls_certificate is not set: name its file")),
            (_, None, _) => Err(Error::request("flight.tls_key is not set: name its file")),
        }
    }

    /// Reads all of them.
    pub(super) async fn read(&self) -> Result<Content> {
        Ok(Content {
            certificate: read(&self.certificate).await?,
            key: read(&self.key).await?,
            client_ca: match &self.client_ca {
                None => None,
                Some(path) => Some(read(path).await?),
            },
        })
    }

    /// The configuration that the files make.
    ///
    /// # Errors
    /// `Request`, with the name of the file that cannot be used.
    pub(super) fn config(&self, content: &Content) -> Result<Arc<ServerConfig>> {
        let chain = certificates(&self.certificate, &content.certificate)?;
        let key = private_key(&self.key, &content.key)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .map_err(|e| Error::request("flight.tls_version_min").with_source(e))?;
        let builder = match (&self.client_ca, &content.client_ca) {
            (Some(path), Some(bytes)) => {
                let roots = Arc::new(roots(path, bytes)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = verifier.build().map_err(|e| unusable(path, e))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|e| {
            let files = format!("{} with {}", self.certificate.display(), self.key.display());
            Error::request(format!("TLS: {files} cannot be used: {e}"))
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }
}

/// The cryptography that TLS uses, whatever else the program has.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) async fn read(path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|e| unusable(path, e))
}

/// The certificates of authorities in a file.
pub(super) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots.add(certificate).map_err(|e| unusable(path, e))?;
    }
    Ok(roots)
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| unusable(path, e))?;
    match certificates.is_empty() {
        false => Ok(certificates),
        true => Err(unusable(path, "it holds no certificate in PEM")),
    }
}

fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>> {
    // What the library says of a key could quote it.
    PrivateKeyDer::from_pem_slice(bytes)
        .map_err(|_| unusable(path, "it holds no private key in PEM"))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::request(format!("TLS: {} cannot be used: {why}", path.display()))
}
