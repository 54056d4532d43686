//! `system.settings`: every setting of engine and SQL with its value and description.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use barograph_engine::{EngineSettings, Error, Result};
use schemars::schema_for;
use serde_json::Value;

use super::{ColumnKind, ColumnSpec, ServerState};
use crate::settings::SqlSettings;
use crate::table::provider::Pinned;

pub(super) const COLUMNS: &[ColumnSpec] = &[
    ("name", ColumnKind::Text, false),
    ("value", ColumnKind::Text, true),
    ("description", ColumnKind::Text, true),
];

struct Setting {
    name: String,
    value: Option<String>,
    description: Option<String>,
}

/// The settings by name.
pub(super) fn rows(server: &ServerState, _: &Pinned) -> Result<Vec<ArrayRef>> {
    let unwritten = |e: serde_json::Error| Error::internal("write the settings").with_source(e);
    let engine = serde_json::to_value(server.engine.settings()).map_err(unwritten)?;
    let sql = serde_json::to_value(&server.settings).map_err(unwritten)?;
    let mut list = Vec::new();
    flatten("engine", &engine, schema_for!(EngineSettings).as_value(), &mut list);
    flatten("sql", &sql, schema_for!(SqlSettings).as_value(), &mut list);
    let texts = |of: fn(&Setting) -> Option<&str>| -> ArrayRef {
        Arc::new(list.iter().map(of).collect::<StringArray>())
    };
    Ok(vec![
        texts(|setting| Some(&setting.name)),
        texts(|setting| setting.value.as_deref()),
        texts(|setting| setting.description.as_deref()),
    ])
}

/// The members of `value`, deep ones by a name with dots; optional ones that are absent too.
fn flatten(prefix: &str, value: &Value, schema: &Value, list: &mut Vec<Setting>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let definitions = schema.get("$defs");
    for (member, about) in properties {
        let name = format!("{prefix}.{member}");
        let held = value.get(member);
        let defined = about
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.rsplit('/').next())
            .and_then(|name| definitions?.get(name));
        if let (Some(held), Some(defined)) = (held, defined)
            && held.is_object()
        {
            flatten(&name, held, defined, list);
            continue;
        }
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let description = about.get("description").and_then(Value::as_str).map(str::to_owned);
        list.push(Setting { name, value: held.and_then(text), description });
    }
}
