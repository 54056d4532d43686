//! The addresses of a server, or of several that serve one lake: calls go to one of them until it does not answer, then to
//! the next.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow_flight::flight_service_client::FlightServiceClient;
use barograph_engine::internal::pause;
use barograph_engine::{Clock, ErrorKind, SystemClock};
use http::HeaderMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::call::Deadline;
use crate::tls::{ClientTls, not_connected, target};
use crate::{Error, Result};

/// Largest message the client takes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// HTTP/2 flow-control windows: what a server may send ahead.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Largest frame that a server may send: a column of a batch goes out and comes in with few calls.
const FRAME_BYTES_MAX: u32 = 1 << 20;
/// How long a connection may take to be made, where there is no other address and where there is.
const CONNECT_TIMEOUT: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(2)];
/// How often a server is asked during a call whether it is there.
const KEEPALIVE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(1)];
/// How long it may take to say so.
const KEEPALIVE_TIMEOUT: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(5)];
/// How long a call is tried at other addresses, unless its client says so.
const REPEATED_FOR: Duration = Duration::from_secs(30);
/// Between two rounds in which no address answered.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// A connection to one server.
pub(super) type Flight = FlightServiceClient<Channel>;

/// The servers in the order in which they were named.
#[derive(Debug)]
pub(super) struct Addresses {
    connections: Vec<(Channel, Flight)>,
    /// Which of them is asked.
    current: AtomicUsize,
    /// What those that speak TLS are trusted by.
    tls: Option<ClientTlsConfig>,
}

impl Addresses {
    /// Connects to the first of `urls` that answers; to the others when they are needed.
    pub(super) async fn connect(urls: &str, tls: &ClientTls) -> Result<Self> {
        let named: Vec<_> = urls.split(',').map(str::trim).filter(|url| !url.is_empty()).collect();
        let several = named.len() > 1;
        let tls = match named.iter().any(|url| target(url).is_tls) {
            true => Some(tls.config().await?),
            false => None,
        };
        let endpoints = named.iter().map(|url| endpoint(url, several, tls.as_ref()));
        let endpoints = endpoints.collect::<Result<Vec<_>>>()?;
        let mut failed = None;
        let mut answering = None;
        for (at, endpoint) in endpoints.iter().enumerate() {
            match endpoint.connect().await {
                Ok(channel) => {
                    answering = Some((at, channel));
                    break;
                }
                Err(error) => failed = Some(error),
            }
        }
        let Some((current, channel)) = answering else {
            return Err(match failed {
                Some(failed) => not_connected(urls, failed),
                None => Error::request("endpoint is empty: write it like http://127.0.0.1:8815"),
            });
        };
        let connection = |(at, endpoint): (usize, &Endpoint)| match at == current {
            true => with_flight(channel.clone()),
            false => with_flight(endpoint.connect_lazy()),
        };
        let connections = endpoints.iter().enumerate().map(connection).collect();
        Ok(Self { connections, current: AtomicUsize::new(current), tls })
    }

    /// A connection to the one server that has a pinned view, made when it is needed.
    pub(super) fn at(&self, location: &str) -> Result<Flight> {
        channel(location, self.tls.as_ref()).map(flight)
    }

    /// Makes a call that may be made again, at the next address as long as one does not answer, and time is left: `within`,
    /// or for a while.
    pub(super) async fn repeated<T, F>(
        &self,
        within: Option<Duration>,
        call: impl Fn(Flight) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let most = within.unwrap_or(REPEATED_FOR);
        let deadline = Deadline::new(&clock, most, &HeaderMap::new());
        let [mut wait, wait_max] = PAUSE;
        let mut tries = 0;
        loop {
            let (at, flight) = self.current()?;
            let done = match within {
                Some(_) => deadline.bound(call(flight)).await,
                None => call(flight).await,
            };
            let error = match done {
                Err(error) if is_elsewhere(&error) => error,
                done => return done,
            };
            self.leave(at);
            tries += 1;
            if self.connections.len() == 1 || deadline.left().is_zero() {
                return Err(error);
            }
            if tries % self.connections.len() == 0 {
                pause(wait.min(deadline.left())).await;
                wait = wait_max.min(wait * 2);
            }
        }
    }

    /// Whether there is more than one.
    pub(super) fn are_several(&self) -> bool {
        self.connections.len() > 1
    }

    /// The connection that is asked.
    pub(super) fn current(&self) -> Result<(usize, Flight)> {
        let at = self.current.load(Ordering::Relaxed) % self.connections.len().max(1);
        let (_, flight) = self.connections.get(at).cloned().ok_or_else(none)?;
        Ok((at, flight))
    }

    /// The connection that is asked, for what is no call of Flight.
    pub(super) fn current_channel(&self) -> Result<Channel> {
        let (at, _) = self.current()?;
        self.connections.get(at).map(|(channel, _)| channel.clone()).ok_or_else(none)
    }

    /// Goes on to the next, unless another call did.
    fn leave(&self, at: usize) {
        let next = (at + 1) % self.connections.len().max(1);
        let _ = self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether another server may do what this one has not.
fn is_elsewhere(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// A connection for another server's calls, made when it is needed.
pub(crate) fn channel(address: &str, tls: Option<&ClientTlsConfig>) -> Result<Channel> {
    Ok(endpoint(address, true, tls)?.connect_lazy())
}

fn endpoint(url: &str, several: bool, tls: Option<&ClientTlsConfig>) -> Result<Endpoint> {
    let target = target(url);
    let of = |[one, some]: [Duration; 2]| if several { some } else { one };
    let endpoint = Endpoint::from_shared(target.uri).map_err(|e| {
        Error::request(format!("endpoint {url:?}: write it like http://127.0.0.1:8815"))
            .with_source(e)
    })?;
    let endpoint = match tls.filter(|_| target.is_tls) {
        None => endpoint,
        Some(tls) => endpoint.tls_config(tls.clone()).map_err(|e| {
            Error::request(format!("endpoint {url:?}: TLS cannot be set up")).with_source(e)
        })?,
    };
    Ok(endpoint
        .connect_timeout(of(CONNECT_TIMEOUT))
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_keep_alive_interval(of(KEEPALIVE))
        .keep_alive_timeout(of(KEEPALIVE_TIMEOUT)))
}

fn none() -> Error {
    Error::new(ErrorKind::Internal, "a client without an address")
}

fn with_flight(channel: Channel) -> (Channel, Flight) {
    (channel.clone(), flight(channel))
}

fn flight(channel: Channel) -> Flight {
    FlightServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(usize::MAX)
}
