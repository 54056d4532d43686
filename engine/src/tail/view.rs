//! The view of the tail that a reader holds, which nothing changes: for each hour a number of rows, over pages that
//! only grow.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use barograph_lake::file::{SHORT_TEXT_BYTES, Weight};
use barograph_lake::{Hour, Key, KeySelection, LogPosition, TimeRange, Timestamp};

use super::columns::Columns;
use super::gather::Reader;
use super::hour::{Origin, Rows, Summary};
use super::keys::KeyMap;
use super::layout::{Field, Layout};
use super::newest::start_of;
use crate::Result;

/// The tail at one instant. Cheap to clone; holds the memory of what it shows.
#[derive(Debug, Clone)]
pub struct TailView {
    layout: Arc<Layout>,
    hours: Arc<[HourView]>,
    newest: Arc<KeyMap>,
}

/// One hour of the tail at one instant. Cheap to clone; holds the memory of what it shows.
#[derive(Debug, Clone)]
pub struct HourView(Arc<HourSnapshot>);

#[derive(Debug)]
struct HourSnapshot {
    hour: Hour,
    shared: Arc<Rows>,
    summary: Summary,
    /// Every key, ascending, with its last row in the view: found by the first read of many keys, as each
    /// slice of a large read would find and sort them again.
    heads: OnceLock<Vec<(Key, u32)>>,
}

impl TailView {
    pub(super) fn new(layout: Arc<Layout>, hours: Arc<[HourView]>, newest: Arc<KeyMap>) -> Self {
        Self { layout, hours, newest }
    }

    /// The hours that have rows, ascending.
    pub fn hours(&self) -> &[HourView] {
        &self.hours
    }

    /// The rows of `hour`, if it has any.
    pub fn hour(&self, hour: Hour) -> Option<&HourView> {
        let index = self.hours.binary_search_by_key(&hour, HourView::hour).ok()?;
        self.hours.get(index)
    }

    /// The newest row of each of `keys` that has one, in the order of `keys`, with the columns of these
    /// Arrow indexes. Costs the same whatever the number of rows.
    pub fn latest(&self, keys: &[Key], columns: &[usize]) -> Result<RecordBatch> {
        let mut out = Columns::new(&self.layout, columns, keys.len())?;
        let mut found = keys.iter().filter_map(|&key| Some((key, self.newest(key)?))).peekable();
        // Rows that follow one another in one hour are read together.
        let (mut run_keys, mut run_rows) = (Vec::new(), Vec::new());
        while let Some((key, (hour, id))) = found.next() {
            let HourSnapshot { shared, summary, .. } = &*hour.0;
            run_keys.push((key, 1));
            run_rows.push(id);
            if found.peek().is_none_or(|(_, (next, _))| !Arc::ptr_eq(&next.0, &hour.0)) {
                let reader = Reader::new(shared, summary.rows);
                let rows: Vec<_> = run_rows.iter().map(|&id| reader.row(id)).collect();
                out.extend(&run_keys, &rows, &shared.heap.open())?;
                run_keys.clear();
                run_rows.clear();
            }
        }
        out.finish()
    }

    /// The instant of the newest row of `key`, if it has one.
    pub fn latest_time(&self, key: Key) -> Option<Timestamp> {
        self.newest(key).map(|(hour, id)| hour.reader().time(id))
    }

    /// Gives each key with the instant of its newest row.
    pub(crate) fn each_newest(&self, visit: &mut dyn FnMut(Key, Timestamp)) {
        self.newest.each(|key, _| {
            if let Some(at) = self.latest_time(key) {
                visit(key, at);
            }
        });
    }

    /// All keys with rows, ascending.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        self.newest.each(|key, _| {
            if self.newest(key).is_some() {
                keys.push(key);
            }
        });
        keys.sort_unstable();
        keys
    }

    /// Bytes held by the hours of this view when it was made.
    pub fn bytes(&self) -> usize {
        self.hours.iter().map(HourView::bytes).sum()
    }

    /// Rows appended, repeats counted.
    pub fn rows(&self) -> u64 {
        self.hours.iter().map(HourView::rows).sum()
    }

    /// The newest row of `key`: its hour and number.
    fn newest(&self, key: Key) -> Option<(&HourView, u32)> {
        let (last, earlier) = self.hours.split_last()?;
        if let Some(id) = last.reader().newest(key) {
            return Some((last, id));
        }
        let start = start_of(self.newest.get(key)?);
        let hours = earlier.partition_point(|hour| hour.hour().start() <= start);
        let hours = earlier.get(..hours).unwrap_or_default().iter().rev();
        hours.into_iter().find_map(|hour| Some((hour, hour.reader().newest(key)?)))
    }
}

impl HourView {
    pub(super) fn new(shared: Arc<Rows>, summary: Summary) -> Self {
        Self(Arc::new(HourSnapshot { hour: shared.hour, shared, summary, heads: OnceLock::new() }))
    }

    /// The hour.
    pub fn hour(&self) -> Hour {
        self.0.hour
    }

    /// Rows appended, repeats counted.
    pub fn rows(&self) -> u64 {
        u64::from(self.0.summary.rows)
    }

    /// Whether a row may stand here twice, so that [`Self::rows`] counts more than a read gives.
    pub fn may_repeat(&self) -> bool {
        self.0.summary.backward > 0
    }

    /// Bytes the hour held when the view was made.
    pub fn bytes(&self) -> usize {
        self.0.summary.bytes
    }

    /// Smallest and largest key.
    pub fn keys(&self) -> Option<(Key, Key)> {
        Some(self.0.summary.keys).filter(|(min, max)| min <= max)
    }

    /// Smallest and largest instant.
    pub fn times(&self) -> Option<(Timestamp, Timestamp)> {
        Some(self.0.summary.times).filter(|(min, max)| min <= max)
    }

    /// Largest log position of any row.
    pub fn through(&self) -> LogPosition {
        self.0.summary.positions.1
    }

    /// A lower bound of the log positions of its rows: the smallest itself, or, once rows of the hour have landed
    /// while later ones stay, the position through which they landed.
    pub fn first(&self) -> LogPosition {
        self.0.summary.positions.0
    }

    /// When the first of its rows arrived, those that landed meanwhile included.
    pub fn since(&self) -> Timestamp {
        self.0.summary.since
    }

    /// The rows of `keys` in `time`, sorted by (key, time), of several with one key and instant the
    /// last to arrive, with the columns of these Arrow indexes. Touches only rows of these keys.
    pub fn read(
        &self,
        keys: &KeySelection,
        time: TimeRange,
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let reader = self.reader();
        match keys {
            KeySelection::List(keys) => reader.read(&reader.heads_of(keys), time, columns),
            KeySelection::All => reader.read(self.heads(), time, columns),
            KeySelection::Range { from, to } => {
                let heads = self.heads();
                let first = heads.partition_point(|(key, _)| key < from);
                let end = heads.partition_point(|(key, _)| key <= to);
                reader.read(heads.get(first..end).unwrap_or_default(), time, columns)
            }
        }
    }

    /// The instant of the newest row of `key` at or before `time`, if there is one.
    pub fn time_at(&self, key: Key, time: Timestamp) -> Option<Timestamp> {
        self.reader().time_at(key, time)
    }

    /// The keys, ascending, each with its number of rows, repeats counted.
    pub fn key_counts(&self) -> Vec<(Key, u32)> {
        let reader = self.reader();
        self.heads().iter().map(|&(key, last)| (key, reader.count(last) as u32)).collect()
    }

    /// Whether texts take more bytes than rows of short ones do.
    pub(crate) fn has_long_texts(&self) -> bool {
        self.0.summary.text_bytes > self.rows() as usize * SHORT_TEXT_BYTES
    }

    /// What the rows of `keys` weigh in a read of the columns of these Arrow indexes. Looks at every row if the hour
    /// holds long texts.
    pub(crate) fn weights(&self, keys: &KeySelection, columns: &[usize]) -> Vec<Weight> {
        let layout = &self.0.shared.layout;
        let texts = columns.iter().filter_map(|&column| layout.field(column));
        let texts: Vec<Field> = texts.filter(|field| field.is_text()).copied().collect();
        let is_long = !texts.is_empty() && self.has_long_texts();
        let reader = self.reader();
        let heads = self.heads().iter().filter(|(key, _)| keys.contains(*key));
        match is_long {
            true => heads.flat_map(|&head| reader.weights(head, &texts)).collect(),
            false => {
                let rows = |last| reader.count(last) as u64;
                let weight = |&(key, last): &(Key, u32)| {
                    let from = Timestamp::MIN;
                    Weight { key, from, rows: rows(last), text: 0 }
                };
                heads.map(weight).collect()
            }
        }
    }

    pub(super) fn origin(&self) -> Origin {
        self.0.shared.origin
    }

    fn heads(&self) -> &[(Key, u32)] {
        self.0.heads.get_or_init(|| self.reader().heads())
    }

    fn reader(&self) -> Reader<'_> {
        Reader::new(&self.0.shared, self.0.summary.rows)
    }
}
