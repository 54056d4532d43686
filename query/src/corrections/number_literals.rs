//! Numbers as PostgreSQL 16 and DuckDB write them: digits in groups, and hexadecimal, octal and binary ones.
//!
//! sqlparser 0.62 ends a number where its decimal digits end, and takes the rest for the name of a column:
//!
//! ```text
//! SELECT 1_000       read:  SELECT 1 AS _000         meant:  SELECT 1000
//! SELECT 0b11, 0o17  read:  SELECT 0 AS b11, …       meant:  SELECT 3, 15
//! SELECT 0x1F        read:  the byte 1F              meant:  SELECT 31
//! SELECT 1a          read:  SELECT 1 AS a            refused: a number and a name stand together
//! ```

use barograph_engine::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Puts numbers together that the tokenizer parts.
///
/// # Errors
/// `Request` for a number that a name follows without a space, or that no 64-bit integer holds.
pub(crate) fn joined(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut lines = None;
    for token in tokens {
        let follows = joined.last().is_some_and(|last| last.span.end == token.span.start);
        match (joined.last_mut().filter(|_| follows), token.token) {
            (
                Some(TokenWithSpan { token: Token::Number(number, false), span }),
                Token::Word(word),
            ) if word.quote_style.is_none() => {
                *number = follow(number, &word.value).ok_or_else(|| junk(number, &word.value))?;
                span.end = token.span.end;
            }
            (
                Some(TokenWithSpan { token: Token::Number(number, false), span }),
                Token::Number(rest, false),
            ) if rest.starts_with('.') && !number.contains('.') => {
                number.push_str(&rest);
                span.end = token.span.end;
            }
            (_, Token::HexStringLiteral(digits)) => {
                let lines = lines.get_or_insert_with(|| text.lines().collect::<Vec<_>>());
                let start = token.span.start;
                let line = usize::try_from(start.line)
                    .ok()
                    .and_then(|line| lines.get(line.checked_sub(1)?));
                let column =
                    usize::try_from(start.column).ok().and_then(|column| column.checked_sub(1));
                let is_number = line
                    .zip(column)
                    .is_some_and(|(line, column)| line.chars().nth(column) == Some('0'));
                let token_of = match is_number {
                    true => Token::Number(
                        whole(&digits, 16).ok_or_else(|| junk("0", &format!("x{digits}")))?,
                        false,
                    ),
                    false => Token::HexStringLiteral(digits),
                };
                joined.push(TokenWithSpan { token: token_of, span: token.span });
            }
            (_, other) => joined.push(TokenWithSpan { token: other, span: token.span }),
        }
    }
    Ok(joined)
}

/// The number that `rest` makes of the digits before it.
fn follow(number: &str, rest: &str) -> Option<String> {
    if number == "0" {
        let based = |letter: char, base| {
            rest.strip_prefix([letter, letter.to_ascii_uppercase()]).and_then(|of| whole(of, base))
        };
        if let Some(whole) = based('b', 2).or_else(|| based('o', 8)) {
            return Some(whole);
        }
    }
    let (groups, exponent) = match rest.find(['e', 'E']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut number = number.to_owned();
    for group in groups.strip_prefix('_')?.split('_') {
        number.push_str(some_digits(group)?);
    }
    if let Some(digits) = exponent.get(1..) {
        some_digits(digits)?;
        number.push_str(exponent);
    }
    Some(number)
}

fn some_digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// A whole number of another base, its digits perhaps in groups.
fn whole(digits: &str, base: u32) -> Option<String> {
    let digits: String = digits.split('_').collect();
    i64::from_str_radix(&digits, base)
        .ok()
        .filter(|number| *number >= 0)
        .map(|number| number.to_string())
}

fn junk(number: &str, rest: &str) -> Error {
    Error::request(format!(
        "{number}{rest} is not a number: write a space before a name, and digits like 1_000, 1e-3, 0x1F, 0o17 or 0b11, below 2^63"
    ))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn read(text: &str) -> Result<String> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().unwrap();
        let tokens = joined(text, tokens)?;
        Ok(tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(""))
    }

    #[test]
    fn numbers_are_read_whole() {
        for (text, meant) in [
            ("1_000", "1000"),
            ("1_000_000.5", "1000000.5"),
            ("1_0.5_0", "10.50"),
            ("1_000e3", "1000e3"),
            ("1.5_5", "1.55"),
            ("0b1_1", "3"),
            ("0B11", "3"),
            ("0o17", "15"),
            ("x + 0x1F", "x + 31"),
            ("x\n + 0xff", "x\n + 255"),
            ("X'1F'", "X'1F'"),
            ("1 a", "1 a"),
            ("1 _000", "1 _000"),
            ("a1_000", "a1_000"),
            ("[1:2]", "[1:2]"),
            ("1e5", "1e5"),
            (".5e3", ".5e3"),
            ("'1_000'", "'1_000'"),
            ("1::int", "1::int"),
        ] {
            assert_eq!(read(text).unwrap(), meant, "{text}");
        }
        for text in [
            "1a",
            "1__0",
            "1_",
            "0b12",
            "0o8",
            "12e",
            "1.5x",
            "1e5x",
            "1_000e",
            "0xffffffffffffffff",
            "0b",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("is not a number"), "{text}: {error}");
        }
    }
}
