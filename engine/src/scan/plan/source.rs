//! The sources of a read: for each period that may have rows of it, its files in the lake and its hours in the tail.

use std::sync::Arc;

use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{FileEntry, Hour, KeySelection, Period, TimeRange, Timestamp};

use crate::scan::Scan;
use crate::tail::HourView;
use crate::view::View;

/// The source of the rows of one period: an hour, or the day or month that it was compacted into. Rows of the tail
/// replace rows of the files.
#[derive(Debug, Clone)]
pub struct Source {
    /// The period.
    pub period: Period,
    /// Its files in the lake, ascending by their keys, which are apart.
    pub files: Vec<Arc<FileEntry>>,
    /// Its hours in the tail, ascending.
    pub tails: Vec<HourView>,
}

impl Source {
    /// The source of all rows of the period of `hour`.
    pub fn of(view: &View, hour: Hour) -> Self {
        let files = view.snapshot.files_of_hour(hour).to_vec();
        let period = files.first().map_or(hour.into(), |file| file.path.period());
        let tails = view.tail.hours();
        let first = tails.partition_point(|tail| tail.hour().start() < period.start());
        let tails = tails.iter().skip(first).take_while(|tail| period.holds(tail.hour()));
        Self { period, tails: tails.cloned().collect(), files }
    }

    /// Rows of files and tail together.
    pub fn rows(&self) -> u64 {
        let landed: u64 = self.files.iter().map(|file| file.rows).sum();
        landed + self.tail_rows()
    }

    /// Rows of the tail.
    pub fn tail_rows(&self) -> u64 {
        self.tails.iter().map(HourView::rows).sum()
    }

    /// Its files and hours that may hold rows of some keys; `None` if there are none.
    pub(super) fn of_keys(&self, keys: &KeySelection) -> Option<Self> {
        let files = self.files.iter().filter(|file| keys.touches(file.keys.0, file.keys.1));
        let files: Vec<_> = files.cloned().collect();
        let touched =
            |tail: &&HourView| tail.keys().is_some_and(|(min, max)| keys.touches(min, max));
        let tails: Vec<_> = self.tails.iter().filter(touched).cloned().collect();
        let is_any = !files.is_empty() || !tails.is_empty();
        is_any.then_some(Self { period: self.period, files, tails })
    }

    /// The newest instant, if there are rows.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        let landed = self.files.iter().map(|file| file.times.1);
        landed.chain(self.tails.iter().filter_map(|tail| Some(tail.times()?.1))).max()
    }
}

/// The periods that may hold rows of `scan`, ascending.
pub fn sources(view: &View, scan: &Scan) -> Vec<Source> {
    let wanted = |file: &&Arc<FileEntry>| {
        scan.filter.as_ref().is_none_or(|filter| filter.may_match_file(file))
    };
    let mut sources = landed(view.snapshot.prune(&scan.keys, scan.time).filter(wanted));
    for tail in view.tail.hours() {
        let touched = tail.keys().is_some_and(|(min, max)| scan.keys.touches(min, max))
            && tail.times().is_some_and(|(min, max)| scan.time.touches(min, max));
        if !touched {
            continue;
        }
        let hour = tail.hour();
        let at = sources.partition_point(|source| source.period.end() <= hour.start());
        match sources.get_mut(at).filter(|source| source.period.holds(hour)) {
            Some(source) => source.tails.push(tail.clone()),
            None => {
                let tails = vec![tail.clone()];
                sources.insert(at, Source { period: hour.into(), files: Vec::new(), tails });
            }
        }
    }
    sources
}

/// The periods of `files`, which stand in their order.
pub(crate) fn landed<'a>(files: impl IntoIterator<Item = &'a Arc<FileEntry>>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for file in files {
        let period = file.path.period();
        match sources.last_mut().filter(|last| last.period == period) {
            Some(last) => last.files.push(Arc::clone(file)),
            None => {
                sources.push(Source { period, files: vec![Arc::clone(file)], tails: Vec::new() });
            }
        }
    }
    sources
}

/// How many hours of `sources` have rows in `time`, at most.
pub(super) fn hours(sources: &[Source], time: TimeRange) -> usize {
    let of = |source: &Source| {
        let period = source.period;
        let inside = period.end().min(time.to).since(period.start().max(time.from)).micros();
        usize::try_from(inside / MICROS_PER_HOUR + 1)
            .unwrap_or(1)
            .min(period.hours_count() as usize)
    };
    sources.iter().map(of).sum()
}
