//! The parser of filters: a text becomes a condition over a table's columns.
//!
//! ```text
//! text ─► tokens ─► gate: only the words and signs of a filter ─► SQL parser ─► condition, typed
//! ```
//!
//! A text that passes the gate is bounded in length, in nesting and in the depth of its tree.

use arrow::datatypes::DataType;
use barograph_lake::{TableSchema, ValueType};
use sqlparser::ast::{BinaryOperator, DataType as SqlType, Expr, Ident, UnaryOperator, Value};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::gate::Gate;
use super::literal::{Literal, Set, Test, read_instant};
use super::{FilterBounds, Node, Op};
use crate::{Error, Result};

/// Longest text in bytes: 256 KiB holds an `IN` list of some 30,000 keys.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Stack for what is not deep, and for each level of the parser's tree.
const BASE_BYTES: usize = 256 << 10;
const LEVEL_BYTES: usize = 512;

const SUPPORTED: &str = "a filter is made of columns, literals, = <> < <= > >=, BETWEEN, IN (…), \
                         IS [NOT] NULL, AND, OR, NOT and parentheses";

/// Reads a condition over the columns of `schema`.
pub(super) fn parse(text: &str, schema: &TableSchema, bounds: FilterBounds) -> Result<Node> {
    // The parser's tree can be as deep as there are operators in a row, and is dropped by recursion.
    let levels = bounds.operators.min(text.len());
    let bytes = BASE_BYTES + levels * LEVEL_BYTES;
    stacker::maybe_grow(bytes, bytes, || condition(text, schema, bounds))
}

fn condition(text: &str, schema: &TableSchema, bounds: FilterBounds) -> Result<Node> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(wrong(format!(
            "{} bytes are too many: at most {TEXT_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| wrong(format!("{}{}", error.message, at(error.location))))?;
    let gate = Gate { schema, bounds };
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(bounds.depth)
        .with_tokens_with_locations(gate.admit(tokens)?);
    let expr = parser.parse_expr().map_err(|error| unreadable(error, bounds))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(wrong(format!(
            "{}{} follows the end of the condition",
            next.token,
            at(next.span.start)
        )));
    }
    Reader { schema }.condition(expr)
}

/// A column name as a filter writes it: in double quotes where it would be read as something else.
pub(super) fn quote(name: &str) -> String {
    const TAKEN: [&str; 12] = [
        "and",
        "between",
        "date",
        "false",
        "in",
        "is",
        "not",
        "null",
        "or",
        "timestamp",
        "timestamptz",
        "true",
    ];
    let plain = !TAKEN.contains(&name) && !name.starts_with(|first: char| first.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

pub(super) fn wrong(message: impl std::fmt::Display) -> Error {
    Error::request(message.to_string())
}

pub(super) fn unsupported(what: impl std::fmt::Display) -> Error {
    wrong(format!("{what} is not supported; {SUPPORTED}"))
}

pub(super) fn too_deep(bounds: FilterBounds) -> Error {
    wrong(format!("nested too deeply: at most {} levels are allowed", bounds.depth))
}

fn unreadable(error: ParserError, bounds: FilterBounds) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => too_deep(bounds),
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => wrong(message),
    }
}

pub(super) fn at(place: Location) -> String {
    match place.line {
        0 => String::new(),
        1 => format!(" at column {}", place.column),
        line => format!(" at line {line}, column {}", place.column),
    }
}

/// Turns the parser's tree into a condition.
struct Reader<'a> {
    schema: &'a TableSchema,
}

/// A side of a comparison.
#[derive(Clone)]
enum Operand {
    Column(usize),
    Literal(Literal),
    Null,
}

impl Reader<'_> {
    fn condition(&self, expr: Expr) -> Result<Node> {
        match expr {
            Expr::Nested(expr) => self.condition(*expr),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => {
                Ok(Node::And(self.chain(expr, &BinaryOperator::And)?))
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                Ok(Node::Or(self.chain(expr, &BinaryOperator::Or)?))
            }
            Expr::BinaryOp { left, op, right } => {
                let op = match op {
                    BinaryOperator::Eq => Op::Eq,
                    BinaryOperator::NotEq => Op::Ne,
                    BinaryOperator::Lt => Op::Lt,
                    BinaryOperator::LtEq => Op::Le,
                    BinaryOperator::Gt => Op::Gt,
                    BinaryOperator::GtEq => Op::Ge,
                    other => return Err(unsupported(format!("the operator {other}"))),
                };
                self.compare(self.operand(*left)?, op, self.operand(*right)?)
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                Ok(Node::Not(Box::new(self.condition(*expr)?)))
            }
            Expr::Between { expr, negated, low, high } => {
                let middle = self.operand(*expr)?;
                let both = vec![
                    self.compare(middle.clone(), Op::Ge, self.operand(*low)?)?,
                    self.compare(middle, Op::Le, self.operand(*high)?)?,
                ];
                Ok(turned(Node::And(both), negated))
            }
            Expr::InList { expr, list, negated } => {
                Ok(turned(self.among(self.operand(*expr)?, list)?, negated))
            }
            Expr::IsNull(expr) => self.is_null(*expr),
            Expr::IsNotNull(expr) => Ok(turned(self.is_null(*expr)?, true)),
            Expr::Value(value) => match value.value {
                Value::Boolean(answer) => Ok(Node::Constant(Some(answer))),
                Value::Null => Ok(Node::Constant(None)),
                other => Err(wrong(format!(
                    "{other}{} by itself is not a condition: compare it with a column",
                    at(value.span.start)
                ))),
            },
            Expr::Identifier(name) => Err(wrong(format!(
                "the column {name}{} by itself is not a condition: compare it with a value",
                at(name.span.start)
            ))),
            other => Err(unsupported(kind(&other))),
        }
    }

    /// The links of a chain of one operator. The parser builds it leaning left, as deep as it is long.
    fn chain(&self, mut expr: Expr, of: &BinaryOperator) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        loop {
            match expr {
                Expr::BinaryOp { left, op, right } if op == *of => {
                    nodes.push(self.condition(*right)?);
                    expr = *left;
                }
                first => {
                    nodes.push(self.condition(first)?);
                    nodes.reverse();
                    return Ok(nodes);
                }
            }
        }
    }

    fn is_null(&self, expr: Expr) -> Result<Node> {
        match self.operand(expr)? {
            Operand::Column(column) => Ok(Node::IsNull { column }),
            _ => Err(wrong("IS NULL takes a column")),
        }
    }

    fn compare(&self, left: Operand, op: Op, right: Operand) -> Result<Node> {
        match (left, right) {
            (Operand::Column(column), Operand::Literal(literal)) => {
                self.beside(column, op, literal)
            }
            (Operand::Literal(literal), Operand::Column(column)) => {
                self.beside(column, op.mirrored(), literal)
            }
            (Operand::Column(left), Operand::Column(right)) => {
                let (a, b) = (self.type_of(left)?, self.type_of(right)?);
                if a == b || (a.is_number() && b.is_number()) {
                    return Ok(Node::Columns { left, op, right });
                }
                Err(wrong(format!(
                    "the columns {} and {} cannot be compared: their types are unlike",
                    self.describe(left),
                    self.describe(right)
                )))
            }
            (Operand::Null, _) | (_, Operand::Null) => Ok(Node::Constant(None)),
            (Operand::Literal(left), Operand::Literal(right)) => Err(wrong(format!(
                "{left} {} {right} compares no column: write TRUE or FALSE",
                op.sql()
            ))),
        }
    }

    fn beside(&self, column: usize, op: Op, literal: Literal) -> Result<Node> {
        let of = self.type_of(column)?;
        let literal = self.typed(column, of, literal)?;
        let test = Test::new(of, op, &literal).map_err(|reason| self.unfit(column, &reason))?;
        Ok(Node::Compare { column, op, literal, test })
    }

    fn among(&self, operand: Operand, list: Vec<Expr>) -> Result<Node> {
        let Operand::Column(column) = operand else {
            return Err(wrong("IN takes a column on its left side"));
        };
        let of = self.type_of(column)?;
        let mut literals = Vec::with_capacity(list.len());
        let mut null = false;
        for expr in list {
            match self.operand(expr)? {
                Operand::Literal(literal) => literals.push(self.typed(column, of, literal)?),
                Operand::Null => null = true,
                Operand::Column(_) => return Err(wrong("IN takes a list of literals, no columns")),
            }
        }
        if literals.is_empty() {
            return Ok(Node::Constant(None));
        }
        let set = Set::new(of, &literals).map_err(|reason| self.unfit(column, &reason))?;
        let among = Node::Among { column, literals, set };
        Ok(if null { Node::Or(vec![among, Node::Constant(None)]) } else { among })
    }

    /// Text beside a time column is a time.
    fn typed(&self, column: usize, of: ValueType, literal: Literal) -> Result<Literal> {
        match (of, literal) {
            (ValueType::Timestamp, Literal::Text(text)) => read_instant(&text)
                .map(Literal::Instant)
                .map_err(|reason| self.unfit(column, &reason)),
            (_, literal) => Ok(literal),
        }
    }

    fn operand(&self, mut expr: Expr) -> Result<Operand> {
        let mut negative = None;
        loop {
            expr = match expr {
                Expr::Nested(expr) => *expr,
                Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                    negative = Some(!negative.unwrap_or(false));
                    *expr
                }
                Expr::UnaryOp { op: UnaryOperator::Plus, expr } => {
                    negative = Some(negative.unwrap_or(false));
                    *expr
                }
                expr => {
                    return match (self.plain(expr)?, negative) {
                        (Operand::Literal(Literal::Number(number)), Some(true)) => {
                            Ok(Operand::Literal(Literal::Number(format!("-{number}"))))
                        }
                        (operand @ Operand::Literal(Literal::Number(_)), Some(false))
                        | (operand, None) => Ok(operand),
                        _ => Err(unsupported("a sign before anything but a number")),
                    };
                }
            };
        }
    }

    fn plain(&self, expr: Expr) -> Result<Operand> {
        match expr {
            Expr::Identifier(name) => self.column(&name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [table, name] if table.value == self.schema.name() => self.column(name),
                _ => Err(unsupported("a name of several parts that is not table.column")),
            },
            Expr::Value(value) => match value.value {
                Value::Number(number, _) => Ok(Operand::Literal(Literal::Number(number))),
                Value::SingleQuotedString(text) => Ok(Operand::Literal(Literal::Text(text))),
                Value::Null => Ok(Operand::Null),
                other => Err(unsupported(format!("{other}{} as an operand", at(value.span.start)))),
            },
            Expr::TypedString(typed) => match (&typed.data_type, typed.value.value) {
                (SqlType::Timestamp(..) | SqlType::Date, Value::SingleQuotedString(text)) => {
                    read_instant(&text)
                        .map(|time| Operand::Literal(Literal::Instant(time)))
                        .map_err(|reason| wrong(format!("{reason}{}", at(typed.value.span.start))))
                }
                _ => Err(unsupported("a literal with a type other than TIMESTAMP or DATE")),
            },
            other => Err(unsupported(format!("{} as an operand", kind(&other)))),
        }
    }

    fn column(&self, name: &Ident) -> Result<Operand> {
        self.schema
            .column(&name.value)
            .map(Operand::Column)
            .map_err(|error| wrong(format!("{error}{}", at(name.span.start))))
    }

    fn type_of(&self, column: usize) -> Result<ValueType> {
        value_type(self.schema.arrow().field(column).data_type())
    }

    fn describe(&self, column: usize) -> String {
        let field = self.schema.arrow().field(column);
        match self.type_of(column) {
            Ok(of) => format!("{} ({})", field.name(), format!("{of:?}").to_lowercase()),
            Err(_) => field.name().clone(),
        }
    }

    fn unfit(&self, column: usize, reason: &str) -> Error {
        wrong(format!("column {}: {reason}", self.describe(column)))
    }
}

fn turned(node: Node, negated: bool) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

/// The declared type that a column's Arrow type stands for.
pub(super) fn value_type(of: &DataType) -> Result<ValueType> {
    Ok(match of {
        DataType::Int16 => ValueType::Int16,
        DataType::Int32 => ValueType::Int32,
        DataType::Int64 => ValueType::Int64,
        DataType::Float32 => ValueType::Float32,
        DataType::Float64 => ValueType::Float64,
        DataType::Utf8 => ValueType::Utf8,
        DataType::Timestamp(..) => ValueType::Timestamp,
        other => return Err(Error::internal(format!("filter: a column of type {other}"))),
    })
}

/// What an unsupported expression is, without printing it: it may be deep.
fn kind(expr: &Expr) -> String {
    match expr {
        Expr::BinaryOp { op, .. } => format!("the operator {op}"),
        Expr::UnaryOp { op, .. } => format!("the operator {op}"),
        Expr::Tuple(_) => "a list outside IN".to_owned(),
        Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => {
            "a name of several parts".to_owned()
        }
        Expr::TypedString(_) => "a time that is compared with nothing".to_owned(),
        Expr::IsNull(_) | Expr::IsNotNull(_) => "IS NULL of a condition".to_owned(),
        Expr::InList { .. } | Expr::Between { .. } => "a condition beside a value".to_owned(),
        Expr::IsTrue(_) | Expr::IsNotTrue(_) | Expr::IsFalse(_) | Expr::IsNotFalse(_) => {
            "IS [NOT] TRUE or FALSE".to_owned()
        }
        _ => "this construct".to_owned(),
    }
}
