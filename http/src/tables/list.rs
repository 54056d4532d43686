//! The tables that there are, with their columns.

use std::sync::Arc;

use barograph_flight::door::ShownTable;
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::{Value, json};

use crate::request::Call;
use crate::serve::{Answered, Shared, json as answer};

/// The answer to `GET /api/v1/tables`.
pub(crate) fn list(_: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        let tables: Vec<_> = call.asked.tables().iter().map(described).collect();
        Ok(answer(StatusCode::OK, &json!({ "tables": tables })))
    })
}

fn described(table: &ShownTable) -> Value {
    let declaration = table.schema.declaration();
    let columns: Vec<_> = table
        .schema
        .arrow()
        .fields()
        .iter()
        .map(|field| {
            let unit = field.metadata().get("unit");
            json!({ "name": field.name(), "type": field.data_type().to_string(), "unit": unit })
        })
        .collect();
    json!({
        "name": table.schema.name(),
        "key": declaration.key,
        "time": declaration.time,
        "rows": table.rows,
        "bytes": table.bytes,
        "columns": columns,
    })
}
