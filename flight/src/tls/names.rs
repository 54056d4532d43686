//! The names in a client's certificate, by which it is known.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The DNS names and URIs among the subject alternative names of a certificate that was verified.
pub(crate) fn certificate_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let names = certificate.valid_dns_names().chain(certificate.valid_uri_names());
    names.map(str::to_owned).collect()
}
