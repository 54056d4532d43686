//! The endpoints: each path and method is declared here once. By this it is served, its parameters are checked, and it is
//! listed in the OpenAPI document and in `docs/http.md`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::response::Response;
use futures::future::BoxFuture;

use crate::failure::ErrorShape;
use crate::request::{Call, Parameter};
use crate::serve::{Answered, Shared};
use crate::{line_protocol, open_meteo, openapi, sql, stations, tables};

/// A path with a method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoint {
    /// Its name in the OpenAPI document, in figures and in the log.
    pub(crate) name: &'static str,
    /// `GET` (and `HEAD`) or `POST`.
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    pub(crate) parameters: &'static [Parameter],
    /// Media types of its body; none if it takes none.
    pub(crate) takes: &'static [&'static str],
    pub(crate) gives: Gives,
    pub(crate) errors: ErrorShape,
    /// Of forms that hardware sends: the parameter that may hold a token in place of the header. Such a path writes by
    /// whatever method, and takes parameters beyond those that are declared.
    pub(crate) token_in: Option<&'static str>,
    pub(crate) run: Run,
}

/// How an endpoint is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Run {
    /// To who was let in.
    Asked(fn(Arc<Shared>, Call) -> BoxFuture<'static, Answered>),
    /// To everybody: it tells nothing of tables.
    Open(fn() -> Response),
}

/// What an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// Rows in each format.
    Rows,
    Json,
    /// Server-sent events.
    Events,
    /// JSON or CSV.
    OpenMeteo,
    Text,
    Nothing,
}

const fn get(
    name: &'static str,
    path: &'static str,
    about: &'static str,
    run: fn(Arc<Shared>, Call) -> BoxFuture<'static, Answered>,
) -> Endpoint {
    let (parameters, takes): (&[Parameter], &[&str]) = (&[], &[]);
    let (gives, errors) = (Gives::Json, ErrorShape::Problem);
    let (token_in, run) = (None, Run::Asked(run));
    Endpoint { name, method: "GET", path, about, parameters, takes, gives, errors, token_in, run }
}

const fn open(
    name: &'static str,
    path: &'static str,
    about: &'static str,
    run: fn() -> Response,
) -> Endpoint {
    let (parameters, takes): (&[Parameter], &[&str]) = (&[], &[]);
    let (gives, errors) = (Gives::Json, ErrorShape::Problem);
    let (token_in, run) = (None, Run::Open(run));
    Endpoint { name, method: "GET", path, about, parameters, takes, gives, errors, token_in, run }
}

impl Endpoint {
    const fn with(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }

    const fn gives(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }

    const fn fails_as(self, errors: ErrorShape) -> Self {
        Self { errors, ..self }
    }

    /// As hardware sends it, with a token in this parameter.
    const fn of_hardware(self, token_in: &'static str) -> Self {
        let (gives, errors) = (Gives::Text, ErrorShape::Station);
        Self { gives, errors, token_in: Some(token_in), ..self }
    }

    /// By `POST` with a body of these types.
    const fn takes(self, takes: &'static [&'static str]) -> Self {
        Self { method: "POST", takes, ..self }
    }
}

const KEYS: Parameter = Parameter::new(
    "keys",
    "2988507,1850147",
    "Keys, separated by commas. Without keys and places, every key.",
);
const PLACE: Parameter = Parameter::new(
    "place",
    "Paris,FR",
    "A key by the name of its place, where keys are places; may be given again.",
);
const COLUMNS: Parameter = Parameter::new(
    "columns",
    "temperature,humidity",
    "Columns after key and time, in this order. If absent, all.",
);
const AFTER: Parameter = Parameter::new(
    "after",
    "00000000000000417792",
    "The answer shows what was acknowledged at this position; also as header `x-barograph-after`.",
);
const FORMAT: Parameter = Parameter::new(
    "format",
    "csv",
    "`json`, `ndjson`, `csv`, `arrow` or `parquet`; goes before `Accept`.",
);
const V1: &[Parameter] = &[
    Parameter::new(
        "precision",
        "s",
        "Unit of times: `n`, `u`, `ms`, `s`, `m` or `h`. If absent, nanoseconds.",
    ),
    Parameter::new("db", "weather", "Taken: measurements are tables, whatever the database."),
    Parameter::new("rp", "autogen", "Taken."),
    Parameter::new("consistency", "one", "Taken."),
    Parameter::new("u", "telegraf", "Taken."),
    Parameter::new("p", "…", "Taken."),
];
const V2: &[Parameter] = &[
    Parameter::new(
        "precision",
        "s",
        "Unit of times: `ns`, `us`, `ms` or `s`. If absent, nanoseconds.",
    ),
    Parameter::new("bucket", "weather", "Taken: measurements are tables, whatever the bucket."),
    Parameter::new("org", "home", "Taken."),
    Parameter::new("orgID", "0", "Taken."),
];
const V3: &[Parameter] = &[
    Parameter::new(
        "precision",
        "second",
        "Unit of times: `nanosecond`, `microsecond`, `millisecond`, `second` or `auto`, which tells by the number. If absent, `auto`.",
    ),
    Parameter::new(
        "accept_partial",
        "false",
        "Whether good lines are stored beside bad ones. If absent, `true`.",
    ),
    Parameter::new("db", "weather", "Taken: measurements are tables, whatever the database."),
    Parameter::new("no_sync", "true", "Taken: what is acknowledged is durable."),
    Parameter::new("org", "home", "Taken."),
];
const LINES: &[&str] = &["text/plain", "application/octet-stream"];
const LINES_ABOUT: &str = "Stores lines of line protocol. 204 when all of them are durable; 400 if some were bad, which are in `dead_letters`.";

/// All endpoints.
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    get("tables", "/api/v1/tables", "The tables with their columns.", tables::list),
    get("latest", "/api/v1/tables/{table}/latest", "The newest reading of each key.", tables::latest)
        .with(&[KEYS, PLACE, COLUMNS, AFTER, FORMAT])
        .gives(Gives::Rows),
    get("at", "/api/v1/tables/{table}/at", "The newest reading at or before an instant, of each key.", tables::at)
        .with(&[
            Parameter::new("time", "2026-11-22T10:00:00Z", "The instant.").required(),
            KEYS,
            PLACE,
            COLUMNS,
            AFTER,
            FORMAT,
        ])
        .gives(Gives::Rows),
    get("range", "/api/v1/tables/{table}/range", "Readings of some keys and times, or windows of them.", tables::range)
        .with(&[
            KEYS,
            PLACE,
            Parameter::new("from", "2026-11-21", "First instant."),
            Parameter::new("to", "2026-11-22", "First instant after the last."),
            COLUMNS,
            Parameter::new("where", "temperature > 30", "SQL condition on the columns."),
            Parameter::new("every", "1h", "Length of windows, with `aggregates`."),
            Parameter::new("aggregates", "temperature:mean,temperature:max", "What is computed in each window: `count`, `sum`, `mean`, `min`, `max`, `first` or `last` of a column."),
            Parameter::new("limit", "1000", "Most rows or windows."),
            Parameter::new("as_of", "42", "Rows that the lake held at a version, or at a time."),
            AFTER,
            FORMAT,
        ])
        .gives(Gives::Rows),
    get(
        "live",
        "/api/v1/tables/{table}/live",
        "The newest readings of some keys as server-sent events, each when it comes. With `Last-Event-ID` what has changed since.",
        tables::live,
    )
    .with(&[KEYS, PLACE, COLUMNS])
    .gives(Gives::Events),
    get(
"put", "/api/v1/tables/{table}", "Stores rows: a list of objects in JSON, one object a line, or CSV with the names of columns in its first line.", tables::put)
        .with(&[Parameter::new("precision", "ms", "Unit of times that are numbers: `s`, `ms` or `us`. If absent, times are text.")])
        .takes(&["application/json", "application/x-ndjson", "text/csv"]),
    get("sql", "/api/v1/sql", "The answer to a statement of SQL.", sql::get)
        .with(&[
            Parameter::new("q", "SELECT count(*) FROM readings", "The statement.").required(),
            FORMAT,
        ])
        .gives(Gives::Rows),
    get("sql_with_parameters", "/api/v1/sql", "The answer to a statement of SQL, `{\"query\": …, \"parameters\": [ … ]}`, with a value for each of `$1`, `$2` ….", sql::post)
        .with(&[FORMAT])
        .takes(&["application/json"])
        .gives(Gives::Rows),
    open("openapi", "/api/v1/openapi.json", "This list as an OpenAPI document.", openapi::answer),
    get("forecast", "/v1/forecast", "Observations in the shape of Open-Meteo's forecasts, up to now.", open_meteo::forecast)
        .with(open_meteo::PARAMETERS)
        .gives(Gives::OpenMeteo)
        .fails_as(ErrorShape::OpenMeteo),
    get("archive", "/v1/archive", "Observations in the shape of Open-Meteo's archive: from `start_date` to `end_date`.", open_meteo::archive)
        .with(open_meteo::PARAMETERS)
        .gives(Gives::OpenMeteo)
        .fails_as(ErrorShape::OpenMeteo),
    get("write_v1", "/write", LINES_ABOUT, line_protocol::write_v1)
        .with(V1)
        .takes(LINES)
        .gives(Gives::Nothing)
        .fails_as(ErrorShape::Influx),
    get("write_v2", "/api/v2/write", LINES_ABOUT, line_protocol::write_v2)
        .with(V2)
        .takes(LINES)
        .gives(Gives::Nothing)
        .fails_as(ErrorShape::Influx2),
    get("write_v3", "/api/v3/write_lp", LINES_ABOUT, line_protocol::write_v3)
        .with(V3)
        .takes(LINES)
        .gives(Gives::Nothing)
        .fails_as(ErrorShape::Influx),
    get(
        "wunderground",
        "/weatherstation/updateweatherstation.php",
        "Stores a reading of a weather station as it is sent to Weather Underground, and answers `success`. Further parameters are values of the station.",
        stations::wunderground,
    )
    .with(&[
        Parameter::new("ID", "KPARIS1", "Name of the station: see `http.stations.keys`."),
        Parameter::new("PASSWORD", "…", "Token, in place of the header `Authorization`."),
        Parameter::new("dateutc", "2026-11-22 10:00:00", "Time of the reading in UTC, or `now`."),
        Parameter::new("action", "updateraw", "Taken."),
        Parameter::new("tempf", "68.5", "°F. It and the others are brought to the units of their columns."),
        Parameter::new("humidity", "55", "%."),
        Parameter::new("baromin", "29.92", "Inches of mercury."),
        Parameter::new("windspeedmph", "7.5", "Miles an hour."),
        Parameter::new("winddir", "225", "Degrees."),
        Parameter::new("rainin", "0.02", "Inches in the last hour."),
    ])
    .of_hardware("PASSWORD"),
    get(
        "ecowitt",
        "/data/report/",
        "Stores a reading of a weather station in the form of Ecowitt's gateways, and answers `success`.",
        stations::ecowitt,
    )
    .with(&[Parameter::new("token", "…", "Token, in place of the header `Authorization`.")])
    .takes(&["application/x-www-form-urlencoded"])
    .of_hardware("token"),
    open("ping", "/ping", "Tells clients of InfluxDB that a server is there.", line_protocol::ping)
        .with(&[Parameter::new("verbose", "true", "Taken.")])
        .gives(Gives::Nothing),
];

/// The endpoints and their parameters as they stand in `docs/http.md`.
pub fn reference() -> String {
    let mut text = String::new();
    for endpoint in ENDPOINTS {
        let _ =
            writeln!(text, "### `{} {}`\n\n{}\n", endpoint.method, endpoint.path, endpoint.about);
        if !endpoint.takes.is_empty() {
            let types: Vec<_> = endpoint.takes.iter().map(|of| format!("`{of}`")).collect();
            let _ = writeln!(text, "Body: {}.\n", types.join(", "));
        }
        if endpoint.parameters.is_empty() {
            continue;
        }
        text.push_str("| parameter | example | meaning |\n|---|---|---|\n");
        for Parameter { name, example, about, required } in endpoint.parameters {
            let required = if *required { " Required." } else { "" };
            let _ = writeln!(text, "| `{name}` | `{example}` | {about}{required} |");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_has_the_generated_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http.md");
        let page = std::fs::read_to_string(path).unwrap();
        assert!(
            page.trim_end().ends_with(reference().trim_end()),
            "docs/http.md is stale: its end is written by cargo run --release -- config --http"
        );
    }

    #[test]
    fn names_are_unlike_and_so_are_paths_with_methods() {
        for (at, one) in ENDPOINTS.iter().enumerate() {
            for other in &ENDPOINTS[..at] {
                assert_ne!(one.name, other.name);
                assert_ne!((one.method, one.path), (other.method, other.path));
            }
            for (at, parameter) in one.parameters.iter().enumerate() {
                let before = &one.parameters[..at];
                assert!(before.iter().all(|of| of.name != parameter.name), "{}", parameter.name);
            }
        }
    }
}
