//! Rewriting: what clients write in expressions about the catalog becomes what `query` plans, token by token. A statement
//! without such an expression stays as it was sent.
//!
//! | as it is sent | as it is planned |
//! |---|---|
//! | `pg_catalog.format_type(t, m)` | `CASE t WHEN 16 THEN 'boolean' … END` |
//! | `'readings'::regclass` | `(SELECT oid FROM pg_catalog.pg_class WHERE relname = 'readings')` |
//! | `a OPERATOR(pg_catalog.~) b COLLATE pg_catalog.default` | `a ~ b` |
//! | `FROM pg_class c` | `FROM pg_catalog.pg_class c` |
//! | `current_user` | `'ada'` |

use super::casts;
use super::functions;
use super::reader::{Reader, is_balanced, parts, raw};
use super::schema::{EMPTY, FILLED};
use super::tables::PG_CATALOG;
use super::{Token, TokenKind, tokens};

/// Longest text that is looked at; clients ask about the catalog in fewer words.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Deepest brackets that are looked into.
const DEPTH_MAX: usize = 48;
/// Parts of texts in which something could have to be rewritten.
const MARKS: [&str; 13] = [
    "pg_",
    "::",
    "current_",
    "version",
    "user",
    "description",
    "_privilege",
    "operator",
    "collate",
    "to_reg",
    "format_type",
    "quote_ident",
    "cast",
];

/// What is true of the session that asks.
pub(crate) struct Facts<'a> {
    /// Who is signed in.
    pub(crate) user: &'a str,
    /// The number of the connection.
    pub(crate) number: i32,
    /// The value of a variable.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
}

/// A part of the text that is written: an operand, a keyword or a sign.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether a space goes before it.
    is_spaced: bool,
    /// The text that it is, if it is a literal.
    pub(super) literal: Option<String>,
    /// The name of its column where it is one by itself.
    named: Option<&'static str>,
}

/// The statement in words that are planned.
pub(crate) fn rewritten(text: &str, facts: &Facts<'_>) -> String {
    let lower = text.to_ascii_lowercase();
    if text.len() > TEXT_BYTES_MAX || !MARKS.iter().any(|mark| lower.contains(mark)) {
        return text.to_owned();
    }
    let all: Vec<_> = tokens(text).collect();
    if !is_balanced(&all) {
        return text.to_owned();
    }
    let mut writer = Writer { facts, depth: 0, is_changed: false };
    let written = writer.write(&all);
    if writer.is_changed { written } else { text.to_owned() }
}

/// Writes tokens anew.
struct Writer<'a> {
    facts: &'a Facts<'a>,
    depth: usize,
    is_changed: bool,
}

/// Where in a statement tokens stand, at one depth of brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Select,
    From,
    Other,
}

fn joined(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for piece in pieces {
        if piece.is_spaced && !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&piece.text);
    }
    text
}

impl Writer<'_> {
    fn write(&mut self, all: &[Token<'_>]) -> String {
        joined(&self.pieces(all))
    }

    fn pieces(&mut self, all: &[Token<'_>]) -> Vec<Piece> {
        if self.depth >= DEPTH_MAX {
            return vec![plain(raw(all), None)];
        }
        self.depth += 1;
        let pieces = self.pieces_within(all);
        self.depth -= 1;
        pieces
    }

    fn pieces_within(&mut self, all: &[Token<'_>]) -> Vec<Piece> {
        let (mut pieces, mut clause) = (Vec::<Piece>::new(), Clause::Other);
        let mut reader = Reader { rest: all, is_spaced: false };
        loop {
            reader.is_spaced = false;
            let Some(token) = reader.next() else { return pieces };
            let is_spaced = reader.is_spaced;
            if token.is("::") {
                self.cast(&mut pieces, &mut reader);
                continue;
            }
            let is_operand_next = begins_item(pieces.last());
            let mut piece = match token.kind {
                TokenKind::Word | TokenKind::Quoted => {
                    clause = clause_of(&token, clause);
                    let is_of_table =
                        clause == Clause::From && pieces.last().is_some_and(before_table);
                    let is_name =
                        pieces.last().is_some_and(|piece| piece.text.eq_ignore_ascii_case("as"));
                    match self.named(token, &mut reader, (is_of_table, is_name)) {
                        Some(piece) => piece,
                        None => continue,
                    }
                }
                TokenKind::Sign if token.text == "(" => self.bracketed(token, all, &mut reader),
                _ => plain(token.text.to_owned(), token.string()),
            };
            piece.is_spaced = is_spaced;
            // What stands for a name has that name as a column.
            if let Some(name) = piece.named.take()
                && clause == Clause::Select
                && is_operand_next
                && ends_item(reader.peek())
            {
                piece.text = format!("{} AS {name}", piece.text);
            }
            pieces.push(piece);
        }
    }

    /// What stands in brackets.
    fn bracketed(
        &mut self,
        open: Token<'_>,
        all: &[Token<'_>],
        reader: &mut Reader<'_, '_>,
    ) -> Piece {
        let at = all.len() - reader.rest.len() - 1;
        let mut inner = Reader { rest: all.get(at..).unwrap_or_default(), is_spaced: false };
        match inner.bracket() {
            Some(tokens) => {
                let written = self.write(tokens);
                let left = inner.rest.len();
                reader.rest = reader.rest.get(reader.rest.len() - left..).unwrap_or_default();
                plain(format!("({written})"), None)
            }
            None => plain(open.text.to_owned(), None),
        }
    }

    /// A name or keyword with what belongs to it; `None` for what is left out.
    fn named<'a>(
        &mut self,
        first: Token<'a>,
        reader: &mut Reader<'_, 'a>,
        (is_of_table, is_name): (bool, bool),
    ) -> Option<Piece> {
        if first.is("collate") {
            if let Some(name) = reader.next() {
                reader.chain(name);
            }
            self.is_changed = true;
            return None;
        }
        if first.is("operator")
            && let Some(inner) = reader.bracket()
        {
            self.is_changed = true;
            let sign =
                inner.iter().filter(|token| token.kind == TokenKind::Sign && token.text != ".");
            return Some(plain(sign.map(|token| token.text).collect(), None));
        }
        let chain = reader.chain(first);
        let names: Vec<_> = chain.iter().filter_map(Token::name).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let written: String = chain.iter().map(|token| token.text).collect::<Vec<_>>().join(".");
        if let Some(inner) = reader.bracket() {
            return Some(self.call(&names, &written, inner));
        }
        let (is_bare, facts) =
            (first.kind == TokenKind::Word && chain.len() == 1 && !is_name, self.facts);
        if let (true, Some((text, name))) =
            (is_bare, names.first().and_then(|name| functions::bare(name, facts)))
        {
            self.is_changed = true;
            return Some(Piece { named: Some(name), ..plain(text, None) });
        }
        let mut known = FILLED.iter().chain(&EMPTY);
        if is_of_table
            && chain.len() == 1
            && names.first().is_some_and(|of| known.any(|(name, _)| name == of))
        {
            self.is_changed = true;
            return Some(plain(format!("{PG_CATALOG}.{written}"), None));
        }
        Some(plain(written, None))
    }

    fn call(&mut self, names: &[&str], written: &str, inner: &[Token<'_>]) -> Piece {
        let (function, is_own) = match names {
            [schema, name] if *schema == PG_CATALOG => (*name, true),
            [name] => (*name, false),
            _ => ("", false),
        };
        if function == "cast"
            && let Some(at) = inner.iter().rposition(|token| token.is("as"))
        {
            let (operand, of) =
                (inner.get(..at).unwrap_or_default(), inner.get(at + 1..).unwrap_or_default());
            let pieces = self.pieces(operand);
            let mut names = Reader { rest: of, is_spaced: false };
            if let ([operand], Some(first)) = (pieces.as_slice(), names.next()) {
                let chain = names.chain(first);
                let (text, is_changed) = casts::cast(operand, &chain, names.rest);
                if is_changed {
                    self.is_changed = true;
                    return plain(text, None);
                }
            }
            return plain(format!("{written}({} AS {})", joined(&pieces), raw(of).trim()), None);
        }
        if !functions::KNOWN.contains(&function) {
            self.is_changed |= is_own;
            let name = if is_own { function } else { written };
            return plain(format!("{name}({})", self.write(inner)), None);
        }
        let arguments: Vec<_> = parts(inner).into_iter().map(|part| self.pieces(part)).collect();
        let texts: Vec<_> = arguments.iter().map(|part| joined(part)).collect();
        let literals = arguments.iter().map(|part| match part.as_slice() {
            [only] => only.literal.as_deref(),
            _ => None,
        });
        self.is_changed = true;
        let (text, name) =
            functions::call(function, &texts, &literals.collect::<Vec<_>>(), self.facts);
        Piece { named: Some(name), ..plain(text, None) }
    }

    /// A cast of the last operand.
    fn cast(&mut self, pieces: &mut Vec<Piece>, reader: &mut Reader<'_, '_>) {
        let Some(first) = reader.next() else { return };
        let chain = reader.chain(first);
        // Lengths of texts and numbers, and marks of arrays.
        let begun = reader.rest;
        if reader.is("(") {
            reader.bracket();
        }
        while reader.is("[") {
            while reader.next().is_some_and(|token| !token.is("]")) {}
        }
        let behind = begun.get(..begun.len() - reader.rest.len()).unwrap_or_default();
        let Some(operand) = pieces.pop() else { return };
        let (text, is_changed) = casts::cast(&operand, &chain, behind);
        self.is_changed |= is_changed;
        pieces.push(Piece { is_spaced: operand.is_spaced, ..plain(text, None) });
    }
}

fn plain(text: String, literal: Option<String>) -> Piece {
    Piece { text, is_spaced: true, literal, named: None }
}

fn clause_of(token: &Token<'_>, before: Clause) -> Clause {
    const ENDS: [&str; 8] = ["where", "group", "order", "having", "limit", "union", "on", "window"];
    if token.kind != TokenKind::Word {
        return before;
    }
    if token.is("select") {
        return Clause::Select;
    }
    if token.is("from") || token.is("join") {
        return Clause::From;
    }
    if ENDS.iter().any(|word| token.is(word)) { Clause::Other } else { before }
}

/// Whether a table may come behind that.
fn before_table(piece: &Piece) -> bool {
    ["from", "join", ",", "lateral"].iter().any(|word| piece.text.eq_ignore_ascii_case(word))
}

/// Whether a column of an answer may begin behind that.
fn begins_item(before: Option<&Piece>) -> bool {
    before.is_some_and(|piece| {
        ["select", "distinct", "all", ","].iter().any(|word| piece.text.eq_ignore_ascii_case(word))
    })
}

/// Whether a column of an answer ends before that.
fn ends_item(next: Option<Token<'_>>) -> bool {
    next.is_none_or(|token| {
        [",", "from", "where", "union", "limit", "order"].iter().any(|word| token.is(word))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        let variable = |name: &str| (name == "timezone").then(|| "UTC".to_owned());
        rewritten(text, &Facts { user: "ada", number: 7, variable: &variable })
    }

    #[test]
    fn statements_about_other_things_stay_as_they_are() {
        for text in [
            "SELECT temperature::int4 >= 3 AND b <> 'pg_class' -- pg_\n FROM readings",
            "SELECT (a)::text, \"current_user\" FROM t AS version",
            "SELECT CAST(a AS text)||'x' FROM t /* :: */",
        ] {
            assert_eq!(of(text), text);
        }
    }

    #[test]
    fn questions_about_the_catalog_are_put_otherwise() {
        assert_eq!(
            of(
                "SELECT c.oid FROM pg_class c, pg_namespace n WHERE c.relname OPERATOR(pg_catalog.~) '^(a)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid)"
            ),
            "SELECT c.oid FROM pg_catalog.pg_class c, pg_catalog.pg_namespace n WHERE c.relname ~ '^(a)$' AND (c.oid < 1073741824)"
        );
        assert_eq!(
            of("select 'public.\"readings\"'::pg_catalog.regclass::oid"),
            "select CAST((SELECT oid FROM pg_catalog.pg_class WHERE relname = 'readings') AS BIGINT)"
        );
        assert_eq!(
            of("select current_user, version()"),
            format!("select 'ada' AS current_user, '{}' AS version", crate::catalog::VERSION)
        );
        assert_eq!(of("select current_setting('TimeZone') = 'a'"), "select 'UTC' = 'a'");
        assert_eq!(
            of("select CAST(a.oid AS regproc) from x a"),
            "select CAST(a.oid AS VARCHAR) from x a"
        );
        assert!(of("select format_type(a.b, -1)").contains("WHEN 16 THEN 'boolean'"));
    }

    proptest! {
        #[test]
        fn any_text_is_written(text in "([a-c'\"$;(),.\\[\\] :]|pg_class |::|cast\\(|collate |operator\\(|format_type\\(|from |regclass){0,30}") {
            let _ = of(&text);
        }
    }
}
