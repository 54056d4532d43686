//! The selection of the pages that may hold a row of a read, and the cost of the read: pure functions of the page index
//! and the read.

use std::ops::Range;

use arrow::datatypes::DataType;

use super::{FileRead, OpenFile, PageKeys, PageStats, ReadCost};
use crate::{Key, KeySelection, Span, TimeRange, Timestamp};

/// The weight in a read of rows that are stored together, such as those of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Their first key that is asked for.
    pub key: Key,
    /// No row of that key among them is before this instant; the earliest of all if they have other keys, too.
    pub from: Timestamp,
    /// About how many of them lie in the time that is asked for.
    pub rows: u64,
    /// About how many bytes their texts take, [`SHORT_TEXT_BYTES`](super::SHORT_TEXT_BYTES) of each left out.
    pub text: u64,
}

impl OpenFile {
    /// The pages, ascending, that may hold a row of `read`.
    pub(super) fn candidates(&self, read: &FileRead) -> Vec<usize> {
        let predicate = read.pages.as_deref();
        self.touched(&read.keys, read.time)
            .filter(|&page| predicate.is_none_or(|p| p.may_match(&PageStats { file: self, page })))
            .collect()
    }

    /// The pages, ascending, that may hold a row of `keys` in `time`.
    fn touched(&self, keys: &KeySelection, time: TimeRange) -> impl Iterator<Item = usize> {
        spans(self.pages(), keys).into_iter().flatten().filter(move |&page| {
            let (min, max) = self.index().times(page);
            time.touches(min, max)
        })
    }

    /// The weights of the pages that may hold a row of `keys` in `time`, if `columns` are read.
    pub fn weights(
        &self,
        keys: &KeySelection,
        time: TimeRange,
        columns: &[usize],
    ) -> impl Iterator<Item = Weight> {
        let fields = self.schema().arrow().fields();
        let is_text = |column: &&usize| {
            fields.get(**column).is_some_and(|field| *field.data_type() == DataType::Utf8)
        };
        let texts: Vec<usize> = columns.iter().filter(is_text).copied().collect();
        self.touched(keys, time).filter_map(move |page| {
            let of = self.pages().get(page)?;
            let (first, last) = self.index().times(page);
            let inside = time.to.min(last + Span::MICROSECOND).since(time.from.max(first)).micros();
            let share = inside as f64 / (last.as_micros() as f64 - first.as_micros() as f64 + 1.0);
            let text = match texts.is_empty() {
                true => 0,
                false => (self.index().long_texts(page, &texts) as f64 * share) as u64,
            };
            Some(Weight {
                key: keys.next(of.first)?,
                from: if of.first == of.last { first } else { Timestamp::MIN },
                rows: (f64::from(of.rows) * share) as u64 + 1,
                text,
            })
        })
    }

    /// The cost of `read`, from metadata alone: what it touches at most.
    pub fn cost(&self, read: &FileRead) -> ReadCost {
        let mut cost = ReadCost::default();
        let mut last_group = None;
        for page in self.candidates(read) {
            let group = self.index().group(page);
            if last_group.replace(group) != Some(group) {
                cost.row_groups += 1;
            }
            cost.rows += u64::from(self.page_rows(page));
            for &column in &read.columns {
                if let Some(place) =
                    self.index().columns.get(column).and_then(|c| c.as_ref()?.places.get(page))
                {
                    cost.pages += 1;
                    cost.bytes += u64::from(place.bytes);
                }
            }
        }
        cost
    }
}

/// The pages that touch `keys`, as ascending ranges that are apart.
#[expect(
    clippy::indexing_slicing,
    reason = "a partition point is at most the length of what it was found in"
)]
fn spans(pages: &[PageKeys], keys: &KeySelection) -> Vec<Range<usize>> {
    let reach = |from: Key, to: Key, after: usize| {
        let first = after + pages[after..].partition_point(|page| page.last < from);
        let last = first + pages[first..].partition_point(|page| page.first <= to);
        first..last
    };
    match keys {
        KeySelection::All => std::iter::once(0..pages.len()).collect(),
        KeySelection::Range { from, to } if from <= to => vec![reach(*from, *to, 0)],
        KeySelection::Range { .. } => Vec::new(),
        KeySelection::List(keys) => {
            let mut spans: Vec<Range<usize>> = Vec::new();
            for &key in keys.iter() {
                let after = spans.last().map_or(0, |span| span.end.saturating_sub(1));
                let found = reach(key, key, after);
                match spans.last_mut() {
                    Some(span) if found.start < span.end => span.end = span.end.max(found.end),
                    _ if found.is_empty() => {}
                    _ => spans.push(found),
                }
            }
            spans
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_are_the_pages_a_filter_finds(mut bounds in prop::collection::vec(0..60i64, 2..40), wanted in prop::collection::vec(-2..64i64, 0..10)) {
            bounds.sort_unstable();
            let pages: Vec<_> =
                bounds.chunks_exact(2).map(|pair| PageKeys { first: Key::new(pair[0]), last: Key::new(pair[1]), rows: 1 }).collect();
            let from = Key::new(wanted.first().copied().unwrap_or(10));
            let to = Key::new(wanted.last().copied().unwrap_or(40));
            for keys in [KeySelection::All, KeySelection::Range { from, to }, KeySelection::list(wanted)] {
                let found: Vec<_> = spans(&pages, &keys).into_iter().flatten().collect();
                let expected: Vec<_> =
                    (0..pages.len()).filter(|&p| keys.touches(pages[p].first, pages[p].last)).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
