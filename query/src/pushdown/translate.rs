//! Translation of SQL conditions into conditions that a scan decides by itself.
//!
//! The optimizer hands over typed expressions. An expression that means exactly the same in the filter language of
//! scans becomes keys, instants and a predicate there, evaluated while decoding and used to skip files and pages. One
//! that can only be bounded is used to skip, and is evaluated again above the scan; one that cannot be expressed at all
//! stays above it.
//!
//! | SQL, after type coercion | condition of the scan |
//! |---|---|
//! | `CAST(temperature AS DOUBLE) > 30.1` | `temperature > ` the greatest single-precision number at or below 30.1 |
//! | `CAST(temperature AS DOUBLE) = 30.1` | never: no single-precision number is 30.1 |
//! | `CAST(reading_at AS DATE) = '2026-11-22'` | `reading_at` in that UTC day |
//! | `date_trunc('hour', reading_at) >= …`, `date_bin(…) >= …` | `reading_at >= ` the literal rounded up to an hour |
//! | `CAST(reading_at AS TIMESTAMP(ns)) < …` | `reading_at < ` the literal rounded up to a µs |
//! | `temperature > 30` in a column without a plausible range | stays above: a signed NaN sorts below all numbers |

use arrow::datatypes::{DataType, TimeUnit};
use barograph_engine::filter::{Builder, Literal, Node, Op, Wanted};
use barograph_lake::schema::TIME_COLUMN;
use barograph_lake::{Span, TableSchema, Timestamp, ValueType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::pushdown::values::{
    float_literal, integer_literal, is_fine, is_micros, may_be_nan, nanos, text_literal,
    window_length,
};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const NANOS_PER_MICRO: i128 = 1_000;

/// A condition of the scan for a condition of SQL.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) node: Node,
    /// Whether both are true for the same rows; otherwise `node` is true for more.
    pub(crate) exact: bool,
}

impl Translated {
    fn exactly(node: Node) -> Option<Self> {
        Some(Self { node, exact: true })
    }
}

/// Translates conditions over the columns of one table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Translator<'a> {
    build: Builder<'a>,
}

/// A column, plain or cast.
#[derive(Debug, Clone)]
pub(crate) struct Operand<'e> {
    pub(crate) column: usize,
    pub(crate) cast: Option<&'e DataType>,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(schema: &'a TableSchema) -> Self {
        Self { build: Builder { schema } }
    }

    /// What all of `filters` leave to be read, and whether none of them has to be evaluated again.
    pub(crate) fn wanted(&self, filters: &[Expr]) -> (Wanted, bool) {
        let (mut wanted, mut exact) = (Wanted::all(), true);
        for filter in filters {
            match self.condition(filter) {
                Some(translated) => {
                    exact &= translated.exact;
                    wanted.and(translated.node);
                }
                None => exact = false,
            }
        }
        (wanted, exact)
    }

    /// The scan's condition for `expr`.
    pub(crate) fn condition(&self, expr: &Expr) -> Option<Translated> {
        match expr {
            Expr::Alias(alias) => self.condition(&alias.expr),
            Expr::Literal(ScalarValue::Boolean(answer), _) => {
                Translated::exactly(Node::Constant(*answer))
            }
            Expr::Literal(ScalarValue::Null, _) => Translated::exactly(Node::Constant(None)),
            Expr::Not(inner) => self.not(self.condition(inner)?),
            Expr::IsNull(inner) => self.is_null(inner),
            Expr::IsNotNull(inner) => self.not(self.is_null(inner)?),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(left, *op, right),
            Expr::Between(between) => {
                let (low, high) = (&between.low, &between.high);
                let low = self.binary(&between.expr, Operator::GtEq, low);
                let high = self.binary(&between.expr, Operator::LtEq, high);
                let both = and(low, high)?;
                if between.negated { self.not(both) } else { Some(both) }
            }
            Expr::InList(list) => {
                let operand = self.operand(&list.expr)?;
                let values = list.list.iter().map(literal).collect::<Option<Vec<_>>>()?;
                let among = self.among(&operand, values.into_iter())?;
                if list.negated { self.not(among) } else { Some(among) }
            }
            _ => None,
        }
    }

    /// A column of the table by name.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.build.schema.arrow().index_of(name).ok()
    }

    /// The condition that a column is null.
    pub(crate) fn null(&self, column: usize) -> Option<Translated> {
        let field = self.build.schema.arrow().fields().get(column)?;
        Translated::exactly(if field.is_nullable() {
            Node::IsNull { column }
        } else {
            Node::Constant(Some(false))
        })
    }

    fn not(&self, translated: Translated) -> Option<Translated> {
        let Translated { node, exact } = translated;
        exact.then(|| Translated { node: Node::Not(Box::new(node)), exact })
    }

    fn is_null(&self, inner: &Expr) -> Option<Translated> {
        match self.operand(inner)? {
            Operand { column, cast: None } => self.null(column),
            Operand { .. } => None,
        }
    }

    fn binary(&self, left: &Expr, op: Operator, right: &Expr) -> Option<Translated> {
        match op {
            Operator::And => return and(self.condition(left), self.condition(right)),
            Operator::Or => return or(self.condition(left)?, self.condition(right)?),
            _ => {}
        }
        let op = comparison(op)?;
        if let Some(length) = self.window(left) {
            return self.windowed(op, length, nanos(literal(right)?)?);
        }
        if let Some(length) = self.window(right) {
            return self.windowed(op.mirrored(), length, nanos(literal(left)?)?);
        }
        match (self.operand(left), self.operand(right)) {
            (Some(operand), None) => self.compare(&operand, op, literal(right)?),
            (None, Some(operand)) => self.compare(&operand, op.mirrored(), literal(left)?),
            (Some(left), Some(right)) => self.columns(&left, op, &right),
            (None, None) => None,
        }
    }

    fn operand<'e>(&self, expr: &'e Expr) -> Option<Operand<'e>> {
        match expr {
            Expr::Column(column) => {
                Some(Operand { column: self.column(&column.name)?, cast: None })
            }
            Expr::Cast(cast) => match cast.expr.as_ref() {
                Expr::Column(_) => {
                    let inner = self.operand(&cast.expr)?;
                    Some(Operand { cast: Some(cast.field.data_type()), ..inner })
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether SQL and the scan order all values of the column alike. A float column without a plausible range may hold
    /// a NaN with a sign.
    fn is_ordered(&self, column: usize) -> bool {
        !may_be_nan(self.build.schema, column)
    }

    fn columns(&self, left: &Operand<'_>, op: Op, right: &Operand<'_>) -> Option<Translated> {
        if left.cast.is_some() || right.cast.is_some() {
            return None;
        }
        let (left, right) = (left.column, right.column);
        if !self.is_ordered(left) || !self.is_ordered(right) {
            return None;
        }
        Translated::exactly(self.build.columns(left, op, right)?)
    }

    /// A list of values: equal to any of them.
    pub(crate) fn among<'e>(
        &self,
        operand: &Operand<'_>,
        values: impl Iterator<Item = &'e ScalarValue>,
    ) -> Option<Translated> {
        let (mut literals, mut null) = (Vec::new(), false);
        let of = self.build.type_of(operand.column)?;
        for value in values {
            if value.is_null() {
                null = true;
                continue;
            }
            let literal = match of {
                ValueType::Int16 | ValueType::Int32 | ValueType::Int64 => {
                    integer_literal(of, operand.cast, value)?
                }
                ValueType::Utf8 => text_literal(operand.cast, value)?,
                ValueType::Timestamp if is_micros(operand.cast) => match value {
                    ScalarValue::TimestampMicrosecond(Some(instant), _) => {
                        Literal::Instant(Timestamp::from_micros(*instant))
                    }
                    _ => return None,
                },
                _ => return None,
            };
            literals.push(literal);
        }
        let unknown = Node::Constant(None);
        if literals.is_empty() {
            return Translated::exactly(if null { unknown } else { Node::Constant(Some(false)) });
        }
        let among = self.build.among(operand.column, literals)?;
        Translated::exactly(if null { Node::Or(vec![among, unknown]) } else { among })
    }

    /// A comparison of a column with a value.
    pub(crate) fn compare(
        &self,
        operand: &Operand<'_>,
        op: Op,
        value: &ScalarValue,
    ) -> Option<Translated> {
        if value.is_null() {
            return Translated::exactly(Node::Constant(None));
        }
        let Operand { column, cast } = *operand;
        let of = self.build.type_of(column)?;
        let plain = |op, literal| Translated::exactly(self.build.compare(column, op, literal)?);
        match of {
            ValueType::Int16 | ValueType::Int32 | ValueType::Int64 => {
                plain(op, integer_literal(of, cast, value)?)
            }
            ValueType::Utf8 => plain(op, text_literal(cast, value)?),
            ValueType::Float32 | ValueType::Float64 if self.is_ordered(column) => {
                let (op, literal) = float_literal(of, cast, op, value)?;
                plain(op, literal)
            }
            ValueType::Float32 | ValueType::Float64 => None,
            ValueType::Timestamp => match (cast, value) {
                (cast, ScalarValue::TimestampMicrosecond(Some(instant), _)) if is_micros(cast) => {
                    plain(op, Literal::Instant(Timestamp::from_micros(*instant)))
                }
                (
                    Some(DataType::Timestamp(TimeUnit::Nanosecond, _)),
                    ScalarValue::TimestampNanosecond(Some(nanos), _),
                ) => {
                    let micros = Timestamp::from_micros(nanos.div_euclid(1_000));
                    self.floored(column, op, micros, nanos.rem_euclid(1_000) == 0)
                }
                (Some(DataType::Date32), ScalarValue::Date32(Some(day))) => {
                    self.day(column, op, i64::from(*day))
                }
                _ => None,
            },
        }
    }

    /// A comparison of an instant with a literal whose whole part is `floor`, and which has no other part if `whole`.
    fn floored(&self, column: usize, op: Op, floor: Timestamp, whole: bool) -> Option<Translated> {
        let op = match op {
            op if whole => op,
            Op::Lt | Op::Le => Op::Le,
            Op::Gt | Op::Ge => Op::Gt,
            // No instant is equal; every one is unequal.
            Op::Eq => return self.never(column),
            Op::Ne => return self.not(self.never(column)?),
        };
        Translated::exactly(self.build.compare(column, op, Literal::Instant(floor))?)
    }

    /// A condition that no instant meets.
    fn never(&self, column: usize) -> Option<Translated> {
        let at = |op| self.build.compare(column, op, Literal::Instant(Timestamp::UNIX_EPOCH));
        Translated::exactly(Node::And(vec![at(Op::Lt)?, at(Op::Gt)?]))
    }

    /// Length of the windows that `expr` divides the table's time into.
    fn window(&self, expr: &Expr) -> Option<Span> {
        let Expr::ScalarFunction(call) = expr else { return None };
        let [what, time] = call.args.as_slice() else { return None };
        match self.operand(time)? {
            Operand { column: TIME_COLUMN, cast } if is_fine(cast) => {}
            _ => return None,
        }
        window_length(call.func.name(), literal(what)?)
    }

    /// A comparison of the start of an instant's window with a literal in ns.
    fn windowed(&self, op: Op, length: Span, literal: i128) -> Option<Translated> {
        let every = i128::from(length.micros()) * NANOS_PER_MICRO;
        let start = literal.div_euclid(every) * every;
        let whole = start == literal;
        // Windows begin at whole µs.
        let instant =
            |nanos: i128| i64::try_from(nanos / NANOS_PER_MICRO).ok().map(Timestamp::from_micros);
        let (start, next) = (instant(start)?, instant(start + every)?);
        let up = if whole { start } else { next };
        let at = |op, instant| self.build.compare(TIME_COLUMN, op, Literal::Instant(instant));
        let node = match op {
            Op::Eq if whole => Node::And(vec![at(Op::Ge, start)?, at(Op::Lt, next)?]),
            Op::Ne if whole => Node::Or(vec![at(Op::Lt, start)?, at(Op::Ge, next)?]),
            Op::Eq => return self.never(TIME_COLUMN),
            Op::Ne => return self.not(self.never(TIME_COLUMN)?),
            Op::Lt => at(Op::Lt, up)?,
            Op::Ge => at(Op::Ge, up)?,
            Op::Le => at(Op::Lt, next)?,
            Op::Gt => at(Op::Ge, next)?,
        };
        Translated::exactly(node)
    }

    /// A comparison of the UTC day of an instant with a day since the Unix epoch.
    fn day(&self, column: usize, op: Op, day: i64) -> Option<Translated> {
        let (start, end) =
            (day.checked_mul(MICROS_PER_DAY)?, day.checked_add(1)?.checked_mul(MICROS_PER_DAY)?);
        let at = |op, micros| {
            self.build.compare(column, op, Literal::Instant(Timestamp::from_micros(micros)))
        };
        let node = match op {
            Op::Eq => Node::And(vec![at(Op::Ge, start)?, at(Op::Lt, end)?]),
            Op::Ne => Node::Or(vec![at(Op::Lt, start)?, at(Op::Ge, end)?]),
            Op::Lt => at(Op::Lt, start)?,
            Op::Le => at(Op::Lt, end)?,
            Op::Gt => at(Op::Ge, end)?,
            Op::Ge => at(Op::Ge, start)?,
        };
        Translated::exactly(node)
    }
}

/// Both conditions; where one is not known, the other is a bound.
pub(crate) fn and(left: Option<Translated>, right: Option<Translated>) -> Option<Translated> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Translated {
            exact: left.exact && right.exact,
            node: Node::And(vec![left.node, right.node]),
        }),
        (one, other) => one.or(other).map(|known| Translated { node: known.node, exact: false }),
    }
}

/// Either condition.
pub(crate) fn or(left: Translated, right: Translated) -> Option<Translated> {
    let exact = left.exact && right.exact;
    match (&left.node, &right.node) {
        (Node::Constant(Some(false)), _) => return Some(Translated { exact, ..right }),
        (_, Node::Constant(Some(false))) => return Some(Translated { exact, ..left }),
        _ => {}
    }
    Some(Translated { node: Node::Or(vec![left.node, right.node]), exact })
}

/// The comparison that an operator stands for.
pub(crate) fn comparison(op: Operator) -> Option<Op> {
    Some(match op {
        Operator::Eq => Op::Eq,
        Operator::NotEq => Op::Ne,
        Operator::Lt => Op::Lt,
        Operator::LtEq => Op::Le,
        Operator::Gt => Op::Gt,
        Operator::GtEq => Op::Ge,
        _ => return None,
    })
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}
