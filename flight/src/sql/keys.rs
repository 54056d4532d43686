//! The keys of tables. The primary key is the key and time column; no table refers to another by a declared foreign
//! key.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::CommandGetPrimaryKeys;
use barograph_query::TableEntry;

use crate::Result;

/// The columns of the primary keys that are asked for.
pub(super) fn primary(get: &CommandGetPrimaryKeys, entries: &[TableEntry]) -> Result<RecordBatch> {
    let is =
        |asked: &Option<String>, name: &str| asked.as_deref().is_none_or(|asked| asked == name);
    let mut wanted: Vec<_> = entries
        .iter()
        .filter(|entry| entry.name == get.table)
        .filter(|entry| is(&get.catalog, &entry.catalog) && is(&get.db_schema, &entry.schema))
        .collect();
    wanted.sort_by_key(|entry| (&entry.catalog, &entry.schema, &entry.name));
    let columns: Vec<_> = wanted
        .into_iter()
        .flat_map(|entry| entry.primary_key.iter().zip(1..).map(move |key| (entry, key)))
        .collect();
    let texts = |text: fn(&TableEntry) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(columns.iter().map(|(entry, _)| text(entry))))
    };
    let names = columns.iter().map(|(_, (column, _))| column.as_str());
    let keys = columns.iter().map(|(entry, _)| format!("{}_pkey", entry.name));
    Ok(RecordBatch::try_new(
        primary_schema(),
        vec![
            texts(|entry| &entry.catalog),
            texts(|entry| &entry.schema),
            texts(|entry| &entry.name),
            Arc::new(StringArray::from_iter_values(names)),
            Arc::new(StringArray::from_iter_values(keys)),
            Arc::new(columns.iter().map(|(_, (_, sequence))| *sequence).collect::<Int32Array>()),
        ],
    )?)
}

/// The foreign keys: none.
pub(super) fn foreign() -> RecordBatch {
    RecordBatch::new_empty(foreign_schema())
}

fn primary_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

fn foreign_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}
