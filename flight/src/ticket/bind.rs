//! The binding of a ticket to its table: names become column indexes, and keys and filters are checked against the
//! table's types.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use barograph_engine::filter::{FilterBounds, Predicate};
use barograph_engine::{Aggregate, Aggregation, PointQuery, Restriction, Scan};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, KeyType, TIME_COLUMN};
use barograph_lake::{Key, KeySelection, TableSchema, TimeRange};

use super::{RangeRead, Read, Ticket, Windows};
use crate::{Error, Result};

/// A ticket bound to its table.
#[derive(Debug, Clone)]
pub(crate) struct BoundTicket {
    /// The query for the engine.
    pub query: Query,
    /// Columns of the answer.
    pub schema: SchemaRef,
}

/// The bounds of a ticket's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TicketBounds {
    /// Most keys that it lists.
    pub keys: usize,
    /// Bounds of its filter.
    pub filter: FilterBounds,
}

/// A query for the engine. A range carries its restriction; that of a point read goes with it.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    /// One reading of each key.
    Point(PointQuery),
    /// A range.
    Scan(Scan),
}

impl Ticket {
    /// Binds the ticket to what is given of its table: names are understood by the columns that are visible, and a range
    /// reads the rows that are given.
    pub(crate) fn bind_within(
        &self,
        table: &TableSchema,
        restriction: Option<&Restriction>,
        bounds: TicketBounds,
    ) -> Result<BoundTicket> {
        let Some(restriction) = restriction else { return self.bind(table, bounds) };
        let visible = restriction.visible();
        self.bind(visible, bounds)?;
        // What is meant is known; indexes are those of the whole table.
        let names = visible.arrow().fields().iter().skip(FIRST_VALUE_COLUMN);
        let columns = self.columns.clone();
        let columns = columns.unwrap_or_else(|| names.map(|field| field.name().clone()).collect());
        let bound = Self { columns: Some(columns), ..self.clone() }.bind(table, bounds)?;
        let query = match bound.query {
            Query::Scan(scan) => Query::Scan(restriction.scan(scan)),
            query @ Query::Point(_) => query,
        };
        Ok(BoundTicket { query, ..bound })
    }

    /// Binds the ticket to its table.
    pub(crate) fn bind(&self, table: &TableSchema, bounds: TicketBounds) -> Result<BoundTicket> {
        let keys_max = bounds.keys;
        let columns = bind_columns(table, self.columns.as_deref())?;
        match &self.read {
            Read::Point { keys, point } => {
                if let Some(keys) = keys {
                    check_keys(table, keys, keys_max)?;
                }
                let schema = answer_schema(table, &columns)?;
                let keys = keys.as_deref().map(ascending);
                Ok(BoundTicket {
                    query: Query::Point(PointQuery { keys, point: *point, columns }),
                    schema,
                })
            }
            Read::Range(range) => {
                let keys = select_keys(table, range, keys_max)?;
                let aggregation =
                    range.windows.as_ref().map(|w| bind_windows(table, w)).transpose()?;
                let schema = match &aggregation {
                    Some(aggregation) => aggregation.output_schema(table),
                    None => answer_schema(table, &columns)?,
                };
                let filter =
                    range.filter.as_ref().map(|text| read_filter(text, table, bounds.filter));
                let filter = filter.transpose()?;
                let time = TimeRange {
                    from: range.from.unwrap_or(TimeRange::ALL.from),
                    to: range.to.unwrap_or(TimeRange::ALL.to),
                };
                let scan = Scan { keys, time, columns, filter, aggregation, limit: range.limit };
                Ok(BoundTicket { query: Query::Scan(scan), schema })
            }
        }
    }
}

fn read_filter(text: &str, table: &TableSchema, bounds: FilterBounds) -> Result<Predicate> {
    Ok(Predicate::parse_within(text, table, bounds)?)
}

/// The Arrow schema indexes of the columns to give after key and time, which always come first.
pub(crate) fn bind_columns(table: &TableSchema, names: Option<&[String]>) -> Result<Vec<usize>> {
    let Some(names) = names else {
        return Ok((FIRST_VALUE_COLUMN..table.arrow().fields().len()).collect());
    };
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = table.column(name).map_err(barograph_engine::Error::from)?;
        if columns.contains(&column) {
            return Err(Error::request(format!("\"columns\" names {name:?} twice: name it once")));
        }
        if column != KEY_COLUMN && column != TIME_COLUMN {
            columns.push(column);
        }
    }
    Ok(columns)
}

/// Checks that there are not too many keys and that each can be a key of the table.
pub(crate) fn check_keys(table: &TableSchema, keys: &[Key], keys_max: usize) -> Result<()> {
    if keys.len() > keys_max {
        return Err(Error::request(format!(
            "ticket lists {} keys: flight.ticket_keys_max allows {keys_max}; ask in several tickets, or for all keys",
            keys.len()
        )));
    }
    keys.iter().try_for_each(|&key| check_key(table, key))
}

fn check_key(table: &TableSchema, key: Key) -> Result<()> {
    if table.key_type() == KeyType::Int32 && i32::try_from(key.get()).is_err() {
        return Err(Error::request(format!(
            "key {key}: the keys of table {:?} are 32-bit integers",
            table.name()
        )));
    }
    Ok(())
}

fn answer_schema(table: &TableSchema, columns: &[usize]) -> Result<SchemaRef> {
    let indexes: Vec<_> =
        [KEY_COLUMN, TIME_COLUMN].into_iter().chain(columns.iter().copied()).collect();
    let fields = table.arrow().project(&indexes)?.fields().clone();
    Ok(Arc::new(Schema::new(fields)))
}

fn ascending(keys: &[Key]) -> Vec<Key> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn select_keys(table: &TableSchema, range: &RangeRead, keys_max: usize) -> Result<KeySelection> {
    for key in [range.key_from, range.key_to].into_iter().flatten() {
        check_key(table, key)?;
    }
    let bounded = range.key_from.is_some() || range.key_to.is_some();
    let (from, to) = (range.key_from.unwrap_or(Key::MIN), range.key_to.unwrap_or(Key::MAX));
    if from > to {
        return Err(Error::request(format!(
            "\"range\" has key_from {from} and key_to {to}: both are inclusive, the smaller comes first"
        )));
    }
    match &range.keys {
        Some(keys) => {
            check_keys(table, keys, keys_max)?;
            Ok(KeySelection::list(keys.clone()).within(from, to))
        }
        None if bounded => Ok(KeySelection::Range { from, to }),
        None => Ok(KeySelection::All),
    }
}

fn bind_windows(table: &TableSchema, windows: &Windows) -> Result<Aggregation> {
    let mut aggregates = Vec::with_capacity(windows.aggregates.len());
    for (name, functions) in &windows.aggregates {
        let column = table.column(name).map_err(barograph_engine::Error::from)?;
        let Some(value) = table.values().get(column.wrapping_sub(FIRST_VALUE_COLUMN)) else {
            return Err(Error::request(format!(
                "\"aggregates\" names {name:?}, which is not a value column of table {:?}",
                table.name()
            )));
        };
        let needs_numbers = functions.iter().any(|f| matches!(f, Aggregate::Sum | Aggregate::Mean));
        if needs_numbers && !value.value_type.is_number() {
            return Err(Error::request(format!(
                "\"aggregates\" asks for a sum or mean of {name:?}, which holds no numbers: use count, first or last"
            )));
        }
        aggregates.push((column, functions.clone()));
    }
    Ok(Aggregation { every: windows.every, aggregates })
}
