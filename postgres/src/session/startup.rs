//! The startup: a connection is encrypted if it can be, its client says who it is, and is told what it has to know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use barograph_access::Proof;
use barograph_flight::door::{Connected, Transport};
use pgwire::messages::PgWireBackendMessage as Out;
use pgwire::messages::PgWireFrontendMessage as In;
use pgwire::messages::response::{GssEncResponse, SslResponse, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use tokio::net::TcpStream;

use super::variables::{REPORTED, Variables};
use super::{Session, Shared};
use crate::failure::{Failure, PROTOCOL, Result};
use crate::wire::{Connection, First};

/// How long a client may take to say who it is.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a message before it is known who sends it; tokens of issuers are long.
const PASSWORD_BYTES_MAX: usize = 64 << 10;
/// Name of the protocol above TLS, which newer clients offer.
const PROTOCOL_NAME: &[u8] = b"postgresql";
/// The newest version that is spoken: 3.2.
const MAJOR: i32 = 3;
const MINOR: u16 = 2;
/// Whoever signs in by this name is known by the token alone.
const BY_TOKEN: &str = "token";
const ANONYMOUS: &str = "anonymous";
const DATABASE: &str = barograph_query::CATALOG;
const NOT_AUTHORIZED: &str = "28000";

/// The session of whoever connects; `None` if it wanted nothing else than an end of something, or has gone.
pub(crate) async fn sign_in(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<Session> {
    let begun = async {
        let (mut connection, startup) = begin(shared, stream, peer).await?;
        match Session::open(shared, &mut connection, startup).await {
            Ok(opened) => opened.map(|opened| opened.with(connection)),
            Err(failure) => {
                tracing::debug!(%peer, ?failure, "a client of PostgreSQL was not let in");
                let _ = connection.put(Out::ErrorResponse(failure.response()));
                connection.close().await;
                None
            }
        }
    };
    tokio::select! {
        session = begun => session,
        () = shared.beside.clock().sleep(TIMEOUT) => None,
        () = shared.beside.door().drained() => None,
    }
}

/// Encrypts the connection if its client asks for it, ends a statement of another, or gives what it starts with.
async fn begin(
    shared: &Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Option<(Connection, Startup)> {
    let mut connection = Connection::new(Transport::Plain(stream));
    loop {
        match connection.first().await {
            Ok(None) => return None,
            Ok(Some(First::Startup(startup))) => return Some((connection, startup)),
            Ok(Some(First::Cancel(cancel))) => {
                shared.cancels.cancel(cancel.pid, &cancel.secret_key.to_bytes());
                return None;
            }
            Ok(Some(First::Gss)) => {
                connection.put(Out::GssEncResponse(GssEncResponse::Refuse)).ok()?;
                connection.flush().await.ok()?;
            }
            Ok(Some(First::Tls)) => {
                // What came behind it came before it was encrypted, and somebody else may have put it there.
                let can = shared.beside.encrypts()
                    && connection.is_read()
                    && !connection.transport().is_encrypted();
                let answer = if can { SslResponse::Accept } else { SslResponse::Refuse };
                connection.put(Out::SslResponse(answer)).ok()?;
                connection.flush().await.ok()?;
                if can {
                    let Transport::Plain(stream) = connection.into_transport() else { return None };
                    let encrypted = shared.beside.encrypt(stream, PROTOCOL_NAME).await;
                    let encrypted = encrypted.inspect_err(|error| {
                        tracing::debug!(%peer, %error, "TLS: a handshake of a client of PostgreSQL failed");
                    });
                    connection = Connection::new(encrypted.ok()?);
                }
            }
            Err(failure) => {
                connection.put(Out::ErrorResponse(failure.response())).ok()?;
                connection.close().await;
                return None;
            }
        }
    }
}

/// A session without its connection.
pub(super) struct Opened {
    shared: Arc<Shared>,
    connected: Connected,
    listed: crate::cancel::Listed,
    user: String,
    variables: Variables,
}

impl Opened {
    fn with(self, connection: Connection) -> Session {
        let Self { shared, connected, listed, user, variables } = self;
        Session {
            shared,
            connection,
            connected,
            listed,
            user,
            variables,
            status: TransactionStatus::Idle,
            statements: Default::default(),
            portals: Default::default(),
            skips: false,
        }
    }
}

impl Session {
    async fn open(
        shared: &Arc<Shared>,
        connection: &mut Connection,
        startup: Startup,
    ) -> Result<Option<Opened>> {
        if shared.beside.encrypts() && !connection.transport().is_encrypted() {
            return Err(Failure::fatal(
                NOT_AUTHORIZED,
                "this port speaks TLS: connect with sslmode=require, or better verify-full",
            ));
        }
        let is_long = negotiate(connection, &startup)?;
        let given = |name: &str| startup.parameters.get(name).filter(|value| !value.is_empty());
        let user = given("user").ok_or_else(|| {
            Failure::fatal(
                NOT_AUTHORIZED,
                "the startup names no user: name that of a token, or the user \"token\"",
            )
        })?;
        let database = given("database").unwrap_or(user);
        if database != DATABASE && database != user {
            let text = format!("there is no database {database:?}: connect to {DATABASE}");
            return Err(Failure::fatal("3D000", text));
        }
        if given("replication")
            .is_some_and(|value| !["false", "off", "no", "0"].contains(&value.as_str()))
        {
            return Err(Failure::fatal(
                "0A000",
                "this server replicates nothing: leave out replication",
            ));
        }
        let mut connected = connection.transport().connected();
        if !identify(shared, connection, &mut connected, user).await? {
            return Ok(None);
        }
        // This is where it is recorded who came.
        let asked = shared.beside.door().ask_of_postgres("sign-in", connected.parts());
        let asked = asked.map_err(|error| Failure::from(error).ending())?;
        let user = asked.name().unwrap_or(user).to_owned();
        asked.done();
        let mut variables = Variables::new(&user)?;
        for (name, value) in options(&startup)? {
            variables.set(&name, Some(&value)).map_err(Failure::ending)?;
        }
        variables.begin();
        apply(&variables, &mut connected)?;
        connection.put(Out::Authentication(Authentication::Ok))?;
        for name in REPORTED {
            let value = variables.get(&name.to_lowercase()).unwrap_or_default();
            let status = ParameterStatus::new(name.to_owned(), value.to_owned());
            connection.put(Out::ParameterStatus(status))?;
        }
        let listed = shared.cancels.list(is_long).map_err(|error| Failure::from(error).ending())?;
        let (number, secret) =
            (listed.cancel.number, SecretKey::Bytes(listed.cancel.secret.clone()));
        connection.put(Out::BackendKeyData(BackendKeyData::new(number, secret)))?;
        Ok(Some(Opened { shared: Arc::clone(shared), connected, listed, user, variables }))
    }
}

/// Says which version is spoken, where the client asks for a newer one; whether it knows long secrets.
fn negotiate(connection: &mut Connection, startup: &Startup) -> Result<bool> {
    let minor = startup.protocol_number_minor;
    let of_protocol = |name: &&String| name.starts_with("_pq_.");
    let unknown: Vec<_> = startup.parameters.keys().filter(of_protocol).cloned().collect();
    if minor > MINOR || !unknown.is_empty() {
        let newest = (MAJOR << 16) | i32::from(MINOR.min(minor));
        let message = NegotiateProtocolVersion::new(newest, unknown);
        connection.put(Out::NegotiateProtocolVersion(message))?;
    }
    Ok(minor >= MINOR)
}

/// Asks for a password where it is not known otherwise who is there; whether the client is still there.
async fn identify(
    shared: &Shared,
    connection: &mut Connection,
    connected: &mut Connected,
    user: &str,
) -> Result<bool> {
    let is_known = match shared.beside.door().proof(connected.parts()) {
        Some(Proof::Open | Proof::Certificate) => true,
        Some(Proof::Anonymous) => user == ANONYMOUS,
        _ => false,
    };
    if is_known {
        return Ok(true);
    }
    connection.put(Out::Authentication(Authentication::CleartextPassword))?;
    if connection.flush().await.is_err() {
        return Ok(false);
    }
    let secret = match connection.next(PASSWORD_BYTES_MAX).await? {
        None | Some(In::Terminate(_)) => return Ok(false),
        Some(In::PasswordMessageFamily(message)) => message.into_password(),
        Some(_) => return Err(Failure::fatal(PROTOCOL, "a message came where a password was due")),
    };
    let secret = secret.map_err(|_| Failure::fatal(PROTOCOL, "that is no password"))?.password;
    let name = if user == BY_TOKEN { "" } else { user };
    connected.shows(name, &secret).map_err(|error| Failure::from(error).ending())?;
    Ok(true)
}

/// Variables that the startup sets, itself or by `options` such as `-c statement_timeout=5s`.
fn options(startup: &Startup) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => all.extend(flags(value)?),
            name if name.starts_with("_pq_.") => {}
            name => all.push((name.to_lowercase(), value.clone())),
        }
    }
    Ok(all)
}

/// Flags of a command line; a backslash goes before a space that is meant.
fn flags(text: &str) -> Result<Vec<(String, String)>> {
    let (mut words, mut word, mut is_escaped) = (Vec::new(), String::new(), false);
    for char in text.chars() {
        match char {
            '\\' if !is_escaped => is_escaped = true,
            char if char.is_whitespace() && !is_escaped => words.push(std::mem::take(&mut word)),
            char => {
                word.push(char);
                is_escaped = false;
            }
        }
    }
    words.push(word);
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut all = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next(),
            Some(setting) => Some(setting.to_owned()),
            None => None,
        };
        let pair = setting.as_deref().and_then(|setting| setting.split_once('='));
        let Some((name, value)) = pair else {
            return Err(Failure::fatal("22023", format!("options {text:?}: write -c name=value")));
        };
        all.push((name.replace('-', "_").to_lowercase(), value.to_owned()));
    }
    Ok(all)
}

/// What of the variables the statements of a session are asked with.
pub(super) fn apply(variables: &Variables, connected: &mut Connected) -> Result<()> {
    connected.in_zone(variables.get("timezone").unwrap_or("UTC"))?;
    Ok(connected.within_ms(variables.timeout_ms())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_of_a_command_line() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let read =
            flags(r"-c statement_timeout=5s  --application-name=a\ b -cTimeZone=UTC").unwrap();
        let expected = [
            pair("statement_timeout", "5s"),
            pair("application_name", "a b"),
            pair("timezone", "UTC"),
        ];
        assert_eq!(read, expected);
        assert_eq!(flags(" ").unwrap(), []);
        for wrong in ["-c", "-c a", "x", "-d 5"] {
            assert!(flags(wrong).unwrap_err().is_fatal(), "{wrong}");
        }
    }
}
