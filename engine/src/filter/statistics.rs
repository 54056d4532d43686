//! Pruning by statistics: which files and pages can hold no row that a predicate wants.
//!
//! Min, max and the number of nulls decide two questions for every condition, whether it may be true of any row and
//! whether it may be false of any row:
//!
//! ```text
//! temperature in [12.5, 31.0], 3 of 2048 null
//!   temperature > 30             may be true, may be false
//!   temperature > 40             cannot be true        ─► skip, unless an OR saves it
//!   NOT temperature > 40         cannot be false, may be true
//!   temperature IS NULL          may be true, may be false
//! ```
//!
//! The answer "may match" is always safe. Bounds are those of every value that is not null: a column
//! that holds a NaN has none, since NaN is greater than any bound that can be written down.

use std::cmp::Ordering;

use arrow::datatypes::DataType;
use barograph_lake::file::{PagePredicate, PageStats, PageValue};
use barograph_lake::{ColumnStats, FileEntry, Timestamp};
use serde_json::Value;

use super::evaluate::{compare_floats, compare_mixed};
use super::literal::{Base, Cmp, Set, Test};
use super::{Node, Op, Predicate};

/// A min or max value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// An integer, or an instant in µs.
    Whole(i64),
    /// A float other than NaN; single precision is widened.
    Float(f64),
}

/// Statistics of one column over some rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bounds {
    /// Bounds of all values that are not null, NaN included; `None` where they are not known or every
    /// value is null.
    pub values: Option<(Bound, Bound)>,
    /// Number of nulls; `None` where it is not known.
    pub nulls: Option<u64>,
}

impl Predicate {
    /// Whether the file may hold a row that the predicate selects.
    pub(crate) fn may_match_file(&self, file: &FileEntry) -> bool {
        let bounds = |column: usize| {
            let stats = file.columns.get(column)?;
            Some(Bounds { values: values(stats, self.type_of(column)?), nulls: Some(stats.nulls) })
        };
        self.may_match_bounds(file.rows, &bounds)
    }

    /// Whether any of `rows` rows may be selected, from what is known of their columns by index in
    /// the table's Arrow schema. `None` is nothing.
    pub(crate) fn may_match_bounds(
        &self,
        rows: u64,
        bounds: &dyn Fn(usize) -> Option<Bounds>,
    ) -> bool {
        rows > 0 && Known { rows, bounds }.judge(&self.root).may_be_true
    }

    fn type_of(&self, column: usize) -> Option<&DataType> {
        self.schema.fields().get(column).map(|field| field.data_type())
    }
}

impl PagePredicate for Predicate {
    fn columns(&self) -> &[usize] {
        Predicate::columns(self)
    }

    fn may_match(&self, page: &PageStats<'_>) -> bool {
        let bounds = |column: usize| {
            let stats = page.column(column);
            let values = stats.bounds.and_then(|(min, max)| Some((bound(min)?, bound(max)?)));
            Some(Bounds { values, nulls: stats.nulls.map(u64::from) })
        };
        self.may_match_bounds(u64::from(page.rows()), &bounds)
    }
}

fn bound(value: PageValue<'_>) -> Option<Bound> {
    match value {
        PageValue::Int(value) => Some(Bound::Whole(value)),
        PageValue::Float(value) => Some(Bound::Float(value)).filter(|_| !value.is_nan()),
        PageValue::Text(_) => None,
    }
}

fn values(stats: &ColumnStats, of: &DataType) -> Option<(Bound, Bound)> {
    let read = |value: &Option<Value>| {
        let value = value.as_ref()?;
        match of {
            DataType::Timestamp(..) => {
                value.as_str()?.parse::<Timestamp>().ok().map(|at| Bound::Whole(at.as_micros()))
            }
            DataType::Float32 | DataType::Float64 => value.as_f64().map(Bound::Float),
            _ => value.as_i64().map(Bound::Whole),
        }
    };
    Some((read(&stats.min)?, read(&stats.max)?))
}

/// What a condition may be over some rows. Neither: it is unknown of all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Judgement {
    may_be_true: bool,
    may_be_false: bool,
}

const EITHER: Judgement = Judgement { may_be_true: true, may_be_false: true };
const NEITHER: Judgement = Judgement { may_be_true: false, may_be_false: false };

impl Judgement {
    fn not(self) -> Self {
        Self { may_be_true: self.may_be_false, may_be_false: self.may_be_true }
    }
}

struct Known<'a> {
    rows: u64,
    bounds: &'a dyn Fn(usize) -> Option<Bounds>,
}

impl Known<'_> {
    fn judge(&self, node: &Node) -> Judgement {
        match node {
            Node::Constant(answer) => Judgement {
                may_be_true: *answer == Some(true),
                may_be_false: *answer == Some(false),
            },
            Node::IsNull { column } => match (self.bounds)(*column).and_then(|known| known.nulls) {
                Some(nulls) => {
                    Judgement { may_be_true: nulls > 0, may_be_false: nulls < self.rows }
                }
                None => EITHER,
            },
            Node::Compare { column, test, .. } => {
                self.with_values(*column, |min, max| judge_test(test, min, max))
            }
            Node::Columns { left, op, right } => self.with_values(*left, |min, max| {
                self.with_values(*right, |low, high| judge_columns(*op, (min, max), (low, high)))
            }),
            Node::Among { column, set, .. } => {
                self.with_values(*column, |min, max| judge_set(set, min, max))
            }
            Node::Not(node) => self.judge(node).not(),
            Node::And(nodes) => self.judge_all(nodes.iter().map(|node| self.judge(node))),
            Node::Or(nodes) => {
                self.judge_all(nodes.iter().map(|node| self.judge(node).not())).not()
            }
        }
    }

    /// No row makes a conjunction true if one part is true of none; any part can make it false.
    fn judge_all(&self, parts: impl Iterator<Item = Judgement>) -> Judgement {
        parts.fold(Judgement { may_be_true: true, may_be_false: false }, |all, part| Judgement {
            may_be_true: all.may_be_true && part.may_be_true,
            may_be_false: all.may_be_false || part.may_be_false,
        })
    }

    fn with_values(&self, column: usize, judge: impl Fn(Bound, Bound) -> Judgement) -> Judgement {
        match (self.bounds)(column) {
            Some(Bounds { nulls: Some(nulls), .. }) if nulls >= self.rows => NEITHER,
            Some(Bounds { values: Some((min, max)), .. }) => judge(min, max),
            _ => EITHER,
        }
    }
}

fn judge_test(test: &Test, min: Bound, max: Bound) -> Judgement {
    let judgement = match &test.base {
        Base::Always => Judgement { may_be_true: true, may_be_false: false },
        Base::Int16(cmp, value) => judge_value(*cmp, min, max, Bound::Whole(i64::from(*value))),
        Base::Int32(cmp, value) => judge_value(*cmp, min, max, Bound::Whole(i64::from(*value))),
        Base::Int64(cmp, value) => judge_value(*cmp, min, max, Bound::Whole(*value)),
        Base::Float32(cmp, value) => judge_value(*cmp, min, max, Bound::Float(f64::from(*value))),
        Base::Float64(cmp, value) => judge_value(*cmp, min, max, Bound::Float(*value)),
        Base::Text(..) => EITHER,
    };
    if test.negated { judgement.not() } else { judgement }
}

fn judge_value(cmp: Cmp, min: Bound, max: Bound, value: Bound) -> Judgement {
    judge_ranges(cmp, (min, max), (value, value))
}

/// What `a cmp b` may be for values `a` and `b` of two ranges.
fn judge_ranges(cmp: Cmp, a: (Bound, Bound), b: (Bound, Bound)) -> Judgement {
    let low = a.0.compare(b.1);
    let high = a.1.compare(b.0);
    match cmp {
        Cmp::Lt => Judgement { may_be_true: low.is_lt(), may_be_false: high.is_ge() },
        Cmp::Le => Judgement { may_be_true: low.is_le(), may_be_false: high.is_gt() },
        Cmp::Eq => Judgement {
            may_be_true: low.is_le() && high.is_ge(),
            may_be_false: !(low.is_eq() && high.is_eq()),
        },
    }
}

fn judge_columns(op: Op, left: (Bound, Bound), right: (Bound, Bound)) -> Judgement {
    match op {
        Op::Lt => judge_ranges(Cmp::Lt, left, right),
        Op::Le => judge_ranges(Cmp::Le, left, right),
        Op::Gt => judge_ranges(Cmp::Lt, right, left),
        Op::Ge => judge_ranges(Cmp::Le, right, left),
        Op::Eq => judge_ranges(Cmp::Eq, left, right),
        Op::Ne => judge_ranges(Cmp::Eq, left, right).not(),
    }
}

fn judge_set(set: &Set, min: Bound, max: Bound) -> Judgement {
    // Whether any value of an ascending list lies in the range.
    fn touches<T: Copy>(list: &[T], of: impl Fn(T) -> Bound, min: Bound, max: Bound) -> bool {
        let first = list.partition_point(|&value| of(value).compare(min).is_lt());
        list.get(first).is_some_and(|&value| of(value).compare(max).is_le())
    }
    let may_be_true = match set {
        Set::Integers(list) => touches(list, Bound::Whole, min, max),
        Set::Floats(list, _) => touches(list, Bound::Float, min, max),
        Set::Texts(_) => true,
    };
    let one = min.compare(max).is_eq();
    Judgement { may_be_true, may_be_false: !(one && may_be_true) || matches!(set, Set::Texts(_)) }
}

impl Bound {
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Whole(a), Self::Whole(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => compare_floats(a, b),
            (Self::Whole(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Whole(b)) => compare_mixed(b, a).reverse(),
        }
    }
}
