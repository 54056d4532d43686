//! Nesting of the tokens of a text: how deep a tree of them may become, known before a parser builds it.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

/// Depth that a tree of the tokens so far may have.
#[derive(Debug)]
pub(super) struct Nesting {
    /// For each open bracket and CASE: tokens since the last comma or clause, and set operations.
    levels: Vec<(usize, usize)>,
    open: usize,
}

impl Default for Nesting {
    fn default() -> Self {
        Self { levels: vec![(0, 0)], open: 0 }
    }
}

impl Nesting {
    pub(super) fn brackets(&self) -> usize {
        self.levels.len() - 1
    }

    pub(super) fn deepest(&self) -> usize {
        self.open
    }

    pub(super) fn take(&mut self, token: &Token) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => self.open(),
            Token::RParen | Token::RBracket | Token::RBrace => self.close(),
            Token::Comma | Token::SemiColon => self.clause(),
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword => {}
                Keyword::CASE => self.open(),
                Keyword::END => self.close(),
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
                    if let Some((_, sets)) = self.levels.last_mut() {
                        *sets += 1;
                        self.open += 1;
                    }
                    self.clause();
                }
                Keyword::SELECT
                | Keyword::FROM
                | Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::ON
                | Keyword::JOIN
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE => self.clause(),
                _ => self.link(),
            },
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::EOF => {}
            _ => self.link(),
        }
    }

    fn link(&mut self) {
        if let Some((links, _)) = self.levels.last_mut() {
            *links += 1;
            self.open += 1;
        }
    }

    fn clause(&mut self) {
        if let Some((links, _)) = self.levels.last_mut() {
            self.open -= std::mem::take(links);
        }
    }

    fn open(&mut self) {
        self.link();
        self.levels.push((0, 0));
    }

    fn close(&mut self) {
        if self.levels.len() > 1
            && let Some((links, sets)) = self.levels.pop()
        {
            self.open -= links + sets;
        }
    }
}
