//! The listener of a server: its port is taken before the engine is opened, so that others can be told where this
//! process is, and connections are refused until calls can be answered.

use std::net::SocketAddr;
use std::sync::Arc;

use barograph_access::AccessSettings;
use barograph_engine::ErrorKind;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::settings::check_address;
use crate::tls::ServerTls;
use crate::{Error, FlightSettings, Result};

/// The setting of the port itself.
const LISTEN: &str = "flight.listen";
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A port that is taken, at which nobody listens yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpSocket,
    local_addr: SocketAddr,
    advertised: Option<String>,
    tls: Option<Arc<ServerTls>>,
}

impl Listener {
    /// Takes the address that the settings name.
    ///
    /// # Errors
    /// `Request` for settings that no server can run with, among them files of TLS that cannot be used, and an address that
    /// others reach without encryption; `Unavailable` if the address is taken.
    pub async fn bind(settings: &FlightSettings) -> Result<Self> {
        settings.check()?;
        let listen = settings.listen.as_str();
        let socket = taken(listen).await.map_err(|e| unavailable(LISTEN, listen, e))?;
        let local_addr = socket.local_addr()?;
        let tls = match settings.tls_files()? {
            Some(files) => Some(ServerTls::open(files).await?),
            None => None,
        };
        check_exposure((LISTEN, listen), settings, local_addr, tls.is_some())?;
        let reachable = !local_addr.ip().is_unspecified();
        let advertised = match &settings.advertise {
            Some(address) => Some(address.clone()),
            None => reachable.then(|| local_addr.to_string()),
        };
        Ok(Self { socket, local_addr, advertised, tls })
    }

    /// The same for a server that asks `access` who may ask for what.
    ///
    /// # Errors
    /// As of [`Self::bind`]; also `Request` for an address that others reach if nobody there is asked who they are, and
    /// that is not said to be meant.
    pub async fn bind_with(settings: &FlightSettings, access: &AccessSettings) -> Result<Self> {
        access.check().map_err(|error| Error::request(error.to_string()))?;
        if !access.certificates.is_empty() && settings.tls_client_ca.is_none() {
            return Err(Error::request(
                "access.certificates is set and flight.tls_client_ca is not: name the file with the authorities of those certificates",
            ));
        }
        let listener = Self::bind(settings).await?;
        let named = (LISTEN, settings.listen.as_str());
        check_access(named, settings, access, listener.local_addr)?;
        Ok(listener)
    }

    /// The port of a protocol of its own, at the address `listen` that the setting `name` says, under the same rules.
    ///
    /// # Errors
    /// As of [`Self::bind_with`].
    pub async fn bind_beside(
        settings: &FlightSettings,
        access: &AccessSettings,
        name: &'static str,
        listen: &str,
    ) -> Result<TcpListener> {
        check_address(name, listen)?;
        let socket = taken(listen).await.map_err(|e| unavailable(name, listen, e))?;
        let address = socket.local_addr()?;
        check_exposure((name, listen), settings, address, settings.tls_files()?.is_some())?;
        check_access((name, listen), settings, access, address)?;
        socket.listen(BACKLOG).map_err(|e| unavailable(name, listen, e))
    }

    /// The address it listens on, with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The host and port by which others reach this process; `None` if it listens at every address of the machine and
    /// `flight.advertise` does not say which.
    pub fn advertised(&self) -> Option<&str> {
        self.advertised.as_deref()
    }

    /// What encrypts its connections, if anything does.
    pub(super) fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.clone()
    }

    /// Accepts connections from now on.
    pub(super) fn listen(self) -> Result<TcpListener> {
        let address = self.local_addr;
        self.socket.listen(BACKLOG).map_err(|e| unavailable(LISTEN, &address.to_string(), e))
    }
}

/// The first address of a name that is free.
async fn taken(listen: &str) -> std::io::Result<TcpSocket> {
    let mut refused = None;
    for address in lookup_host(listen).await? {
        match take(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| std::io::Error::other("the name has no address")))
}

fn take(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As that of a server that was just stopped.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn unavailable(name: &str, address: &str, error: std::io::Error) -> Error {
    let message = format!("{name} {address:?}: choose another address or port");
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

/// Refuses an address that others reach without encryption, unless that is meant, and says so.
fn check_exposure(
    (name, listen): (&str, &str),
    settings: &FlightSettings,
    address: SocketAddr,
    is_encrypted: bool,
) -> Result<()> {
    if is_encrypted || address.ip().is_loopback() {
        return Ok(());
    }
    if !settings.allow_unencrypted {
        return Err(Error::request(format!(
            "{name} {listen:?}: others reach that address, and connections would not be encrypted: set flight.tls_certificate and flight.tls_key, or flight.allow_unencrypted = true in a network that you trust"
        )));
    }
    tracing::warn!(
        %address,
        "connections are not encrypted: whoever is on their way can read and change what is sent, tokens included (flight.allow_unencrypted)"
    );
    Ok(())
}

/// Refuses an address that others reach if nobody is asked who they are, unless that is meant, and says so.
fn check_access(
    (name, listen): (&str, &str),
    settings: &FlightSettings,
    access: &AccessSettings,
    address: SocketAddr,
) -> Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    if let Some(role) = &access.anonymous {
        tracing::warn!(%address, role, "whoever reaches this address has a role without saying who they are (access.anonymous)");
        return Ok(());
    }
    if access.is_configured() {
        return Ok(());
    }
    if settings.tls_client_ca.is_some() {
        tracing::warn!(%address, "whoever has a certificate of flight.tls_client_ca can read and write everything: set access.certificates to give roles");
        return Ok(());
    }
    Err(Error::request(format!(
        "{name} {listen:?}: others reach that address, and nobody is asked who they are: set access.tokens and make tokens with `barograph token create`, or access.anonymous = \"admin\" in a network whose users may all do everything"
    )))
}
