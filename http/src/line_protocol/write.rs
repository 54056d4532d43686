//! The endpoints of InfluxDB that take lines, and those by which its clients see whether a server is there.

use std::sync::Arc;

use barograph_flight::{Error, Result};
use barograph_lake::TableSchema;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::lines::Lines;
use super::mapping::Mapping;
use super::parse::Line;
use super::precision::Unit;
use crate::request::Call;
use crate::rows::{BadRow, BadRows, Outbox, Outcome, store};
use crate::serve::{Answered, Shared, empty, insert, json as answer};
use crate::tables::POSITION;

/// The version of InfluxDB's protocol in which an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
    V3,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    version: Version,
    /// Whether good lines are stored beside bad ones.
    partial: bool,
}

/// The answer to `POST /write`.
pub(crate) fn write_v1(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(write(shared, call, Version::V1))
}

/// The answer to `POST /api/v2/write`.
pub(crate) fn write_v2(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(write(shared, call, Version::V2))
}

/// The answer to `POST /api/v3/write_lp`.
pub(crate) fn write_v3(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(write(shared, call, Version::V3))
}

/// The answer to `/ping`: by this clients of InfluxDB see whether a server is there.
pub(crate) fn ping() -> axum::response::Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let name = header::HeaderName::from_static("x-influxdb-version");
    insert(&mut response, name, concat!("barograph-", env!("CARGO_PKG_VERSION")));
    insert(&mut response, header::HeaderName::from_static("x-influxdb-build"), "Barograph");
    response
}

async fn write(shared: Arc<Shared>, mut call: Call, version: Version) -> Answered {
    let otherwise = if version == Version::V3 { Unit::Auto } else { Unit::Nanos };
    let unit = Unit::named(call.query.one("precision")?, otherwise)?;
    let partial = match call.query.one("accept_partial")? {
        None | Some("true") => true,
        Some("false") => false,
        Some(other) => {
            let text = format!("parameter \"accept_partial\" is {other:?}: write true or false");
            return Err(Error::request(text).into());
        }
    };
    let wanted = Wanted { version, partial };
    let tables = call.asked.writable_tables()?;
    let body = call.read_body(&shared.bodies).await?;
    let now = shared.door.clock().now().as_micros();
    let parser =
        Parser { shared: Arc::clone(&shared), bytes: body.bytes.clone(), tables, unit, now };
    let outcome = store(&mut call.asked, move |outbox| {
        if !wanted.partial {
            let bad = parser.parse(&Outbox::nowhere())?;
            if bad.count > 0 {
                return Ok(bad);
            }
        }
        parser.parse(outbox)
    });
    let outcome = outcome.await?;
    shared.figures.lines(outcome.stored.accepted, outcome.bad.count);
    Ok(told(wanted, &outcome))
}

/// Parses the lines of a body.
struct Parser {
    shared: Arc<Shared>,
    bytes: Bytes,
    tables: Vec<Arc<TableSchema>>,
    unit: Unit,
    now: i64,
}

impl Parser {
    fn parse(&self, outbox: &Outbox) -> Result<BadRows> {
        let settings = &self.shared.settings.line_protocol;
        let tables = self.tables.iter().cloned();
        let mut mapping = Mapping::new(settings, &self.shared.places, tables, self.unit, self.now);
        let mut bad = BadRows::default();
        let mut of: Option<String> = None;
        let mut line = Line::default();
        for (number, bytes) in Lines::new(&self.bytes) {
            let text = std::str::from_utf8(bytes).map_err(|_| "the line is not UTF-8".to_owned());
            let added = match text.and_then(|text| line.read(text)) {
                Ok(()) => mapping.add(number, &line, outbox)?,
                Err(why) => Err((None, why)),
            };
            if let Err((table, why)) = added {
                // Letters are kept by table.
                if bad.is_full() || of != table {
                    outbox.leave_bad(of.as_deref(), &mut bad)?;
                    of = table;
                }
                let text = String::from_utf8_lossy(bytes);
                bad.add(number, &text, json!({ "line": text }).to_string(), why);
            }
        }
        mapping.leave(outbox)?;
        outbox.leave_bad(of.as_deref(), &mut bad)?;
        Ok(bad)
    }
}

/// What became of the lines, in the words of a version.
fn told(wanted: Wanted, Outcome { stored, bad }: &Outcome) -> axum::response::Response {
    let mut response = match bad.count {
        0 => empty(StatusCode::NO_CONTENT),
        _ => {
            let body = partial(wanted, stored.accepted, bad);
            let mut response = answer(StatusCode::BAD_REQUEST, &body);
            if let Some(error) = body.get("error").and_then(Value::as_str) {
                let name = header::HeaderName::from_static("x-influxdb-error");
                insert(&mut response, name, &error.replace(|c: char| !matches!(c, ' '..='~'), " "));
            }
            response
        }
    };
    if stored.accepted > 0 {
        let name = header::HeaderName::from_static(POSITION);
        insert(&mut response, name, &stored.position.to_string());
    }
    response
}

/// The body of the answer to a write of which lines were bad.
fn partial(wanted: Wanted, accepted: u64, bad: &BadRows) -> Value {
    let first = bad.told.first();
    let reason = |row: &BadRow| format!("line {}: {}", row.number, row.reason);
    let said = first.map(reason).unwrap_or_default();
    let kept =
        if wanted.partial { "; bad lines are in dead_letters" } else { "; nothing was stored" };
    let message = match accepted {
        0 => format!("unable to parse the lines: {said} dropped={}{kept}", bad.count),
        _ => format!("partial write: {said} dropped={}{kept}", bad.count),
    };
    match wanted.version {
        Version::V1 => json!({ "error": message }),
        Version::V2 => {
            let line = first.map(|row| row.number);
            json!({ "code": "invalid", "message": message, "line": line })
        }
        Version::V3 => {
            let data: Vec<_> = bad
                .told
                .iter()
                .map(|row| {
                    json!({
                        "original_line": row.text,
                        "line_number": row.number,
                        "error_message": row.reason,
                    })
                })
                .collect();
            let error = match wanted.partial {
                true => "partial write of line protocol occurred",
                false => "parsing failed for write_lp endpoint",
            };
            json!({ "error": error, "data": data })
        }
    }
}
