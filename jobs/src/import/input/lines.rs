//! The lines of a text, in memory of a few of them: each can be looked at before it is taken, and so can the lines
//! behind it.
//!
//! A line ends with LF, CR LF or CR, or with the text.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr2};

use super::source::Bytes;

/// Bytes of text read at a time.
const BUFFER: usize = 256 << 10;
/// Longest line, and longest row of several lines. A longer one is a text of another form.
pub(super) const LINE_BYTES: usize = 16 << 20;

pub(super) struct Lines {
    source: Bytes,
    buffer: Vec<u8>,
    /// Where the first line that is not taken begins.
    start: usize,
    filled: usize,
    ended: bool,
    taken: u64,
    /// Bytes of the buffer that are known to be UTF-8.
    valid: Range<usize>,
    has_nul: bool,
}

/// A line that is not taken yet: places behind what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) from: usize,
    /// Where it ends.
    pub(super) to: usize,
    /// Where the next one begins.
    pub(super) next: usize,
}

impl Lines {
    pub(super) fn new(source: Bytes) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            ended: false,
            taken: 0,
            valid: 0..0,
            has_nul: false,
        }
    }

    /// The line that begins `from` bytes behind what was taken; none at the end of the text.
    pub(super) fn line(&mut self, from: usize) -> io::Result<Option<Line>> {
        let mut searched = from;
        loop {
            let text = self.ahead();
            let rest = text.get(searched..).unwrap_or_default();
            if let Some(at) = memchr2(b'\n', b'\r', rest) {
                let to = searched + at;
                let next = match (text.get(to), text.get(to + 1)) {
                    (Some(b'\r'), Some(b'\n')) => Some(to + 2),
                    (Some(b'\r'), None) if !self.ended => None,
                    _ => Some(to + 1),
                };
                if let Some(next) = next {
                    return Ok(Some(Line { from, to, next }));
                }
                searched = to;
            } else {
                searched = text.len();
                if self.ended {
                    let line = Line { from, to: searched, next: searched };
                    return Ok((searched > from).then_some(line));
                }
                if searched > from + LINE_BYTES {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "line {} and those after it: more than {} MiB without a line end; is it of this form?",
                            self.taken + 1,
                            LINE_BYTES >> 20
                        ),
                    ));
                }
            }
            self.fill()?;
        }
    }

    /// What was read and not taken.
    pub(super) fn ahead(&self) -> &[u8] {
        self.buffer.get(self.start..self.filled).unwrap_or_default()
    }

    /// Takes everything before `next`, `lines` lines; what was taken last stays where `kept` says until more is
    /// looked at.
    pub(super) fn take(&mut self, next: usize, lines: u64) -> Range<usize> {
        let taken = self.start..self.start + next;
        self.start = taken.end;
        self.taken += lines;
        taken
    }

    /// Bytes that `take` gave the place of.
    pub(super) fn kept(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// Whether bytes that `take` gave the place of are UTF-8.
    pub(super) fn is_utf8(&self, range: Range<usize>) -> bool {
        let is_known = self.valid.start <= range.start && range.end <= self.valid.end;
        is_known || std::str::from_utf8(self.kept(range)).is_ok()
    }

    /// Whether there was a NUL byte in what was read.
    pub(super) fn has_nul(&self) -> bool {
        self.has_nul
    }

    /// Lines that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 && self.buffer.len() - self.filled < BUFFER / 4 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.valid = 0..self.valid.end.saturating_sub(self.start);
            self.start = 0;
        }
        if self.buffer.len() - self.filled < BUFFER / 4 {
            self.buffer.resize((self.buffer.len() * 2).max(BUFFER), 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let read = loop {
            match self.source.read(room) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.has_nul |= room.get(..read).is_some_and(|read| memchr(0, read).is_some());
        self.filled += read;
        self.ended = read == 0;
        self.look();
        Ok(())
    }

    /// Looks at what was read, much faster than line by line.
    fn look(&mut self) {
        if self.valid.end < self.start {
            self.valid = self.start..self.start;
        }
        let unknown = self.buffer.get(self.valid.end..self.filled).unwrap_or_default();
        self.valid.end += match std::str::from_utf8(unknown) {
            Ok(text) => text.len(),
            Err(e) => e.valid_up_to(),
        };
    }
}
