//! Scripts of several statements, cut at semicolons outside quotes and comments, as the planner's own tokenizer sees
//! them.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, Whitespace,
};

/// Byte order mark that some editors write at the beginning of a file; not part of the text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The statements of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script<'a> {
    /// Statements that end with a semicolon, without it.
    pub ended: Vec<&'a str>,
    /// The text after the last semicolon; empty if it is only spaces and comments.
    pub rest: &'a str,
    /// Whether more has to come: a statement has no semicolon, or a quote or a comment is open.
    pub unfinished: bool,
}

impl<'a> Script<'a> {
    /// Cuts a text. The text after a syntax fault stays in `rest`, for the planner to report it.
    #[must_use]
    pub fn of(text: &'a str) -> Self {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut tokens: Vec<TokenWithSpan> = Vec::new();
        let read = Tokenizer::new(&GenericDialect {}, text)
            .tokenize_with_location_into_buf(&mut tokens)
            .map_err(|error| error.message);
        let mut script = Self { ended: Vec::new(), rest: "", unfinished: false };
        let mut places = Places::of(text);
        let (mut start, mut says_something) = (0, false);
        for TokenWithSpan { token, span } in tokens {
            match token {
                Token::SemiColon => {
                    let end = places.byte(span.start);
                    if says_something {
                        script.ended.push(text.get(start..end).unwrap_or_default().trim());
                    }
                    (start, says_something) = (end + 1, false);
                }
                Token::Whitespace(_) => {}
                _ => says_something = true,
            }
        }
        if says_something || read.is_err() {
            script.rest = text.get(start..).unwrap_or_default().trim();
            script.unfinished = read.map_or_else(|message| is_open(&message), |()| true);
        }
        script
    }

    /// All statements, the one without a semicolon last.
    pub fn statements(&self) -> impl Iterator<Item = &'a str> {
        self.ended.iter().copied().chain(Some(self.rest).filter(|rest| !rest.is_empty()))
    }
}

/// The text with the same meaning on one line; `None` if a name or a sign of its own contains a line break.
#[must_use]
pub fn in_one_line(text: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let mut places = Places::of(text);
    let mut line = String::with_capacity(text.len());
    for TokenWithSpan { token, span } in tokens {
        let (start, end) = (places.byte(span.start), places.byte(span.end));
        let written = text.get(start..end).unwrap_or_default();
        match token {
            Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => {
                line.push_str("/*");
                line.push_str(&comment.trim_end().replace("*/", "* /").replace("/*", "/ *"));
                line.push_str(" */ ");
            }
            Token::Whitespace(_) => line.push_str(&written.replace(BREAKS, " ")),
            _ if !written.contains(BREAKS) => line.push_str(written),
            Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => {
                line.push_str(&escaped(&value));
            }
            Token::DollarQuotedString(quoted) => line.push_str(&escaped(&quoted.value)),
            _ => return None,
        }
    }
    Some(line)
}

/// Characters that end a line.
const BREAKS: [char; 2] = ['\n', '\r'];

/// A text as a literal with escapes.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('\'', r"\'");
    format!("E'{}'", value.replace('\n', r"\n").replace('\r', r"\r"))
}

/// Whether the tokenizer reached the end inside a quote or a comment.
fn is_open(message: &str) -> bool {
    ["Unterminated", "Unexpected EOF", "before EOF"].iter().any(|sign| message.contains(sign))
}

/// Positions in a text as the tokenizer reports them; they only move forward.
struct Places<'a> {
    chars: std::str::CharIndices<'a>,
    at: Location,
    end: usize,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        Self { chars: text.char_indices(), at: Location::new(1, 1), end: text.len() }
    }

    /// The byte at a line and column, both counted from 1, the columns by characters.
    fn byte(&mut self, place: Location) -> usize {
        while self.at < place
            && let Some((_, char)) = self.chars.next()
        {
            self.at = match char {
                '\n' => Location::new(self.at.line + 1, 1),
                _ => Location::new(self.at.line, self.at.column + 1),
            };
        }
        self.chars.clone().next().map_or(self.end, |(byte, _)| byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(text: &str) -> Vec<&str> {
        Script::of(text).statements().collect()
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        let one = |text| assert_eq!(statements(text), [text], "{text}");
        one("select 1");
        one("select ';' as \"a;b\"");
        one("select 'it''s; fine'");
        one(r"select E'it\'s; fine'");
        one("select $$a;b$$");
        one("select $q$ $$;$$ $q$");
        one("select 1 -- one; two\n + 1");
        one("select /* ; /* ; */ ; */ 2");
        one("select `a;b`");
        one("select U&'\\0061;'");
        assert_eq!(statements(" select 1 ; select 2;\n"), ["select 1", "select 2"]);
        assert_eq!(statements("select 'é;ü'; select\r\n 2;\r\n"), ["select 'é;ü'", "select\r\n 2"]);
        assert_eq!(statements("select 1;\n\tselect 2"), ["select 1", "select 2"]);
        assert_eq!(
            statements("\u{feff}select 1; select '\u{feff}'"),
            ["select 1", "select '\u{feff}'"]
        );
        assert_eq!(statements("-- why\nselect 1"), ["-- why\nselect 1"]);
    }

    #[test]
    fn comments_alone_are_no_statement() {
        for text in [
            "",
            " \n",
            ";;",
            "-- nothing\n;",
            "/* a\nb */",
            " ;; -- nothing\n; /* /* */ */",
            "\u{feff}",
        ] {
            assert_eq!(
                Script::of(text),
                Script { ended: vec![], rest: "", unfinished: false },
                "{text:?}"
            );
        }
        for text in ["select 1; -- the end", "select 1; /* the\nend */", "select 1 ; /* */ ; --"] {
            assert_eq!(
                Script::of(text),
                Script { ended: vec!["select 1"], rest: "", unfinished: false },
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_text_that_goes_on_is_unfinished() {
        for rest in [
            "select 'a",
            "select \"a",
            "select /* a",
            "select /* /* */",
            "select $$a",
            "select $x$ $$",
            r"select E'a\'",
            "select `a",
        ] {
            let text = format!("select 1; {rest}; select 2;\n");
            let expected = Script {
                ended: vec!["select 1"],
                rest: text["select 1; ".len()..].trim(),
                unfinished: true,
            };
            assert_eq!(Script::of(&text), expected, "{text:?}");
        }
        for text in ["select 1", "select 1 --", "select (1,"] {
            assert_eq!(
                Script::of(text),
                Script { ended: vec![], rest: text, unfinished: true },
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_fault_of_signs_is_left_to_the_planner() {
        let text = r"select 1; select E'\u12'; select 2";
        let script = Script::of(text);
        assert_eq!(script.ended, ["select 1"]);
        assert_eq!(script.rest, r"select E'\u12'; select 2");
    }

    #[test]
    fn a_text_in_one_line_means_the_same() {
        for (text, expected) in [
            ("select 1", "select 1"),
            ("select  'a  b' ,\n  2", "select  'a  b' ,   2"),
            ("select 1 -- one; */ two\n + 1", "select 1 /* one; * / two */  + 1"),
            ("select 1 --\r\n + 1", "select 1 /* */  + 1"),
            ("select /* a\nb */ 1", "select /* a b */ 1"),
            ("select 'a\nit''s\\'", r"select E'a\nit\'s\\'"),
            ("select E'a\\t\r\n'", "select E'a\t\\r\\n'"),
            ("select $$a'\nb$$, 'é\n'", r"select E'a\'\nb', E'é\n'"),
        ] {
            assert_eq!(in_one_line(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(in_one_line("select 1 as \"a\nb\""), None);
        assert_eq!(in_one_line("select 'a"), None);
    }
}
