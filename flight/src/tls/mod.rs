//! TLS: certificates from files, the same for the server, which reads them again when they change, and for clients.
//!
//! ```text
//! connection ─► first byte ─┬─ of a TLS handshake ─► handshake, beside others ─► Socket
//!                           └─ else ─► told that the port speaks TLS
//! files ─► read every few seconds ─► changed ─► configuration of the next connections; those that run go on
//! ```

mod accept;
mod client;
mod files;
mod names;
mod plain;
mod reload;

pub(crate) use accept::{Accepted, accept, upgrade};
pub use client::ClientTls;
pub(crate) use client::{not_connected, target};
pub(crate) use files::ServerFiles;
pub use files::TlsVersion;
pub(crate) use names::certificate_names;
pub(crate) use plain::refusing;
pub(crate) use reload::ServerTls;
