//! The restriction of a caller on a table: the columns and rows that it is given, as reads carry it.
//!
//! ```text
//! Allowed ─bind to the table─► visible schema: by which the caller's names are understood
//!                              condition: joined with that of every read, below all else
//! ```
//!
//! A read that carries it never touches other rows, so that whatever is computed, counted or pruned above it knows nothing
//! of them. For a point read, the newest row of a key is looked for first, and then let through or not.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type};
use barograph_access::{Allowed, KeyRange, KeyRanges, RowRule, Rows};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN};
use barograph_lake::{Key, TableSchema};

use crate::filter::{Builder, FilterBounds, Literal, Node, Op, Predicate, Wanted};
use crate::scan::{PointQuery, Scan};
use crate::{Error, ErrorKind, Result};

/// How deep and large the filter of a grant may be.
const FILTER_BOUNDS: FilterBounds = FilterBounds { depth: 128, operators: 10_000 };

/// What of a table a caller is given. There is none for a caller that is given everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Restriction {
    table: Arc<TableSchema>,
    visible: Arc<TableSchema>,
    /// For each column of `visible` its index in `table`.
    columns: Vec<usize>,
    keys: Option<KeyRanges>,
    /// What a row meets, its key included.
    condition: Option<Predicate>,
}

impl Restriction {
    /// What `allowed` gives of `table`; `None` if that is everything.
    ///
    /// # Errors
    /// `Denied` if a condition on rows cannot be decided by the columns of this table: then nothing of it is given.
    pub fn new(table: &Arc<TableSchema>, allowed: &Allowed) -> Result<Option<Arc<Self>>> {
        if allowed.is_everything() {
            return Ok(None);
        }
        let visible = visible(table, allowed)?;
        let fields = visible.arrow().fields().iter();
        let columns = fields.map(|field| Ok(table.column(field.name())?)).collect::<Result<_>>()?;
        let condition = match &allowed.rows {
            Rows::All => None,
            Rows::Some(rules) => {
                let of = Builder { schema: table };
                let nodes = rules.iter().map(|rule| node(table, of, rule));
                let mut nodes: Vec<_> = nodes.collect::<Result<_>>()?;
                let any = match nodes.len() {
                    1 => nodes.pop().unwrap_or(Node::Constant(Some(false))),
                    _ => Node::Or(nodes),
                };
                of.predicate(vec![any])
            }
        };
        let keys = allowed.keys();
        Ok(Some(Arc::new(Self { table: Arc::clone(table), visible, columns, keys, condition })))
    }

    /// The table as the caller sees it: names of a request are understood by it, and by nothing else.
    pub fn visible(&self) -> &Arc<TableSchema> {
        &self.visible
    }

    /// The index in the table of a column of [`Self::visible`].
    pub fn column(&self, visible: usize) -> usize {
        self.columns.get(visible).copied().unwrap_or(KEY_COLUMN)
    }

    /// The indexes in the table of all columns of [`Self::visible`].
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Whether all rows are given, of some columns.
    pub fn gives_all_rows(&self) -> bool {
        self.condition.is_none()
    }

    /// Narrows what a read wants to the rows that are given.
    pub fn narrow(&self, wanted: &mut Wanted) {
        if let Some((first, last)) = self.ends() {
            wanted.keys = wanted.keys.within(first, last);
        }
        if let Some(condition) = &self.condition {
            wanted.and(condition.root().clone());
        }
    }

    /// The same for a range read, whose indexes are those of the table.
    pub fn scan(&self, scan: Scan) -> Scan {
        let rest = scan.filter.iter().map(|filter| filter.root().clone()).collect();
        let mut wanted = Wanted { keys: scan.keys, time: scan.time, rest };
        self.narrow(&mut wanted);
        let filter = Builder { schema: &self.table }.predicate(wanted.rest);
        Scan { keys: wanted.keys, time: wanted.time, filter, ..scan }
    }

    /// The point read from whose answer [`Self::let_through`] can tell what is given.
    pub(crate) fn point(&self, query: &PointQuery) -> PointQuery {
        let mut columns = query.columns.clone();
        let needed = self.condition.iter().flat_map(|of| of.columns().iter().copied());
        for column in needed.filter(|&column| column >= FIRST_VALUE_COLUMN) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let keys = match (&query.keys, &self.keys) {
            (Some(keys), Some(given)) => {
                Some(keys.iter().copied().filter(|&key| given.contains(key)).collect())
            }
            (Some(keys), None) => Some(keys.clone()),
            (None, given) => given.as_ref().and_then(one_by_one),
        };
        PointQuery { keys, point: query.point, columns }
    }

    /// The columns that have to be read so that [`Self::let_through`] can tell what of `output` is given: those of
    /// `output`, then others.
    pub fn reads(&self, output: &[usize]) -> Vec<usize> {
        let mut reads = output.to_vec();
        for &column in self.condition.iter().flat_map(|condition| condition.columns()) {
            if !reads.contains(&column) {
                reads.push(column);
            }
        }
        reads
    }

    /// The first `kept` columns of those rows that are given. Column `i` of `rows` is column `columns[i]` of the table.
    pub fn let_through(
        &self,
        rows: &RecordBatch,
        columns: &[usize],
        kept: usize,
    ) -> Result<RecordBatch> {
        let rows = match &self.condition {
            None => rows.clone(),
            Some(condition) => {
                let given = BooleanArray::new(condition.select(rows, columns)?, None);
                filter_record_batch(rows, &given)?
            }
        };
        Ok(rows.project(&(0..kept).collect::<Vec<_>>())?)
    }

    /// Refuses rows of a put whose keys are not among `keys`.
    ///
    /// # Errors
    /// `Denied`, with the first such key.
    pub fn check_written(table: &TableSchema, rows: &RecordBatch, keys: &KeyRanges) -> Result<()> {
        let name = table.arrow().field(KEY_COLUMN).name();
        // A batch without keys is refused as a whole where rows are validated, by the same column.
        let Some(column) = rows.column_by_name(name) else { return Ok(()) };
        let denied = |what: String| {
            let text = format!(
                "{what} of table {:?}: that is not among the keys that you may write",
                table.name()
            );
            Err(Error::new(ErrorKind::Denied, text))
        };
        if !column.data_type().is_integer() {
            return denied(format!("keys of type {}, which are not integers,", column.data_type()));
        }
        let numbers = cast(column, &DataType::Int64)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let outside = (0..column.len())
            .filter(|&row| column.is_valid(row))
            .find(|&row| numbers.is_null(row) || !keys.contains(Key::new(numbers.value(row))));
        match outside {
            None => Ok(()),
            Some(row) if numbers.is_null(row) => denied("a key of more than 64 bits".to_owned()),
            Some(row) => denied(format!("key {}", numbers.value(row))),
        }
    }

    fn ends(&self) -> Option<(Key, Key)> {
        let ranges = self.keys.as_ref()?.ranges();
        Some((ranges.first()?.from, ranges.last()?.to))
    }
}

/// The table with the columns that are given. Key, time and when a row was accepted always are.
fn visible(table: &Arc<TableSchema>, allowed: &Allowed) -> Result<Arc<TableSchema>> {
    let Some(given) = &allowed.columns else { return Ok(Arc::clone(table)) };
    let mut declaration = table.declaration().clone();
    declaration.columns.retain(|column| given.contains(&column.name));
    Ok(Arc::new(TableSchema::new(table.name(), declaration)?))
}

/// What a row meets that `rule` lets through.
fn node(table: &TableSchema, of: Builder<'_>, rule: &RowRule) -> Result<Node> {
    let mut all = Vec::new();
    if let Some(keys) = &rule.keys {
        all.push(of_keys(of, keys));
    }
    for filter in &rule.filters {
        let parsed = Predicate::parse_within(filter, table, FILTER_BOUNDS).map_err(|error| {
            // What a filter says is not told to those that it is meant for.
            tracing::debug!(table = table.name(), %error, "a row filter does not fit the table");
            Error::new(
                ErrorKind::Denied,
                format!("your rights do not fit the columns of table {:?}", table.name()),
            )
        })?;
        all.push(parsed.root().clone());
    }
    Ok(match all.len() {
        1 => all.pop().unwrap_or(Node::Constant(Some(false))),
        _ => Node::And(all),
    })
}

/// That the key is among `keys`.
fn of_keys(of: Builder<'_>, keys: &KeyRanges) -> Node {
    let number = |key: Key| Literal::Number(key.to_string());
    let (single, ranges): (Vec<&KeyRange>, Vec<&KeyRange>) =
        keys.ranges().iter().partition(|range| range.from == range.to);
    let listed = single.into_iter().map(|range| number(range.from)).collect::<Vec<_>>();
    let mut any: Vec<_> = ranges
        .into_iter()
        .filter_map(|range| {
            let from = of.compare(KEY_COLUMN, Op::Ge, number(range.from))?;
            Some(Node::And(vec![from, of.compare(KEY_COLUMN, Op::Le, number(range.to))?]))
        })
        .collect();
    if !listed.is_empty() {
        any.extend(of.among(KEY_COLUMN, listed));
    }
    match any.len() {
        0 => Node::Constant(Some(false)),
        1 => any.pop().unwrap_or(Node::Constant(Some(false))),
        _ => Node::Or(any),
    }
}

/// The keys one by one, if they are given so.
fn one_by_one(keys: &KeyRanges) -> Option<Vec<Key>> {
    let one = |range: &KeyRange| (range.from == range.to).then_some(range.from);
    keys.ranges().iter().map(one).collect()
}

#[cfg(test)]
mod tests;
