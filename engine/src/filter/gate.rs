//! The gate before the SQL parser: it admits only the words and signs of a filter.
//!
//! Filters come from anywhere, and what the parser never sees needs no proof that it is harmless. The gate bounds the
//! cost of the parser's tree, reports unknown and unsupported words with their place, and quotes column names, so
//! that a column may have the name of a SQL keyword such as `interval`.

use barograph_lake::TableSchema;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Word};

use super::FilterBounds;
use super::parse::{at, too_deep, unsupported, wrong};
use crate::Result;

/// Stands between tokens and parser.
pub(super) struct Gate<'a> {
    /// The table whose columns are known.
    pub(super) schema: &'a TableSchema,
    pub(super) bounds: FilterBounds,
}

impl Gate<'_> {
    /// The tokens without white space, column names in quotes.
    pub(super) fn admit(&self, tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
        let mut tokens: Vec<_> = tokens
            .into_iter()
            .filter(|token| !matches!(token.token, Token::Whitespace(_)))
            .collect();
        let (mut operators, mut nesting) = (0, 0_usize);
        for i in 0..tokens.len() {
            let next = tokens.get(i + 1).map_or(Token::EOF, |next| next.token.clone());
            let Some(TokenWithSpan { token, span }) = tokens.get_mut(i) else { break };
            operators += usize::from(!matches!(
                token,
                Token::Number(..) | Token::SingleQuotedString(_) | Token::Comma
            ));
            match token {
                Token::Word(word) => self.word(word, &next, span.start)?,
                Token::LParen => nesting += 1,
                Token::RParen => nesting = nesting.saturating_sub(1),
                Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::Comma
                | Token::Eq
                | Token::DoubleEq
                | Token::Neq
                | Token::Lt
                | Token::LtEq
                | Token::Gt
                | Token::GtEq
                | Token::Plus
                | Token::Minus
                | Token::Period
                | Token::EOF => {}
                other => return Err(unsupported(format!("{other}{}", at(span.start)))),
            }
            if nesting > self.bounds.depth {
                return Err(too_deep(self.bounds));
            }
            if operators > self.bounds.operators {
                return Err(wrong(format!(
                    "more than {} names and operators: use IN (…) for long lists",
                    self.bounds.operators
                )));
            }
        }
        Ok(tokens)
    }

    fn word(&self, word: &mut Word, next: &Token, place: Location) -> Result<()> {
        if word.quote_style.is_none() {
            match word.keyword {
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IN
                | Keyword::IS
                | Keyword::BETWEEN
                | Keyword::NULL
                | Keyword::TRUE
                | Keyword::FALSE => return Ok(()),
                Keyword::TIMESTAMP | Keyword::TIMESTAMPTZ | Keyword::DATE
                    if matches!(next, Token::SingleQuotedString(_)) =>
                {
                    return Ok(());
                }
                _ if *next == Token::LParen => {
                    return Err(unsupported(format!("{}(…){}", word.value, at(place))));
                }
                _ => word.value.make_ascii_lowercase(),
            }
        }
        let is_table = *next == Token::Period && word.value == self.schema.name();
        if !is_table && let Err(error) = self.schema.column(&word.value) {
            if word.quote_style.is_none() && word.keyword != Keyword::NoKeyword {
                return Err(unsupported(format!("{:?}{}", word.keyword, at(place))));
            }
            return Err(wrong(format!("{error}{}", at(place))));
        }
        word.quote_style = Some('"');
        word.keyword = Keyword::NoKeyword;
        Ok(())
    }
}
