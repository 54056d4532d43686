//! The conformance of the Rust client: its column of `docs/flight-sql-conformance.md`, whose other columns the checks
//! of the other drivers fill.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetExportedKeys, CommandGetPrimaryKeys, CommandGetTables,
    CommandGetXdbcTypeInfo, SqlInfo,
};
use futures::stream;
use tonic::Code;

use super::{SqlClient, batch, connect, fetch, query, served, status, texts};
use crate::server::tests::Running;

const DRIVER: &str = "arrow-flight (Rust)";
const YES: &str = "yes";
const REFUSED: &str = "refused";

#[tokio::test]
async fn the_column_of_the_rust_client_says_what_happens() {
    let (server, mut client) = served().await;
    let mut cells = BTreeMap::new();
    statements(&mut client, &mut cells).await;
    bound(&server, &mut client, &mut cells).await;
    catalog(&mut client, &mut cells).await;
    refusals(&mut client, &mut cells).await;
    server.stop().await.unwrap();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flight-sql-conformance.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    let found = with_column(&committed, &cells);
    if std::env::var_os("BAROGRAPH_WRITE_DOCS").is_some() {
        std::fs::write(&path, found).unwrap();
    } else {
        assert!(found == committed, "{} is stale: set BAROGRAPH_WRITE_DOCS=1", path.display());
    }
}

/// The document with the cells of the Rust client in their place.
fn with_column(document: &str, cells: &BTreeMap<&str, &str>) -> String {
    let mut place = None;
    let mut left = cells.clone();
    let lines = document.lines().map(|line| {
        let mut row: Vec<_> = line.split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            return line.to_owned();
        }
        let Some(place) = place else {
            place = row.iter().position(|name| *name == DRIVER);
            return line.to_owned();
        };
        if row[1] == "---" {
            return line.to_owned();
        }
        row[place] = left.remove(row[1]).unwrap_or("–");
        format!("| {} |", row[1..row.len() - 1].join(" | "))
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    assert!(left.is_empty(), "the document has no such rows: {left:?}");
    text
}

async fn statements(client: &mut SqlClient, cells: &mut BTreeMap<&'static str, &'static str>) {
    let rows = query(client, "SELECT * FROM readings").await.unwrap();
    assert_eq!(rows.num_rows(), 12);
    cells.insert("Statement: rows of tail and lake together", YES);
    let rows = query(client, "SELECT * FROM readings WHERE false").await.unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (0, 5));
    cells.insert("Empty result with its columns", YES);
    let rows =
        query(client, "SELECT make_array(1), named_struct('a', 'x'), X'00', 1.5").await.unwrap();
    assert_eq!(rows.num_columns(), 4);
    cells.insert("Every type that SQL produces", YES);
    let wide: Vec<_> = (0..1_000).map(|i| format!("{i} AS c{i}")).collect();
    let rows = query(client, &format!("SELECT {}", wide.join(", "))).await.unwrap();
    assert_eq!(rows.column(999).as_primitive::<Int64Type>().value(0), 999);
    cells.insert("Wide result: 1,000 columns", YES);
    let rows = query(client, "SELECT value FROM generate_series(1, 200000) ORDER BY value").await;
    let rows = rows.unwrap();
    assert!(rows.column(0).as_primitive::<Int64Type>().values().iter().copied().eq(1..=200_000));
    cells.insert("Large result: 200,000 rows in many messages", YES);
}

async fn bound(
    server: &Running,
    client: &mut SqlClient,
    cells: &mut BTreeMap<&'static str, &'static str>,
) {
    let mut prepared = client.prepare("SELECT 7 AS n".to_owned(), None).await.unwrap();
    let info = prepared.execute().await.unwrap();
    assert_eq!(fetch(client, info).await.unwrap().num_rows(), 1);
    cells.insert("Prepared statement without parameters", YES);
    let text = "SELECT count(*) AS n FROM readings WHERE city_id = $1".to_owned();
    let mut prepared = client.prepare(text, None).await.unwrap();
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 1);
    cells.insert("Types of the parameters", YES);
    for (row, cities) in [
        ("Bound parameters, one row", vec![1]),
        ("Bound parameters, many rows: one execution each", vec![1, 9, 2]),
    ] {
        let values = Int32Array::from(cities.clone());
        let values = RecordBatch::try_from_iter([("1", Arc::new(values) as _)]).unwrap();
        prepared.set_parameters(values).unwrap();
        let info = prepared.execute().await.unwrap();
        let rows = fetch(client, info).await.unwrap();
        let expected: Vec<i64> = cities.iter().map(|city| if *city < 3 { 4 } else { 0 }).collect();
        assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), expected.as_slice());
        cells.insert(row, YES);
    }
    let info = client.execute("SELECT city_id FROM readings".to_owned(), None).await.unwrap();
    let mut other = connect(server).await;
    assert_eq!(fetch(&mut other, info).await.unwrap().num_rows(), 12);
    cells.insert("Partitions, fetched by other connections", YES);
    client.set_header("x-barograph-time-zone", "Asia/Tokyo");
    let zone = texts(&query(client, "SELECT arrow_typeof(now()) AS zone").await.unwrap(), "zone");
    assert!(zone[0].contains("Asia/Tokyo"));
    cells.insert("Time zone of a session", YES);
}

async fn catalog(client: &mut SqlClient, cells: &mut BTreeMap<&'static str, &'static str>) {
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(fetch(client, info).await.unwrap().num_rows(), 1);
    let info = client.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    assert!(fetch(client, info).await.unwrap().num_rows() >= 2);
    cells.insert("Catalogs, schemas, tables, columns", YES);
    let get = CommandGetTables { include_schema: true, ..Default::default() };
    let info = client.get_tables(get).await.unwrap();
    let rows = fetch(client, info).await.unwrap();
    assert!(texts(&rows, "table_name").contains(&"readings".to_owned()));
    cells.insert("Columns of a table", YES);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(fetch(client, info).await.unwrap().num_rows(), 2);
    cells.insert("Types of tables", YES);
    let get = CommandGetPrimaryKeys { table: "readings".to_owned(), ..Default::default() };
    let info = client.get_primary_keys(get).await.unwrap();
    assert_eq!(fetch(client, info).await.unwrap().num_rows(), 2);
    cells.insert("Primary keys", YES);
    let get = CommandGetExportedKeys { table: "readings".to_owned(), ..Default::default() };
    let info = client.get_exported_keys(get).await.unwrap();
    assert_eq!(fetch(client, info).await.unwrap().num_columns(), 13);
    cells.insert("Foreign keys: none, with the right columns", YES);
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName]).await.unwrap();
    assert_eq!(fetch(client, info).await.unwrap().num_rows(), 1);
    cells.insert("Server information (SqlInfo)", YES);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo::default()).await.unwrap();
    assert!(fetch(client, info).await.unwrap().num_rows() > 10);
    cells.insert("Type information for ODBC and JDBC (XDBC)", YES);
}

async fn refusals(client: &mut SqlClient, cells: &mut BTreeMap<&'static str, &'static str>) {
    let rows = stream::iter([Ok(batch([(7, 0, 1.0)]))]);
    assert_eq!(client.execute_ingest(super::ingest::append("readings"), rows).await.unwrap(), 1);
    cells.insert("Bulk ingest: append", YES);
    let rows = stream::iter([Ok(batch([(7, 0, 1.0)]))]);
    let create = client.execute_ingest(super::ingest::create("readings"), rows).await;
    assert_eq!(status(create).code(), Code::AlreadyExists);
    cells.insert("Bulk ingest: create and replace are refused", REFUSED);
    let wrong = status(query(client, "SELEC 1").await);
    assert_eq!(wrong.metadata().get("sqlstate").unwrap(), "42000");
    cells.insert("Syntax error: kind, SQLSTATE 42000", YES);
    let missing = status(query(client, "SELECT * FROM reedings").await);
    assert!(missing.message().contains("readings"), "{missing}");
    cells.insert("Missing table: the nearest name", YES);
    let begun = status(client.begin_transaction().await);
    assert_eq!(begun.code(), Code::Unimplemented);
    cells.insert("Transactions are refused", REFUSED);
    let update = client.execute_update("DELETE FROM readings".to_owned(), None).await;
    assert!(status(update).message().contains("only reads"));
    cells.insert("Statements that write are refused", REFUSED);
    client.set_header("x-barograph-timeout", "50ms");
    let slow = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    assert_eq!(status(query(client, slow).await).code(), Code::DeadlineExceeded);
    cells.insert("Timeout of a statement", YES);
}
