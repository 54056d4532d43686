//! The session of a client: the options that it set for its statements. It lives in the client, as a cookie with the
//! options in it, so that it outlives a restart and takes no memory here:
//!
//! ```text
//! SetSessionOptions ─► set-cookie: arrow_flight_session_id=timeout_ms=30000&time_zone=Europe/Berlin
//! any call ◄────────── cookie:     arrow_flight_session_id=…
//! ```
//!
//! A client that keeps no cookies sends the same options as headers of each call
//! ([`TIMEOUT_HEADER`], [`TIME_ZONE_HEADER`], [`ENDPOINTS_HEADER`], [`TIMESTAMPS_HEADER`],
//! [`AFTER_HEADER`]), which go before the cookie.

pub(crate) mod messages;

use std::collections::HashMap;
use std::time::Duration;

use arrow::array::timezone::Tz;
use barograph_lake::{LogPosition, Span};
use barograph_query::SqlSession;
use http::{HeaderMap, header};

use super::catalog::{CATALOG, DEFAULT_SCHEMA};
use crate::call::Caller;
#[cfg(doc)]
use crate::message::AFTER_HEADER;
use crate::message::after;
use crate::wire::Times;
use crate::{Error, Result};
use messages::{ErrorValue, OptionValue, SessionOptionValue};

/// Name of the cookie, as Flight clients know it.
const COOKIE: &str = "arrow_flight_session_id";
/// Request header with the longest time that a statement may take, such as `30s`.
pub(crate) const TIMEOUT_HEADER: &str = "x-barograph-timeout";
/// Request header with the time zone of a statement, such as `Europe/Berlin`.
pub(crate) const TIME_ZONE_HEADER: &str = "x-barograph-time-zone";

/// Request header with the most endpoints that an answer may be divided into, such as `8`.
pub(crate) const ENDPOINTS_HEADER: &str = "x-barograph-endpoints";

/// Request header with the unit in which times are answered: `ns`, or `us`, as they are.
pub(crate) const TIMESTAMPS_HEADER: &str = "x-barograph-timestamps";

/// The options of a session.
const TIMEOUT: &str = "timeout";
const TIME_ZONE: &str = "time_zone";
const ENDPOINTS: &str = "endpoints";
const TIMESTAMPS: &str = "timestamps";
const AFTER: &str = "after";
/// Part of the cookie with the time in ms.
const TIMEOUT_MS: &str = "timeout_ms";

/// What a client set for its statements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// Longest time that a statement may take, less than the server allows.
    pub(super) timeout: Option<Duration>,
    /// Name of the time zone in which times without one are read and shown; absent: UTC.
    pub(super) time_zone: Option<String>,
    /// Most endpoints that an answer may be divided into; absent: one, since clients are about that read
    /// the first only.
    pub(super) endpoints: Option<u32>,
    /// The unit in which times are answered.
    pub(super) timestamps: Times,
    /// Answers show what was acknowledged at this position of the log.
    pub(crate) after: Option<LogPosition>,
}

impl Session {
    /// The session of a caller.
    pub(crate) fn of(caller: Caller<'_>) -> Result<Self> {
        Self::read(caller.headers())
    }

    /// The session that a request's headers carry.
    fn read(headers: &HeaderMap) -> Result<Self> {
        let mut session = Self::default();
        for cookies in headers.get_all(header::COOKIE) {
            let pairs = cookies.to_str().unwrap_or_default().split(';');
            for (name, value) in pairs.filter_map(|pair| pair.trim().split_once('=')) {
                if name == COOKIE {
                    session = Self::from_cookie(value.trim_matches('"'))?;
                }
            }
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(text) = header(TIMEOUT_HEADER) {
            session.timeout = Some(timeout(text).map_err(|e| wrong(TIMEOUT_HEADER, text, e))?);
        }
        if let Some(text) = header(TIME_ZONE_HEADER) {
            session.time_zone = Some(zone(text).map_err(|e| wrong(TIME_ZONE_HEADER, text, e))?);
        }
        if let Some(text) = header(ENDPOINTS_HEADER) {
            let count = endpoints(text).map_err(|e| wrong(ENDPOINTS_HEADER, text, e))?;
            session.endpoints = Some(count);
        }
        if let Some(text) = header(TIMESTAMPS_HEADER) {
            session.timestamps = unit(text).map_err(|e| wrong(TIMESTAMPS_HEADER, text, e))?;
        }
        session.after = after(headers)?.or(session.after);
        Ok(session)
    }

    /// As the engine takes it.
    pub(crate) fn for_sql(&self) -> SqlSession {
        SqlSession {
            timeout: self.timeout,
            time_zone: self.time_zone.clone(),
            ..SqlSession::default()
        }
    }

    /// Sets the option `name`, or says why not.
    pub(super) fn set(&mut self, name: &str, value: SessionOptionValue) -> Result<(), ErrorValue> {
        let invalid = |_| ErrorValue::InvalidValue;
        match (name, value.option_value) {
            (TIMEOUT, None) => self.timeout = None,
            (TIMEOUT, Some(value)) => {
                self.timeout = match value {
                    OptionValue::Text(text) if text.is_empty() => None,
                    OptionValue::Text(text) => Some(timeout(&text).map_err(invalid)?),
                    OptionValue::Int64(seconds) => Some(seconds_of(seconds as f64)?),
                    OptionValue::Double(seconds) => Some(seconds_of(seconds)?),
                    OptionValue::Bool(_) | OptionValue::Texts(_) => {
                        return Err(ErrorValue::InvalidValue);
                    }
                }
            }
            (TIME_ZONE, None) => self.time_zone = None,
            (TIME_ZONE, Some(OptionValue::Text(text))) => {
                self.time_zone = match text.as_str() {
                    "" => None,
                    text => Some(zone(text).map_err(invalid)?),
                }
            }
            (ENDPOINTS, None) => self.endpoints = None,
            (ENDPOINTS, Some(OptionValue::Text(text))) => {
                self.endpoints = match text.as_str() {
                    "" => None,
                    text => Some(endpoints(text).map_err(invalid)?),
                }
            }
            (ENDPOINTS, Some(OptionValue::Int64(count))) => {
                self.endpoints = Some(endpoints(&count.to_string()).map_err(invalid)?);
            }
            (TIMESTAMPS, None) => self.timestamps = Times::AsTheyAre,
            (TIMESTAMPS, Some(OptionValue::Text(text))) => {
                self.timestamps = match text.as_str() {
                    "" => Times::AsTheyAre,
                    text => unit(text).map_err(invalid)?,
                }
            }
            (AFTER, None) => self.after = None,
            (AFTER, Some(OptionValue::Text(text))) => {
                self.after = match text.as_str() {
                    "" => None,
                    text => Some(text.parse().map_err(|_| ErrorValue::InvalidValue)?),
                }
            }
            // There is one catalog, and one schema that names without one mean.
            ("catalog", None) | ("schema", None) => {}
            ("catalog", Some(OptionValue::Text(text))) if text == CATALOG => {}
            ("schema", Some(OptionValue::Text(text))) if text == DEFAULT_SCHEMA => {}
            (TIME_ZONE | ENDPOINTS | TIMESTAMPS | AFTER | "catalog" | "schema", Some(_)) => {
                return Err(ErrorValue::InvalidValue);
            }
            _ => return Err(ErrorValue::InvalidName),
        }
        Ok(())
    }

    /// The options as a client reads them.
    pub(super) fn options(&self) -> HashMap<String, SessionOptionValue> {
        let text = |text: &str| SessionOptionValue::from(OptionValue::Text(text.to_owned()));
        let mut options = HashMap::from([
            ("catalog".to_owned(), text(CATALOG)),
            ("schema".to_owned(), text(DEFAULT_SCHEMA)),
            (TIME_ZONE.to_owned(), text(self.time_zone.as_deref().unwrap_or("UTC"))),
            (ENDPOINTS.to_owned(), text(&self.endpoints.unwrap_or(1).to_string())),
            (TIMESTAMPS.to_owned(), text(name_of(self.timestamps))),
        ]);
        if let Some(timeout) = self.timeout {
            options.insert(TIMEOUT.to_owned(), text(&Span::from_duration(timeout).to_string()));
        }
        if let Some(position) = self.after {
            options.insert(AFTER.to_owned(), text(&position.to_string()));
        }
        options
    }

    /// The `set-cookie` that makes the client carry the session.
    pub(super) fn to_cookie(&self) -> String {
        let mut parts = Vec::new();
        if let Some(timeout) = self.timeout {
            parts.push(format!("{TIMEOUT_MS}={}", timeout.as_millis()));
        }
        if let Some(zone) = &self.time_zone {
            parts.push(format!("{TIME_ZONE}={zone}"));
        }
        if let Some(count) = self.endpoints {
            parts.push(format!("{ENDPOINTS}={count}"));
        }
        if self.timestamps != Times::AsTheyAre {
            parts.push(format!("{TIMESTAMPS}={}", name_of(self.timestamps)));
        }
        if let Some(position) = self.after {
            parts.push(format!("{AFTER}={position}"));
        }
        format!("{COOKIE}={}", parts.join("&"))
    }

    /// The `set-cookie` that makes the client forget the session.
    pub(super) fn forget() -> String {
        format!("{COOKIE}=; Max-Age=0")
    }

    fn from_cookie(text: &str) -> Result<Self> {
        let mut session = Self::default();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((TIMEOUT_MS, ms)) => {
                    let ms = ms.parse().map_err(|_| wrong(COOKIE, text, "not a number of ms"))?;
                    session.timeout = Some(Duration::from_millis(ms));
                }
                Some((TIME_ZONE, name)) => {
                    session.time_zone = Some(zone(name).map_err(|e| wrong(COOKIE, text, e))?);
                }
                Some((ENDPOINTS, count)) => {
                    let count = endpoints(count).map_err(|e| wrong(COOKIE, text, e))?;
                    session.endpoints = Some(count);
                }
                Some((TIMESTAMPS, name)) => {
                    session.timestamps = unit(name).map_err(|e| wrong(COOKIE, text, e))?;
                }
                Some((AFTER, position)) => {
                    let position = position.parse();
                    let why = "not a position of the log";
                    session.after = Some(position.map_err(|_| wrong(COOKIE, text, why))?);
                }
                _ => return Err(wrong(COOKIE, text, "not a session of this server")),
            }
        }
        Ok(session)
    }
}

/// Reads a time such as `30s`, at least 1 ms.
fn timeout(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|e: barograph_lake::Error| e.to_string())?;
    let duration = span.duration();
    if duration < Duration::from_millis(1) { Err("less than 1ms".to_owned()) } else { Ok(duration) }
}

fn seconds_of(seconds: f64) -> Result<Duration, ErrorValue> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        _ => Err(ErrorValue::InvalidValue),
    }
}

/// A time zone that is known.
fn zone(text: &str) -> Result<String, String> {
    match text.parse::<Tz>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("no such time zone: write one like Europe/Berlin or +02:00".to_owned()),
    }
}

/// A number of endpoints.
fn endpoints(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("not a number of endpoints: give at least 1".to_owned()),
    }
}

/// A unit of times.
fn unit(text: &str) -> Result<Times, String> {
    match text {
        "ns" => Ok(Times::Nanoseconds),
        "us" => Ok(Times::AsTheyAre),
        _ => Err("no unit of times: write ns or us".to_owned()),
    }
}

fn name_of(times: Times) -> &'static str {
    match times {
        Times::Nanoseconds => "ns",
        Times::AsTheyAre => "us",
    }
}

fn wrong(what: &str, value: &str, why: impl std::fmt::Display) -> Error {
    Error::request(format!("{what} is {value:?}: {why}")).with_sqlstate("22023")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        values.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_session_comes_back_as_it_was_set() {
        let mut session = Session::default();
        session.set(TIMEOUT, OptionValue::Text("30s".to_owned()).into()).unwrap();
        session.set(TIME_ZONE, OptionValue::Text("Europe/Berlin".to_owned()).into()).unwrap();
        session.set(ENDPOINTS, OptionValue::Int64(8).into()).unwrap();
        session.set(TIMESTAMPS, OptionValue::Text("ns".to_owned()).into()).unwrap();
        let cookie = session.to_cookie();
        let expected = "arrow_flight_session_id=timeout_ms=30000&time_zone=Europe/Berlin&endpoints=8&timestamps=ns";
        assert_eq!(cookie, expected);
        let cookie = format!("other=1; {cookie}");
        assert_eq!(Session::read(&headers(&[("cookie", &cookie)])).unwrap(), session);
        let options = session.options();
        assert_eq!(options["timeout"].option_value, Some(OptionValue::Text("30s".to_owned())));
        assert_eq!(
            options["catalog"].option_value,
            Some(OptionValue::Text("barograph".to_owned()))
        );
        session.set(TIMEOUT, SessionOptionValue::default()).unwrap();
        session.set(TIME_ZONE, OptionValue::Text(String::new()).into()).unwrap();
        session.set(ENDPOINTS, SessionOptionValue::default()).unwrap();
        session.set(TIMESTAMPS, SessionOptionValue::default()).unwrap();
        session.set(AFTER, OptionValue::Text("00000000000000417792".to_owned()).into()).unwrap();
        assert_eq!(Session::read(&headers(&[("cookie", &session.to_cookie())])).unwrap(), session);
        session.set(AFTER, SessionOptionValue::default()).unwrap();
        assert_eq!(session, Session::default());
        assert_eq!(Session::read(&headers(&[("cookie", &session.to_cookie())])).unwrap(), session);
    }

    #[test]
    fn headers_go_before_the_cookie() {
        let both = headers(&[
            ("cookie", "arrow_flight_session_id=timeout_ms=5&time_zone=UTC"),
            (TIMEOUT_HEADER, "2m"),
            (TIME_ZONE_HEADER, "Asia/Tokyo"),
            (ENDPOINTS_HEADER, "4"),
            (TIMESTAMPS_HEADER, "ns"),
            ("x-barograph-after", "00000000000000417792"),
        ]);
        let session = Session::read(&both).unwrap();
        assert_eq!(session.timeout, Some(Duration::from_secs(120)));
        assert_eq!(session.time_zone.as_deref(), Some("Asia/Tokyo"));
        assert_eq!(session.endpoints, Some(4));
        assert_eq!(session.timestamps, Times::Nanoseconds);
        assert_eq!(session.after, Some(LogPosition::new(417_792)));
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        let mut session = Session::default();
        let text = |text: &str| SessionOptionValue::from(OptionValue::Text(text.to_owned()));
        assert_eq!(session.set("colour", text("red")), Err(ErrorValue::InvalidName));
        assert_eq!(session.set(TIMEOUT, text("soon")), Err(ErrorValue::InvalidValue));
        assert_eq!(
            session.set(TIMEOUT, OptionValue::Int64(0).into()),
            Err(ErrorValue::InvalidValue)
        );
        assert_eq!(
            session.set(TIMEOUT, OptionValue::Double(-1.0).into()),
            Err(ErrorValue::InvalidValue)
        );
        assert_eq!(session.set(TIME_ZONE, text("Mars/Olympus")), Err(ErrorValue::InvalidValue));
        assert_eq!(session.set("schema", text("system")), Err(ErrorValue::InvalidValue));
        assert_eq!(session.set(ENDPOINTS, text("0")), Err(ErrorValue::InvalidValue));
        assert_eq!(session.set(ENDPOINTS, text("many")), Err(ErrorValue::InvalidValue));
        session.set("schema", text("public")).unwrap();
        assert_eq!(session, Session::default());
        for (name, value, expected) in [
            ("cookie", "arrow_flight_session_id=7f3a", "not a session of this server"),
            ("cookie", "arrow_flight_session_id=timeout_ms=x", "not a number of ms"),
            (TIME_ZONE_HEADER, "Nowhere", "Europe/Berlin"),
            (TIMEOUT_HEADER, "x", "x-barograph-timeout"),
            (ENDPOINTS_HEADER, "-1", "at least 1"),
            (TIMESTAMPS_HEADER, "ms", "write ns or us"),
            ("x-barograph-after", "soon", "as an acknowledgement gives it"),
        ] {
            let error = Session::read(&headers(&[(name, value)])).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
