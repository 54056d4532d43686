//! Reading of tokens: names with their points, what stands in brackets, parts between commas.

use super::{Token, TokenKind};

/// Tokens that are read one after the other.
pub(super) struct Reader<'t, 'a> {
    pub(super) rest: &'t [Token<'a>],
    pub(super) is_spaced: bool,
}

impl<'t, 'a> Reader<'t, 'a> {
    /// Passes over spaces.
    fn skip(&mut self) {
        while let Some((token, rest)) = self.rest.split_first()
            && token.kind == TokenKind::Space
        {
            (self.rest, self.is_spaced) = (rest, true);
        }
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.rest.iter().find(|token| token.kind != TokenKind::Space).copied()
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.skip();
        let (token, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*token)
    }

    /// Whether the next token is that sign, without a space before it.
    pub(super) fn is(&self, sign: &str) -> bool {
        self.rest.first().is_some_and(|token| token.is(sign))
    }

    /// The names behind a first one, with points between them.
    pub(super) fn chain(&mut self, first: Token<'a>) -> Vec<Token<'a>> {
        let mut chain = vec![first];
        while let Some((point, rest)) = self.rest.split_first()
            && point.is(".")
            && let Some((name, rest)) = rest.split_first()
            && (name.name().is_some() || name.is("*"))
        {
            chain.push(*name);
            self.rest = rest;
        }
        chain
    }

    /// What stands in the brackets that come next; `None` if they are not closed.
    pub(super) fn bracket(&mut self) -> Option<&'t [Token<'a>]> {
        if !self.peek()?.is("(") {
            return None;
        }
        self.skip();
        let mut depth = 0_usize;
        for (at, token) in self.rest.iter().enumerate() {
            depth = match token.text {
                "(" => depth + 1,
                ")" => depth.saturating_sub(1),
                _ => depth,
            };
            if depth == 0 {
                let inner = self.rest.get(1..at)?;
                self.rest = self.rest.get(at + 1..)?;
                return Some(inner);
            }
        }
        None
    }
}

/// Parts with commas between them, outside of brackets.
pub(super) fn parts<'t, 'a>(all: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut depth = 0_usize;
    let parts = all.split(|token| {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is(",")
    });
    parts.filter(|part| part.iter().any(|token| token.kind != TokenKind::Space)).collect()
}

/// Whether every bracket is closed.
pub(super) fn is_balanced(all: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    let is_open = |token: &Token<'_>| {
        match token.text {
            "(" => depth += 1,
            ")" => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => {}
        }
        true
    };
    all.iter().all(is_open) && depth == 0
}

/// Tokens as they were sent.
pub(super) fn raw(all: &[Token<'_>]) -> String {
    all.iter().map(|token| token.text).collect()
}
