//! The catalog: the metadata commands for catalogs, schemas, tables and types, answered from the tables that the engine
//! lists to the caller, so that what is listed can be selected.

use std::collections::{BTreeSet, HashMap};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow_flight::sql::{Command, CommandGetTables};
use barograph_query::TableEntry;
pub(super) use barograph_query::{CATALOG, PUBLIC_SCHEMA as DEFAULT_SCHEMA};

use super::{handle_bytes_max, keys, sql_info, types};
use crate::call::{Caller, State};
use crate::wire::plain_schema;
use crate::{Error, Result};

/// The kinds of tables.
pub(super) const TABLE_TYPES: [&str; 2] = ["SYSTEM TABLE", "TABLE"];

/// The rows that a metadata command asks for; `None` if it is another command.
pub(super) fn rows(
    state: &State,
    asked: &Command,
    caller: Caller<'_>,
) -> Result<Option<RecordBatch>> {
    let rows = match asked {
        Command::CommandGetCatalogs(get) => {
            let mut builder = get.into_builder();
            let tables = caller.sql(state)?.tables();
            let names: BTreeSet<_> = tables.iter().map(|table| table.catalog.as_str()).collect();
            names.into_iter().for_each(|name| builder.append(name));
            builder.build()
        }
        Command::CommandGetDbSchemas(get) => {
            let mut builder = get.clone().into_builder();
            let tables = caller.sql(state)?.tables();
            let names: BTreeSet<_> = tables
                .iter()
                .map(|table| (table.catalog.as_str(), table.schema.as_str()))
                .collect();
            names.into_iter().for_each(|(catalog, schema)| builder.append(catalog, schema));
            builder.build()
        }
        Command::CommandGetTables(get) => {
            return tables(get, &caller.sql(state)?.tables()).map(Some);
        }
        Command::CommandGetTableTypes(get) => {
            let mut builder = get.into_builder();
            TABLE_TYPES.into_iter().for_each(|kind| builder.append(kind));
            builder.build()
        }
        Command::CommandGetPrimaryKeys(get) => {
            return keys::primary(get, &caller.sql(state)?.tables()).map(Some);
        }
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => return Ok(Some(keys::foreign())),
        Command::CommandGetSqlInfo(get) => sql_info::data(handle_bytes_max(&state.settings))?
            .record_batch(get.info.iter().copied()),
        Command::CommandGetXdbcTypeInfo(get) => types::data()?.record_batch(get.data_type),
        _ => return Ok(None),
    };
    rows.map(Some).map_err(Error::from)
}

fn tables(get: &CommandGetTables, entries: &[TableEntry]) -> Result<RecordBatch> {
    let mut builder = get.clone().into_builder();
    let none = Schema::empty();
    for entry in entries {
        let described;
        let schema = if get.include_schema {
            described = describe(entry);
            &described
        } else {
            &none
        };
        builder.append(&entry.catalog, &entry.schema, &entry.name, &entry.table_type, schema)?;
    }
    Ok(builder.build()?)
}

/// The schema of a table as it travels, its columns described with the keys of Flight SQL.
fn describe(entry: &TableEntry) -> Schema {
    let schema = plain_schema(&entry.columns);
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        metadata.extend(about(entry, field));
        Field::clone(field).with_metadata(metadata)
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

fn about(entry: &TableEntry, field: &Field) -> HashMap<String, String> {
    let mut about = HashMap::new();
    let mut say = |key: &str, value: String| about.insert(format!("ARROW:FLIGHT:SQL:{key}"), value);
    let flag = |set: bool| if set { "1" } else { "0" }.to_owned();
    say("CATALOG_NAME", entry.catalog.clone());
    say("DB_SCHEMA_NAME", entry.schema.clone());
    say("TABLE_NAME", entry.name.clone());
    say("TYPE_NAME", types::name(field.data_type()));
    if let Some((precision, scale)) = types::precision_and_scale(field.data_type()) {
        say("PRECISION", precision.to_string());
        say("SCALE", scale.to_string());
    }
    say("IS_AUTO_INCREMENT", flag(false));
    say("IS_CASE_SENSITIVE", flag(types::is_text(field.data_type())));
    // The engine itself says when it accepted a row.
    let assigned = field.name() == barograph_lake::schema::INGESTED_AT;
    say("IS_READ_ONLY", flag(assigned || entry.schema != DEFAULT_SCHEMA));
    say("IS_SEARCHABLE", flag(true));
    about
}
