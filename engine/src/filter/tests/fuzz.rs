//! Fuzz target of filters: any text is refused, or selects rows, and says itself what it selects.

use barograph_fuzz::Target;

use super::super::*;
use super::model::{Row, Value, all_columns, batch, schema};

/// Of a hostile text; a worker's stack is four times as large.
const BOUNDS: FilterBounds = FilterBounds { depth: 64, operators: 2_000 };

#[test]
fn fuzz_filters() {
    let (table, mut row) = (schema(), vec![Value::Null; all_columns().len()]);
    (row[0], row[1], row[10]) = (Value::Whole(1), Value::Whole(0), Value::Whole(0));
    let rows: Vec<Row> = vec![row.clone(), row];
    let rows = batch(&rows);
    let seeds = [
        "small > 10.5 AND NOT single IN (0.1, 'NaN', 1e300)",
        "reading_at BETWEEN '2026-11-22T10:00:00Z' AND '2026-11-23' OR word IS NOT NULL",
        "(small <> 1 OR wide = -9223372036854775808) AND \"interval\" <= 0x7f",
        "city_id NOT IN (1, 2, 3) AND word = 'it''s' AND single = double",
        "- - + 1 < small IS TRUE -- a comment\n AND /* another */ TRUE",
    ];
    let tokens = [
        " AND ",
        " OR ",
        "NOT ",
        " IN (",
        " IS NULL",
        " BETWEEN ",
        "(",
        ")",
        "'",
        "''",
        "\"",
        "--",
        "/*",
        "*/",
        "$1",
        "::int",
        " LIKE '%'",
        "CASE WHEN ",
        "interval '1 day'",
        "1e999",
        "0x",
        "NaN",
        "city_id",
        "reading_at",
        "word",
        "single",
        "NULL",
        "TRUE",
        "\u{0}",
        "é",
    ];
    let target = Target::new("filters", 15_000).seeds(seeds).tokens(tokens).bytes_max(4 << 10);
    target.memory(16 << 20, 1_024).run(|input| {
        let text = String::from_utf8_lossy(input);
        let predicate = Predicate::parse_within(&text, &table, BOUNDS);
        // What is wrong with it, without the filter itself.
        let predicate = predicate.map_err(|error| match error.to_string().rsplit_once("`: ") {
            Some((_, what)) => what.to_owned(),
            None => error.to_string(),
        })?;
        let selected = predicate.select(&rows, &all_columns()).unwrap();
        let said = predicate.to_string();
        let again =
            Predicate::parse(&said, &table).unwrap_or_else(|e| panic!("{text} as {said}: {e}"));
        assert_eq!(again.select(&rows, &all_columns()).unwrap(), selected, "{text} as {said}");
        Ok(())
    });
}
