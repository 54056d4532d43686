//! The place of a fault in a statement: the server names line and column, and the error shows them.
//!
//! ```text
//! there is no column "temprature": did you mean "temperature"?, at column 8
//!   select temprature from readings
//!          ^
//! ```

use unicode_width::UnicodeWidthChar;

use crate::Error;

/// The error with the line of the statement that it speaks of.
pub(in crate::commands) fn with_place(error: Error, statement: &str) -> Error {
    match pointed(&error.to_string(), statement) {
        Some(lines) => error.with_hint(lines),
        None => error,
    }
}

fn pointed(message: &str, statement: &str) -> Option<String> {
    let (line, column) = place(message)?;
    let text = statement.lines().nth(line.checked_sub(1)?)?;
    let before = text.chars().take(column.checked_sub(1)?);
    // Tabs are kept and wide characters are two spaces: the mark stands where the terminal shows the column.
    let indent: String = before
        .map(|char| if char == '\t' { "\t".into() } else { " ".repeat(char.width().unwrap_or(0)) })
        .collect();
    Some(format!("  {text}\n  {indent}^"))
}

/// Line and column that a message names, counted from 1.
fn place(message: &str) -> Option<(usize, usize)> {
    let lower = message.to_lowercase();
    let column = number_after(&lower, "column")?;
    Some((number_after(&lower, "line").unwrap_or(1), column))
}

/// The number after the last `word` that one follows, with a colon and spaces between.
fn number_after(text: &str, word: &str) -> Option<usize> {
    text.rmatch_indices(word).find_map(|(at, _)| {
        let rest = text.get(at + word.len()..)?.trim_start_matches([':', ' ']);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_pointed_at() {
        let text = "select a,\n\tb c d\nfrom t";
        let message = "Expected: end of statement, found: d at Line: 2, Column: 6";
        assert_eq!(pointed(message, text).as_deref(), Some("  \tb c d\n  \t    ^"));
        let (text, message) = ("select '東京', x", "there is no column x, at column 14");
        assert_eq!(pointed(message, text), Some(format!("  {text}\n  {}^", " ".repeat(15))));
        let message = "there is no column \"x\": did you mean \"y\"?, at column 8";
        assert_eq!(pointed(message, "select x").as_deref(), Some("  select x\n         ^"));
    }

    #[test]
    fn a_message_without_a_place_points_at_nothing() {
        for message in ["there is no column \"x\"", "at column 0", "at line 9, column 1", ""] {
            assert_eq!(pointed(message, "select x"), None, "{message}");
        }
    }
}
