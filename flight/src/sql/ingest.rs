//! Bulk ingestion: rows are appended as by a native put. Every batch goes through validation and the log and is
//! acknowledged before the client is told how many rows went in. Where a native put is refused for lack of room, an
//! ingest waits.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::FlightData;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use barograph_access::{Call, Verb};
use barograph_engine::internal::batch_bytes;
use barograph_engine::{Durability, ErrorKind};
use barograph_lake::LogPosition;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::Streaming;

use super::catalog::{CATALOG, DEFAULT_SCHEMA};
use super::no_transaction;
use crate::call::{Caller, PutRequest, Sent, Serving, State, Writing, batches_of};
use crate::message::{BatchIds, DURABILITY_HEADER, durability, durability_of};
use crate::wire::{plain_batch, plain_schema};
use crate::{Error, Result};

/// Option of the command that names the durability of the acknowledgement; the header goes before it.
const DURABILITY_OPTION: &str = "durability";

/// Rows that an ingest brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Rows that went into the table.
    pub(crate) accepted: u64,
    /// Rows that went to `dead_letters`.
    pub(crate) rejected: u64,
    /// Where the last batch stands in the log.
    pub(crate) position: LogPosition,
}

/// Appends the rows of `messages` to the table that the command names.
pub(super) async fn ingest(
    serving: &Arc<Serving>,
    command: CommandStatementIngest,
    (first, messages): (FlightData, Streaming<FlightData>),
    caller: Caller<'_>,
    mut call: Call,
) -> Result<Ingested> {
    let state = &serving.current();
    state.shutdown.check()?;
    call.does("ingest");
    let allowed = call.allow(Verb::Write, &command.table)?;
    let table = target(state, &command, caller)?;
    let durability = durability_asked(&command, caller)?;
    let part_bytes = state.engine.settings().batch_bytes_max.get() / 2;
    let batches = batches_of(state, first, messages)
        .map_ok(move |batch| stream::iter(parts(batch, part_bytes)))
        .try_flatten()
        .zip(stream::iter(BatchIds::of(caller.headers())?))
        .map(|(rows, id)| Ok(Sent { id, rows: rows? }))
        .boxed();
    let put = PutRequest { table, source: caller.source(), durability, patient: true, allowed };
    let mut writing = Writing::new(serving, put, batches, call)?;
    let mut ingested = Ingested::default();
    loop {
        match writing.next().await {
            Ok(Some(ack)) => {
                ingested.accepted += ack.accepted;
                ingested.rejected += ack.rejected;
                ingested.position = ingested.position.max(ack.position);
            }
            Ok(None) => return Ok(ingested),
            Err(error) if ingested.accepted == 0 => return Err(error),
            Err(error) => {
                return Err(error.with_note(format_args!(
                    "{} rows were stored before this, and sending them again changes nothing",
                    ingested.accepted
                )));
            }
        }
    }
}

/// The table to append to.
fn target(state: &State, command: &CommandStatementIngest, caller: Caller<'_>) -> Result<String> {
    no_transaction(command.transaction_id.as_ref())?;
    if command.temporary {
        return Err(Error::unsupported(
            "this server has no temporary tables: append to a declared table",
        ));
    }
    let named = |name: &Option<String>, only: &str| match name.as_deref() {
        None | Some("") => true,
        Some(name) => name == only,
    };
    let table = &command.table;
    if !named(&command.catalog, CATALOG) || !named(&command.schema, DEFAULT_SCHEMA) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!(
                "there is no table {:?}.{:?}.{table:?} to append to: tables that take rows are in \
                 {CATALOG}.{DEFAULT_SCHEMA}",
                command.catalog.as_deref().unwrap_or(CATALOG),
                command.schema.as_deref().unwrap_or(DEFAULT_SCHEMA),
            ),
        )
        .with_sqlstate("3F000"));
    }
    if let Some(option) = command.options.keys().find(|name| *name != DURABILITY_OPTION) {
        return Err(Error::request(format!(
            "an ingest has no option {option:?}: there is {DURABILITY_OPTION}"
        )));
    }
    let exists = state.table(caller.identity(), table).map(drop);
    decide(command.table_definition_options.as_ref(), table, exists)?;
    Ok(table.clone())
}

/// Whether rows may be appended under these options to a table that exists, or does not as `exists` says.
fn decide(options: Option<&TableDefinitionOptions>, table: &str, exists: Result<()>) -> Result<()> {
    let options = options.ok_or_else(unspecified)?;
    let absent = TableNotExistOption::try_from(options.if_not_exist);
    let present = TableExistsOption::try_from(options.if_exists);
    match (exists, absent, present) {
        (_, Ok(TableNotExistOption::Unspecified) | Err(_), _)
        | (_, _, Ok(TableExistsOption::Unspecified) | Err(_)) => Err(unspecified()),
        (_, _, Ok(TableExistsOption::Replace)) => Err(Error::unsupported(format!(
            "this server does not replace tables: append to {table:?} instead, where a row replaces an earlier one of the same key and time"
        ))),
        (Ok(()), _, Ok(TableExistsOption::Append)) => Ok(()),
        (Ok(()), _, Ok(TableExistsOption::Fail)) => Err(Error::exists(format!(
            "there is a table {table:?}: append to it (in ADBC mode=\"append\")"
        ))),
        (Err(_), Ok(TableNotExistOption::Create), _) => Err(Error::unsupported(format!(
            "there is no table {table:?}, and an ingest cannot make one: declare it in the settings \
             file under [tables.{table}]"
        ))),
        (Err(error), _, _) => Err(error),
    }
}

fn unspecified() -> Error {
    Error::request(
        "the ingest does not say what to do if the table exists or not: set if_exists = APPEND and if_not_exist = FAIL (in ADBC mode=\"append\")",
    )
}

fn durability_asked(command: &CommandStatementIngest, caller: Caller<'_>) -> Result<Durability> {
    match command.options.get(DURABILITY_OPTION) {
        Some(text) if !caller.headers().contains_key(DURABILITY_HEADER) => {
            durability_of(DURABILITY_OPTION, text.as_bytes())
        }
        _ => durability(caller.headers()),
    }
}

/// A batch in plain types, cut so that no part is larger than the engine takes.
fn parts(
    batch: RecordBatch,
    part_bytes: usize,
) -> impl Iterator<Item = Result<RecordBatch>> + Send {
    let schema = plain_schema(&batch.schema());
    let count = batch_bytes(&batch).div_ceil(part_bytes.max(1)).max(1);
    let rows = batch.num_rows().div_ceil(count).max(1);
    let mut starts = (0..batch.num_rows().max(1)).step_by(rows);
    let mut left: Vec<RecordBatch> = Vec::new();
    std::iter::from_fn(move || {
        let mut part = left.pop().or_else(|| {
            let start = starts.next()?;
            Some(batch.slice(start, rows.min(batch.num_rows() - start)))
        })?;
        // Values may lie unevenly. Plain ones are made of a part at a time: they may be many times more than
        // dictionaries and runs.
        while part.num_rows() > 1 && batch_bytes(&part) > part_bytes {
            let half = part.num_rows() / 2;
            left.push(part.slice(half, part.num_rows() - half));
            part = part.slice(0, half);
        }
        Some(plain_batch(part, &schema))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use tonic::Code;

    use super::*;

    #[test]
    fn only_appending_to_a_table_that_exists_is_done() {
        let options = |absent: TableNotExistOption, present: TableExistsOption| {
            Some(TableDefinitionOptions { if_not_exist: absent.into(), if_exists: present.into() })
        };
        use TableExistsOption::{Append, Fail as Refuse, Replace};
        use TableNotExistOption::{Create, Fail};
        let missing = || Err(Error::new(ErrorKind::NotFound, "there is no table"));
        for (options, exists, expected) in [
            (options(Fail, Append), Ok(()), None),
            (options(Create, Append), Ok(()), None),
            (options(Create, Refuse), Ok(()), Some(Code::AlreadyExists)),
            (options(Create, Replace), Ok(()), Some(Code::Unimplemented)),
            (options(Fail, Append), missing(), Some(Code::NotFound)),
            (options(Create, Append), missing(), Some(Code::Unimplemented)),
            (options(Create, Refuse), missing(), Some(Code::Unimplemented)),
            (
                options(TableNotExistOption::Unspecified, Append),
                Ok(()),
                Some(Code::InvalidArgument),
            ),
            (options(Fail, TableExistsOption::Unspecified), Ok(()), Some(Code::InvalidArgument)),
            (None, Ok(()), Some(Code::InvalidArgument)),
        ] {
            let what = format!("{options:?} {exists:?}");
            let decided = decide(options.as_ref(), "t", exists);
            assert_eq!(decided.err().map(|error| error.code()), expected, "{what}");
        }
    }

    #[test]
    fn a_large_batch_is_cut_and_a_small_one_is_not() {
        let numbers: ArrayRef = Arc::new((0..1_000).collect::<Int64Array>());
        let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let parts = |batch: RecordBatch, bytes| parts(batch, bytes).collect::<Result<Vec<_>>>();
        assert_eq!(parts(batch.clone(), 8_000).unwrap(), std::slice::from_ref(&batch));
        let cut = parts(batch.clone(), 3_000).unwrap();
        assert_eq!(cut.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [334, 334, 332]);
        assert_eq!(cut[1].slice(0, 1), batch.slice(334, 1));
        assert_eq!(parts(batch.slice(0, 0), 1).unwrap().len(), 1);
    }
}
