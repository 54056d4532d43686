//! Bounds on the depth and size of a statement. Parser, planner and executor walk it by recursion, and a table
//! expression of WITH is planned once for every place that names it.
//!
//! ```text
//! text ─► tokens ─check─► tree ─check─► plan
//! ```
//!
//! Tokens are checked because the parser builds `1+1+…` in a loop, as deep as it is long; the tree is checked because
//! only it tells how deep the plan will be.

use barograph_engine::{Error, Result};
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use self::tokens::Nesting;
use self::tree::Measure;
use crate::corrections::number_literals;
use crate::errors::engine_error;
use crate::tree::Tree;

mod tokens;
mod tree;

/// Tokens for each level of the tree: `a IS NOT NULL AND` is one level of four.
pub(crate) const TOKENS_PER_LEVEL: usize = 16;
/// Levels for each bracket or CASE inside another: the planner works on each with all that is in it.
const LEVELS_PER_BRACKET: usize = 8;
/// Most subqueries in conditions and values, nested in one another: checking a plan looks at each twice for every one
/// around it.
const SUBQUERIES_MAX: usize = 8;
/// Weight of a table in nodes: it is planned with all of its columns.
const TABLE_NODES: u64 = 50;

/// Bounds on one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// What is bounded, as the first words of a message: `the statement`.
    pub what: &'static str,
    /// Deepest tree, and the name of its setting.
    pub depth: (usize, &'static str),
    /// Most tokens, and most nodes of the tree, and the name of their setting.
    pub nodes: (usize, &'static str),
}

/// Depth and size of a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) depth: usize,
    pub(crate) nodes: u64,
}

impl Bounds {
    /// The tokens of a text.
    ///
    /// # Errors
    /// `Request` if they are none, or if a parser could make too deep or too large a tree of them.
    pub(crate) fn tokens(&self, text: &str) -> Result<Vec<TokenWithSpan>> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
        let tokens =
            tokens.map_err(|e| engine_error(DataFusionError::SQL(Box::new(e.into()), None)))?;
        self.check_tokens(&tokens)?;
        number_literals::joined(text, tokens)
    }

    /// Levels that the parser may descend: as many as the tokens were checked for.
    pub(crate) fn recursion(&self) -> usize {
        self.depth.0.saturating_mul(TOKENS_PER_LEVEL).saturating_add(TOKENS_PER_LEVEL)
    }

    /// Refuses tokens that a parser could turn into too deep or too large a tree.
    ///
    /// # Errors
    /// `Request` with the bound and what to write instead.
    fn check_tokens(&self, tokens: &[TokenWithSpan]) -> Result<()> {
        let seen = tokens.iter().map(|token| &token.token);
        let seen = seen.filter(|token| !matches!(token, Token::Whitespace(_)));
        let mut nesting = Nesting::default();
        let mut count = 0_usize;
        for token in seen {
            count += usize::from(*token != Token::Comma);
            nesting.take(token);
            if nesting.brackets() > self.depth.0 / LEVELS_PER_BRACKET
                || nesting.deepest() > self.depth.0.saturating_mul(TOKENS_PER_LEVEL)
            {
                return Err(self.too_deep());
            }
        }
        if count > self.nodes.0 { Err(self.too_large()) } else { Ok(()) }
    }

    /// Refuses a tree whose plan would be too deep or too large; returns its depth and size.
    ///
    /// # Errors
    /// `Request` with the bound and what to write instead.
    pub(crate) fn check_tree(&self, tree: &mut dyn Tree) -> Result<Extent> {
        let mut measure = Measure::new(self);
        tree.walk(&mut measure)?;
        Ok(measure.extent())
    }

    fn too_deep(&self) -> Error {
        let (most, setting) = self.depth;
        Error::request(format!(
            "{} is nested too deeply, or a chain in it is too long: {setting} allows {most} levels; \
             write IN (…) for long chains of OR, a table function or VALUES for long chains of UNION, or raise it",
            self.what
        ))
    }

    fn too_many_subqueries(&self) -> Error {
        Error::request(format!(
            "{} has queries as conditions or values in more than {SUBQUERIES_MAX} others of that kind: \
             write them as joins or as tables of WITH",
            self.what
        ))
    }

    fn too_large(&self) -> Error {
        let (most, setting) = self.nodes;
        Error::request(format!(
            "{} is too large: {setting} allows {most} parts, where every use of a table counts {TABLE_NODES} and \
             a table of WITH counts wherever it is used; pass long lists as parameters, or raise it",
            self.what
        ))
    }
}
