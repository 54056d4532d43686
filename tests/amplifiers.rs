//! Tests of amplifying statements: a statement that makes large values of small ones leaves the server within the sum
//! of its memory bounds. Each ends with an answer or an error, none with the server.

use barograph_flight::Client;

use crate::server::{Server, peak_mib};

/// Memory of queries, in MiB.
const QUERIES: u64 = 128;
/// The settings that make up the sum, in MiB.
const SETTINGS: [(&str, &str); 5] = [
    ("BAROGRAPH_SQL__MEMORY_BYTES_MAX", "128MiB"),
    ("BAROGRAPH_ENGINE__TAIL_BYTES_MAX", "32MiB"),
    ("BAROGRAPH_ENGINE__FILE_CACHE_BYTES", "16MiB"),
    ("BAROGRAPH_ENGINE__PAGE_CACHE_BYTES", "0B"),
    ("BAROGRAPH_ENGINE__SCAN_BYTES_MAX", "32MiB"),
];
/// A table of groups takes twice its memory for the moment in which it grows.
const SUM: u64 = 2 * QUERIES + 32 + 16 + 32;
/// The program, its threads, batches on their way, and freed memory that the allocator keeps.
const BESIDE: u64 = 300;

/// Those that are answered make more than may be taken, and little more, as each byte costs time.
const STATEMENTS: &[&str] = &[
    "SELECT length(repeat('x', 2000000000))",
    "SELECT sum(length(repeat('x', 300000 + value % 2))) FROM generate_series(1, 20000)",
    "SELECT sum(length(lpad('x', 400000 + value % 2, 'ab'))) FROM generate_series(1, 20000)",
    "SELECT sum(length(rpad('x', 400000 + value % 2, 'ab'))) FROM generate_series(1, 20000)",
    "SELECT sum(array_length(range(0, 100000 + value % 2))) FROM generate_series(1, 8192)",
    "SELECT array_length(generate_series(1, 400000000))",
    "SELECT sum(array_length(array_repeat(value, 100000))) FROM generate_series(1, 8192)",
    "SELECT sum(array_length(array_resize([value], 100000, 7))) FROM generate_series(1, 8192)",
    "SELECT sum(length(replace(repeat('a', 1000 + value % 2), 'a', repeat('b', 500)))) FROM generate_series(1, 8192)",
    "SELECT sum(length(regexp_replace(repeat('a', 1000 + value % 2), 'a', repeat('b', 500), 'g'))) FROM generate_series(1, 8192)",
    "SELECT sum(length(concat(repeat('x', 1000000), value))) FROM generate_series(1, 768)",
    "SELECT sum(length(concat_ws(repeat('x', 1000000), value, value))) FROM generate_series(1, 768)",
    "SELECT sum(length(repeat('x', 1000000) || value)) FROM generate_series(1, 768)",
    "SELECT sum(array_length(string_to_array(repeat('x,', 100000 + value % 2), ','))) FROM generate_series(1, 4096)",
    "SELECT sum(length(array_to_string(range(0, 1000 + value % 2), repeat('x', 1000)))) FROM generate_series(1, 8192)",
    "SELECT array_length(array_agg(repeat('x', 1000) || value)) FROM generate_series(1, 2000000)",
    "SELECT length(string_agg(repeat('x', 1000) || value, ',')) FROM generate_series(1, 2000000)",
    "SELECT count(a), count(b) FROM (SELECT unnest(range(0, 100000000)) a, repeat('x', 1000000) b)",
    "SELECT count(a), sum(length(b)) FROM (SELECT unnest(range(0, 10000)) a, repeat('x', 100000) b)",
    "SELECT sum(length(b)), max(a) FROM (SELECT unnest(range(0, 10000)) a, b FROM (SELECT repeat('x', 1000000 + value) b FROM generate_series(1,2)))",
    "SELECT max(b) FROM (SELECT repeat('x', 1000000) b, value FROM generate_series(1, 2048)) WHERE value % 3 = 1",
    "SELECT repeat('x', 1000000) b, value FROM generate_series(1, 768)",
    "SELECT sum(length(CASE WHEN value % 2 = 0 THEN repeat('x', 1000000) ELSE repeat('y', 1000000) END)) FROM generate_series(1, 2048)",
    "SELECT sum(length(a) + value) FROM (SELECT repeat('x', 1000000 + value) a FROM generate_series(1,1)), generate_series(1, 2048)",
    "SELECT sum(length(a)) FROM (SELECT first_value(x) OVER (ORDER BY value) a FROM (SELECT value, CASE WHEN value = 1 THEN repeat('x', 1000000 + value) ELSE '' END x FROM generate_series(1, 2048)))",
    "SELECT sum(length(make_array(repeat('x', 1000000), value::text)[1])) FROM generate_series(1, 768)",
    "SELECT sum(array_length(flatten(array_repeat(array_repeat(value, 1000), 1000)))) FROM generate_series(1, 100)",
    "SELECT sum(array_length(array_concat(range(0,100000), range(0, 100000 + value % 2)))) FROM generate_series(1, 8192)",
    "SELECT sum(length(translate(repeat('a', 100000 + value % 2), 'a', '😀'))) FROM generate_series(1, 8192)",
    "SELECT count(greatest(repeat('x', 1000000), value::text)) FROM generate_series(1, 768)",
    "SELECT sum(length(left(repeat('x', 1000000), value + 500000))) FROM generate_series(1, 1536)",
    "SELECT sum(length(encode(repeat('x', 1000000 + value % 2)::bytea, 'hex'))) FROM generate_series(1, 4096)",
    "WITH RECURSIVE t AS (SELECT 'x' AS a, 1 AS n UNION ALL SELECT a || a, n + 1 FROM t WHERE n < 34) SELECT max(length(a)) FROM t",
    "SELECT a FROM (SELECT repeat('x', 100000 + value % 2) a, value FROM generate_series(1, 20000)) ORDER BY value DESC LIMIT 1",
    "SELECT count(*) FROM (SELECT a FROM (SELECT repeat('x', 100000 + value) a FROM generate_series(1, 4000)) GROUP BY a)",
    "SELECT count(DISTINCT repeat('x', 100000 + value)) FROM generate_series(1, 2500)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_much_of_little_stays_within_the_sum_of_the_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(&[], folder.path(), &SETTINGS);
    let client = Client::connect(&server.url()).await.unwrap();
    let mut peak = 0;
    for text in STATEMENTS {
        let answer = match client.sql(text).await {
            Ok(answer) => answer.collect().await.map(|rows| rows.num_rows()),
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            let error = error.to_string();
            let bounds = ["sql.value_bytes_max", "sql.memory_bytes_max", "sql.spill_bytes_max"];
            assert!(bounds.iter().any(|bound| error.contains(bound)), "{text}: {error}");
        }
        let taken = peak_mib(server.pid()).unwrap_or_default();
        eprintln!("{taken} MiB (+{}) {text}: {}", taken - peak, answer.is_ok());
        peak = taken;
        assert!(peak <= SUM + BESIDE, "{text}: {peak} MiB of {SUM} and {BESIDE}");
        let one = client.sql("SELECT 1").await.unwrap().collect().await.unwrap();
        assert_eq!(one.num_rows(), 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_takes_no_query_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let full = [("BAROGRAPH_SQL__SERVER_BYTES_MAX", "1MiB")];
    let server = Server::start_with(&[], folder.path(), &full);
    let client = Client::connect(&server.url()).await.unwrap();
    let refused = match client.sql("SELECT 1").await {
        Ok(answer) => answer.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.to_string().contains("sql.server_bytes_max"), "{refused}");
    client.flush().await.unwrap();
}
