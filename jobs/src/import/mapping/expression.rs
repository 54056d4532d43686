//! The expression that makes a column of a table from columns of a file: a name, a constant, a linear conversion of
//! one column, or else SQL.
//!
//! Linear conversions are recognised before SQL, so that they need no plan and are evaluated as written:
//!
//! ```text
//! expression = term   { ("+" | "-") term }            (temp - 32) / 1.8
//! term       = factor { ("*" | "/") factor }          "Wind Speed" * 0.44704
//! factor     = "-" factor | number | column | "(" expression ")"
//! column     = letters, digits, _ and . | anything in double quotes
//! ```
//!
//! or a text in single quotes, which is a constant. Anything else is SQL over the columns of the file, which is
//! read when these are known.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::{Error, Result};

/// What a column of a table is made from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Expression {
    /// A column of the file, and what is done to its numbers.
    Column {
        /// Name in the file.
        name: String,
        /// In this order; none leaves the value as it is, text included.
        steps: Vec<Step>,
    },
    /// The same number in every row.
    Number(f64),
    /// The same text in every row.
    Text(String),
    /// A SQL expression over columns of the file, or the name of one that has other characters than names in
    /// expressions have.
    Sql(String),
}

/// A step of a linear conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// x + a
    Add(f64),
    /// x - a
    Subtract(f64),
    /// x · a
    Multiply(f64),
    /// x / a
    Divide(f64),
}

impl Step {
    /// The value after the step.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Add(a) => x + a,
            Self::Subtract(a) => x - a,
            Self::Multiply(a) => x * a,
            Self::Divide(a) => x / a,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Sql(text) => f.write_str(text),
            Self::Column { name, steps } => {
                let mut text = if is_plain(name) { name.clone() } else { format!("\"{name}\"") };
                for (i, step) in steps.iter().enumerate() {
                    let inner = if i == 0 { text } else { format!("({text})") };
                    text = match step {
                        Step::Add(a) => format!("{inner} + {a}"),
                        Step::Subtract(a) => format!("{inner} - {a}"),
                        Step::Multiply(a) => format!("{inner} * {a}"),
                        Step::Divide(a) => format!("{inner} / {a}"),
                    };
                }
                f.write_str(&text)
            }
        }
    }
}

impl TryFrom<String> for Expression {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Expression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        if let Some(constant) = trimmed.strip_prefix('\'').and_then(|t| t.strip_suffix('\''))
            && !constant.contains('\'')
        {
            return Ok(Self::Text(constant.to_owned()));
        }
        if trimmed.is_empty() {
            return Err(Error::request(
                "an expression is empty: write a column of the file, such as temp, or an expression of columns, such as (temp - 32) / 1.8",
            ));
        }
        let mut parser = Parser { rest: text };
        let linear = parser.sum().filter(|_| parser.token().is_none());
        Ok(linear.unwrap_or_else(|| Self::Sql(trimmed.to_owned())))
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_name)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.'
}

/// A linear conversion, if it is one.
type Parsed = Option<Expression>;

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            left = if self.take("+") {
                add(left, self.product()?)?
            } else if self.take("-") {
                add(left, multiply(Expression::Number(-1.0), self.product()?)?)?
            } else {
                return Some(left);
            };
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.factor()?;
        loop {
            left = if self.take("*") {
                multiply(left, self.factor()?)?
            } else if self.take("/") {
                divide(left, self.factor()?)?
            } else {
                return Some(left);
            };
        }
    }

    fn factor(&mut self) -> Parsed {
        if self.take("-") {
            return multiply(Expression::Number(-1.0), self.factor()?);
        }
        if self.take("(") {
            let inner = self.sum()?;
            return self.take(")").then_some(inner);
        }
        let token = self.token()?;
        self.rest = self.rest.trim_start().get(token.len()..).unwrap_or_default();
        let column = |name: &str| Expression::Column { name: name.to_owned(), steps: Vec::new() };
        if let Some(quoted) = token.strip_prefix('"') {
            return quoted.strip_suffix('"').filter(|name| !name.is_empty()).map(column);
        }
        if is_plain(token) {
            return Some(column(token));
        }
        let number = token.parse::<f64>().ok().filter(|number| number.is_finite())?;
        Some(Expression::Number(number))
    }

    fn take(&mut self, symbol: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(symbol) else { return false };
        self.rest = rest;
        true
    }

    /// The next token, left in place.
    fn token(&self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let first = rest.chars().next()?;
        let length = if first == '"' {
            1 + rest.get(1..).and_then(|rest| rest.find('"')).map_or(rest.len() - 1, |end| end + 1)
        } else if is_name(first) {
            // An exponent's sign belongs to the number.
            let mut last = ' ';
            let number = first.is_ascii_digit() || first == '.';
            rest.find(|c: char| {
                let exponent = number && matches!(last, 'e' | 'E') && matches!(c, '+' | '-');
                last = c;
                !(is_name(c) || exponent)
            })
            .unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        rest.get(..length)
    }
}

fn then(value: Expression, step: Step) -> Parsed {
    match value {
        Expression::Column { name, mut steps } => {
            // x + (-1 · a) is how x - a arrives here.
            steps.push(match step {
                Step::Add(a) if a < 0.0 => Step::Subtract(-a),
                step => step,
            });
            Some(Expression::Column { name, steps })
        }
        Expression::Number(x) => Some(Expression::Number(step.apply(x))),
        Expression::Text(_) | Expression::Sql(_) => None,
    }
}

fn add(left: Expression, right: Expression) -> Parsed {
    match (left, right) {
        (left, Expression::Number(a)) => then(left, Step::Add(a)),
        (Expression::Number(a), right) => then(right, Step::Add(a)),
        _ => None,
    }
}

fn multiply(left: Expression, right: Expression) -> Parsed {
    match (left, right) {
        (left, Expression::Number(a)) => then(left, Step::Multiply(a)),
        (Expression::Number(a), right) => then(right, Step::Multiply(a)),
        _ => None,
    }
}

fn divide(left: Expression, right: Expression) -> Parsed {
    match right {
        Expression::Number(a) if a != 0.0 => then(left, Step::Divide(a)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn value(text: &str, x: f64) -> f64 {
        match text.parse().unwrap() {
            Expression::Column { steps, .. } => steps.iter().fold(x, |x, step| step.apply(x)),
            Expression::Number(number) => number,
            Expression::Text(_) | Expression::Sql(_) => f64::NAN,
        }
    }

    #[test]
    fn expressions_are_evaluated_as_written() {
        assert_eq!(value("(temp - 32) / 1.8", 39.02), (39.02 - 32.0) / 1.8);
        assert_eq!(value("temp*0.5556-17.7778", 50.0), 50.0 * 0.5556 - 17.7778);
        assert_eq!(value("0.44704 * wind_speed", 10.0), 4.4704);
        assert_eq!(value("25.4 * \"Rain, total\" + 1e-3", 2.0), 25.4 * 2.0 + 1e-3);
        assert_eq!(value("100 - x", 30.0), 70.0);
        assert_eq!(value("-x / -2", 30.0), 15.0);
        assert_eq!(value("2 * (3 + 4)", 0.0), 14.0);
        assert_eq!(value("5128581", 0.0), 5_128_581.0);
        assert_eq!(value("ts * 1e+6", 2.0), 2e6);
    }

    #[test]
    fn a_plain_column_has_no_steps() {
        let plain = Expression::Column { name: "time_hour".to_owned(), steps: Vec::new() };
        assert_eq!("time_hour".parse::<Expression>().unwrap(), plain);
        assert_eq!("'EWR'".parse::<Expression>().unwrap(), Expression::Text("EWR".to_owned()));
        let quoted = Expression::Column { name: "Zeit (UTC)".to_owned(), steps: Vec::new() };
        assert_eq!("\"Zeit (UTC)\"".parse::<Expression>().unwrap(), quoted);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for text in
            ["(temp - 32) / 1.8", "a * 2", "\"b c\" + 1", "((x * 2) - 3) / 4", "7", "'text'"]
        {
            let expression: Expression = text.parse().unwrap();
            assert_eq!(expression.to_string(), text);
            assert_eq!(expression.to_string().parse::<Expression>().unwrap(), expression);
        }
    }

    #[test]
    fn what_is_not_linear_in_one_column_is_sql() {
        for text in [
            "a + b",
            "a * a",
            "1 / a",
            "a / 0",
            "(a",
            "a b",
            "a +",
            "3x",
            "\"a",
            "a % 2",
            "sqrt(a)",
            "Tijd (UTC)",
            "'it''s'",
        ] {
            let expression = text.parse::<Expression>().unwrap();
            assert_eq!(expression, Expression::Sql(text.to_owned()));
            assert_eq!(expression.to_string(), text);
        }
        assert!(" ".parse::<Expression>().unwrap_err().to_string().contains("empty"));
    }
}
