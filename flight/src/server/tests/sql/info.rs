//! Tests of SqlInfo: what it says is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type};
use arrow_flight::sql::{SqlInfo, SqlSupportsConvert};

use super::{SqlClient, fetch, query, served, texts};

async fn infos(client: &mut SqlClient, asked: Vec<SqlInfo>) -> BTreeMap<u32, ArrayRef> {
    let info = client.get_sql_info(asked).await.unwrap();
    let rows = fetch(client, info).await.unwrap();
    let names = rows.column(0).as_primitive::<UInt32Type>();
    let values = rows.column(1).as_union();
    names.values().iter().enumerate().map(|(row, name)| (*name, values.value(row))).collect()
}

/// Whether the server says yes.
fn yes(infos: &BTreeMap<u32, ArrayRef>, of: SqlInfo) -> bool {
    infos[&(of as u32)].as_boolean().value(0)
}

fn list(infos: &BTreeMap<u32, ArrayRef>, of: SqlInfo) -> Vec<String> {
    let values = infos[&(of as u32)].as_list::<i32>().value(0);
    values.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

#[tokio::test]
async fn every_question_of_the_protocol_has_an_answer() {
    let (server, mut client) = served().await;
    let infos = infos(&mut client, Vec::new()).await;
    // Versions of Substrait are said by those that read it.
    let without =
        [SqlInfo::FlightSqlServerSubstraitMinVersion, SqlInfo::FlightSqlServerSubstraitMaxVersion];
    for number in (0..=11).chain(100..=101).chain(500..=576) {
        let name = SqlInfo::try_from(number).unwrap();
        assert_eq!(
            infos.contains_key(&(number as u32)),
            !without.contains(&name),
            "{}",
            name.as_str_name()
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn one_answer_can_be_asked_for() {
    let (server, mut client) = served().await;
    let one = infos(&mut client, vec![SqlInfo::FlightSqlServerName]).await;
    assert_eq!(one.len(), 1);
    assert_eq!(one[&0].as_string::<i32>().value(0), "barograph");
    let infos = infos(&mut client, Vec::new()).await;
    assert_eq!(infos[&8].as_primitive::<Int32Type>().value(0), 0);
    assert!(!yes(&infos, SqlInfo::SqlTransactionsSupported));
    assert!(yes(&infos, SqlInfo::FlightSqlServerBulkIngestion));
    assert!(infos[&557].as_primitive::<Int64Type>().value(0) > 100_000);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn functions_that_are_listed_are_there() {
    let (server, mut client) = served().await;
    let infos = infos(&mut client, Vec::new()).await;
    let rows = query(&mut client, "SELECT DISTINCT routine_name FROM information_schema.routines");
    let routines = texts(&rows.await.unwrap(), "routine_name");
    for of in [
        SqlInfo::SqlNumericFunctions,
        SqlInfo::SqlStringFunctions,
        SqlInfo::SqlSystemFunctions,
        SqlInfo::SqlDatetimeFunctions,
    ] {
        let listed = list(&infos, of);
        let missing: Vec<_> = listed.iter().filter(|name| !routines.contains(name)).collect();
        assert!(!listed.is_empty() && missing.is_empty(), "{}: {missing:?}", of.as_str_name());
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn conversions_that_are_listed_work_and_others_do_not() {
    let (server, mut client) = served().await;
    let infos = infos(&mut client, Vec::new()).await;
    let map = infos[&(SqlInfo::SqlSupportsConvert as u32)].as_map().value(0);
    let from = map.column(0).as_primitive::<Int32Type>();
    let into = map.column(1).as_list::<i32>();
    let types = [
        (SqlSupportsConvert::SqlConvertBigint, "BIGINT"),
        (SqlSupportsConvert::SqlConvertBit, "BOOLEAN"),
        (SqlSupportsConvert::SqlConvertDate, "DATE"),
        (SqlSupportsConvert::SqlConvertDecimal, "DECIMAL(38, 10)"),
        (SqlSupportsConvert::SqlConvertReal, "REAL"),
        (SqlSupportsConvert::SqlConvertTime, "TIME"),
        (SqlSupportsConvert::SqlConvertTimestamp, "TIMESTAMP"),
        (SqlSupportsConvert::SqlConvertVarbinary, "BYTEA"),
        (SqlSupportsConvert::SqlConvertVarchar, "VARCHAR"),
    ];
    for (a, a_name) in types {
        let row = from.values().iter().position(|name| *name == a as i32).unwrap();
        let listed = into.value(row);
        for (b, b_name) in types {
            let said = listed.as_primitive::<Int32Type>().values().contains(&(b as i32));
            let text = format!("SELECT CAST(CAST(NULL AS {a_name}) AS {b_name})");
            assert_eq!(query(&mut client, &text).await.is_ok(), said, "{text}");
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_said_to_work_works() {
    let (server, mut client) = served().await;
    let infos = infos(&mut client, Vec::new()).await;
    for (of, text) in [
        (SqlInfo::SqlSupportsColumnAliasing, "SELECT city_id AS c FROM readings"),
        (SqlInfo::SqlSupportsTableCorrelationNames, "SELECT r.city_id FROM readings AS r"),
        (
            SqlInfo::SqlSupportsExpressionsInOrderBy,
            "SELECT city_id FROM readings ORDER BY -city_id",
        ),
        (SqlInfo::SqlSupportsOrderByUnrelated, "SELECT city_id FROM readings ORDER BY temperature"),
        (
            SqlInfo::SqlCorrelatedSubqueriesSupported,
            "SELECT city_id FROM readings a WHERE temperature >= \
             (SELECT max(temperature) FROM readings b WHERE b.city_id = a.city_id)",
        ),
        (SqlInfo::SqlSupportsLikeEscapeClause, "SELECT 'a_c' LIKE 'a!_c' ESCAPE '!'"),
        (SqlInfo::SqlDdlTable, "CREATE TABLE t (a INT)"),
        (SqlInfo::SqlDdlSchema, "CREATE SCHEMA s"),
    ] {
        let works = query(&mut client, text).await;
        assert_eq!(works.is_ok(), yes(&infos, of), "{text}: {works:?}");
    }
    let masked = |of: SqlInfo| infos[&(of as u32)].as_primitive::<Int32Type>().value(0);
    for (of, bit, text) in [
        (SqlInfo::SqlSupportedSubqueries, 0, "SELECT 1 WHERE 1 = (SELECT 1)"),
        (SqlInfo::SqlSupportedSubqueries, 1, "SELECT 1 WHERE EXISTS (SELECT 1)"),
        (SqlInfo::SqlSupportedSubqueries, 2, "SELECT 1 WHERE 1 IN (SELECT 1)"),
        (SqlInfo::SqlSupportedSubqueries, 3, "SELECT 1 WHERE 1 >= ALL (SELECT 1)"),
        (SqlInfo::SqlSupportedUnions, 0, "SELECT 1 UNION SELECT 2"),
        (SqlInfo::SqlSupportedUnions, 1, "SELECT 1 UNION ALL SELECT 2"),
        (SqlInfo::SqlSupportedGroupBy, 0, "SELECT count(*) FROM readings GROUP BY city_id"),
        (
            SqlInfo::SqlSupportedGroupBy,
            1,
            "SELECT city_id FROM readings GROUP BY city_id, reading_at",
        ),
    ] {
        let works = query(&mut client, text).await;
        assert_eq!(works.is_ok(), masked(of) & (1 << bit) != 0, "{text}: {works:?}");
    }
    let full =
        query(&mut client, "SELECT 1 FROM readings a FULL OUTER JOIN readings b USING (city_id)");
    assert_eq!((full.await.is_ok(), masked(SqlInfo::SqlOuterJoinsSupportLevel)), (true, 2));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn names_and_nulls_are_as_said() {
    let (server, mut client) = served().await;
    let infos = infos(&mut client, Vec::new()).await;
    let ordinal = |of: SqlInfo| infos[&(of as u32)].as_primitive::<Int32Type>().value(0);
    // Lower case, and as written in quotes.
    assert_eq!(
        (ordinal(SqlInfo::SqlIdentifierCase), ordinal(SqlInfo::SqlQuotedIdentifierCase)),
        (3, 0)
    );
    let answer = query(&mut client, "SELECT CITY_ID, 1 AS \"Quoted\" FROM Readings LIMIT 1").await;
    let names: Vec<_> =
        answer.unwrap().schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["city_id", "Quoted"]);
    assert!(query(&mut client, "SELECT \"CITY_ID\" FROM readings").await.is_err());
    // Nulls are high.
    assert_eq!(ordinal(SqlInfo::SqlNullOrdering), 0);
    for (order, null_at) in [("ASC", 1), ("DESC", 0)] {
        let text = format!("SELECT column1 FROM (VALUES (1), (NULL)) ORDER BY column1 {order}");
        assert!(query(&mut client, &text).await.unwrap().column(0).is_null(null_at), "{order}");
    }
    assert!(yes(&infos, SqlInfo::SqlNullPlusNullIsNull));
    let joined = query(&mut client, "SELECT 'a' || NULL AS t").await.unwrap();
    assert_eq!(joined.column(0).logical_null_count(), 1);
    server.stop().await.unwrap();
}
