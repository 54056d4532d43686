//! Runner of the SQL scripts: a reader and runner of the sqllogictest format, as far as the scripts use it.
//!
//! ```text
//! statement ok                 the statement runs
//! statement error SOME WORDS   it fails, and its message holds the words
//! statement shows SOME WORDS   its answer, as text, holds the words
//! query IRT [rowsort]          it gives the rows after ----, in order or sorted as text; the letters
//!                              are the columns: I whole, R float, T text, B boolean, P time, D date
//! parameters 5, 'x'            values of the next statement's parameters
//! do SOMETHING                 a command of the subject, with the lines after it
//! ```
//!
//! The crate of that name would turn on features of shared crates (`md-5/std`, below `object_store`) and so build
//! everything twice.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;

/// The side that answers a script.
pub(crate) trait Subject {
    /// The answer to a statement.
    async fn ask(
        &mut self,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Vec<RecordBatch>, String>;

    /// Executes the line after `do`, with the text below it.
    async fn act(&mut self, words: &[&str], text: &str) -> Result<(), String>;
}

impl Subject for SessionContext {
    async fn ask(
        &mut self,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<Vec<RecordBatch>, String> {
        let mut frame = self.sql(sql).await.map_err(|e| e.to_string())?;
        if !parameters.is_empty() {
            frame = frame.with_param_values(parameters.to_vec()).map_err(|e| e.to_string())?;
        }
        let schema = frame.schema().as_arrow().clone();
        let mut batches = frame.collect().await.map_err(|e| e.to_string())?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema.into()));
        }
        Ok(batches)
    }

    async fn act(&mut self, words: &[&str], _: &str) -> Result<(), String> {
        Err(format!("a session alone cannot do {words:?}"))
    }
}

enum Expect {
    Success,
    Action,
    Failure(String),
    Shown(String),
    Rows { columns: String, sorted: bool, rows: Vec<String> },
}

struct Record {
    line: usize,
    sql: String,
    parameters: Option<String>,
    expect: Expect,
}

fn parse(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut parameters = None;
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(values) = line.strip_prefix("parameters ") {
            parameters = Some(values.to_owned());
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
            ["statement", "shows", ..] => {
                let (_, words) = line.split_once("shows ").expect("words of an answer");
                Expect::Shown(words.to_owned())
            }
            ["do", ..] => {
                block.insert(0, line.to_owned());
                Expect::Action
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
        let (line, sql) = (number + 1, block.join("\n"));
        records.push(Record { line, sql, parameters: parameters.take(), expect });
    }
    records
}

/// The values of a list of expressions.
async fn values(list: &str) -> Vec<ScalarValue> {
    let context = SessionContext::new();
    let frame = context.sql(&format!("SELECT {list}")).await.expect("values of parameters");
    let rows = frame.collect().await.expect("values of parameters");
    let columns = rows[0].columns().iter();
    columns.map(|c| ScalarValue::try_from_array(c, 0).expect("a value")).collect()
}

/// The outcome of a record.
async fn outcome(subject: &mut impl Subject, record: &Record) -> Result<Vec<RecordBatch>, String> {
    if let Expect::Action = record.expect {
        let (line, text) = record.sql.split_once('\n').unwrap_or((&record.sql, ""));
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        return subject.act(&words, text).await.map(|()| Vec::new());
    }
    let parameters = match &record.parameters {
        Some(list) => values(list).await,
        None => Vec::new(),
    };
    subject.ask(&record.sql, &parameters).await
}

fn letter(data_type: &DataType) -> char {
    match data_type {
        t if t.is_integer() => 'I',
        t if t.is_floating() => 'R',
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => 'T',
        DataType::Boolean => 'B',
        DataType::Timestamp(_, _) => 'P',
        DataType::Date32 => 'D',
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

/// Runs every record of `text`; returns those that do not hold.
pub(crate) async fn run(subject: &mut impl Subject, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for record in parse(text) {
        let got = outcome(subject, &record).await;
        let Record { line, sql, expect, .. } = record;
        let complaint = match (expect, got) {
            (Expect::Success | Expect::Action, Ok(_)) => None,
            (Expect::Success | Expect::Action | Expect::Shown(_), Err(e)) => Some(e),
            (Expect::Shown(words), Ok(batches)) => {
                let shown = texts(&batches).join("\n");
                (!shown.contains(&words)).then(|| format!("expected {words:?} in:\n{shown}"))
            }
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
