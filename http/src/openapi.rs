//! The OpenAPI document (3.1), written from the endpoints.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::endpoints::{ENDPOINTS, Endpoint, Gives};
use crate::failure::ErrorShape;
use crate::request::{FORMATS, Parameter};
use crate::serve::json as answered;

/// The answer to `GET /api/v1/openapi.json`.
pub(crate) fn answer() -> Response {
    answered(StatusCode::OK, &document())
}

/// The document.
pub(crate) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let methods = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(endpoint.method.to_lowercase(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Barograph",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Readings over HTTP: reads, SQL, writes, and the shapes of Open-Meteo, InfluxDB and weather stations.",
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "security": [{}, { "bearer": [] }, { "basic": [] }],
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let in_path = endpoint.path.contains("{table}").then(|| {
        json!({
            "name": "table",
            "in": "path",
            "required": true,
            "description": "Name of the table.",
            "schema": { "type": "string" },
            "example": "readings",
        })
    });
    let in_query = endpoint.parameters.iter().map(parameter);
    let parameters: Vec<_> = in_path.into_iter().chain(in_query).collect();
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.about,
        "parameters": parameters,
        "responses": responses(endpoint),
    });
    if let (false, Some(operation)) = (endpoint.takes.is_empty(), operation.as_object_mut()) {
        let content = endpoint.takes.iter().map(|of| ((*of).to_owned(), body(endpoint, of)));
        let content: Map<_, _> = content.collect();
        operation.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    operation
}

fn parameter(Parameter { name, example, about, required }: &Parameter) -> Value {
    json!({
        "name": name,
        "in": "query",
        "required": required,
        "description": about,
        "schema": { "type": "string" },
        "example": example,
    })
}

fn body(endpoint: &Endpoint, media_type: &str) -> Value {
    match (endpoint.name, media_type) {
        ("sql_with_parameters", _) => {
            json!({ "schema": { "$ref": "#/components/schemas/Statement" } })
        }
        (_, "application/x-www-form-urlencoded") => json!({ "schema": { "type": "object" } }),
        (_, "application/json") => json!({ "schema": { "$ref": "#/components/schemas/Rows" } }),
        _ => json!({ "schema": { "type": "string" } }),
    }
}

fn responses(endpoint: &Endpoint) -> Value {
    let rows = || {
        let content = FORMATS.map(|(_, name, media_type)| {
            let schema = match name {
                "json" => json!({ "$ref": "#/components/schemas/Rows" }),
                _ => json!({ "type": "string" }),
            };
            (media_type.to_owned(), json!({ "schema": schema }))
        });
        Value::Object(content.into_iter().collect())
    };
    let mut responses = Map::new();
    let (status, answer) = match endpoint.gives {
        Gives::Rows => ("200", json!({ "description": "Rows.", "content": rows() })),
        Gives::Json => (
            "200",
            json!({
                "description": "The answer.",
                "content": { "application/json": { "schema": { "type": "object" } } },
            }),
        ),
        Gives::Events => (
            "200",
            json!({
                "description": "Events `readings`, each with a list of rows.",
                "content": { "text/event-stream": { "schema": { "type": "string" } } },
            }),
        ),
        Gives::OpenMeteo => (
            "200",
            json!({
                "description": "Observations.",
                "content": {
                    "application/json": { "schema": { "type": ["object", "array"] } },
                    "text/csv": { "schema": { "type": "string" } },
                },
            }),
        ),
        Gives::Text => (
            "200",
            json!({
                "description": "`success`.",
                "content": { "text/plain": { "schema": { "type": "string" } } },
            }),
        ),
        Gives::Nothing => ("204", json!({ "description": "Done." })),
    };
    responses.insert(status.to_owned(), answer);
    if endpoint.method == "GET" && [Gives::Rows, Gives::OpenMeteo].contains(&endpoint.gives) {
        let unchanged = json!({ "description": "What `If-None-Match` names is the answer." });
        responses.insert("304".to_owned(), unchanged);
    }
    let (media_type, schema) = match endpoint.errors {
        ErrorShape::Problem => ("application/problem+json", "Problem"),
        ErrorShape::OpenMeteo => ("application/json", "OpenMeteoError"),
        ErrorShape::Influx => ("application/json", "InfluxError"),
        ErrorShape::Influx2 => ("application/json", "Influx2Error"),
        ErrorShape::Station => ("text/plain", "Said"),
    };
    let content =
        json!({ media_type: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } });
    for (status, about) in [
        ("400", "The request is wrong: mend it."),
        ("401", "The server asks who you are."),
        ("403", "You may not do that."),
        ("429", "A bound is reached: come back after `Retry-After`."),
        ("503", "The server cannot answer now: ask again, or another."),
    ] {
        responses.insert(status.to_owned(), json!({ "description": about, "content": content }));
    }
    Value::Object(responses)
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    json!({
        "Said": text(),
        "Rows": { "type": "array", "items": { "type": "object" } },
        "Statement": {
            "type": "object",
            "required": ["query"],
            "additionalProperties": false,
            "properties": {
                "query": text(),
                "parameters": {
                    "type": "array",
                    "items": { "type": ["number", "string", "boolean", "null"] },
                },
            },
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "required": ["type", "title", "status", "detail", "request_id"],
            "properties": {
                "type": text(),
                "title": text(),
                "status": { "type": "integer" },
                "detail": text(),
                "request_id": text(),
                "retry_after_ms": { "type": "integer" },
            },
        },
        "OpenMeteoError": {
            "type": "object",
            "required": ["error", "reason"],
            "properties": { "error": { "type": "boolean" }, "reason": text() },
        },
        "InfluxError": {
            "type": "object",
            "required": ["error"],
            "properties": { "error": text(), "data": { "type": "array", "items": { "type": "object" } } },
        },
        "Influx2Error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": { "code": text(), "message": text(), "line": { "type": ["integer", "null"] } },
        },
    })
}
