//! Rows that stand in the place of others of the same import: which keys and instants were there before?
//!
//! ```text
//! key 7   00:00 00:05 … 23:55 │ 00:00 00:10 …     series: a first instant, a step, a last instant
//!         00:03 07:41                             others: digests of 64 bits
//! ```
//!
//! Instants that come at a steady pace, onwards or backwards, take the room of one series.

use std::collections::VecDeque;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, Micros};
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

/// Rows in whose place later ones of the same import stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// How many.
    pub rows: u64,
    /// Whether there may be more: not all keys and instants fitted into memory.
    pub is_at_least: bool,
    /// Keys and instants of the first of them.
    pub named: Vec<(Key, Micros)>,
}

/// Keys and instants of an import.
#[derive(Debug)]
pub struct Seen {
    keys: HashMap<Key, VecDeque<Series>>,
    others: HashSet<u64>,
    bytes: usize,
    bound: usize,
}

/// Instants at a steady pace.
#[derive(Debug, Clone, Copy)]
struct Series {
    first: Micros,
    step: Micros,
    last: Micros,
}

impl Replaced {
    /// Takes in one more.
    pub(super) fn note(&mut self, key: Key, time: Micros) {
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

impl Default for Seen {
    fn default() -> Self {
        Self::new(SEEN_BYTES)
    }
}

impl Seen {
    /// Remembers as many as `bound` bytes hold.
    pub(super) fn new(bound: usize) -> Self {
        Self { keys: HashMap::new(), others: HashSet::new(), bytes: 0, bound }
    }

    /// Takes in rows that begin with a key and an instant. Rows without one are passed over.
    pub(super) fn add(&mut self, rows: &RecordBatch, replaced: &mut Replaced) -> Result<()> {
        let keys = cast(rows.column(KEY_COLUMN), &DataType::Int64)?;
        let keys = keys.as_primitive::<Int64Type>();
        let times = rows.column(TIME_COLUMN).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("rows of an import without a time"))?;
        let mut from = 0;
        for same in keys.values().chunk_by(|a, b| a == b) {
            let Some(&key) = same.first() else { continue };
            let (new, series) = match self.keys.get_mut(&key) {
                Some(series) => (false, series),
                None if self.bytes + KEY_BYTES + SERIES_BYTES > self.bound => {
                    replaced.is_at_least = true;
                    from += same.len();
                    continue;
                }
                None => (true, self.keys.entry(key).or_default()),
            };
            self.bytes += if new { KEY_BYTES } else { 0 };
            for row in from..from + same.len() {
                if keys.is_null(row) || times.is_null(row) {
                    continue;
                }
                let time = times.value(row);
                let Some(fits) = place(series, time) else {
                    replaced.note(key, time);
                    continue;
                };
                let is_room = |bytes| self.bytes + bytes <= self.bound;
                match fits {
                    Place::Series => {}
                    Place::Before if is_room(SERIES_BYTES) => {
                        series.push_front(Series::of(time));
                        self.bytes += SERIES_BYTES;
                    }
                    Place::After if is_room(SERIES_BYTES) => {
                        series.push_back(Series::of(time));
                        self.bytes += SERIES_BYTES;
                    }
                    Place::Between => {
                        let digest = digest(key, time);
                        if self.others.contains(&digest) {
                            replaced.note(key, time);
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
            from += same.len();
        }
        Ok(())
    }
}

/// Where an instant belongs that no series holds.
enum Place {
    /// It goes on with a series, which has it now.
    Series,
    Before,
    After,
    Between,
}

/// Finds the place of an instant; none if a series holds it.
fn place(series: &mut VecDeque<Series>, time: Micros) -> Option<Place> {
    let Some(last) = series.back_mut() else { return Some(Place::After) };
    if time > last.last {
        return Some(if last.goes_on(time) { Place::Series } else { Place::After });
    }
    let Some(first) = series.front_mut() else { return Some(Place::Before) };
    if time < first.first {
        return Some(if first.goes_back(time) { Place::Series } else { Place::Before });
    }
    let before = series.partition_point(|series| series.first <= time);
    let holds = before.checked_sub(1).and_then(|at| series.get(at)).is_some_and(|s| s.holds(time));
    (!holds).then_some(Place::Between)
}

impl Series {
    fn of(time: Micros) -> Self {
        Self { first: time, step: 0, last: time }
    }

    fn holds(&self, time: Micros) -> bool {
        let from = time.saturating_sub(self.first);
        time <= self.last && (from == 0 || (self.step > 0 && from % self.step == 0))
    }

    fn goes_on(&mut self, time: Micros) -> bool {
        let step = time.saturating_sub(self.last);
        let goes_on = self.step == 0 || step == self.step;
        if goes_on {
            (self.step, self.last) = (step, time);
        }
        goes_on
    }

    fn goes_back(&mut self, time: Micros) -> bool {
        let step = self.first.saturating_sub(time);
        let goes_back = self.step == 0 || step == self.step;
        if goes_back {
            (self.step, self.first) = (step, time);
        }
        goes_back
    }
}

/// A number that differs, as good as surely, for keys and instants that differ (the finalizer of splitmix64, twice).
fn digest(key: Key, time: Micros) -> u64 {
    let mixed = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mixed(mixed(key.cast_unsigned()) ^ time.cast_unsigned())
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
            let (mut seen, mut replaced) = (Seen::default(), Replaced::default());
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
            let first = repeated.first().map(|&(key, time)| (Key::from(key), time));
            prop_assert_eq!(replaced.named.first().copied(), first);
            prop_assert!(replaced.named.len() <= NAMED);
        }
    }

    #[test]
    fn a_steady_pace_takes_one_series_and_what_does_not_fit_is_said() {
        let (mut seen, mut replaced) = (Seen::new(1_000), Replaced::default());
        let steady: Vec<_> = (0..100_000).map(|minute| (1, Some(minute * 60_000_000))).collect();
        seen.add(&batch(&steady), &mut replaced).unwrap();
        let back: Vec<_> = (1..100_000).map(|minute| (2, Some(minute * -60_000_000))).collect();
        seen.add(&batch(&back), &mut replaced).unwrap();
        seen.add(&batch(&[(1, None), (1, Some(60_000_000))]), &mut replaced).unwrap();
        assert_eq!((replaced.rows, replaced.is_at_least), (1, false));
        assert_eq!(replaced.named, [(1, 60_000_000)]);
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
