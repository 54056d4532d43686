//! The dead letters: rows that may not go into their table, kept in `dead_letters`, a table like any other. They are
//! durable when the rest of their batch is, land, can be queried by time, and are put again after a fix (re-driven).

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use barograph_lake::schema::{INGESTED_AT, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::schema::{KeyType, TableDeclaration, ValueColumn, ValueType};
use barograph_lake::{Key, LogPosition, TableSchema, Timestamp};

use crate::validate::{Rejected, logged_schema, row};
use crate::{Error, Result};

/// Name of the table of dead letters.
pub const DEAD_LETTERS: &str = "dead_letters";

/// Longest reason that is kept whole, in bytes: a reason may quote what was sent.
const REASON_BYTES_MAX: usize = 1 << 10;

const ID: &str = "id";
const COLUMNS: [(&str, ValueType); 5] = [
    ("table_name", ValueType::Utf8),
    ("source", ValueType::Utf8),
    ("reason", ValueType::Utf8),
    ("row", ValueType::Utf8),
    ("redriven_at", ValueType::Timestamp),
];

/// The declaration of `dead_letters`: `id`, `rejected_at`, `table_name`, `source`, `reason`, `row`
/// (the rejected row as a JSON object) and `redriven_at` (null until the row was put again with success, or gave
/// way to a newer one).
pub fn schema() -> Result<TableSchema> {
    let columns = COLUMNS.map(|(name, value_type)| ValueColumn::new(name, value_type));
    let declaration =
        TableDeclaration::new("id", "rejected_at").key_type(KeyType::Int64).columns(columns);
    Ok(TableSchema::new(DEAD_LETTERS, declaration)?)
}

/// Ids of a block, and of its letters at most.
const BLOCK: i64 = 1 << 28;
/// Where the first block begins: all lie below 0, where neither an instant nor a position is, and none where JSON readers
/// lose digits.
const FIRST_BLOCK: i64 = -(1 << 52);

/// The generator of dead-letter ids: the instant in µs, or one more than the last id. In a log that others share, too,
/// letters have none until they have their place there: see `id_at`. An import beside servers has a block of its own.
#[derive(Debug, Default)]
pub struct Ids {
    next: AtomicI64,
    /// The end of the block, if there is one.
    end: Option<i64>,
}

impl Ids {
    /// A generator of ids above `largest`, the largest in use.
    pub fn after(largest: Option<Key>) -> Self {
        let next = largest.map_or(0, |id| id.get().saturating_add(1));
        Self { next: AtomicI64::new(next), end: None }
    }

    /// A generator of the ids of a block, which no other generator has; `None` beyond the last block.
    pub fn block(number: u64) -> Option<Self> {
        let first = FIRST_BLOCK + i64::try_from(number).ok()?.checked_mul(BLOCK)?;
        let end = first + BLOCK;
        (end <= 0).then(|| Self { next: AtomicI64::new(first), end: Some(end) })
    }

    /// Reserves `count` consecutive ids and returns the first.
    ///
    /// # Errors
    /// If a block has no more.
    pub fn take(&self, now: Timestamp, count: i64) -> Result<i64> {
        let mut first = 0;
        let reserve = |next: i64| {
            first = if self.end.is_some() { next } else { now.as_micros().max(next) };
            let after = first.checked_add(count)?;
            self.end.is_none_or(|end| after <= end).then_some(after)
        };
        match self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve) {
            Ok(_) => Ok(first),
            Err(_) => Err(Error::request(format!(
                "more than {BLOCK} rows were rejected: the files do not fit the table; correct the mapping, or import them in several runs"
            ))),
        }
    }
}

/// A dead letter as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id.
    pub id: i64,
    /// When it was rejected.
    pub rejected_at: Timestamp,
    /// The table it was sent to.
    pub table: String,
    /// Where it came from.
    pub source: String,
    /// Why it was rejected, and the row as it was sent.
    pub rejected: Rejected,
    /// When it was put again with success, or gave way to a newer row.
    pub redriven_at: Option<Timestamp>,
    /// Its `ingested_at`, which is smaller than that of rows accepted later. Known of letters that were read back;
    /// not encoded.
    pub written_at: Timestamp,
}

/// The id of a letter that was logged without: the position of its record, and so many more as rows stand before it
/// there. A record has more bytes than rows, so that no two letters of a log have the same.
fn id_at(position: LogPosition, row: usize) -> i64 {
    i64::try_from(position.get()).unwrap_or(i64::MAX).saturating_add(row as i64)
}

/// Rows of `dead_letters` as they are logged where ids come from positions: without `id`.
pub(crate) fn without_ids(rows: &RecordBatch) -> Result<RecordBatch> {
    let others: Vec<_> = (0..rows.num_columns()).filter(|column| *column != KEY_COLUMN).collect();
    Ok(rows.project(&others)?)
}

/// Logged rows of a table, with the ids of letters that were logged without.
pub(crate) fn with_ids(
    schema: &TableSchema,
    position: LogPosition,
    rows: &RecordBatch,
) -> Result<RecordBatch> {
    if !lacks_ids(schema.name(), rows) {
        return Ok(rows.clone());
    }
    let ids = Int64Array::from_iter_values((0..rows.num_rows()).map(|row| id_at(position, row)));
    let id = Arc::new(Field::new(ID, DataType::Int64, false));
    let fields = std::iter::once(id).chain(rows.schema_ref().fields().iter().cloned());
    let fields =
        Schema::new_with_metadata(fields.collect::<Vec<_>>(), rows.schema().metadata.clone());
    let columns = std::iter::once(Arc::new(ids) as ArrayRef).chain(rows.columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(fields), columns.collect())?)
}

/// Whether these rows of a table are letters without ids.
pub(crate) fn lacks_ids(table: &str, rows: &RecordBatch) -> bool {
    table == DEAD_LETTERS && rows.column_by_name(ID).is_none()
}

/// Rows of `dead_letters` for rows of `table` rejected at `now`, without `ingested_at`.
pub fn letters(
    schema: &TableSchema,
    ids: &Ids,
    now: Timestamp,
    table: &str,
    source: &str,
    rejected: &[Rejected],
) -> Result<RecordBatch> {
    let first = ids.take(now, rejected.len() as i64)?;
    let letters: Vec<_> = rejected
        .iter()
        .zip(first..)
        .map(|(rejected, id)| Letter {
            id,
            rejected_at: now,
            table: table.to_owned(),
            source: source.to_owned(),
            rejected: Rejected {
                reason: short(&rejected.reason).into_owned(),
                row: row::bounded(&rejected.row),
            },
            redriven_at: None,
            written_at: now,
        })
        .collect();
    encode(schema, &letters)
}

/// Rows of `dead_letters`, without `ingested_at`.
pub fn encode(schema: &TableSchema, letters: &[Letter]) -> Result<RecordBatch> {
    let text = |of: fn(&Letter) -> &str| -> ArrayRef {
        Arc::new(letters.iter().map(|letter| Some(of(letter))).collect::<StringArray>())
    };
    let time = |of: fn(&Letter) -> Option<Timestamp>| -> ArrayRef {
        let times: TimestampMicrosecondArray =
            letters.iter().map(|letter| of(letter).map(Timestamp::as_micros)).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let ids: Int64Array = letters.iter().map(|letter| Some(letter.id)).collect();
    let columns = vec![
        Arc::new(ids) as ArrayRef,
        time(|letter| Some(letter.rejected_at)),
        text(|letter| &letter.table),
        text(|letter| &letter.source),
        text(|letter| &letter.rejected.reason),
        text(|letter| &letter.rejected.row),
        time(|letter| letter.redriven_at),
    ];
    Ok(RecordBatch::try_new(logged_schema(schema), columns)?)
}

/// The dead letters in rows of the whole table.
pub fn decode(rows: &RecordBatch) -> Result<Vec<Letter>> {
    let column = |name: &str| {
        rows.column_by_name(name)
            .ok_or_else(|| Error::internal(format!("{DEAD_LETTERS} without {name}")))
    };
    let ids = rows.column(KEY_COLUMN).as_primitive::<Int64Type>();
    let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
    let redriven = column("redriven_at")?.as_primitive::<TimestampMicrosecondType>();
    let ingested = column(INGESTED_AT)?.as_primitive::<TimestampMicrosecondType>();
    let [table, source, reason, row] = [
        column("table_name")?.as_string::<i32>(),
        column("source")?.as_string::<i32>(),
        column("reason")?.as_string::<i32>(),
        column("row")?.as_string::<i32>(),
    ];
    let instant = Timestamp::from_micros;
    Ok((0..rows.num_rows())
        .map(|i| Letter {
            id: ids.value(i),
            rejected_at: instant(times.value(i)),
            table: table.value(i).to_owned(),
            source: source.value(i).to_owned(),
            rejected: Rejected { reason: reason.value(i).to_owned(), row: row.value(i).to_owned() },
            redriven_at: redriven.is_valid(i).then(|| instant(redriven.value(i))),
            // Who wrote it may have had another clock.
            written_at: instant(times.value(i).min(ingested.value(i))),
        })
        .collect())
}

/// A reason no longer than is kept.
fn short(reason: &str) -> Cow<'_, str> {
    match reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)) {
        Some(beginning) if beginning.len() < reason.len() => Cow::Owned(format!("{beginning}…")),
        _ => Cow::Borrowed(reason),
    }
}

/// The column `name` with its texts shortened, where some are too long.
fn shorten(column: &ArrayRef, name: &str) -> ArrayRef {
    let (most, shorten): (_, fn(&str) -> String) = match name {
        "row" => (row::ROW_BYTES_MAX, row::bounded),
        "reason" => (REASON_BYTES_MAX, |reason| short(reason).into_owned()),
        _ => return Arc::clone(column),
    };
    match column.as_string_opt::<i32>() {
        Some(texts) if texts.iter().flatten().any(|text| text.len() > most) => {
            Arc::new(texts.iter().map(|text| text.map(shorten)).collect::<StringArray>())
        }
        _ => Arc::clone(column),
    }
}

/// Gives letters that a client sends to `dead_letters` itself their `id` and `rejected_at`, where it
/// left them out, and shortens what is too long to be kept.
pub fn complete(batch: &RecordBatch, ids: &Ids, now: Timestamp) -> Result<RecordBatch> {
    let schema = batch.schema();
    let rows = batch.num_rows();
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let sent = batch.columns().iter().zip(schema.fields());
    let mut columns: Vec<_> = sent.map(|(column, field)| shorten(column, field.name())).collect();
    if schema.index_of(ID).is_err() {
        let first = ids.take(now, rows as i64)?;
        let ids = Int64Array::from_iter_values((first..).take(rows));
        fields.push(Arc::new(Field::new(ID, ids.data_type().clone(), false)));
        columns.push(Arc::new(ids));
    }
    if schema.index_of("rejected_at").is_err() {
        let times =
            TimestampMicrosecondArray::from_value(now.as_micros(), rows).with_timezone("UTC");
        fields.push(Arc::new(Field::new("rejected_at", times.data_type().clone(), false)));
        columns.push(Arc::new(times));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn blocks_share_no_id_with_each_other_instants_or_positions() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let blocks = [0, 1, 2, (1 << 24) - 1].map(|number| Ids::block(number).unwrap());
        let mut before = i64::MIN;
        for block in &blocks {
            let first = block.take(now, BLOCK - 1).unwrap();
            assert!(first > before);
            before = block.take(now, 1).unwrap();
            assert_eq!(before, first + BLOCK - 1);
            assert!(block.take(now, 1).is_err(), "it has no more");
        }
        assert_eq!(before, -1);
        assert!(Ids::block(1 << 24).is_none() && Ids::block(u64::MAX).is_none());
        // What imports have does not move the ids of a server.
        assert_eq!(Ids::after(Some(Key::new(-5))).take(now, 3).unwrap(), now.as_micros());
        assert_eq!(id_at(LogPosition::new(0), 0), 0);
    }
}
