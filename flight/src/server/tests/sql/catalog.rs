//! Tests of the catalog: it lists what is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Schema};
use arrow_flight::IpcMessage;
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
};
use bytes::Bytes;

use super::{SqlClient, fetch, query, served, texts};

async fn tables(client: &mut SqlClient, get: CommandGetTables) -> RecordBatch {
    let info = client.get_tables(get).await.unwrap();
    let rows = fetch(client, info.clone()).await.unwrap();
    assert_eq!(info.total_records, rows.num_rows() as i64);
    rows
}

#[tokio::test]
async fn catalogs_schemas_and_types() {
    let (server, mut client) = served().await;
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "catalog_name"), ["barograph"]);
    for (catalog, pattern, expected) in [
        (None, None, &["public", "system"][..]),
        (Some("barograph"), Some("pub%"), &["public"]),
        (Some("barograph"), Some("s_stem"), &["system"]),
        (Some(""), None, &[]),
        (Some("other"), None, &[]),
        (None, Some("x%"), &[]),
    ] {
        let get = CommandGetDbSchemas {
            catalog: catalog.map(str::to_owned),
            db_schema_filter_pattern: pattern.map(str::to_owned),
        };
        let info = client.get_db_schemas(get).await.unwrap();
        let rows = fetch(&mut client, info).await.unwrap();
        assert_eq!(texts(&rows, "db_schema_name"), expected, "{catalog:?} {pattern:?}");
    }
    let info = client.get_table_types().await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&rows, "table_type"), ["SYSTEM TABLE", "TABLE"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn tables_are_found_by_patterns_and_types() {
    let (server, mut client) = served().await;
    let get = |schema: Option<&str>, table: Option<&str>, types: &[&str]| CommandGetTables {
        catalog: None,
        db_schema_filter_pattern: schema.map(str::to_owned),
        table_name_filter_pattern: table.map(str::to_owned),
        table_types: types.iter().map(|&kind| kind.to_owned()).collect(),
        include_schema: false,
    };
    let rows = tables(&mut client, get(Some("public"), None, &[])).await;
    assert_eq!(texts(&rows, "table_name"), ["dead_letters", "readings"]);
    assert_eq!(texts(&rows, "table_type"), ["TABLE", "TABLE"]);
    assert_eq!(rows.num_columns(), 4);
    let rows = tables(&mut client, get(None, Some("read%"), &["TABLE"])).await;
    assert_eq!(texts(&rows, "table_name"), ["readings"]);
    let rows = tables(&mut client, get(None, Some("dead\\_letters"), &[])).await;
    assert_eq!(texts(&rows, "table_name"), ["dead_letters"]);
    let rows = tables(&mut client, get(None, None, &["VIEW"])).await;
    assert_eq!(rows.num_rows(), 0);
    let rows = tables(&mut client, get(None, None, &["SYSTEM TABLE"])).await;
    assert!(texts(&rows, "db_schema_name").iter().all(|schema| schema == "system"));
    assert!(texts(&rows, "table_name").contains(&"queries".to_owned()));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_table_that_is_listed_can_be_selected_with_the_columns_it_is_said_to_have() {
    let (server, mut client) = served().await;
    let get = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let rows = tables(&mut client, get).await;
    let schemas = rows.column_by_name("table_schema").unwrap().as_binary::<i32>();
    let names = texts(&rows, "db_schema_name").into_iter().zip(texts(&rows, "table_name"));
    let mut seen = 0;
    for ((schema, table), columns) in names.zip(schemas.iter().flatten()) {
        let said = Schema::try_from(IpcMessage(Bytes::copy_from_slice(columns))).unwrap();
        let text = format!("SELECT * FROM barograph.{schema}.{table} LIMIT 1");
        let answer = query(&mut client, &text).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let pairs = |schema: &Schema| -> Vec<_> {
            schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
        };
        assert_eq!(pairs(&answer.schema()), pairs(&said), "{table}");
        let about = said.field(0).metadata();
        assert_eq!(about["ARROW:FLIGHT:SQL:TABLE_NAME"], table);
        seen += 1;
    }
    assert!(seen >= 3, "{seen} tables");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_table_has_its_key_and_time_as_primary_key_and_no_foreign_keys() {
    let (server, mut client) = served().await;
    let get = |schema: Option<&str>, table: &str| CommandGetPrimaryKeys {
        catalog: None,
        db_schema: schema.map(str::to_owned),
        table: table.to_owned(),
    };
    let info = client.get_primary_keys(get(Some("public"), "readings")).await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!(texts(&rows, "column_name"), ["city_id", "reading_at"]);
    assert_eq!(texts(&rows, "key_name"), ["readings_pkey", "readings_pkey"]);
    assert_eq!(rows.column(5).as_primitive::<Int32Type>().values(), &[1, 2]);
    for other in [get(Some("system"), "readings"), get(None, "nothing")] {
        let info = client.get_primary_keys(other).await.unwrap();
        assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 0);
    }
    let table = || "readings".to_owned();
    let exported = CommandGetExportedKeys { catalog: None, db_schema: None, table: table() };
    let imported = CommandGetImportedKeys { catalog: None, db_schema: None, table: table() };
    let cross =
        CommandGetCrossReference { pk_table: table(), fk_table: table(), ..Default::default() };
    let infos = [
        client.get_exported_keys(exported).await.unwrap(),
        client.get_imported_keys(imported).await.unwrap(),
        client.get_cross_reference(cross).await.unwrap(),
    ];
    for info in infos {
        let rows = fetch(&mut client, info).await.unwrap();
        assert_eq!((rows.num_rows(), rows.num_columns()), (0, 13));
        assert_eq!(rows.schema().field(11).name(), "update_rule");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_type_that_is_said_to_be_there_can_be_named_and_its_literals_written() {
    let (server, mut client) = served().await;
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    let kinds = rows.column_by_name("data_type").unwrap().as_primitive::<Int32Type>();
    assert!(kinds.values().is_sorted());
    let (prefixes, names) = (texts(&rows, "literal_prefix"), texts(&rows, "type_name"));
    assert!(names.len() >= 15, "{names:?}");
    for (name, prefix) in names.iter().zip(&prefixes) {
        let value = match (prefix.as_str(), name.as_str()) {
            ("null", "BOOLEAN") => "true".to_owned(),
            ("null", _) => "1".to_owned(),
            ("X'", _) => "X'00ff'".to_owned(),
            (prefix, "DATE") => format!("{prefix}2026-01-01'"),
            (prefix, "TIME") => format!("{prefix}12:00:00.123456789'"),
            (prefix, "TIMESTAMP") => format!("{prefix}2026-01-01 12:00:00.123456789'"),
            (prefix, "INTERVAL") => format!("{prefix}1 day'"),
            (prefix, _) => format!("{prefix}text'"),
        };
        let text = format!("SELECT CAST({value} AS {name}) AS v, CAST(NULL AS {name}) AS n");
        let answer = query(&mut client, &text).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(answer.column(0).is_valid(0), "{text}");
    }
    let only = CommandGetXdbcTypeInfo { data_type: Some(12) };
    let info = client.get_xdbc_type_info(only).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "type_name"), ["VARCHAR"]);
    server.stop().await.unwrap();
}
