//! A proxy between a process and an S3 server, with the delays and faults of a network and of a busy store.
//!
//! ```text
//! process ─► proxy ──────► server      passed on, after a delay
//!            │  ◄────────             the reply is lost, or comes when the process has given up
//!            ├─ 503 SlowDown, 409     not passed on
//!            └─ cut off               every connection ends without an answer
//! ```
//!
//! What is passed on is carried out, whether or not the process still waits for it. Signed requests stay valid, as the
//! proxy keeps their `Host`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::TRANSFER_ENCODING;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot;

/// The 99th percentile of a normal distribution, in standard deviations.
const Z99: f64 = 2.326_347_874;

/// What goes wrong, and how long requests take. Shares lie between 0 and 1.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Of puts.
    pub put_delay: Delay,
    /// Of all other requests.
    pub delay: Delay,
    /// Share of requests that are answered with 503 SlowDown and not passed on.
    pub slow_down: f64,
    /// Share of puts that are answered with 409 ConditionalRequestConflict and not passed on.
    pub conflict: f64,
    /// Share of requests that are passed on, and whose connection ends without a reply.
    pub reply_lost: f64,
    /// Share of puts whose connection ends at once, and which are passed on after `late_by`.
    pub late: f64,
    /// How late those are.
    pub late_by: Duration,
    /// Whether every request ends without an answer, and nothing is passed on.
    pub cut_off: bool,
}

/// A log-normal distribution of delays; by default none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delay {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile, at least the median.
    pub p99: Duration,
}

impl Delay {
    fn draw(self, random: &mut SmallRng) -> Duration {
        let (p50, p99) = (self.p50.as_secs_f64(), self.p99.as_secs_f64());
        if p50 == 0.0 {
            return Duration::ZERO;
        }
        // By Box and Muller.
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * random.random::<f64>()).cos();
        let sigma = (p99 / p50).ln().max(0.0) / Z99;
        Duration::from_secs_f64(p50 * (sigma * normal).exp())
    }
}

/// Requests so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// That came.
    pub requests: u64,
    /// That something was done to, delays apart.
    pub faults: u64,
}

/// A running proxy. It stops when it is dropped.
#[derive(Debug)]
pub struct StoreProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    faults: Mutex<Faults>,
    random: Mutex<SmallRng>,
    requests: AtomicU64,
    faulty: AtomicU64,
}

/// What becomes of a request.
enum Fate {
    PassedOn,
    ReplyLost,
    Late(Duration),
    Answered(StatusCode, &'static str),
    CutOff,
}

impl StoreProxy {
    /// Listens at a free port of this machine, before `server`. What goes wrong is drawn from `seed`.
    pub fn start(server: SocketAddr, seed: u64, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            client: Client::builder(TokioExecutor::new()).build_http(),
            faults: Mutex::new(faults),
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            requests: AtomicU64::new(0),
            faulty: AtomicU64::new(0),
        });
        let (stop, stopped) = oneshot::channel();
        let proxy = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(proxy, listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong from now on.
    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Requests so far.
    pub fn counts(&self) -> Counts {
        Counts {
            requests: self.shared.requests.load(Ordering::Relaxed),
            faults: self.shared.faulty.load(Ordering::Relaxed),
        }
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        let answer = service_fn(move |request| answer(Arc::clone(&shared), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

/// The answer to a request; an error ends the connection.
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let (fate, delay) = shared.draw(&parts.method);
    if !matches!(fate, Fate::PassedOn) {
        shared.faulty.fetch_add(1, Ordering::Relaxed);
    }
    let request = Request::from_parts(parts, Full::new(body));
    match fate {
        Fate::PassedOn => shared.pass_on(request, delay).await.map_err(io::Error::other)?,
        Fate::ReplyLost => {
            let done = shared.pass_on(request, delay).await;
            Err(done.err().map_or_else(lost, io::Error::other))
        }
        Fate::Late(by) => {
            shared.pass_on(request, delay + by);
            Err(lost())
        }
        Fate::Answered(status, code) => Ok(refusal(status, code)),
        Fate::CutOff => Err(lost()),
    }
}

fn lost() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// An error as S3 writes it.
fn refusal(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
    response
}

impl Shared {
    fn draw(&self, method: &Method) -> (Fate, Duration) {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let is_put = method == Method::PUT;
        let delay = if is_put { faults.put_delay } else { faults.delay }.draw(&mut random);
        let mut happens = |share: f64| share > 0.0 && random.random_bool(share);
        let fate = if faults.cut_off {
            Fate::CutOff
        } else if happens(faults.slow_down) {
            Fate::Answered(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")
        } else if is_put && happens(faults.conflict) {
            Fate::Answered(StatusCode::CONFLICT, "ConditionalRequestConflict")
        } else if happens(faults.reply_lost) {
            Fate::ReplyLost
        } else if is_put && happens(faults.late) {
            Fate::Late(faults.late_by)
        } else {
            Fate::PassedOn
        };
        (fate, delay)
    }

    /// Has the server carry the request out after a delay, whether or not somebody waits for the reply.
    fn pass_on(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
        delay: Duration,
    ) -> tokio::task::JoinHandle<io::Result<Response<Full<Bytes>>>> {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            #[allow(clippy::disallowed_methods, reason = "a proxy has the time of its machine")]
            tokio::time::sleep(delay).await;
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let uri = format!("http://{}{path}", shared.server).parse::<Uri>();
            *request.uri_mut() = uri.map_err(io::Error::other)?;
            let response = shared.client.request(request).await.map_err(io::Error::other)?;
            let (mut parts, body) = response.into_parts();
            parts.headers.remove(TRANSFER_ENCODING);
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok(Response::from_parts(parts, Full::new(body)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that counts what it carries out, and answers with the number.
    async fn counting() -> (SocketAddr, Arc<AtomicU64>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let counted = Arc::clone(&counted);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                    let said =
                        format!("{number} {} {:?}", request.uri(), request.headers()["host"]);
                    async move { Ok::<_, io::Error>(Response::new(Full::<Bytes>::from(said))) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        (address, count)
    }

    async fn ask(proxy: &StoreProxy, method: Method) -> Option<(StatusCode, String)> {
        // A connection of its own: one that ended would be tried again.
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build_http();
        let uri = format!("http://{}/lake/object?partNumber=1", proxy.address());
        let request = Request::builder().method(method).uri(uri).header("host", "signed:9000");
        let response = client.request(request.body(Full::default()).unwrap()).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8(body.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn requests_are_passed_on_refused_lost_and_late() {
        let (server, count) = counting().await;
        let proxy = StoreProxy::start(server, 1, Faults::default());
        let seen = || count.load(Ordering::SeqCst);
        let all = |change: fn(&mut Faults)| {
            let mut faults = Faults::default();
            change(&mut faults);
            proxy.set(faults);
        };

        let (status, said) = ask(&proxy, Method::PUT).await.unwrap();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(said, "1 /lake/object?partNumber=1 \"signed:9000\"");
        all(|faults| faults.slow_down = 1.0);
        let (status, said) = ask(&proxy, Method::GET).await.unwrap();
        assert_eq!((status, seen()), (StatusCode::SERVICE_UNAVAILABLE, 1), "{said}");
        assert!(said.contains("<Code>SlowDown</Code>"), "{said}");
        all(|faults| faults.conflict = 1.0);
        assert_eq!(ask(&proxy, Method::PUT).await.unwrap().0, StatusCode::CONFLICT);
        assert_eq!(ask(&proxy, Method::GET).await.unwrap().0, StatusCode::OK);
        assert_eq!(seen(), 2);
        all(|faults| faults.reply_lost = 1.0);
        assert_eq!((ask(&proxy, Method::PUT).await, seen()), (None, 3));
        all(|faults| faults.cut_off = true);
        assert_eq!((ask(&proxy, Method::PUT).await, seen()), (None, 3));
        all(|faults| (faults.late, faults.late_by) = (1.0, Duration::from_millis(1)));
        assert_eq!(ask(&proxy, Method::PUT).await, None);
        while seen() < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(proxy.counts(), Counts { requests: 7, faults: 5 });
    }

    #[test]
    fn delays_are_log_normal() {
        let delay = Delay { p50: Duration::from_millis(30), p99: Duration::from_millis(120) };
        let mut random = SmallRng::seed_from_u64(7);
        let mut drawn: Vec<Duration> = (0..20_000).map(|_| delay.draw(&mut random)).collect();
        drawn.sort_unstable();
        let at = |share: f64| drawn[(share * drawn.len() as f64) as usize].as_secs_f64() * 1e3;
        assert!((28.5..31.5).contains(&at(0.5)), "{}", at(0.5));
        assert!((105.0..135.0).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!(Delay::default().draw(&mut random), Duration::ZERO);
    }
}
