//! Tokens of a text in the dialect of PostgreSQL, as far as they matter here: where quotes, comments and statements end. Any
//! text has tokens; whether they mean something is for the planner to say.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Spaces and comments.
    Space,
    /// A name or keyword without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A text in quotes.
    Text,
    /// A number, or a parameter such as `$1`.
    Value,
    /// All else: one character, or `::`.
    Sign,
}

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
}

impl<'a> Token<'a> {
    /// Whether it is that keyword, or that sign.
    pub(crate) fn is(&self, word: &str) -> bool {
        match self.kind {
            TokenKind::Word => self.text.eq_ignore_ascii_case(word),
            TokenKind::Sign => self.text == word,
            _ => false,
        }
    }

    /// The name that it is: in small letters without quotes, as written with them.
    pub(crate) fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_lowercase()),
            TokenKind::Quoted => {
                let quote = self.text.get(..1)?;
                let inner = self.text.strip_prefix(quote)?.strip_suffix(quote)?;
                Some(inner.replace(&quote.repeat(2), quote))
            }
            _ => None,
        }
    }

    /// The text that it is, without its quotes.
    pub(crate) fn string(&self) -> Option<String> {
        if self.kind != TokenKind::Text {
            return None;
        }
        let text = self.text;
        if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return Some(inner.replace("''", "'"));
        }
        if let Some(inner) = text.get(2..).and_then(|rest| rest.strip_suffix('\''))
            && !text.starts_with('$')
        {
            return Some(inner.replace("''", "'").replace("\\'", "'").replace("\\\\", "\\"));
        }
        let tag = text.get(1..)?.find('$')? + 2;
        Some(text.get(tag..text.len().checked_sub(tag)?)?.to_owned())
    }
}

/// The tokens of a text; together they are the text.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let (kind, length) = next(rest);
        let token = Token { kind, text: rest.get(..length).unwrap_or(rest), start };
        start += token.text.len();
        Some(token)
    })
}

/// The statements of a text, which end at semicolons; those that are only spaces and comments are left out.
pub(crate) fn statements(text: &str) -> Vec<&str> {
    let (mut all, mut start, mut says) = (Vec::new(), 0, false);
    for token in tokens(text) {
        match token.kind {
            TokenKind::Sign if token.text == ";" => {
                if says {
                    all.extend(text.get(start..token.start));
                }
                (start, says) = (token.start + 1, false);
            }
            TokenKind::Space => {}
            _ => says = true,
        }
    }
    if says {
        all.extend(text.get(start..));
    }
    all.into_iter().map(str::trim).collect()
}

fn next(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let (first, second) = (bytes.first().copied().unwrap_or(b' '), bytes.get(1).copied());
    match (first, second) {
        (b'-', Some(b'-')) => (TokenKind::Space, rest.find('\n').map_or(rest.len(), |at| at + 1)),
        (b'/', Some(b'*')) => (TokenKind::Space, comment(bytes)),
        (b'e' | b'E', Some(b'\'')) => {
            (TokenKind::Text, 1 + quoted(rest.get(1..).unwrap_or(""), b'\'', true))
        }
        (b'\'', _) => (TokenKind::Text, quoted(rest, b'\'', false)),
        (b'"' | b'`', _) => (TokenKind::Quoted, quoted(rest, first, false)),
        (b'$', Some(b'0'..=b'9')) => {
            (TokenKind::Value, 1 + while_in(rest.get(1..), |c| c.is_ascii_digit()))
        }
        (b'$', _) => dollar(rest).map_or((TokenKind::Sign, 1), |length| (TokenKind::Text, length)),
        (b'0'..=b'9', _) => (TokenKind::Value, number(bytes)),
        (b':', Some(b':')) => (TokenKind::Sign, 2),
        _ => {
            let char = rest.chars().next().unwrap_or(' ');
            if char.is_whitespace() {
                (TokenKind::Space, while_in(Some(rest), char::is_whitespace))
            } else if char.is_alphabetic() || char == '_' {
                let is_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                (TokenKind::Word, while_in(Some(rest), is_of_name))
            } else {
                (TokenKind::Sign, char.len_utf8())
            }
        }
    }
}

fn while_in(text: Option<&str>, of: impl Fn(char) -> bool) -> usize {
    let text = text.unwrap_or_default();
    text.find(|char| !of(char)).unwrap_or(text.len())
}

/// Digits, a point, an exponent.
fn number(bytes: &[u8]) -> usize {
    let mut before = 0;
    let is_of_number = |byte: &&u8| {
        let is_signed = matches!(byte, b'+' | b'-') && matches!(before, b'e' | b'E');
        before = **byte;
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || is_signed
    };
    bytes.iter().take_while(is_of_number).count()
}

/// A comment, in which others may stand.
fn comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// What stands in quotes; two quotes are one that is meant.
fn quoted(rest: &str, quote: u8, has_escapes: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'\\' && has_escapes {
            at += 1;
        } else if byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    rest.len()
}

/// A text such as `$$…$$` or `$tag$…$tag$`.
fn dollar(rest: &str) -> Option<usize> {
    let tag = rest.get(1..)?;
    let tag = while_in(Some(tag), |c| c.is_alphanumeric() || c == '_') + 1;
    let tag = rest.get(..=tag).filter(|tag| tag.ends_with('$'))?;
    let end = rest.get(tag.len()..)?.find(tag);
    Some(end.map_or(rest.len(), |end| end + 2 * tag.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes_and_comments() {
        for one in [
            "select ';'",
            "select 'it''s; fine'",
            r"select E'it\'s; fine'",
            r#"select "a;""b""#,
            "select $$a;b$$",
            "select $q$ $$;$$ $q$",
            "select $1 /* ; /* ; */ ; */ + 2",
            "select 1 -- one; two\n + 1",
            "select '; open",
            "select $$; open",
            "select /* ; open",
        ] {
            assert_eq!(statements(one), [one]);
        }
        assert_eq!(
            statements(" ;select 1;; -- x\n select 2;\n/* ; */"),
            ["select 1", "-- x\n select 2"]
        );
    }

    #[test]
    fn tokens_say_what_they_are() {
        let of = |text| {
            let all = tokens(text).filter(|token| token.kind != TokenKind::Space);
            all.map(|token| token.text).collect::<Vec<_>>()
        };
        assert_eq!(
            of("a.b::int4=$1+1.5e-3"),
            ["a", ".", "b", "::", "int4", "=", "$1", "+", "1.5e-3"]
        );
        assert_eq!(of("1-2"), ["1", "-", "2"]);
        let only = |text| tokens(text).next().unwrap();
        assert_eq!(only("\"A\"\"b\"").name().unwrap(), "A\"b");
        assert_eq!(only("Ab").name().unwrap(), "ab");
        assert_eq!(only("'it''s'").string().unwrap(), "it's");
        assert_eq!(only(r"E'it\'s'").string().unwrap(), "it's");
        assert_eq!(only("$q$a$q$").string().unwrap(), "a");
        assert_eq!(only("'open").string(), None);
    }

    proptest! {
        #[test]
        fn together_tokens_are_the_text(text in "[a-c'\"$;/*\\\\eE \n:1-]{0,40}|.{0,20}") {
            let together: String = tokens(&text).map(|token| token.text).collect();
            prop_assert_eq!(together, text.clone());
            for token in tokens(&text) {
                let _ = (token.name(), token.string());
            }
        }
    }
}
