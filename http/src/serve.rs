//! The routes: each endpoint behind the same request ids, checks of parameters, counts and failures; `OPTIONS`, methods that
//! a path has not, and headers for scripts of web pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter};
use barograph_engine::ErrorKind;
use barograph_flight::door::Door;
use barograph_flight::metrics::Figures;
use barograph_flight::{Error, Result};
use barograph_lake::Span;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::endpoints::{ENDPOINTS, Endpoint, Run};
use crate::failure::{ErrorShape, Failure};
use crate::figures::{HttpFigures, PAGE};
use crate::page::{FILES, PageFile};
use crate::request::{Bodies, Call, Query};
use crate::{HttpSettings, Places};

/// The header with the name of a request, which the client or the server chooses.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// Longest name of a request that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Headers that scripts of web pages may read.
const EXPOSED: &str = "etag, retry-after, x-barograph-position, x-request-id";
/// The header by which browsers say whether a page of another origin lets them ask.
const SITE: &str = "sec-fetch-site";
/// How long a browser may keep what `OPTIONS` said.
const PREFLIGHT_SECONDS: &str = "600";

/// The HTTP API of a server.
#[derive(Debug, Clone)]
pub struct Http {
    shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Door,
    pub(crate) settings: HttpSettings,
    pub(crate) places: Places,
    /// Interval at which readings come.
    pub(crate) reading_every: Span,
    pub(crate) bodies: Bodies,
    pub(crate) figures: Arc<HttpFigures>,
}

impl Http {
    /// The API of the server of `door`. Readings are expected every `reading_every`.
    pub fn new(door: Door, settings: HttpSettings, places: Places, reading_every: Span) -> Self {
        let bodies = Bodies::new(&settings);
        let figures = Arc::default();
        Self { shared: Arc::new(Shared { door, settings, places, reading_every, bodies, figures }) }
    }

    /// What it reports at `/metrics`.
    pub fn figures(&self) -> Arc<dyn Figures> {
        Arc::clone(&self.shared.figures) as _
    }

    /// Its routes.
    pub fn routes(&self) -> Router {
        let mut paths: BTreeMap<&str, Vec<&'static Endpoint>> = BTreeMap::new();
        for endpoint in ENDPOINTS.iter() {
            paths.entry(endpoint.path).or_default().push(endpoint);
        }
        let mut router = Router::new();
        for (path, endpoints) in paths {
            router = router.route(path, of_path(&endpoints));
        }
        for file in &FILES {
            router = router.route(file.path, of_file(file));
        }
        router.with_state(Arc::clone(&self.shared))
    }
}

/// All methods of a path.
fn of_path(endpoints: &[&'static Endpoint]) -> MethodRouter<Arc<Shared>> {
    let mut allowed: Vec<&str> = Vec::new();
    let mut methods = MethodRouter::new();
    for &endpoint in endpoints {
        let filter = match endpoint.method {
            "POST" => MethodFilter::POST,
            _ => MethodFilter::GET,
        };
        allowed.push(endpoint.method);
        if endpoint.method == "GET" && endpoint.token_in.is_none() {
            allowed.push("HEAD");
        }
        methods =
            methods.on(filter, async move |State(shared): State<Arc<Shared>>, request: Request| {
                answer(shared, endpoint, request).await
            });
    }
    allowed.push("OPTIONS");
    let allow: Arc<str> = allowed.join(", ").into();
    let options = Arc::clone(&allow);
    let shape = endpoints.first().map_or(ErrorShape::Problem, |endpoint| endpoint.errors);
    methods
        .on(
            MethodFilter::OPTIONS,
            async move |State(shared): State<Arc<Shared>>, request: Request| {
                preflight(&shared, &options, request.headers())
            },
        )
        .fallback(async move |State(shared): State<Arc<Shared>>, request: Request| {
            refuse_method(&shared, &request, &allow, shape)
        })
}

/// A file of the page.
fn of_file(file: &'static PageFile) -> MethodRouter<Arc<Shared>> {
    let answer = async move |State(shared): State<Arc<Shared>>, headers: HeaderMap| {
        let clock = shared.door.clock();
        let begun = clock.elapsed();
        let response = file.answer(&headers);
        let took = clock.elapsed().saturating_sub(begun);
        shared.figures.answered(PAGE, response.status(), took);
        finish(&shared, &headers, &id_of(&headers), response)
    };
    MethodRouter::new().on(MethodFilter::GET, answer).fallback(
        async move |State(shared): State<Arc<Shared>>, request: Request| {
            refuse_method(&shared, &request, "GET, HEAD", ErrorShape::Problem)
        },
    )
}

/// The answer to a method that a path has not.
fn refuse_method(shared: &Shared, request: &Request, allow: &str, shape: ErrorShape) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let text = format!("method {method} at {path}: there are {allow}");
    let failure = Failure::of(StatusCode::METHOD_NOT_ALLOWED, Error::request(text));
    let id = id_of(request.headers());
    let mut response = failure.answer(shape, &id);
    insert(&mut response, header::ALLOW, allow);
    finish(shared, request.headers(), &id, response)
}

/// The answer to a request at an endpoint.
async fn answer(shared: Arc<Shared>, endpoint: &'static Endpoint, request: Request) -> Response {
    let clock = shared.door.clock();
    let begun = clock.elapsed();
    let id = id_of(request.headers());
    let (mut parts, body) = request.into_parts();
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let called = || {
        check_origin(&shared, endpoint, &parts)?;
        if let Some(name) = endpoint.token_in {
            take_token(&mut parts, name);
        }
        let asked = shared.door.ask("http", endpoint.name, &parts)?;
        let answering = asked.answering();
        let query = match endpoint.token_in {
            None => Query::read(parts.uri.query(), endpoint.parameters)?,
            Some(_) => Query::read_any(parts.uri.query()),
        };
        for required in endpoint.parameters.iter().filter(|parameter| parameter.required) {
            if query.all(required.name).next().is_none() {
                return Err(Failure::from(missing(required.name, required.example)));
            }
        }
        Ok((Call { asked, parts, query, body, id: id.clone() }, answering))
    };
    let answered = match endpoint.run {
        Run::Open(run) => Ok(run()),
        Run::Asked(run) => match called() {
            Ok((call, answering)) => {
                let answered = run(Arc::clone(&shared), call).await;
                if answered.is_ok() {
                    answering.begins();
                }
                answered
            }
            Err(failure) => Err(failure),
        },
    };
    let response = answered.unwrap_or_else(|failure| {
        let error = failure.error();
        if failure.status().is_server_error() && error.kind() != ErrorKind::Unavailable {
            tracing::warn!(request = id, endpoint = endpoint.name, %error, "a request failed");
        } else {
            tracing::debug!(request = id, endpoint = endpoint.name, %error, "a request was refused");
        }
        failure.answer(endpoint.errors, &id)
    });
    let took = clock.elapsed().saturating_sub(begun);
    shared.figures.answered(endpoint.name, response.status(), took);
    tracing::debug!(
        request = id,
        endpoint = endpoint.name,
        %method,
        status = response.status().as_u16(),
        seconds = took.duration().as_secs_f64(),
        "answered"
    );
    finish(&shared, &headers, &id, response)
}

/// Refuses what a page of another origin lets a browser send: it may send what it may not read.
fn check_origin(shared: &Shared, endpoint: &Endpoint, parts: &Parts) -> Result<(), Failure> {
    let Parts { method, headers, uri, .. } = parts;
    let writes = *method == Method::POST || endpoint.token_in.is_some();
    let Some(origin) = headers.get(header::ORIGIN).filter(|_| writes) else {
        // A page lets a browser fetch an image, say, without telling its origin, but for this header.
        let site = headers.get(SITE).map(|site| site.as_bytes());
        if endpoint.token_in.is_some() && !matches!(site, None | Some(b"none" | b"same-origin")) {
            let text = format!("header {SITE}: pages of other origins may not send anything here");
            return Err(Failure::of(StatusCode::FORBIDDEN, Error::request(text)));
        }
        return Ok(());
    };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    // HTTP/2 has the host in the address.
    let own = uri.authority().map(|authority| authority.as_str());
    let own = own.or_else(|| headers.get(header::HOST)?.to_str().ok());
    let is_own = own.is_some_and(|own| origin.split_once("://").is_some_and(|(_, of)| of == own));
    let allowed = &shared.settings.cors_origins;
    if is_own || allowed.iter().any(|of| of == "*" || *of == origin) {
        return Ok(());
    }
    let text = format!(
        "header origin is {origin:?}: pages of that origin may not send anything here, unless http.cors_origins names it"
    );
    Err(Failure::of(StatusCode::FORBIDDEN, Error::request(text)))
}

/// Takes the token in a parameter for that of the header, if there is none: hardware has no place for others.
fn take_token(parts: &mut Parts, name: &str) {
    let pairs = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let mut tokens = pairs.filter(|(of, value)| of.eq_ignore_ascii_case(name) && !value.is_empty());
    let Some((_, token)) =
        tokens.next().filter(|_| !parts.headers.contains_key(header::AUTHORIZATION))
    else {
        return;
    };
    let value = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes());
    // What cannot be a header is no token, and is refused and recorded as one that is not known.
    let mut value = value.unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    value.set_sensitive(true);
    parts.headers.insert(header::AUTHORIZATION, value);
}

fn missing(name: &str, example: &str) -> Error {
    Error::request(format!("parameter {name:?} is missing: give it, like {name}={example}"))
}

/// The name of a request: the client's, if it can stand in a header and in a line of the log.
fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_fit = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    given.filter(is_fit).map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// The answer to `OPTIONS`: what scripts of other pages may send.
fn preflight(shared: &Shared, allow: &str, asked: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    insert(&mut response, header::ALLOW, allow);
    if asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        insert(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, allow);
        if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        insert(&mut response, header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    }
    finish(shared, asked, &id_of(asked), response)
}

/// The answer with the headers that all have.
fn finish(shared: &Shared, asked: &HeaderMap, id: &str, mut response: Response) -> Response {
    insert(&mut response, header::HeaderName::from_static(REQUEST_ID), id);
    if let Some(origin) = asked.get(header::ORIGIN) {
        let allowed = &shared.settings.cors_origins;
        if allowed.iter().any(|of| of == "*") {
            insert(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            insert(&mut response, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        } else if allowed.iter().any(|of| of.as_bytes() == origin.as_bytes()) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(header::VARY, HeaderValue::from_static("origin"));
            insert(&mut response, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
    response
}

/// Sets a header to what can stand in one.
pub(crate) fn insert(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An answer in JSON that is there.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    insert(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The result of an endpoint.
pub(crate) type Answered = Result<Response, Failure>;
