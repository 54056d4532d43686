//! Lines: where one ends. A line may go on after a line break within a text.

/// The lines of a body that say something, with their numbers from 1 on.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    /// The number of the line that `rest` begins with.
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body, number: 1 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let number = self.number;
            let is_comment = self.rest.trim_ascii_start().first() == Some(&b'#');
            let end = match is_comment {
                // A comment has no texts; what stands before it on other lines is blank.
                true => {
                    let blank = self.rest.len() - self.rest.trim_ascii_start().len();
                    let comment = self.rest.get(blank..).unwrap_or_default();
                    blank + comment.iter().position(|b| *b == b'\n').unwrap_or(comment.len())
                }
                false => find_end(self.rest),
            };
            let (line, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
            self.rest = rest.get(1..).unwrap_or_default();
            self.number += 1 + line.iter().filter(|b| **b == b'\n').count();
            let line = line.trim_ascii();
            if !is_comment && !line.is_empty() {
                return Some((number, line));
            }
        }
    }
}

/// The index of the line break that ends the first line, or the end of the bytes. A text that is never closed ends with its
/// line.
fn find_end(bytes: &[u8]) -> usize {
    let first = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    // Without a quote in it there is nothing to look for.
    if !bytes.get(..first).unwrap_or_default().contains(&b'"') {
        return first;
    }
    let (mut at, mut in_fields, mut in_text) = (0, false, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            // A backslash holds no line together.
            b'\\' if in_text || bytes.get(at + 1) != Some(&b'\n') => at += 1,
            b'\n' if !in_text => return at,
            b' ' => in_fields = true,
            b'"' if in_text => in_text = false,
            b'"' if in_fields && at > 0 && bytes.get(at - 1) == Some(&b'=') => in_text = true,
            _ => {}
        }
        at += 1;
    }
    if in_text { first } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &str) -> Vec<(usize, &str)> {
        let lines = Lines::new(body.as_bytes());
        lines.map(|(number, line)| (number, std::str::from_utf8(line).unwrap())).collect()
    }

    #[test]
    fn blank_lines_and_comments_are_passed_over() {
        let body = "# none\n\nm a=1\r\n  # \"none\n m a=2 \n\n\n#x";
        assert_eq!(lines(body), [(3, "m a=1"), (5, "m a=2")]);
        assert_eq!(lines(""), []);
        assert_eq!(lines("\n\n"), []);
    }

    #[test]
    fn a_text_may_go_on_in_the_next_line() {
        assert_eq!(
            lines("m a=\"x\ny\\\"\n\",b=1\nm b=2"),
            [(1, "m a=\"x\ny\\\"\n\",b=1"), (4, "m b=2")]
        );
        assert_eq!(lines("m,t=\"x a=1\nm a=2"), [(1, "m,t=\"x a=1"), (2, "m a=2")]);
        assert_eq!(lines("m a=\"x\" \\\nm a=2"), [(1, "m a=\"x\" \\"), (2, "m a=2")]);
    }

    #[test]
    fn a_text_that_is_never_closed_takes_its_own_line_only() {
        assert_eq!(lines("m a=\"x\nm a=2\nm a=3"), [(1, "m a=\"x"), (2, "m a=2"), (3, "m a=3")]);
    }
}
