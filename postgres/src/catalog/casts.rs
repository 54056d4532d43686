//! Casts to types that only PostgreSQL has: names of tables and types become their numbers, numbers their names.

use super::functions::{literal, type_name};
use super::rewrite::Piece;
use super::tables::SCHEMAS;
use super::{Token, TokenKind};
use crate::types::KINDS;

/// Numbers of PostgreSQL's own tables, which clients write by their names.
const CLASSES: [(&str, i64); 10] = [
    ("pg_type", 1_247),
    ("pg_attribute", 1_249),
    ("pg_proc", 1_255),
    ("pg_class", 1_259),
    ("pg_database", 1_262),
    ("pg_attrdef", 2_604),
    ("pg_constraint", 2_606),
    ("pg_index", 2_610),
    ("pg_namespace", 2_615),
    ("pg_trigger", 2_620),
];

/// The cast of an operand to the type of these names, with what stands behind them; whether it is written otherwise than it
/// was sent.
pub(super) fn cast(operand: &Piece, chain: &[Token<'_>], behind: &[Token<'_>]) -> (String, bool) {
    let names: Vec<_> = chain.iter().filter_map(Token::name).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let text = &operand.text;
    let is_array = behind.iter().any(|token| token.is("["));
    let (name, is_own) = match names.as_slice() {
        ["pg_catalog", name] => (*name, true),
        ["information_schema", _] => ("name", true),
        [name] => (*name, false),
        _ => ("", false),
    };
    let is_quoted = chain.last().is_some_and(|token| token.kind == TokenKind::Quoted);
    let written = match name {
        _ if is_array => None,
        "regclass" => Some(match &operand.literal {
            Some(name) => class(name),
            None => format!("(SELECT r.relname FROM pg_catalog.pg_class r WHERE r.oid = {text})"),
        }),
        "regtype" => Some(match operand.literal.as_deref() {
            Some(name) => named_type(name).map_or_else(|| "0".to_owned(), |oid| oid.to_string()),
            None => type_name(text),
        }),
        "regnamespace" => Some(match operand.literal.as_deref() {
            Some(name) => {
                let schema = SCHEMAS.iter().find(|(schema, _)| *schema == name);
                schema.map_or(0, |(_, oid)| *oid).to_string()
            }
            None => {
                let cases: String = SCHEMAS
                    .iter()
                    .map(|(name, oid)| format!(" WHEN {oid} THEN '{name}'"))
                    .collect();
                format!("(CASE {text}{cases} END)")
            }
        }),
        "char" if !is_quoted => None,
        "regproc" | "regprocedure" | "regrole" | "name" | "char" | "cstring" | "bpchar" => {
            Some(format!("CAST({text} AS VARCHAR)"))
        }
        "oid" | "xid" => Some(format!("CAST({text} AS BIGINT)")),
        _ => None,
    };
    match written {
        Some(written) => (written, true),
        None => {
            let name = if is_own {
                name.to_owned()
            } else {
                chain.iter().map(|token| token.text).collect::<Vec<_>>().join(".")
            };
            let behind: String = behind.iter().map(|token| token.text).collect();
            (format!("{text}::{name}{behind}"), is_own)
        }
    }
}

/// The number of the table of a name, which may be in quotes and have a schema.
pub(super) fn class(name: &str) -> String {
    let parts: Vec<_> = super::tokens(name).filter_map(|token| token.name()).collect();
    let (schema, name) = match parts.as_slice() {
        [name] => (None, name.as_str()),
        [schema, name] => (Some(schema.as_str()), name.as_str()),
        // A number that is written as one.
        _ if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => {
            return name.to_owned();
        }
        _ => return "CAST(NULL AS BIGINT)".to_owned(),
    };
    let own = CLASSES.iter().find(|(class, _)| *class == name);
    if let (true, Some((_, oid))) = (schema.is_none_or(|schema| schema == "pg_catalog"), own) {
        return oid.to_string();
    }
    let of_schema = schema.filter(|schema| *schema != "public").map(|schema| {
        let oid = SCHEMAS.iter().find(|(of, _)| *of == schema).map_or(0, |(_, oid)| *oid);
        format!(" AND relnamespace = {oid}")
    });
    let of_schema = of_schema.unwrap_or_default();
    format!("(SELECT oid FROM pg_catalog.pg_class WHERE relname = {}{of_schema})", literal(name))
}

/// The number of the type of a name.
pub(super) fn named_type(name: &str) -> Option<u32> {
    let name = name.trim().to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    let (name, is_array) = match name.strip_suffix("[]") {
        Some(item) => (item, true),
        None => (name, false),
    };
    let name = match name {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        "character varying" | "varchar" => "text",
        other => other,
    };
    KINDS.iter().find(|row| row.2 == name).map(|row| if is_array { row.3 } else { row.1 })
}
