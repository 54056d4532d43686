//! The server: one port speaks gRPC (Flight, health, reflection) and HTTP (`/health`, `/ready`, `/version`,
//! `/metrics`, and what crates above add by a [`Door`]).
//!
//! ```text
//! bind ─► serve ─► shutdown asked ─► health says so ─► draining: no new calls, running ones go on
//!                                                         └─ all done, or drain_timeout ─► stopped ─► engine released
//! ```

mod action;
mod alter;
mod beside;
mod connections;
mod descriptor;
mod door;
mod exchange;
mod get;
mod groups;
mod handshake;
mod headers;
mod health;
mod incoming;
mod info;
mod list;
mod listener;
mod metrics;
mod opened;
mod put;
mod ready;
mod reflection;
mod resolved_view;
mod service;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use axum::routing::{get as http_get, post};
use barograph_access::Access;
use barograph_engine::Engine;
use barograph_query::Sql;
use futures::future::{BoxFuture, join_all};
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

use crate::call::{Alter, Phase, Serving, State, open_access};
use crate::metrics::Figures;
use crate::tls::ServerTls;
use crate::{Error, FlightSettings, Result};
pub use beside::{Beside, Connected, Transport};
use connections::Connections;
pub use connections::Place;
pub use door::{Answering, Asked, Door, Held, ShownTable, Stored};
pub use listener::Listener;
pub use opened::{OpenedTicket, Rows};
use service::Service;

/// Path of the Flight service's methods.
const FLIGHT: &str = "/arrow.flight.protocol.FlightService";
/// Name of the Flight service in health checks.
const FLIGHT_NAME: &str = "arrow.flight.protocol.FlightService";
/// Bytes of the headers of a request: those of a session, a token and a trace, many times over.
const HEADER_BYTES_MAX: u32 = 64 << 10;
/// How long stopped calls get to send their last status.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A server that listens but does not answer yet.
pub struct Server {
    serving: Arc<Serving>,
    figures: Vec<Arc<dyn Figures>>,
    routes: Router,
    protocols: Vec<BoxFuture<'static, ()>>,
    tls: Option<Arc<ServerTls>>,
    incoming: TcpIncoming,
    local_addr: SocketAddr,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the address that the settings name. Native calls go to `engine`, those of SQL to `sql`.
    ///
    /// # Errors
    /// `Request` for settings that no server can run with, `Unavailable` if the address is taken.
    pub fn bind(
        engine: Arc<Engine>,
        sql: Arc<Sql>,
        settings: FlightSettings,
    ) -> BoxFuture<'static, Result<Self>> {
        Self::bind_altered_by(None, engine, sql, settings)
    }

    /// [`Self::bind`], with columns altered by `alter` when a client asks for it.
    ///
    /// # Errors
    /// As of [`Self::bind`].
    pub fn bind_altered_by(
        alter: Option<Arc<dyn Alter>>,
        engine: Arc<Engine>,
        sql: Arc<Sql>,
        settings: FlightSettings,
    ) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            let listener = Listener::bind(&settings).await?;
            Self::at(listener, alter, engine, sql, settings)
        })
    }

    /// The same at an address that was taken before.
    ///
    /// # Errors
    /// `Unavailable` if another process listens there.
    pub fn at(
        listener: Listener,
        alter: Option<Arc<dyn Alter>>,
        engine: Arc<Engine>,
        sql: Arc<Sql>,
        settings: FlightSettings,
    ) -> Result<Self> {
        let local_addr = listener.local_addr();
        // Where one process alone answers, clients need not be told where it is.
        let is_shared = engine.log_gauge().is_shared();
        let location = listener.advertised().filter(|_| is_shared).map(str::to_owned);
        let access = open_access(&engine)?;
        let serving = Serving::new(State::new(engine, sql, settings, access, location), alter);
        let tls = listener.tls();
        let incoming = TcpIncoming::from(listener.listen()?).with_nodelay(Some(true));
        let (figures, routes, protocols) = (Vec::new(), Router::new(), Vec::new());
        Ok(Self { serving, figures, routes, protocols, tls, incoming, local_addr })
    }

    /// Asks `access` who may ask for what. Without it everybody may do everything.
    #[must_use]
    pub fn with_access(self, access: Arc<Access>) -> Self {
        self.serving.asks(access);
        self
    }

    /// Reports `figures` at `/metrics`, too.
    #[must_use]
    pub fn with_figures(mut self, figures: Arc<dyn Figures>) -> Self {
        self.figures.push(figures);
        self
    }

    /// What protocols of other crates on the port ask and write by.
    pub fn door(&self) -> Door {
        Door::new(&self.serving)
    }

    /// Answers at these paths, too, which are none of its own.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    /// What a protocol with a port of its own stands on.
    pub fn beside(&self) -> Beside {
        let state = self.serving.current();
        let per_address = state.settings.connections_per_address_max;
        let connections = Connections::new(per_address);
        let clock = Arc::clone(state.engine.clock());
        Beside::new(self.door(), self.tls.clone(), connections, clock)
    }

    /// Serves a protocol with a port of its own for as long as the server; it has to end once the server takes no new
    /// calls ([`Door::drained`]), when what it has begun is done.
    #[must_use]
    pub fn with_protocol(mut self, protocol: BoxFuture<'static, ()>) -> Self {
        self.protocols.push(protocol);
        self
    }

    /// Whether its connections are encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The URL at which clients on the same machine reach it.
    pub fn url(&self) -> String {
        let scheme = if self.is_encrypted() { "https" } else { "http" };
        format!("{scheme}://{}", self.local_addr)
    }

    /// The address it listens on, with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers until `shutdown` is ready; then takes no more calls, lets the running ones go on for at
    /// most `drain_timeout`, and shuts the engine down.
    ///
    /// # Errors
    /// Those of the engine's shutdown, or `Unavailable` if the socket fails.
    pub fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> BoxFuture<'static, Result<()>> {
        self.serve_until(Box::pin(shutdown))
    }

    fn serve_until(self, shutdown: BoxFuture<'static, ()>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let serving = self.serving;
            let state = serving.current();
            let (settings, clock) = (state.settings.clone(), Arc::clone(state.engine.clock()));
            let phase = state.shutdown.clone();
            // Nothing of the engine is held on to, which may be replaced.
            drop(state);
            let (reporter, health) = tonic_health::server::health_reporter();
            for name in ["", FLIGHT_NAME] {
                reporter.set_service_status(name, ServingStatus::Serving).await;
            }
            let routes = Routes::new(health)
                .add_service(
                    FlightServiceServer::new(Service(Arc::clone(&serving)))
                        .max_decoding_message_size(settings.request_bytes_max.get()),
                )
                .add_service(reflection::v1()?)
                .add_service(reflection::v1alpha()?)
                .into_axum_router()
                .route(&format!("{FLIGHT}/DoGet"), post(get::call).with_state(Arc::clone(&serving)))
                .route(
                    &format!("{FLIGHT}/DoExchange"),
                    post(exchange::call).with_state(Arc::clone(&serving)),
                )
                .route("/health", http_get(health::answer).with_state(Arc::clone(&serving)))
                .route("/ready", http_get(ready::answer).with_state(Arc::clone(&serving)))
                .route("/version", http_get(ready::version))
                .route(
                    "/metrics",
                    http_get(metrics::answer).with_state(metrics::Scraped {
                        serving: Arc::clone(&serving),
                        figures: self.figures.into(),
                    }),
                )
                .merge(self.routes)
                .fallback(health::unknown)
                .layer(axum::middleware::from_fn(headers::bounded));

            let unwell = async || {
                for name in ["", FLIGHT_NAME] {
                    reporter.set_service_status(name, ServingStatus::NotServing).await;
                }
            };
            // Balancers hear of it before the first call is refused.
            let signal = async {
                shutdown.await;
                unwell().await;
                phase.enter(Phase::Draining);
            };
            // Reads go on; whoever looks after the server sees that it has to be started again.
            let failing = async {
                serving.failed().await;
                unwell().await;
                std::future::pending().await
            };
            let drained = settings.drain_timeout.duration();
            let (sockets, beside) = incoming::incoming(
                self.incoming,
                self.tls,
                Arc::clone(&clock),
                settings.connections_per_address_max,
            );
            let window = |size: barograph_lake::Size| u32::try_from(size.get()).ok();
            let answering = tonic::transport::Server::builder()
                .accept_http1(true)
                .initial_stream_window_size(window(settings.stream_window))
                .initial_connection_window_size(window(settings.connection_window))
                .max_frame_size(window(settings.frame_bytes_max))
                .http2_max_header_list_size(HEADER_BYTES_MAX)
                .http2_keepalive_interval(Some(settings.keepalive.duration()))
                .add_routes(Routes::from(routes))
                .serve_with_incoming_shutdown(sockets, signal);
            let served = {
                let protocols = join_all(self.protocols);
                let answering = async { tokio::join!(answering, protocols).0 };
                let mut answering = std::pin::pin!(answering);
                tokio::select! {
                    served = &mut answering => served.map_err(Error::from),
                    () = failing => Ok(()),
                    () = beside => Ok(()),
                    () = serving.release_when_due() => Ok(()),
                    () = serving.refresh_access() => Ok(()),
                    () = serving.refresh_keys() => Ok(()),
                    () = phase.drained_for(drained, clock.as_ref()) => {
                        tracing::warn!(
                            after = %settings.drain_timeout,
                            "calls are still running after flight.drain_timeout: they are ended"
                        );
                        phase.enter(Phase::Stopped);
                        tokio::select! {
                            _ = &mut answering => {}
                            () = clock.sleep(STOP_TIMEOUT) => {}
                        }
                        Ok(())
                    }
                }
            };
            phase.enter(Phase::Stopped);
            let released = serving.shut_down().await;
            served.and(released)
        })
    }
}
