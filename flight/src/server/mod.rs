//! How does a server answer? One port speaks gRPC (Flight, health, reflection) and HTTP/1.1
//! (`/health`).
//!
//! ```text
//! bind ─► serve ─► shutdown asked ─► draining: no new calls, running ones go on
//!                                        └─ all done, or drain_timeout ─► stopped ─► engine released
//! ```

mod action;
mod clock;
mod descriptor;
mod exchange;
pub(crate) mod get;
mod health;
pub(crate) mod info;
mod limits;
mod list;
mod pins;
pub(crate) mod put;
mod reflection;
mod service;
mod shown;
mod shutdown;
mod socket;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::routing::{get as http_get, post};
use barograph_engine::Engine;
use barograph_engine::sql::Sql;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

pub(crate) use action::{DeleteJson, RedriveJson};
pub(crate) use limits::Deadline;
pub(crate) use put::AckJson;
pub use put::DURABILITY_HEADER;

use crate::sql::Desk;
use crate::wire::Shapes;
use crate::{Error, FlightSettings, Result};
use clock::EngineClock;
use limits::Limits;
use pins::Pins;
use service::Service;
use shutdown::{Phase, Shutdown};
use socket::Socket;

/// Path of the Flight service's methods.
const FLIGHT: &str = "/arrow.flight.protocol.FlightService";
/// Name of the Flight service in health checks.
const FLIGHT_NAME: &str = "arrow.flight.protocol.FlightService";
/// How long stopped calls get to send their last status.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// What every call needs.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) engine: Arc<Engine>,
    pub(crate) desk: Desk,
    pub(crate) settings: FlightSettings,
    pub(crate) limits: Limits,
    pub(crate) pins: Pins,
    shapes: Shapes,
    pub(crate) shutdown: Shutdown,
}

/// A server that listens but does not answer yet.
#[derive(Debug)]
pub struct Server {
    state: Arc<State>,
    incoming: TcpIncoming,
    local_addr: SocketAddr,
}

impl Server {
    /// Takes the address that the settings name. Native calls go to `engine`, those of SQL to `sql`.
    ///
    /// # Errors
    /// `Request` for settings that cannot be, `Unavailable` if the address is taken.
    pub fn bind(
        engine: Arc<Engine>,
        sql: Arc<Sql>,
        settings: FlightSettings,
    ) -> BoxFuture<'static, Result<Self>> {
        Box::pin(async move {
            settings.check()?;
            let listener = TcpListener::bind(&settings.listen).await.map_err(|e| {
                Error::new(
                    barograph_engine::ErrorKind::Unavailable,
                    format!("flight.listen {:?}: choose another address or port", settings.listen),
                )
                .with_source(e)
            })?;
            let local_addr = listener.local_addr()?;
            let clock = EngineClock(Arc::clone(&engine));
            let state = State {
                desk: Desk::new(sql, &settings),
                limits: Limits::new(settings.streams_max),
                pins: Pins::new(Box::new(clock), settings.view_lifetime, settings.views_max),
                shapes: Shapes::default(),
                shutdown: Shutdown::default(),
                engine,
                settings,
            };
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            Ok(Self { state: Arc::new(state), incoming, local_addr })
        })
    }

    /// The address it listens on, with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers until `shutdown` is ready; then takes no more calls, lets the running ones go on for at
    /// most `drain_timeout`, and shuts the engine down.
    ///
    /// # Errors
    /// What the engine's shutdown says, or `Unavailable` if the socket fails.
    pub fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> BoxFuture<'static, Result<()>> {
        self.serve_until(Box::pin(shutdown))
    }

    fn serve_until(self, shutdown: BoxFuture<'static, ()>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let state = self.state;
            let (reporter, health) = tonic_health::server::health_reporter();
            for name in ["", FLIGHT_NAME] {
                reporter.set_service_status(name, ServingStatus::Serving).await;
            }
            let routes = Routes::new(health)
                .add_service(
                    FlightServiceServer::new(Service(Arc::clone(&state)))
                        .max_decoding_message_size(state.settings.request_bytes_max.get()),
                )
                .add_service(reflection::v1()?)
                .add_service(reflection::v1alpha()?)
                .into_axum_router()
                .route(&format!("{FLIGHT}/DoGet"), post(get::call).with_state(Arc::clone(&state)))
                .route(
                    &format!("{FLIGHT}/DoExchange"),
                    post(exchange::call).with_state(Arc::clone(&state)),
                )
                .route("/health", http_get(health::answer).with_state(Arc::clone(&state)))
                .fallback(health::unknown);

            let phase = state.shutdown.clone();
            let unwell = async || {
                for name in ["", FLIGHT_NAME] {
                    reporter.set_service_status(name, ServingStatus::NotServing).await;
                }
            };
            let signal = async {
                shutdown.await;
                phase.enter(Phase::Draining);
                unwell().await;
            };
            // Reads go on; whoever looks after the server sees that it has to be started again.
            let failing = async {
                state.engine.failed().await;
                unwell().await;
                std::future::pending().await
            };
            let (settings, clock) = (&state.settings, state.engine.clock());
            let drained = settings.drain_timeout.duration();
            let window = |size: barograph_lake::Size| u32::try_from(size.get()).ok();
            let serving = tonic::transport::Server::builder()
                .accept_http1(true)
                .initial_stream_window_size(window(settings.stream_window))
                .initial_connection_window_size(window(settings.connection_window))
                .max_frame_size(window(settings.frame_bytes_max))
                .http2_keepalive_interval(Some(settings.keepalive.duration()))
                .add_routes(Routes::from(routes))
                .serve_with_incoming_shutdown(self.incoming.map_ok(Socket::new), signal);
            let served = {
                let mut serving = std::pin::pin!(serving);
                tokio::select! {
                    served = &mut serving => served.map_err(Error::from),
                    () = failing => Ok(()),
                    () = state.pins.release_when_due() => Ok(()),
                    () = state.desk.forget_when_due() => Ok(()),
                    () = state.shutdown.drained_for(drained, clock.as_ref()) => {
                        tracing::warn!(
                            after = %settings.drain_timeout,
                            "calls still run after flight.drain_timeout: they are ended"
                        );
                        state.shutdown.enter(Phase::Stopped);
                        tokio::select! {
                            _ = &mut serving => {}
                            () = clock.sleep(STOP_TIMEOUT) => {}
                        }
                        Ok(())
                    }
                }
            };
            state.shutdown.enter(Phase::Stopped);
            let released = state.engine.shutdown().await.map_err(Error::from);
            served.and(released)
        })
    }
}
