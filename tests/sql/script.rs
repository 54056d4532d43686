//! Do the SQL scripts hold? A reader and runner of sqllogictest's format, as far as the scripts use it.
//!
//! ```text
//! statement ok                 the statement runs
//! statement error SOME WORDS   it fails, and its message holds the words
//! query IRT [rowsort]          it gives the rows after ----, in order or sorted as text; the letters
//!                              are the columns: I whole, R float, T text, B boolean, P time
//! ```
//!
//! The crate of that name would turn on features of shared crates (`md-5/std`, below `object_store`), and
//! with them build everything twice.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;

enum Expect {
    Success,
    Failure(String),
    Rows { columns: String, sorted: bool, rows: Vec<String> },
}

struct Record {
    line: usize,
    sql: String,
    expect: Expect,
}

fn parse(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut block = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| !line.trim_end().is_empty()) {
            block.push(line.trim_end().to_owned());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let expect = match words.as_slice() {
            ["statement", "ok"] => Expect::Success,
            ["statement", "error", ..] => {
                let (_, words) = line.split_once("error ").expect("words of an error");
                Expect::Failure(words.to_owned())
            }
            ["query", columns, mode @ ..] => {
                let rule = block.iter().position(|l| l == "----");
                let rule = rule.unwrap_or_else(|| panic!("line {}: no ----", number + 1));
                let rows = block.split_off(rule).split_off(1);
                block.truncate(rule);
                let sorted = mode == ["rowsort"];
                Expect::Rows { columns: (*columns).to_owned(), sorted, rows }
            }
            other => panic!("line {}: {other:?}", number + 1),
        };
        records.push(Record { line: number + 1, sql: block.join("\n"), expect });
    }
    records
}

async fn answer(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let frame = context.sql(sql).await.map_err(|e| e.to_string())?;
    let schema = frame.schema().as_arrow().clone();
    let mut batches = frame.collect().await.map_err(|e| e.to_string())?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema.into()));
    }
    Ok(batches)
}

fn letter(data_type: &DataType) -> char {
    match data_type {
        t if t.is_integer() => 'I',
        t if t.is_floating() => 'R',
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => 'T',
        DataType::Boolean => 'B',
        DataType::Timestamp(_, _) => 'P',
        _ => '?',
    }
}

fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c, &options).expect("a column as text"))
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            rows.push(values.join(" "));
        }
    }
    rows
}

/// Runs every record of `text`; returns what does not hold.
pub async fn run(context: &SessionContext, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for Record { line, sql, expect } in parse(text) {
        let got = answer(context, &sql).await;
        let complaint = match (expect, got) {
            (Expect::Success, Ok(_)) => None,
            (Expect::Success, Err(e)) => Some(e),
            (Expect::Failure(words), Err(e)) if e.contains(&words) => None,
            (Expect::Failure(words), Err(e)) => Some(format!("expected {words:?}, got: {e}")),
            (Expect::Failure(words), Ok(_)) => Some(format!("expected {words:?}, got rows")),
            (Expect::Rows { .. }, Err(e)) => Some(e),
            (Expect::Rows { columns, sorted, mut rows }, Ok(batches)) => {
                let mut got = texts(&batches);
                if sorted {
                    rows.sort();
                    got.sort();
                }
                let schema = batches.first().map(RecordBatch::schema);
                let letters: String = schema
                    .iter()
                    .flat_map(|s| s.fields().iter())
                    .map(|f| letter(f.data_type()))
                    .collect();
                if letters != columns {
                    Some(format!("columns {columns}, got {letters}"))
                } else if got != rows {
                    Some(format!("expected\n{}\ngot\n{}", rows.join("\n"), got.join("\n")))
                } else {
                    None
                }
            }
        };
        if let Some(complaint) = complaint {
            wrong.push(format!("line {line}: {complaint}\n{sql}"));
        }
    }
    wrong
}
