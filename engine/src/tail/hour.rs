//! One hour of the tail: its rows, and how a row is appended.
//!
//! ```text
//! heads            rows (pages)
//! Paris ──► 7 ──►  7: link 4, ordinal 2 ──► 4: link 0, ordinal 1 ──► 0: link none, ordinal 0
//! Tokyo ──► 5 ──►  5: link 1, ordinal 1 ──► 1: link none, ordinal 0
//! ```
//!
//! A key's head names its last row and its newest one; each row names the one before it. A view is a
//! number of rows: what stands at or above it came later, and a reader steps over it.

#![expect(
    clippy::indexing_slicing,
    reason = "rows are as wide as the layout that numbers their words"
)]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::Array;
use barograph_lake::{Hour, Key, LogPosition, Timestamp};
use parking_lot::Mutex;

use super::encode::Batch;
use super::keys::{KeyMap, KeyMapWriter};
use super::layout::{HEADER, Header, Layout, NO_ROW, TIME, time_of_word};
use super::pages::{Pages, PagesWriter, text};
use super::view::HourView;
use crate::memory::{Budget, Reservation};

/// The rows of an hour, shared by the writer and every view of them.
#[derive(Debug)]
pub(super) struct Rows {
    pub layout: Arc<Layout>,
    pub hour: Hour,
    pub origin: Origin,
    pub rows: Pages,
    pub heap: Pages,
    pub heads: KeyMap,
    /// Of pages and fixed parts; the heads hold their own.
    held: Mutex<Reservation>,
}

/// Which rows row 0 and those after it are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    /// Number of the hour's stay in the tail: grows when it comes back after all its rows have landed.
    pub stay: u64,
    /// Rows of this stay that landed before row 0 came in.
    pub landed: u64,
}

/// A key's last and newest row in its hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub last: u32,
    pub newest: u32,
}

/// What is known of a number of rows without looking at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub rows: u32,
    pub keys: (Key, Key),
    pub times: (Timestamp, Timestamp),
    pub positions: (LogPosition, LogPosition),
    /// When the first row of the stay came.
    pub since: Timestamp,
    /// Rows that came with an instant at or before the newest of their key: only they can be repeats.
    pub backward: u32,
    pub bytes: usize,
    /// Of the texts of all rows, about.
    pub text_bytes: usize,
}

/// The writer's end of an hour.
#[derive(Debug)]
pub(super) struct HourWriter {
    shared: Arc<Rows>,
    rows: PagesWriter,
    heap: PagesWriter,
    heads: KeyMapWriter,
    keys: (Key, Key),
    times: (Timestamp, Timestamp),
    positions: (LogPosition, LogPosition),
    since: Timestamp,
    /// Rows at or before the newest instant of their key.
    backward: u32,
    /// Number of the publication that does not show the last rows yet.
    pub stale_since: u64,
}

/// Bytes of an hour besides pages and heads: what writer, readers and one view share, the writer in its
/// half-filled tree node, and the counters of seven allocations.
const FIXED_BYTES: usize =
    size_of::<Rows>() + 2 * size_of::<HourWriter>() + 2 * size_of::<Summary>() + 7 * 16;

impl Head {
    pub(super) fn pack(self) -> u64 {
        u64::from(self.last) | u64::from(self.newest) << 32
    }

    pub(super) fn unpack(value: u64) -> Self {
        Self { last: value as u32, newest: (value >> 32) as u32 }
    }
}

impl HourWriter {
    /// An hour without rows.
    pub(super) fn new(
        layout: &Arc<Layout>,
        budget: &Arc<Budget>,
        hour: Hour,
        origin: Origin,
    ) -> Self {
        let (rows_shared, rows) = Pages::new(layout.stride);
        let (heap_shared, heap) = Pages::new(1);
        let (heads_shared, heads) = KeyMap::new(budget);
        let shared = Arc::new(Rows {
            layout: Arc::clone(layout),
            hour,
            origin,
            rows: rows_shared,
            heap: heap_shared,
            heads: heads_shared,
            held: Mutex::new(budget.reserve(FIXED_BYTES)),
        });
        Self {
            shared,
            rows,
            heap,
            heads,
            keys: (Key::MAX, Key::MIN),
            times: (Timestamp::MAX, Timestamp::MIN),
            positions: (LogPosition::new(u64::MAX), LogPosition::new(0)),
            since: Timestamp::MAX,
            backward: 0,
            stale_since: 0,
        }
    }

    /// Appends `range` of `batch`, whose words stand in `staged`; gives each key that is new here to
    /// `new_key`.
    pub(super) fn append(
        &mut self,
        position: LogPosition,
        batch: &Batch<'_>,
        range: Range<usize>,
        staged: &mut [u64],
        mut new_key: impl FnMut(Key),
    ) {
        let stride = self.shared.layout.stride;
        for (row, words) in range.zip(staged.chunks_exact_mut(stride)) {
            for (field, column) in batch.texts() {
                if column.is_valid(row) {
                    let bytes = column.value(row).as_bytes();
                    words[field.word] = text::push(&mut self.heap, &self.shared.heap, bytes);
                }
            }
            if self.push(batch.key(row), batch.time(row), words) {
                new_key(batch.key(row));
            }
        }
        self.seen_positions(position, position);
        self.since = self.since.min(batch.arrived());
        self.account();
    }

    /// Appends one row whose words lack only the header; says whether its key is new here.
    fn push(&mut self, key: Key, time: Timestamp, words: &mut [u64]) -> bool {
        let place = self.heads.place(&self.shared.heads, key);
        let before = place.get().map(Head::unpack);
        let id = self.rows.units();
        let (header, newest) = match before {
            None => (Header { link: NO_ROW, ordinal: 0, peak: true }, id),
            Some(Head { last, newest }) => {
                let word = |row, word: usize| self.rows.unit(row)[word].load(Ordering::Relaxed);
                let newest_time = time_of_word(word(newest, TIME));
                let peak = time >= newest_time;
                self.backward += u32::from(time <= newest_time);
                let ordinal = Header::unpack(word(last, HEADER)).ordinal + 1;
                (Header { link: last, ordinal, peak }, if peak { id } else { newest })
            }
        };
        words[HEADER] = header.pack();
        self.rows.push(&self.shared.rows, words);
        place.set(Head { last: id, newest }.pack());
        self.times = (self.times.0.min(time), self.times.1.max(time));
        if before.is_none() {
            self.keys = (self.keys.0.min(key), self.keys.1.max(key));
        }
        before.is_none()
    }

    fn seen_positions(&mut self, first: LogPosition, through: LogPosition) {
        self.positions = (self.positions.0.min(first), self.positions.1.max(through));
    }

    fn account(&self) {
        let bytes = FIXED_BYTES + self.rows.bytes() + self.heap.bytes();
        let mut held = self.shared.held.lock();
        if held.bytes() != bytes {
            held.resize(bytes);
        }
    }

    /// What stands here, as a view.
    pub(super) fn view(&self) -> HourView {
        let summary = Summary {
            rows: self.rows.units(),
            keys: self.keys,
            times: self.times,
            positions: self.positions,
            since: self.since,
            backward: self.backward,
            bytes: self.bytes(),
            text_bytes: text::bytes(self.heap.units()),
        };
        HourView::new(Arc::clone(&self.shared), summary)
    }

    /// Rows held.
    pub(super) fn rows(&self) -> u32 {
        self.rows.units()
    }

    /// Words of text held.
    pub(super) fn heap_words(&self) -> u32 {
        self.heap.units()
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        FIXED_BYTES + self.rows.bytes() + self.heap.bytes() + self.heads.bytes()
    }

    /// Smallest position of any row held.
    pub(super) fn first_position(&self) -> LogPosition {
        self.positions.0
    }

    /// Largest position of any row held.
    pub(super) fn through(&self) -> LogPosition {
        self.positions.1
    }

    /// All rows held stand in the log again, from `first` through `through`, or came after `first`.
    pub(super) fn moved(&mut self, first: LogPosition, through: LogPosition) {
        self.positions = (first, through.max(self.positions.1));
    }

    /// The hour's shared part.
    pub(super) fn shared(&self) -> &Arc<Rows> {
        &self.shared
    }

    /// The hour with only the rows from `landed` on, all of which came at or after `position`; `None`
    /// if there are none.
    pub(super) fn after(
        &self,
        budget: &Arc<Budget>,
        landed: u32,
        position: LogPosition,
    ) -> Option<Self> {
        if landed >= self.rows.units() {
            return None;
        }
        let mut rest = Vec::with_capacity((self.rows.units() - landed) as usize);
        self.shared.heads.each(|key, head| {
            let mut id = Head::unpack(head).last;
            while id != NO_ROW && id >= landed {
                rest.push((id, key));
                id = Header::unpack(self.rows.unit(id)[HEADER].load(Ordering::Relaxed)).link;
            }
        });
        rest.sort_unstable();

        let Rows { layout, hour, origin, heap, .. } = &*self.shared;
        let origin = Origin { stay: origin.stay, landed: origin.landed + u64::from(landed) };
        let mut hour = Self::new(layout, budget, *hour, origin);
        let heap = heap.open();
        let mut words = Vec::with_capacity(layout.stride);
        let mut string = Vec::new();
        for (id, key) in rest {
            words.clear();
            words.extend(self.rows.unit(id).iter().map(|word| word.load(Ordering::Relaxed)));
            for (_, field) in layout.values().filter(|(_, field)| field.is_text()) {
                string.clear();
                text::append_to(&heap, words[field.word], &mut string);
                words[field.word] = text::push(&mut hour.heap, &hour.shared.heap, &string);
            }
            let time = time_of_word(words[TIME]);
            hour.push(key, time, &mut words);
        }
        hour.seen_positions(position, self.positions.1);
        hour.since = self.since;
        hour.account();
        Some(hour)
    }
}
