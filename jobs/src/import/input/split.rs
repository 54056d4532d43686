//! The split of a line into fields: pure functions of its bytes; a field is a range of them.

use memchr::{memchr, memchr_iter, memchr2};

use super::format::Position;

/// A field: where it begins and ends.
pub(super) type Field = (usize, usize);

/// How a line is cut into fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Split {
    /// At every one of these bytes.
    Delimiter(u8),
    /// At blanks and tabs, any number of them.
    Whitespace,
    /// At these characters.
    Positions(Vec<Position>),
}

/// The bytes that part fields, and that enclose one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
}

/// What the quotes of a row tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Each that opens a field is closed.
    Whole,
    /// The one that opens this field, counted from 0, is not closed.
    Open(usize),
    /// Behind the one that closes this field stands something else than a delimiter.
    Misplaced(usize),
}

impl Split {
    /// The fields of a line without quotes.
    pub(super) fn plain(&self, line: &[u8], fields: &mut Vec<Field>) {
        match self {
            Self::Delimiter(delimiter) => {
                let mut from = 0;
                for at in memchr_iter(*delimiter, line) {
                    fields.push((from, at));
                    from = at + 1;
                }
                fields.push((from, line.len()));
            }
            Self::Whitespace => whitespace(line, fields),
            Self::Positions(positions) => {
                fields.extend(positions.iter().map(|position| at(line, *position)));
            }
        }
    }
}

fn whitespace(line: &[u8], fields: &mut Vec<Field>) {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let mut from = 0;
    while let Some(skipped) =
        line.get(from..).and_then(|rest| rest.iter().position(|b| !is_blank(b)))
    {
        from += skipped;
        let rest = line.get(from..).unwrap_or_default();
        let length = rest.iter().position(is_blank).unwrap_or(rest.len());
        fields.push((from, from + length));
        from += length;
    }
}

/// The bytes of some characters of a line, without the blanks around them; empty behind its end.
fn at(line: &[u8], position: Position) -> Field {
    let characters = position.range();
    let (from, to) = if line.is_ascii() {
        (characters.start.min(line.len()), characters.end.min(line.len()))
    } else {
        let starts = |byte: &u8| byte & 0xc0 != 0x80;
        let place = |count: usize| {
            let mut starts = line.iter().enumerate().filter(|(_, byte)| starts(byte));
            starts.nth(count).map_or(line.len(), |(at, _)| at)
        };
        (place(characters.start), place(characters.end))
    };
    let field = line.get(from..to).unwrap_or_default();
    let blanks = field.len() - field.trim_ascii_start().len();
    (from + blanks, from + blanks + field.trim_ascii().len())
}

/// Where a line ends that is shorter than a position it begins in, counted in characters.
pub(super) fn ends_inside(line: &[u8], position: Position) -> Option<usize> {
    let length = line.iter().filter(|byte| *byte & 0xc0 != 0x80).count();
    let range = position.range();
    (range.start < length && length < range.end).then_some(length)
}

/// The fields of a row each of which has no quote at all, or one at either end; false for another row.
pub(super) fn enclosed(row: &[u8], dialect: Dialect, fields: &mut Vec<Field>) -> bool {
    let Dialect { delimiter, quote } = dialect;
    let mut from = 0;
    loop {
        let rest = row.get(from..).unwrap_or_default();
        let behind = match rest.split_first() {
            Some((first, text)) if *first == quote => {
                let Some(length) = memchr(quote, text) else { return false };
                fields.push((from + 1, from + 1 + length));
                length + 2
            }
            _ => {
                let length = memchr2(delimiter, quote, rest).unwrap_or(rest.len());
                fields.push((from, from + length));
                length
            }
        };
        match rest.get(behind) {
            None => return true,
            Some(byte) if *byte == delimiter => from += behind + 1,
            Some(_) => return false,
        }
    }
}

/// The fields of a row of which some are quoted, without their quotes, in `text`. Where a quote does not open a field
/// it is a character like any other, unless `strict`.
pub(super) fn quoted(
    row: &[u8],
    dialect: Dialect,
    strict: bool,
    text: &mut Vec<u8>,
    fields: &mut Vec<Field>,
) -> Quotes {
    let Dialect { delimiter, quote } = dialect;
    let mut rest = row;
    loop {
        let from = text.len();
        let is_quoted = rest.first() == Some(&quote);
        if is_quoted {
            rest = rest.get(1..).unwrap_or_default();
            loop {
                let Some(end) = memchr(quote, rest) else { return Quotes::Open(fields.len()) };
                text.extend_from_slice(rest.get(..end).unwrap_or_default());
                rest = rest.get(end + 1..).unwrap_or_default();
                if rest.first() != Some(&quote) {
                    break;
                }
                text.push(quote);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        let end = memchr(delimiter, rest).unwrap_or(rest.len());
        let field = rest.get(..end).unwrap_or_default();
        let is_blank = field.iter().all(|byte| *byte == b' ');
        if (is_quoted && !is_blank) || (strict && memchr(quote, field).is_some()) {
            return Quotes::Misplaced(fields.len());
        }
        if !is_quoted {
            text.extend_from_slice(field);
        }
        fields.push((from, text.len()));
        match rest.get(end + 1..) {
            Some(behind) => rest = behind,
            None => return Quotes::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const COMMAS: Dialect = Dialect { delimiter: b',', quote: b'"' };

    fn cells<'a>(text: &'a [u8], fields: &[Field]) -> Vec<&'a str> {
        fields.iter().map(|&(from, to)| std::str::from_utf8(&text[from..to]).unwrap()).collect()
    }

    fn plain<'a>(split: &Split, line: &'a str) -> Vec<&'a str> {
        let mut fields = Vec::new();
        split.plain(line.as_bytes(), &mut fields);
        cells(line.as_bytes(), &fields)
    }

    #[test]
    fn lines_are_cut_at_delimiters_blanks_and_positions() {
        assert_eq!(plain(&Split::Delimiter(b';'), ";a;;b c;"), ["", "a", "", "b c", ""]);
        assert_eq!(plain(&Split::Delimiter(b';'), ""), [""]);
        assert_eq!(plain(&Split::Whitespace, "  1 \t -2.5  x"), ["1", "-2.5", "x"]);
        assert_eq!(plain(&Split::Whitespace, "  "), [""; 0]);
        let positions = ["1-3", "4-4", "6-9"].map(|text| text.parse().unwrap());
        let split = Split::Positions(positions.to_vec());
        assert_eq!(plain(&split, " 12x é 3 "), ["12", "x", "é 3"]);
        assert_eq!(plain(&split, "12"), ["12", "", ""]);
        assert_eq!(ends_inside("12345é7".as_bytes(), "6-9".parse().unwrap()), Some(7));
        assert_eq!(ends_inside(b"12345", "6-9".parse().unwrap()), None);
        assert_eq!(ends_inside(b"123456789", "6-9".parse().unwrap()), None);
    }

    #[test]
    fn quotes_enclose_fields_and_are_doubled_inside() {
        let cut = |row: &str, strict| {
            let (mut text, mut fields) = (Vec::new(), Vec::new());
            let quotes = quoted(row.as_bytes(), COMMAS, strict, &mut text, &mut fields);
            let cells = cells(&text, &fields).into_iter().map(str::to_owned).collect::<Vec<_>>();
            (quotes, cells)
        };
        let whole = |row: &str| {
            let (quotes, cells) = cut(row, true);
            assert_eq!(quotes, Quotes::Whole, "{row}");
            cells
        };
        assert_eq!(
            whole(r#""a,b",c,"","say ""x""" ,"""#.trim_end_matches('"')),
            ["a,b", "c", "", "say \"x\"", ""]
        );
        assert_eq!(whole("\"a\r\n,b\",c"), ["a\r\n,b", "c"]);
        for row in ["\"a,b\",c,\"\"", "a,\"b\",", "\"\"", ",\"b\"", "\"a\r\nb\""] {
            let mut fields = Vec::new();
            assert!(enclosed(row.as_bytes(), COMMAS, &mut fields), "{row}");
            assert_eq!(cells(row.as_bytes(), &fields), whole(row), "{row}");
        }
        for row in ["\"a\"\"b\"", "\"a\" ,b", "\"a\"b,c", "5'3\",c", "a,\"b", "a,\""] {
            assert!(!enclosed(row.as_bytes(), COMMAS, &mut Vec::new()), "{row}");
        }
        assert_eq!(cut("a,\"b,c", true).0, Quotes::Open(1));
        assert_eq!(cut("a,\"b\"\"", true).0, Quotes::Open(1));
        assert_eq!(cut("\"a\"b,c", false).0, Quotes::Misplaced(0));
        assert_eq!(
            cut("5'3\",c", false),
            (Quotes::Whole, vec!["5'3\"".to_owned(), "c".to_owned()])
        );
        assert_eq!(cut("5'3\",c", true).0, Quotes::Misplaced(0));
    }
}
