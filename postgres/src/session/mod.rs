//! The session of a connection: from sign-in to its last statement.
//!
//! ```text
//! startup ─► messages: simple:   Query ─► command, or statement ─► rows
//!                      extended: Parse ─► Bind ─► Describe, Execute … ─► Sync
//! ```

mod answer;
mod command;
mod extended;
mod portal;
mod simple;
mod startup;
mod variables;

use std::collections::HashMap;
use std::sync::Arc;

use barograph_flight::door::{Asked, Beside, Connected};
use pgwire::messages::PgWireBackendMessage as Out;
use pgwire::messages::PgWireFrontendMessage as In;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};

use crate::cancel::{Cancels, Listed};
use crate::catalog::{Facts, rewritten};
use crate::failure::{Failure, PROTOCOL, Result, UNSUPPORTED};
use crate::settings::PostgresSettings;
use crate::wire::Connection;
use portal::{Portal, Prepared};
pub(crate) use startup::sign_in;
use variables::Variables;

/// Longest text of a statement that is read, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) beside: Beside,
    pub(crate) settings: PostgresSettings,
    pub(crate) cancels: Arc<Cancels>,
}

/// The session of a connection.
pub(crate) struct Session {
    shared: Arc<Shared>,
    connection: Connection,
    connected: Connected,
    listed: Listed,
    user: String,
    variables: Variables,
    status: TransactionStatus,
    statements: HashMap<String, Arc<Prepared>>,
    portals: HashMap<String, Portal>,
    /// Whether messages are passed over until the client says that it has seen a failure.
    skips: bool,
}

impl Session {
    /// Says that statements may come, and answers messages until the client goes, or the server ends.
    pub(crate) async fn run(mut self) {
        if self.ready().await.is_err() {
            return;
        }
        let mut drained = Box::pin({
            let shared = Arc::clone(&self.shared);
            async move { shared.beside.door().drained().await }
        });
        loop {
            let bytes_max = self.shared.settings.message_bytes_max.get();
            let next = tokio::select! {
                biased;
                () = &mut drained => Err(Failure::shutting_down()),
                next = self.connection.next(bytes_max) => next,
            };
            let done = match next {
                Ok(None | Some(In::Terminate(_))) => return,
                Ok(Some(message)) => self.answer(message).await,
                Err(failure) => Err(failure),
            };
            match done {
                Ok(()) => {}
                Err(failure) => {
                    let is_fatal = failure.is_fatal();
                    let _ = self.connection.put(Out::ErrorResponse(failure.response()));
                    if is_fatal {
                        return self.connection.close().await;
                    }
                }
            }
        }
    }

    /// Answers a message. What fails here ends the connection, or is told as it is.
    async fn answer(&mut self, message: In) -> Result<()> {
        match message {
            In::Query(query) => {
                self.skips = false;
                self.listed.cancel.begin();
                let done = self.simple(&query.query).await;
                self.told(done)?;
                self.ready().await
            }
            In::Sync(_) => {
                self.skips = false;
                self.ready().await
            }
            In::Flush(_) => self.flush().await,
            _ if self.skips => Ok(()),
            message @ (In::Parse(_)
            | In::Bind(_)
            | In::Describe(_)
            | In::Execute(_)
            | In::Close(_)) => {
                let done = self.extended(message).await;
                self.skips = done.is_err();
                self.told(done)
            }
            // What a client sends after a COPY that was refused.
            In::CopyData(_) | In::CopyDone(_) | In::CopyFail(_) => Ok(()),
            _ => Err(Failure::fatal(PROTOCOL, "a message came that has no place in a session")),
        }
    }

    /// Tells a failure of a statement; the transaction, if there is one, has failed with it.
    fn told(&mut self, done: Result<()>) -> Result<()> {
        let Err(failure) = done else { return Ok(()) };
        if failure.is_fatal() {
            return Err(failure);
        }
        self.status = match self.status {
            TransactionStatus::Idle => TransactionStatus::Idle,
            _ => TransactionStatus::Error,
        };
        self.connection.put(Out::ErrorResponse(failure.response()))
    }

    /// Says that the next statement may come.
    async fn ready(&mut self) -> Result<()> {
        if self.status == TransactionStatus::Idle {
            self.portals.retain(|_, portal| portal.is_held);
        }
        self.connection.put(Out::ReadyForQuery(ReadyForQuery::new(self.status)))?;
        self.flush().await
    }

    /// Sends what is kept.
    async fn flush(&mut self) -> Result<()> {
        self.connection.flush().await.map_err(unread)
    }

    /// Sends what is kept, unless the statement is cancelled meanwhile.
    async fn send(&mut self) -> Result<()> {
        let cancel = Arc::clone(&self.listed.cancel);
        tokio::select! {
            biased;
            sent = self.connection.flush() => sent.map_err(unread),
            () = cancel.requested() => Err(Failure::cancelled()),
        }
    }

    /// What comes of `work`, unless the client cancels it or goes away.
    async fn work<T, E: Into<Failure>>(
        connection: &mut Connection,
        listed: &Listed,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done.map_err(Into::into),
            () = listed.cancel.requested() => Err(Failure::cancelled()),
            () = connection.gone() => Err(Failure::fatal("08006", "the client has gone")),
        }
    }

    /// Asks for whoever is signed in; what was revoked meanwhile is known no more.
    fn ask(&self, action: &'static str) -> Result<Asked> {
        let asked = self.shared.beside.door().ask_of_postgres(action, self.connected.parts());
        asked.map_err(|error| {
            let is_unknown = error.kind() == barograph_engine::ErrorKind::Unauthenticated;
            let failure = Failure::from(error);
            if is_unknown { failure.ending() } else { failure }
        })
    }

    /// A statement in words that are planned.
    fn rewritten(&self, text: &str) -> String {
        let facts = Facts {
            user: &self.user,
            number: self.listed.cancel.number,
            variable: &|name| self.variables.get(name).map(str::to_owned),
        };
        rewritten(text, &facts)
    }

    /// Refuses a text that is too long to be looked at.
    fn check_text(text: &str) -> Result<()> {
        match text.len() <= TEXT_BYTES_MAX {
            true => Ok(()),
            false => Err(Failure::new(
                "54000",
                format!(
                    "the statement has {} bytes: at most {TEXT_BYTES_MAX} are read; pass long lists as parameters or join with a table",
                    text.len()
                ),
            )),
        }
    }
}

/// What is said of a client that cannot be written to.
fn unread(error: std::io::Error) -> Failure {
    Failure::fatal("08006", format!("the client does not read: {error}"))
}

/// What is said of what PostgreSQL has and this server has not.
fn unsupported(what: &str) -> Failure {
    Failure::new(UNSUPPORTED, what)
}
