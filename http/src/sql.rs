//! Statements of SQL over HTTP: by `GET` in the query, or by `POST` in JSON with parameters.

use std::sync::Arc;

use barograph_flight::{Error, Result};
use barograph_query::ScalarValue;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::answer::rows;
use crate::json::Bounded;
use crate::request::{Call, format_of};
use crate::serve::{Answered, Shared};

/// Values that a body may have: the most parameters of a statement, and what is around them.
const VALUES_MAX: usize = 65_535 + 3;

/// The answer to `GET /api/v1/sql?q=…`.
pub(crate) fn get(_: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        let text = call.query.one("q")?.unwrap_or_default().to_owned();
        answer(call, &text, &[]).await
    })
}

/// The answer to `POST /api/v1/sql`.
pub(crate) fn post(shared: Arc<Shared>, mut call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        let body = call.read_body(&shared.bodies).await?;
        let (text, parameters) = statement(&body.bytes)?;
        answer(call, &text, &parameters).await
    })
}

async fn answer(call: Call, text: &str, parameters: &[ScalarValue]) -> Answered {
    let headers = &call.parts.headers;
    let format = format_of(&call.query, headers)?;
    let answer = call.asked.sql(text, parameters).await?;
    rows(headers, &call.id, format, answer, None, None).await
}

/// A statement and its parameters in JSON.
fn statement(body: &[u8]) -> Result<(String, Vec<ScalarValue>)> {
    const FORM: &str = r#"{"query": "SELECT … WHERE city_id = $1", "parameters": [2988507]}"#;
    let wrong = |why: String| Error::request(format!("the body is {why}: write it like {FORM}"));
    let body = Bounded::new(VALUES_MAX).read(body);
    let body = body.map_err(|e| wrong(format!("no JSON that is read ({e})")))?;
    let Value::Object(body) = body else { return Err(wrong("no object".to_owned())) };
    if let Some(name) = body.keys().find(|name| !["query", "parameters"].contains(&name.as_str())) {
        return Err(wrong(format!("JSON with the unknown field {name:?}")));
    }
    let Some(Value::String(text)) = body.get("query") else {
        return Err(wrong("JSON without \"query\" as text".to_owned()));
    };
    let parameters = match body.get("parameters") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => {
            let values = values.iter().enumerate();
            values.map(|(at, value)| parameter(at, value)).collect::<Result<_>>()?
        }
        Some(_) => return Err(wrong("JSON whose \"parameters\" are no list".to_owned())),
    };
    Ok((text.clone(), parameters))
}

fn parameter(at: usize, value: &Value) -> Result<ScalarValue> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(Some(*value)),
        Value::String(text) => ScalarValue::Utf8(Some(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => ScalarValue::Int64(Some(number)),
            (None, Some(number), _) => ScalarValue::UInt64(Some(number)),
            (None, None, number) => ScalarValue::Float64(number),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(Error::request(format!(
                "parameter ${} is {value}: give a number, text, true, false or null",
                at + 1
            )));
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_statement_comes_with_values() {
        let body =
            r#"{"query":"SELECT $1","parameters":[1,2.5,"a",null,true,18446744073709551615]}"#;
        let (text, values) = statement(body.as_bytes()).unwrap();
        assert_eq!(text, "SELECT $1");
        assert_eq!(values[0], ScalarValue::Int64(Some(1)));
        assert_eq!(values[1], ScalarValue::Float64(Some(2.5)));
        assert_eq!(values[5], ScalarValue::UInt64(Some(u64::MAX)));
        assert_eq!(statement(br#"{"query":"SELECT 1"}"#).unwrap().1, []);
    }

    #[test]
    fn what_is_no_statement_is_told() {
        for (body, why) in [
            ("SELECT 1", "no JSON that is read"),
            ("[]", "no object"),
            (r#"{"sql":"SELECT 1"}"#, "\"sql\""),
            (r#"{"query":1}"#, "without \"query\""),
            (r#"{"query":"","parameters":{}}"#, "no list"),
            (r#"{"query":"","parameters":[[]]}"#, "parameter $1 is []"),
        ] {
            let error = statement(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
