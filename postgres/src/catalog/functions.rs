//! Functions of PostgreSQL about the catalog and the session, in words that are planned: most are values that are known when
//! they are asked for.

use barograph_query::{CATALOG, PUBLIC_SCHEMA};

use super::VERSION;
use super::casts::{class, named_type};
use super::rewrite::Facts;
use super::tables::{OWNER_NAME, VISIBLE_BELOW};
use crate::types::KINDS;

const NO_TEXT: &str = "CAST(NULL AS VARCHAR)";
const NO_NUMBER: &str = "CAST(NULL AS BIGINT)";

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name that is a value by itself, and the name of its column.
pub(super) fn bare(name: &str, facts: &Facts<'_>) -> Option<(String, &'static str)> {
    Some(match name {
        "current_user" => (literal(facts.user), "current_user"),
        "session_user" => (literal(facts.user), "session_user"),
        "current_role" => (literal(facts.user), "current_role"),
        "current_catalog" => (literal(CATALOG), "current_catalog"),
        "current_schema" => (literal(PUBLIC_SCHEMA), "current_schema"),
        _ => return None,
    })
}

/// Functions that are not there as functions.
pub(super) const KNOWN: [&str; 62] = [
    "version",
    "current_schema",
    "current_database",
    "current_schemas",
    "pg_backend_pid",
    "pg_is_in_recovery",
    "current_setting",
    "pg_get_userbyid",
    "pg_encoding_to_char",
    "pg_char_to_encoding",
    "pg_table_is_visible",
    "pg_type_is_visible",
    "pg_function_is_visible",
    "pg_operator_is_visible",
    "pg_collation_is_visible",
    "pg_statistics_obj_is_visible",
    "has_table_privilege",
    "has_schema_privilege",
    "has_database_privilege",
    "has_column_privilege",
    "has_any_column_privilege",
    "has_function_privilege",
    "pg_has_role",
    "pg_relation_is_publishable",
    "format_type",
    "quote_ident",
    "to_regtype",
    "to_regclass",
    "pg_get_expr",
    "pg_get_constraintdef",
    "pg_get_indexdef",
    "pg_get_viewdef",
    "pg_get_partkeydef",
    "pg_get_triggerdef",
    "pg_get_ruledef",
    "pg_get_statisticsobjdef_columns",
    "pg_get_functiondef",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_serial_sequence",
    "obj_description",
    "col_description",
    "shobj_description",
    "pg_tablespace_location",
    "pg_relation_filepath",
    "inet_server_addr",
    "inet_client_addr",
    "pg_size_pretty",
    "pg_advisory_unlock_all",
    "pg_relation_size",
    "pg_total_relation_size",
    "pg_table_size",
    "pg_indexes_size",
    "pg_database_size",
    "inet_server_port",
    "pg_my_temp_schema",
    "pg_get_keywords",
    "pg_stat_get_numscans",
    "pg_conf_load_time",
    "pg_client_encoding",
    "pg_blocking_pids",
];

/// A call of a known function in other words, and the name of its column. Arguments are given as they are written, and once
/// more where they are literals.
pub(super) fn call(
    name: &str,
    arguments: &[String],
    literals: &[Option<&str>],
    facts: &Facts<'_>,
) -> (String, &'static str) {
    let first = arguments.first().map_or("", String::as_str);
    let first_literal = literals.first().copied().flatten();
    let text = match name {
        "version" => literal(VERSION),
        "current_schema" => literal(PUBLIC_SCHEMA),
        "current_database" => literal(CATALOG),
        "current_schemas" => {
            let all = if first.eq_ignore_ascii_case("true") { "'pg_catalog', " } else { "" };
            format!("make_array({all}'{PUBLIC_SCHEMA}')")
        }
        "pg_backend_pid" => facts.number.to_string(),
        "pg_is_in_recovery" | "pg_relation_is_publishable" => "false".to_owned(),
        "current_setting" => {
            let value = first_literal.and_then(|name| (facts.variable)(&name.to_lowercase()));
            value.map_or_else(|| NO_TEXT.to_owned(), |value| literal(&value))
        }
        "pg_get_userbyid" => literal(OWNER_NAME),
        "pg_encoding_to_char" | "pg_client_encoding" => literal("UTF8"),
        "pg_char_to_encoding" => "6".to_owned(),
        "pg_table_is_visible" => format!("({first} < {VISIBLE_BELOW})"),
        // What is listed may be read.
        name if name.ends_with("_is_visible") || name.starts_with("has_") => "true".to_owned(),
        "pg_has_role" => "true".to_owned(),
        "format_type" => type_name(first),
        "quote_ident" => quoted(first),
        "to_regtype" => {
            let oid = first_literal.and_then(named_type);
            let by_name =
                || format!("(SELECT r.oid FROM pg_catalog.pg_type r WHERE r.typname = {first})");
            oid.map_or_else(by_name, |oid| oid.to_string())
        }
        "to_regclass" => first_literal.map_or_else(|| NO_NUMBER.to_owned(), class),
        "pg_get_keywords" => format!("(SELECT {NO_TEXT} AS word WHERE false)"),
        name if name.ends_with("_size")
            || ["inet_server_port", "pg_my_temp_schema", "pg_stat_get_numscans"]
                .contains(&name) =>
        {
            NO_NUMBER.to_owned()
        }
        // Definitions and descriptions of what there is not.
        _ => NO_TEXT.to_owned(),
    };
    let column = KNOWN.iter().find(|known| **known == name);
    (text, column.copied().unwrap_or("value"))
}

/// The name of the type whose number an expression is, as SQL spells it.
pub(super) fn type_name(of: &str) -> String {
    let spelled = |name: &'static str| match name {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "time" => "time without time zone",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        other => other,
    };
    let mut cases = String::new();
    for (_, oid, name, array, _) in KINDS {
        let name = spelled(name);
        cases.push_str(&format!(" WHEN {oid} THEN '{name}' WHEN {array} THEN '{name}[]'"));
    }
    for (oid, name) in
        [(18, "\"char\""), (19, "name"), (26, "oid"), (114, "json"), (1_043, "character varying")]
    {
        cases.push_str(&format!(" WHEN {oid} THEN '{name}'"));
    }
    format!("(CASE {of}{cases} ELSE '???' END)")
}

/// A name in quotes, where it needs them.
fn quoted(of: &str) -> String {
    format!(
        "(CASE WHEN {of} ~ '^[a-z_][a-z0-9_]*$' THEN {of} ELSE '\"' || replace({of}, '\"', '\"\"') || '\"' END)"
    )
}
