//! Rows that are put into a table over HTTP: in JSON, or in CSV.

use std::collections::HashMap;
use std::sync::Arc;

use barograph_flight::{Error, Result};
use barograph_lake::{Span, TableSchema};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::request::{Call, content_type};
use crate::rows::{
    BadRows, Cell, CsvRows, Outbox, Outcome, Precision, TableRows, read_json, store,
};
use crate::serve::{Answered, Shared, insert, json as answer};

/// The header with the position in the log behind which what was put is seen.
pub(crate) const POSITION: &str = "x-barograph-position";

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Lines,
    Csv,
}

/// The answer to `POST /api/v1/tables/{table}`.
pub(crate) fn put(shared: Arc<Shared>, mut call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        let table = call.asked.writable(call.table())?;
        let form = form(&call)?;
        let precision = precision(call.query.one("precision")?)?;
        let body = call.read_body(&shared.bodies).await?;
        let bytes = body.bytes.clone();
        let parse = move |outbox: &Outbox| parse(form, &bytes, table, precision, outbox);
        let outcome = store(&mut call.asked, parse).await?;
        Ok(told(&outcome))
    })
}

/// What became of the rows.
fn told(Outcome { stored, bad }: &Outcome) -> axum::response::Response {
    let rows: Vec<_> = bad
        .told
        .iter()
        .map(|row| json!({ "row": row.number, "sent": row.text, "reason": row.reason }))
        .collect();
    let position = stored.position.to_string();
    let mut response = answer(
        StatusCode::OK,
        &json!({
            "position": position,
            "accepted": stored.accepted,
            "rejected": stored.rejected,
            "rejections": rows,
        }),
    );
    insert(&mut response, header::HeaderName::from_static(POSITION), &position);
    response
}

fn form(call: &Call) -> Result<Form, Failure> {
    match content_type(&call.parts.headers).as_deref() {
        Some("application/json") => Ok(Form::Json),
        Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => {
            Ok(Form::Lines)
        }
        Some("text/csv") => Ok(Form::Csv),
        other => {
            let text = format!(
                "content-type {:?}: send application/json, application/x-ndjson or text/csv",
                other.unwrap_or_default()
            );
            Err(Failure::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, Error::request(text)))
        }
    }
}

/// The unit of times that are numbers.
fn precision(text: Option<&str>) -> Result<Precision> {
    Ok(Precision(match text {
        None => None,
        Some("s") => Some(Span::SECOND),
        Some("ms") => Some(Span::millis(1)),
        Some("us") => Some(Span::MICROSECOND),
        Some(other) => {
            return Err(Error::request(format!(
                "parameter \"precision\" is {other:?}: there are s, ms and us"
            )));
        }
    }))
}

fn parse(
    form: Form,
    bytes: &Bytes,
    table: Arc<TableSchema>,
    precision: Precision,
    outbox: &Outbox,
) -> Result<BadRows> {
    let mut taker = Taker {
        rows: TableRows::new(Arc::clone(&table), precision, false),
        bad: BadRows::default(),
        names: names(&table),
        outbox,
        table,
    };
    match form {
        Form::Json | Form::Lines => {
            read_json(bytes, form == Form::Lines, &mut |number, row| {
                taker.take_object(number, row)
            })?;
        }
        Form::Csv => taker.take_csv(bytes)?,
    }
    outbox.leave_rows(&mut taker.rows)?;
    outbox.leave_bad(Some(taker.table.name()), &mut taker.bad)?;
    Ok(taker.bad)
}

/// The columns of a table by name.
pub(crate) fn names(table: &TableSchema) -> HashMap<String, usize> {
    let fields = table.arrow().fields().iter().enumerate();
    fields.map(|(at, field)| (field.name().clone(), at)).collect()
}

/// Takes rows, and leaves them in an outbox as they become many.
struct Taker<'a> {
    table: Arc<TableSchema>,
    rows: TableRows,
    bad: BadRows,
    names: HashMap<String, usize>,
    outbox: &'a Outbox,
}

impl Taker<'_> {
    fn take_object(
        &mut self,
        number: usize,
        row: Result<Map<String, Value>, String>,
    ) -> Result<()> {
        let given = match &row {
            Err(why) => Err(why.clone()),
            Ok(row) => row.iter().try_for_each(|(name, value)| self.give(name, cell(value)?)),
        };
        if let Err(why) = given.and_then(|()| self.rows.keep_row(number)) {
            self.rows.drop_row();
            let mut row = row.unwrap_or_default();
            // A letter with this member would be put again by a redrive, which does not ask for the keys that its sender may
            // write.
            row.remove("$types");
            let text = Value::Object(row).to_string();
            self.bad.add(number, &text, text.clone(), why);
        }
        self.leave()
    }

    fn take_csv(&mut self, bytes: &[u8]) -> Result<()> {
        let mut reader = CsvRows::open(bytes)?;
        // A name that is wrong is wrong in every row.
        for name in reader.names() {
            self.table.column(name)?;
        }
        let names = reader.names().to_vec();
        while let Some((number, record)) = reader.next() {
            let kept = match &record {
                Ok(record) => {
                    let mut cells = names.iter().zip(record.iter());
                    let given =
                        cells.try_for_each(|(name, text)| self.give(name, Cell::Word(text)));
                    given.and_then(|()| self.rows.keep_row(number))
                }
                Err(why) => Err(why.clone()),
            };
            if let Err(why) = kept {
                self.rows.drop_row();
                let cells = record.iter().flat_map(|record| record.iter());
                let cells = names.iter().zip(cells).map(|(name, text)| (name.clone(), text.into()));
                let text = Value::Object(cells.collect()).to_string();
                self.bad.add(number, &text, text.clone(), why);
            }
            self.leave()?;
        }
        Ok(())
    }

    fn give(&mut self, name: &str, cell: Cell<'_>) -> Result<(), String> {
        let column = self.names.get(name).copied();
        let column = column.ok_or_else(|| {
            self.table.column(name).map_or_else(|error| error.to_string(), |_| String::new())
        })?;
        self.rows.give(column, cell)
    }

    fn leave(&mut self) -> Result<()> {
        if self.rows.is_full() {
            self.outbox.leave_rows(&mut self.rows)?;
        }
        if self.bad.is_full() {
            self.outbox.leave_bad(Some(self.table.name()), &mut self.bad)?;
        }
        Ok(())
    }
}

fn cell(value: &Value) -> Result<Cell<'_>, String> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Cell::Int(number),
            (None, Some(number), _) => Cell::Uint(number),
            (None, None, number) => Cell::Float(number.unwrap_or(f64::NAN)),
        },
        Value::Array(_) => return Err("a list is no value of a column".to_owned()),
        Value::Object(_) => return Err("an object is no value of a column".to_owned()),
    })
}
