//! Fuzz targets of SQL: statements, prepared and run over a few rows, and expressions of mappings.

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use barograph_engine::expression::Expressions;
use barograph_fuzz::Target;

use super::*;
use crate::SqlExpressions;

const TOKENS: [&str; 60] = [
    "SELECT ",
    " FROM readings",
    " WHERE ",
    " GROUP BY ",
    " ORDER BY ",
    " HAVING ",
    " LIMIT 1",
    " OFFSET 1",
    " UNION ALL ",
    " EXCEPT ",
    "WITH t AS (",
    ") ",
    "(",
    ", ",
    " JOIN cities c USING (city_id)",
    " LEFT JOIN ",
    " ON true",
    " OVER (PARTITION BY city_id ORDER BY reading_at)",
    " CASE WHEN ",
    " THEN ",
    " ELSE ",
    " END",
    "CAST(",
    " AS INT)",
    "::text",
    "::timestamp",
    " IN (SELECT ",
    " EXISTS (SELECT 1",
    " NOT ",
    " IS NULL",
    "NULL",
    "count(*)",
    "sum(",
    "avg(temperature)",
    "first_value(",
    "date_bin(interval '1 hour', reading_at)",
    "now()",
    "interval '1 month'",
    "timestamp '2026-01-01'",
    "latest('readings')",
    "live('readings')",
    "system.queries",
    "as_of('readings', 1)",
    "gap_fill(",
    "locf(",
    "wind_direction",
    "$1",
    "'",
    "''",
    "\"",
    "--",
    "/*",
    "*/",
    "\u{0}",
    "é",
    "9223372036854775808",
    "-0.0",
    "1e308",
    "EXPLAIN ",
    "substr('",
];

const STATEMENTS: [&str; 12] = [
    "SELECT city_id, count(*), avg(temperature) AS t FROM readings WHERE reading_at >= '2026-01-01T00:10:00Z' GROUP BY 1 ORDER BY t DESC LIMIT 3",
    "SELECT name, temperature FROM readings JOIN cities USING (city_id) WHERE humidity BETWEEN 1 AND 99 OR note LIKE 'a%'",
    "SELECT date_bin(interval '10 minutes', reading_at) AS at, max(pressure) - min(pressure) FROM readings GROUP BY 1",
    "WITH t AS (SELECT city_id, temperature * 1.8 + 32 AS f FROM readings) SELECT * FROM t WHERE f > (SELECT avg(f) FROM t)",
    "SELECT city_id, reading_at, lag(temperature) OVER (PARTITION BY city_id ORDER BY reading_at) FROM readings",
    "SELECT r.city_id FROM readings r WHERE EXISTS (SELECT 1 FROM cities c WHERE c.city_id = r.city_id AND c.latitude > 0)",
    "SELECT CASE WHEN note IS NULL THEN 'none' ELSE upper(note) END, wind_direction % 90, round(pressure, 1) FROM readings",
    "SELECT * FROM latest('readings') UNION ALL SELECT * FROM readings WHERE false",
    "SELECT dew_point(temperature, humidity), direction_mean(wind_direction) FROM readings GROUP BY 1",
    "EXPLAIN SELECT DISTINCT city_id FROM readings WHERE city_id IN (1, 2, NULL) AND temperature IS DISTINCT FROM 0.0",
    "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL",
    "SELECT substr(note, 2), note || 'x', to_timestamp(flashes), seen_at - interval '1 day', [1, 2][1], {a: 1} FROM readings",
];

#[test]
fn fuzz_sql() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Bounds that a few rows do not reach, and a statement without sense does.
    let settings = SqlSettings {
        threads: 1,
        memory_bytes_max: Size::mebibytes(64),
        value_bytes_max: Size::bytes(1 << 20),
        timeout: Span::seconds(20),
        depth_max: 200,
        nodes_max: 20_000,
        ..SqlSettings::default()
    };
    let fixture = runtime.block_on(async {
        let mut fixture = Fixture::empty(settings).await;
        let mut random = SmallRng::seed_from_u64(7);
        let rows = (0..5).map(|minute| {
            let at = START + minute * MINUTE;
            ((minute as i32 % 3, at), row(&mut random, at))
        });
        let rows: Vec<_> = rows.collect();
        fixture.put(rows).await;
        fixture
    });
    let target = Target::new("sql", 600).seeds(STATEMENTS).tokens(TOKENS).bytes_max(2 << 10);
    target.memory(64 << 20, 64 << 10).run(|input| {
        let text = String::from_utf8_lossy(input);
        let answer = runtime.block_on(fixture.try_ask(&text, &[]));
        answer.map(drop).map_err(|error| {
            let message = error.to_string();
            assert!(!message.contains("panic"), "{text}\n{message}");
            message
        })
    });
}

#[test]
fn fuzz_sql_expressions() {
    let seeds = [
        "(temp - 32) / 1.8",
        "sqrt(u * u + v * v)",
        "CASE WHEN flag = 'E' THEN NULL ELSE a END",
        "coalesce(a, b, 0)",
        "date_trunc('hour', a::timestamp)",
        "a::int % 7 + -b",
        "upper(\"Wind Speed\") || 'é'",
        "a IN ('1', '2') OR b BETWEEN 1 AND 2",
        "round(a::double, 2)",
        "regexp_like(a, '^(a+)+$')",
    ];
    let target = Target::new("sql-expressions", 2_000).seeds(seeds).tokens(TOKENS).bytes_max(512);
    target.memory(32 << 20, 32 << 10).run(|input| {
        let text = String::from_utf8_lossy(input);
        let texts = |_: &str| Some(DataType::Utf8);
        let expression =
            SqlExpressions.compile(&text, &texts).map_err(|error| error.to_string())?;
        let column = StringArray::from(vec![Some("1.5"), Some(""), Some("x"), None]);
        let inputs = expression.inputs().iter().map(|input| {
            arrow::compute::cast(&column, &input.data_type).map_err(|error| error.to_string())
        });
        let inputs = inputs.collect::<std::result::Result<Vec<_>, _>>()?;
        let made = expression.evaluate(inputs, 4, &mut |_, reason| assert!(!reason.is_empty()));
        let made = made.map_err(|error| error.to_string())?;
        assert_eq!(made.len(), 4);
        Ok(())
    });
}
