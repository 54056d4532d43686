//! The builder of conditions from typed expressions, and the keys and instants that they leave to be read.
//!
//! SQL arrives as typed expressions, not as text. A [`Builder`] makes conditions of them, and
//! [`Wanted`] takes the bounds on key and time out of a list of conditions that all must hold:
//!
//! ```text
//! city_id = 7 AND reading_at >= 10:00 AND temperature > 30
//!   ─► keys [7], time 10:00…, filter temperature > 30
//! ```

use std::sync::Arc;

use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, KeySelection, Span, TableSchema, TimeRange, Timestamp, ValueType};

use super::literal::{Base, Cmp, Literal, Set, Test};
use super::parse::value_type;
use super::{Node, Op, Predicate};

/// A builder of conditions over the columns of a table. It returns `None` for what does not fit the column.
#[derive(Debug, Clone, Copy)]
pub struct Builder<'a> {
    pub schema: &'a TableSchema,
}

impl Builder<'_> {
    /// The declared type of a column.
    pub fn type_of(&self, column: usize) -> Option<ValueType> {
        value_type(self.schema.arrow().fields().get(column)?.data_type()).ok()
    }

    /// A comparison of a column with a literal.
    pub fn compare(&self, column: usize, op: Op, literal: Literal) -> Option<Node> {
        let test = Test::new(self.type_of(column)?, op, &literal).ok()?;
        Some(Node::Compare { column, op, literal, test })
    }

    /// A test whether a column is among literals.
    pub fn among(&self, column: usize, literals: Vec<Literal>) -> Option<Node> {
        let set = Set::new(self.type_of(column)?, &literals).ok()?;
        Some(Node::Among { column, literals, set })
    }

    /// A comparison of two columns of one type.
    pub fn columns(&self, left: usize, op: Op, right: usize) -> Option<Node> {
        (self.type_of(left)? == self.type_of(right)?).then_some(Node::Columns { left, op, right })
    }

    /// All of `nodes`; `None` if there are none.
    pub fn predicate(&self, mut nodes: Vec<Node>) -> Option<Predicate> {
        let root = match nodes.len() {
            0 => return None,
            1 => nodes.pop()?,
            _ => Node::And(nodes),
        };
        let mut columns = Vec::new();
        root.visit_columns(&mut |column| columns.push(column));
        columns.sort_unstable();
        columns.dedup();
        let schema = Arc::clone(self.schema.arrow());
        Some(Predicate { root: Arc::new(root), columns: columns.into(), schema })
    }
}

/// The rows that a read needs for some conditions: keys, instants, and the rest of the filter.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub keys: KeySelection,
    pub time: TimeRange,
    pub rest: Vec<Node>,
}

impl Wanted {
    /// The whole table.
    pub fn all() -> Self {
        Self { keys: KeySelection::All, time: TimeRange::ALL, rest: Vec::new() }
    }

    /// Narrows it to the rows for which `node` is true.
    pub fn and(&mut self, node: Node) {
        match node {
            Node::And(nodes) => nodes.into_iter().for_each(|node| self.and(node)),
            Node::Constant(Some(true)) => {}
            Node::Constant(_) => self.keys = KeySelection::list(Vec::<Key>::new()),
            Node::Compare { column: KEY_COLUMN, ref test, .. } => match interval(test) {
                Some((from, to)) => {
                    self.keys = one_or_range(self.keys.within(Key::new(from), Key::new(to)));
                }
                None => self.rest.push(node),
            },
            Node::Compare { column: TIME_COLUMN, ref test, .. } => match interval(test) {
                Some((from, to)) => {
                    self.narrow_time(Timestamp::from_micros(from), Timestamp::from_micros(to))
                }
                None => self.rest.push(node),
            },
            Node::Among { column: KEY_COLUMN, set: Set::Integers(list), .. } => {
                self.keys = self.listed(list.into_iter().map(Key::new).collect());
            }
            Node::Or(ref nodes) => match listed_keys(nodes) {
                Some(list) => self.keys = self.listed(list),
                None => self.rest.push(node),
            },
            node => self.rest.push(node),
        }
    }

    /// The keys of `list` that are wanted already.
    fn listed(&self, list: Vec<Key>) -> KeySelection {
        KeySelection::list(list.into_iter().filter(|&key| self.keys.contains(key)))
    }

    fn narrow_time(&mut self, first: Timestamp, last: Timestamp) {
        // No row stands at the very last instant, so that an exclusive end loses none.
        let to = last + Span::MICROSECOND;
        self.time.from = self.time.from.max(first);
        self.time.to = self.time.to.min(to);
        if first > last {
            self.time.to = self.time.from;
        }
    }
}

/// A range of one key as a list, which is read in one go.
fn one_or_range(keys: KeySelection) -> KeySelection {
    match keys {
        KeySelection::Range { from, to } if from == to => KeySelection::list(vec![from]),
        keys => keys,
    }
}

/// The closed interval of whole values that pass a test; empty if its end is before its start; `None`
/// if they are no interval.
fn interval(test: &Test) -> Option<(i64, i64)> {
    const ALL: (i64, i64) = (i64::MIN, i64::MAX);
    const NONE: (i64, i64) = (1, 0);
    let (cmp, value) = match test.base {
        Base::Always => return Some(if test.negated { NONE } else { ALL }),
        Base::Int16(cmp, value) => (cmp, i64::from(value)),
        Base::Int32(cmp, value) => (cmp, i64::from(value)),
        Base::Int64(cmp, value) => (cmp, value),
        _ => return None,
    };
    Some(match (cmp, test.negated) {
        (Cmp::Lt, false) => value.checked_sub(1).map_or(NONE, |last| (i64::MIN, last)),
        (Cmp::Le, false) => (i64::MIN, value),
        (Cmp::Eq, false) => (value, value),
        (Cmp::Lt, true) => (value, i64::MAX),
        (Cmp::Le, true) => value.checked_add(1).map_or(NONE, |first| (first, i64::MAX)),
        (Cmp::Eq, true) => return None,
    })
}

/// The keys of which any is wanted, if all of `nodes` name keys one by one.
fn listed_keys(nodes: &[Node]) -> Option<Vec<Key>> {
    let mut keys = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::Compare { column: KEY_COLUMN, test, .. } => match interval(test)? {
                (from, to) if from == to => keys.push(Key::new(from)),
                (from, to) if from > to => {}
                _ => return None,
            },
            Node::Among { column: KEY_COLUMN, set: Set::Integers(list), .. } => {
                keys.extend(list.iter().copied().map(Key::new));
            }
            Node::Or(nodes) => keys.extend(listed_keys(nodes)?),
            Node::Constant(Some(false) | None) => {}
            _ => return None,
        }
    }
    Some(keys)
}
