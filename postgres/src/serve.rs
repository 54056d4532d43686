//! The port: connections are accepted while the server takes calls, and come to an end with it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use barograph_access::AccessSettings;
use barograph_flight::door::{Beside, Place};
use barograph_flight::{FlightSettings, Listener, Result};
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::session::{Shared, sign_in};
use crate::settings::PostgresSettings;

/// The name of the setting with the address.
const LISTEN: &str = "postgres.listen";
/// How long it is waited after a connection could not be accepted, as when no files may be opened any more.
const PAUSE: Duration = Duration::from_millis(100);

/// The port of the PostgreSQL door, taken before the server answers.
#[derive(Debug)]
pub struct PostgresListener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The PostgreSQL door.
pub struct Postgres {
    shared: Arc<Shared>,
    listener: TcpListener,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl PostgresListener {
    /// Takes the address of the settings; `None` if they name none.
    ///
    /// # Errors
    /// `Request` for an address that others reach unless connections are encrypted and clients are asked who they are, or the
    /// settings say that this is meant; `Unavailable` if it is taken.
    pub async fn bind(
        settings: &PostgresSettings,
        flight: &FlightSettings,
        access: &AccessSettings,
    ) -> Result<Option<Self>> {
        settings.check()?;
        if settings.listen.is_empty() {
            return Ok(None);
        }
        let listener = Listener::bind_beside(flight, access, LISTEN, &settings.listen).await?;
        let address = listener.local_addr()?;
        Ok(Some(Self { listener, address }))
    }

    /// The address, with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Postgres {
    /// The door at a port, over what a server answers with.
    pub fn new(listener: PostgresListener, beside: Beside, settings: PostgresSettings) -> Self {
        let shared = Shared { beside, settings, cancels: Arc::default() };
        Self { shared: Arc::new(shared), listener: listener.listener }
    }

    /// Answers until the server takes no new calls and what was begun is done.
    pub fn serve(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut sessions = JoinSet::new();
            let places = Arc::new(Semaphore::new(self.shared.settings.connections_max));
            let drained = self.shared.beside.door().clone();
            let mut drained = Box::pin(async move { drained.drained().await });
            loop {
                let accepted = tokio::select! {
                    biased;
                    () = &mut drained => break,
                    Some(_) = sessions.join_next() => continue,
                    accepted = self.listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, peer)) => {
                        let place = self.shared.beside.place(peer);
                        let permit = Arc::clone(&places).try_acquire_owned();
                        if let (Some(place), Ok(permit)) = (place, permit) {
                            let shared = Arc::clone(&self.shared);
                            sessions.spawn(session(shared, stream, peer, (place, permit)));
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "postgres: a connection could not be accepted");
                        self.shared.beside.clock().sleep(PAUSE).await;
                    }
                }
            }
            drop(self.listener);
            while sessions.join_next().await.is_some() {}
        })
    }
}

/// Answers a connection to its end, while it has its places.
async fn session(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    _places: (Place, OwnedSemaphorePermit),
) {
    let _ = stream.set_nodelay(true);
    if let Some(session) = sign_in(&shared, stream, peer).await {
        session.run().await;
    }
}
