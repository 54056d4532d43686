//! Replaced rows: earlier rows of the same import whose key and instant come again. The keys and instants seen so far
//! are kept in little memory:
//!
//! ```text
//! key 7   00:00 00:05 … 23:55 │ 00:00 00:10 …     series: a first instant, a step, a last instant
//!         00:03 07:41                             others: digests of 64 bits
//! ```
//!
//! Instants that come at a steady pace, onwards or backwards, take the room of one series.

use std::collections::VecDeque;

use arrow::array::{
    Array, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, Span, Timestamp};
use hashbrown::{HashMap, HashSet};

use crate::{Error, Result};

/// Memory of the keys and instants of an import.
pub(super) const SEEN_BYTES: usize = 64 << 20;
/// Keys and instants that are named.
const NAMED: usize = 3;
/// What a key takes besides its series, about.
const KEY_BYTES: usize = 96;
const SERIES_BYTES: usize = size_of::<Series>();
/// What a digest takes in a set that is half full.
const DIGEST_BYTES: usize = 18;

/// Rows that later ones of the same import replace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Number of rows.
    pub rows: u64,
    /// Whether there may be more: not all keys and instants fitted into memory.
    pub is_at_least: bool,
    /// Keys and instants of the first of them.
    pub named: Vec<(Key, Timestamp)>,
}

/// The keys and instants seen in an import.
#[derive(Debug)]
pub(crate) struct SeenRows {
    /// Where each key stands in `keys`.
    places: HashMap<Key, usize>,
    /// In the order in which they came first.
    keys: Vec<Known>,
    /// Where the next key stands if it comes behind the same one as before.
    next: usize,
    others: HashSet<u64>,
    bytes: usize,
    bound: usize,
}

/// The instants of a key, in ascending series.
#[derive(Debug)]
struct Known {
    key: Key,
    /// Most keys have no other.
    last: Series,
    #[expect(clippy::box_collection, reason = "few keys have any, and all of them are looked at")]
    earlier: Option<Box<VecDeque<Series>>>,
}

/// Instants at a steady pace.
#[derive(Debug, Clone, Copy)]
struct Series {
    first: Timestamp,
    step: Span,
    last: Timestamp,
}

impl Replaced {
    /// Takes in one more.
    pub(super) fn note(&mut self, key: Key, time: Timestamp) {
        self.rows += 1;
        if self.named.len() < NAMED && !self.named.contains(&(key, time)) {
            self.named.push((key, time));
        }
    }

    /// Takes in those of later rows.
    pub(super) fn add(&mut self, later: Self) {
        self.rows += later.rows;
        self.is_at_least |= later.is_at_least;
        let left = NAMED - self.named.len().min(NAMED);
        self.named.extend(later.named.into_iter().take(left));
    }
}

impl Default for SeenRows {
    fn default() -> Self {
        Self::new(SEEN_BYTES)
    }
}

impl SeenRows {
    /// Remembers as many as `bound` bytes hold.
    pub(super) fn new(bound: usize) -> Self {
        Self {
            places: HashMap::new(),
            keys: Vec::new(),
            next: 0,
            others: HashSet::new(),
            bytes: 0,
            bound,
        }
    }

    /// Takes in rows that begin with a key and an instant. Rows without one are passed over.
    pub(super) fn add(&mut self, rows: &RecordBatch, replaced: &mut Replaced) -> Result<()> {
        let keys = rows.column(KEY_COLUMN);
        let times = rows.column(TIME_COLUMN).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("rows of an import without a time"))?;
        match keys.data_type() {
            DataType::Int32 => self.take(keys.as_primitive::<Int32Type>(), times, replaced),
            _ => {
                let keys = cast(keys, &DataType::Int64)?;
                self.take(keys.as_primitive::<Int64Type>(), times, replaced);
            }
        }
        Ok(())
    }

    fn take<K: ArrowPrimitiveType<Native: Into<Key>>>(
        &mut self,
        keys: &PrimitiveArray<K>,
        times: &TimestampMicrosecondArray,
        replaced: &mut Replaced,
    ) {
        let nulls = NullBuffer::union(keys.nulls(), times.nulls());
        let mut from = 0;
        for same in keys.values().chunk_by(|a, b| a == b) {
            let rows = from..from + same.len();
            from = rows.end;
            let is_valid = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
            let times = rows.filter(is_valid).filter_map(|row| times.values().get(row));
            let mut times = times.map(|time| Timestamp::from_micros(*time));
            let Some(&key) = same.first() else { continue };
            let key = key.into();
            let at = match self.keys.get(self.next) {
                Some(known) if known.key == key => self.next,
                _ => match self.places.get(&key) {
                    Some(&at) => at,
                    None => {
                        let Some(first) = times.next() else { continue };
                        if self.bytes + KEY_BYTES + SERIES_BYTES > self.bound {
                            replaced.is_at_least = true;
                            continue;
                        }
                        self.bytes += KEY_BYTES + SERIES_BYTES;
                        let at = self.keys.len();
                        self.places.insert(key, at);
                        self.keys.push(Known { key, last: Series::of(first), earlier: None });
                        at
                    }
                },
            };
            self.next = at + 1;
            for time in times {
                self.instant(at, time, replaced);
            }
        }
    }

    /// Takes in an instant of the key that stands at `at`.
    fn instant(&mut self, at: usize, time: Timestamp, replaced: &mut Replaced) {
        let Some(known) = self.keys.get_mut(at) else { return };
        let is_room = |bytes| self.bytes + bytes <= self.bound;
        match known.place(time) {
            Place::Series => {}
            Place::Held => replaced.note(known.key, time),
            Place::Before if is_room(SERIES_BYTES) => {
                known.earlier.get_or_insert_default().push_front(Series::of(time));
                self.bytes += SERIES_BYTES;
            }
            Place::After if is_room(SERIES_BYTES) => {
                let last = std::mem::replace(&mut known.last, Series::of(time));
                known.earlier.get_or_insert_default().push_back(last);
                self.bytes += SERIES_BYTES;
            }
            Place::Between => {
                let digest = digest(known.key, time);
                if self.others.contains(&digest) {
                    replaced.note(known.key, time);
                } else if is_room(DIGEST_BYTES) {
                    self.others.insert(digest);
                    self.bytes += DIGEST_BYTES;
                } else {
                    replaced.is_at_least = true;
                }
            }
            Place::Before | Place::After => replaced.is_at_least = true,
        }
    }
}

/// Where an instant belongs.
enum Place {
    /// A series holds it.
    Held,
    /// It goes on with a series, which has it now.
    Series,
    Before,
    After,
    Between,
}

impl Known {
    /// Finds the place of an instant.
    fn place(&mut self, time: Timestamp) -> Place {
        if time > self.last.last {
            return if self.last.goes_on(time) { Place::Series } else { Place::After };
        }
        let earlier = self.earlier.as_deref_mut();
        let first = earlier.and_then(VecDeque::front_mut).unwrap_or(&mut self.last);
        if time < first.first {
            return if first.goes_back(time) { Place::Series } else { Place::Before };
        }
        let series = match &self.earlier {
            Some(earlier) if time < self.last.first => {
                let before = earlier.partition_point(|series| series.first <= time);
                before.checked_sub(1).and_then(|at| earlier.get(at))
            }
            _ => Some(&self.last),
        };
        if series.is_some_and(|series| series.holds(time)) { Place::Held } else { Place::Between }
    }
}

impl Series {
    fn of(time: Timestamp) -> Self {
        Self { first: time, step: Span::ZERO, last: time }
    }

    fn holds(&self, time: Timestamp) -> bool {
        let (from, step) = (time.since(self.first).micros(), self.step.micros());
        time <= self.last && (from == 0 || (step > 0 && from % step == 0))
    }

    fn goes_on(&mut self, time: Timestamp) -> bool {
        let step = time.since(self.last);
        let goes_on = self.step == Span::ZERO || step == self.step;
        if goes_on {
            (self.step, self.last) = (step, time);
        }
        goes_on
    }

    fn goes_back(&mut self, time: Timestamp) -> bool {
        let step = self.first.since(time);
        let goes_back = self.step == Span::ZERO || step == self.step;
        if goes_back {
            (self.step, self.first) = (step, time);
        }
        goes_back
    }
}

/// A number that differs, as good as surely, for keys and instants that differ (the finalizer of splitmix64, twice).
fn digest(key: Key, time: Timestamp) -> u64 {
    let mixed = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mixed(mixed(key.get().cast_unsigned()) ^ time.as_micros().cast_unsigned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: &[(i32, Option<i64>)]) -> RecordBatch {
        let times = TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1));
        RecordBatch::try_from_iter([
            (
                "id",
                Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef,
            ),
            ("at", Arc::new(times.with_timezone("UTC"))),
        ])
        .unwrap()
    }

    proptest! {
        #[test]
        fn rows_of_a_key_and_instant_that_were_there_are_counted(
            pieces in prop::collection::vec(
                prop::collection::vec((0..4i32, 0..40i64), 1..60), 1..5),
            order in 0..3,
        ) {
            let (mut seen, mut replaced) = (SeenRows::default(), Replaced::default());
            let mut model = HashSet::new();
            let mut repeated = Vec::new();
            for mut piece in pieces {
                match order {
                    0 => piece.sort_unstable(),
                    1 => piece.sort_unstable_by_key(|row| (row.0, -row.1)),
                    _ => {}
                }
                repeated.extend(piece.iter().filter(|row| !model.insert(**row)).copied());
                let rows: Vec<_> = piece.iter().map(|row| (row.0, Some(row.1))).collect();
                seen.add(&batch(&rows), &mut replaced).unwrap();
            }
            prop_assert_eq!(replaced.rows as usize, repeated.len());
            prop_assert!(!replaced.is_at_least);
            let first = repeated.first().map(|&(key, time)| (Key::from(key), Timestamp::from_micros(time)));
            prop_assert_eq!(replaced.named.first().copied(), first);
            prop_assert!(replaced.named.len() <= NAMED);
        }
    }

    #[test]
    fn a_steady_pace_takes_one_series_and_what_does_not_fit_is_said() {
        let (mut seen, mut replaced) = (SeenRows::new(1_000), Replaced::default());
        let steady: Vec<_> = (0..100_000).map(|minute| (1, Some(minute * 60_000_000))).collect();
        seen.add(&batch(&steady), &mut replaced).unwrap();
        let back: Vec<_> = (1..100_000).map(|minute| (2, Some(minute * -60_000_000))).collect();
        seen.add(&batch(&back), &mut replaced).unwrap();
        seen.add(&batch(&[(1, None), (1, Some(60_000_000))]), &mut replaced).unwrap();
        assert_eq!((replaced.rows, replaced.is_at_least), (1, false));
        assert_eq!(replaced.named, [(Key::new(1), Timestamp::UNIX_EPOCH + Span::MINUTE)]);
        let uneven: Vec<_> = (0..1_000).map(|at| (3, Some(at * at * at))).collect();
        seen.add(&batch(&uneven), &mut replaced).unwrap();
        assert!(replaced.is_at_least);
        seen.add(&batch(&uneven[..2]), &mut replaced).unwrap();
        assert_eq!(replaced.rows, 3, "those that fitted are known");
        assert!(seen.bytes <= 1_000);
        let many: Vec<_> = (0..1_000).map(|key| (key, Some(1))).collect();
        seen.add(&batch(&many), &mut replaced).unwrap();
        assert!(seen.bytes <= 1_000);
    }
}
