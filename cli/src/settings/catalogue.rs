//! The catalogue of settings, read off their own JSON Schema, so that the reference page, the environment variables
//! and the comments of `barograph config` cannot drift from the code.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::{Settings, former_names};
use crate::{Error, Result};

/// Prefix of every environment variable that is a setting.
pub(crate) const PREFIX: &str = "BAROGRAPH_";
/// The setting that holds a map of tables, which only a file can set.
pub(crate) const TABLES: &str = "tables";

/// All settings in the order of their declaration.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    /// The settings that stand by themselves, then those of each section.
    pub sections: Vec<Section>,
}

/// Settings that stand under one heading of the file.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// Name of the heading, such as `engine.log`; empty for the top of the file.
    pub path: String,
    /// What it is about.
    pub doc: String,
    /// Its settings.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    /// Full name, such as `engine.log.segment_bytes`.
    pub path: String,
    /// What it does, with its unit and when to change it.
    pub doc: String,
    /// How its value is written.
    pub kind: Kind,
}

/// How a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text.
    Text,
    /// A length of time such as `5m`.
    Span,
    /// A size such as `64MiB`.
    Size,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Switch,
    /// One of some words.
    Choice(Vec<String>),
    /// A list or a table, in TOML.
    Toml,
}

impl Catalogue {
    /// The settings of [`Settings`].
    pub(crate) fn new() -> Self {
        let root = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<Settings>();
        let mut sections = Vec::new();
        walk("", root.as_value(), &mut sections);
        Self { sections }
    }

    /// Every setting.
    pub(crate) fn settings(&self) -> impl Iterator<Item = &Setting> {
        self.sections.iter().flat_map(|section| &section.settings)
    }

    /// The setting of a full name.
    pub(crate) fn get(&self, path: &str) -> Option<&Setting> {
        let path = former_names::current(path);
        self.settings().find(|setting| setting.path == path)
    }

    /// The setting that an environment variable sets.
    pub(crate) fn by_variable(&self, variable: &str) -> Option<&Setting> {
        let named = self.settings().find(|setting| setting.variable() == variable);
        named.or_else(|| self.get(former_names::of_variable(variable)?))
    }

    /// The full names nearest to a wrong one.
    pub(crate) fn near(&self, path: &str) -> Vec<&str> {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let mut near: Vec<_> = self
            .settings()
            .map(|setting| {
                let whole = crate::cities::fold::distance(path, &setting.path);
                let name = crate::cities::fold::distance(&last(path), &last(&setting.path));
                (whole.min(name + 1), setting.path.as_str())
            })
            .filter(|(distance, _)| *distance <= (last(path).len() / 3).clamp(1, 4))
            .collect();
        near.sort_unstable();
        near.into_iter().take(3).map(|(_, path)| path).collect()
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Setting {
    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        variable(&self.path)
    }

    /// Reads a value as the environment and flags write it.
    pub(crate) fn parse(&self, text: &str) -> Result<toml::Value> {
        let wrong = |wanted: &str| Error::usage(format!("{text:?} is not {wanted}"));
        Ok(match &self.kind {
            Kind::Text | Kind::Span | Kind::Size => toml::Value::String(text.to_owned()),
            Kind::Integer => {
                let digits = text.trim().replace('_', "");
                toml::Value::Integer(digits.parse().map_err(|_| wrong("a whole number"))?)
            }
            Kind::Number => toml::Value::Float(text.trim().parse().map_err(|_| wrong("a number"))?),
            Kind::Switch => {
                toml::Value::Boolean(text.trim().parse().map_err(|_| wrong("true or false"))?)
            }
            Kind::Choice(words) => {
                if !words.iter().any(|word| word == text.trim()) {
                    return Err(wrong(&format!("one of {}", words.join(", "))));
                }
                toml::Value::String(text.trim().to_owned())
            }
            Kind::Toml => {
                let table: toml::Table = toml::from_str(&format!("value = {text}"))
                    .map_err(|e| wrong(&format!("TOML ({})", e.message())))?;
                table.get("value").cloned().ok_or_else(|| wrong("TOML"))?
            }
        })
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Span => f.write_str("duration"),
            Self::Size => f.write_str("size"),
            Self::Integer => f.write_str("integer"),
            Self::Number => f.write_str("number"),
            Self::Switch => f.write_str("boolean"),
            Self::Choice(words) => write!(f, "{}", words.join(" or ")),
            Self::Toml => f.write_str("TOML"),
        }
    }
}

/// The environment variable of a full name.
pub(super) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

fn walk(path: &str, schema: &Value, sections: &mut Vec<Section>) {
    let index = sections.len();
    sections.push(Section { path: path.to_owned(), doc: doc(schema), settings: Vec::new() });
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    for (name, property) in properties {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if path == TABLES {
            continue;
        }
        if property.get("properties").is_some() {
            walk(&path, property, sections);
        } else if let Some(section) = sections.get_mut(index) {
            section.settings.push(Setting { path, doc: doc(property), kind: kind(property) });
        }
    }
}

fn doc(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn kind(schema: &Value) -> Kind {
    let is = |name: &str| match schema.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => false,
    };
    let words = |values: &[Value]| -> Vec<String> {
        values
            .iter()
            .filter_map(|value| value.get("const").unwrap_or(value).as_str().map(str::to_owned))
            .collect()
    };
    let pattern = schema.get("pattern").and_then(Value::as_str).unwrap_or_default();
    let choices = ["enum", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
    match choices.map(|values| words(values)).filter(|words| !words.is_empty()) {
        Some(words) => Kind::Choice(words),
        None if pattern.contains("KiB") => Kind::Size,
        None if pattern.contains("ms|s|m|h") => Kind::Span,
        None if is("string") => Kind::Text,
        None if is("integer") => Kind::Integer,
        None if is("number") => Kind::Number,
        None if is("boolean") => Kind::Switch,
        None => Kind::Toml,
    }
}
