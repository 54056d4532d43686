//! The point read: the newest reading of each key, or the newest up to an instant.
//!
//! The newest reading of a key that reports is in the tail, or among the last rows of the newest hour's file, and
//! costs O(1). Any other is searched for range by range of time, newest first, until every key asked for is
//! found.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use barograph_lake::schema::KEY_COLUMN;
use barograph_lake::{Hour, Key, KeySelection, Span, TimeRange, Timestamp};
use hashbrown::{HashMap, HashSet};

use super::files::{Files, project, read_columns, with_schema};
use super::newest::{Newest, instants_of, last_rows, take_rows};
use super::plan::{Source, sources};
use super::{Point, PointQuery, Scan};
use crate::Result;
use crate::validate::key_at;
use crate::view::View;

/// A point read over one view.
pub(crate) struct PointRead<'a> {
    pub(crate) files: &'a Files,
    pub(crate) view: &'a View,
    pub(crate) newest: &'a Arc<Newest>,
}

impl PointRead<'_> {
    /// One row of each key that has one, ordered by key.
    pub(crate) async fn answer(&self, query: &PointQuery) -> Result<RecordBatch> {
        let columns = read_columns(query.columns.iter().copied());
        match (query.point, &query.keys) {
            (Point::Latest, Some(keys)) => self.latest(&distinct(keys), &columns).await,
            (Point::Latest, None) => self.latest_of_all(&columns).await,
            (Point::At(time), keys) => {
                let before = time + Span::MICROSECOND;
                let keys = keys.as_deref().map(distinct);
                let batches = self.newest_before(keys, before, &columns).await?;
                self.in_order(batches, &columns)
            }
        }
    }

    async fn latest(&self, keys: &[Key], columns: &[usize]) -> Result<RecordBatch> {
        let in_lake = self.view.snapshot.files().last().map_or(Timestamp::MIN, |file| file.times.1);
        let in_tail =
            |key: Key| self.view.tail.latest_time(key).is_some_and(|time| time >= in_lake);
        if keys.iter().all(|&key| in_tail(key)) {
            return self.view.tail.latest(keys, columns);
        }
        let (fresh, mut others): (Vec<_>, Vec<_>) = keys.iter().partition(|&&key| in_tail(key));
        let mut batches = Vec::new();
        if let Some(last) = self.newest.last(self.files, self.view) {
            let landed = last.of(&others, columns)?;
            if landed.num_rows() == keys.len() {
                return Ok(landed);
            }
            let found: HashSet<_> = instants_of(&landed).map(|(key, ..)| key).collect();
            others.retain(|key| !found.contains(key));
            batches.push(landed);
        }
        batches.extend(self.newest_before(Some(others), Timestamp::MAX, columns).await?);
        batches.push(self.view.tail.latest(&fresh, columns)?);
        self.in_order(batches, columns)
    }

    async fn latest_of_all(&self, columns: &[usize]) -> Result<RecordBatch> {
        let Some(mut newest) = self.newest.times(self.files, self.view).await? else {
            let batches = self.newest_before(None, Timestamp::MAX, columns).await?;
            return self.in_order(batches, columns);
        };
        let mut fresh = Vec::new();
        for key in self.view.tail.keys() {
            let time = self.view.tail.latest_time(key);
            if time >= newest.get(&key).copied() {
                newest.remove(&key);
                fresh.push(key);
            }
        }
        let mut by_hour: HashMap<Hour, Vec<(Key, Timestamp)>> = HashMap::new();
        for (key, time) in newest {
            if let Some(hour) = Hour::of(time) {
                by_hour.entry(hour).or_default().push((key, time));
            }
        }
        let mut batches = vec![self.view.tail.latest(&fresh, columns)?];
        if let Some(last) = self.newest.last(self.files, self.view)
            && let Some(wanted) = by_hour.remove(&last.hour())
        {
            let keys: Vec<_> = wanted.into_iter().map(|(key, _)| key).collect();
            batches.push(last.of(&distinct(&keys), columns)?);
        }
        for (hour, wanted) in by_hour {
            batches.push(self.rows_at(&Source::of(self.view, hour), &wanted, columns).await?);
        }
        self.in_order(batches, columns)
    }

    /// The newest row before `before` of each key (of every key: `None`), in batches.
    async fn newest_before(
        &self,
        keys: Option<Vec<Key>>,
        before: Timestamp,
        columns: &[usize],
    ) -> Result<Vec<RecordBatch>> {
        let mut missing = keys.map(|keys| keys.into_iter().collect::<HashSet<_>>());
        let mut found = HashSet::new();
        let mut batches = Vec::new();
        let scan = Scan::of(KeySelection::All, TimeRange { from: Timestamp::MIN, to: before });
        let sources = sources(self.view, &scan);
        let newest_first = sources
            .iter()
            .rev()
            .flat_map(|source| ranges(source, before).map(move |time| (source, time)));
        for (source, time) in newest_first {
            if time.is_empty() {
                continue;
            }
            let selection = match &missing {
                Some(missing) if missing.is_empty() => break,
                Some(missing) => KeySelection::list(missing.iter().copied()),
                None => KeySelection::All,
            };
            let wanted = match &missing {
                // Few keys: their rows with all columns at once.
                Some(missing) if missing.len() <= 64 => {
                    let rows = self.files.source(source, &selection, time, columns).await?;
                    let last: Vec<_> = last_rows(&rows).collect();
                    found.extend(last.iter().map(|&(key, ..)| key));
                    batches.push(take_rows(&rows, last.iter().map(|&(.., row)| row))?);
                    Vec::new()
                }
                _ => {
                    let times =
                        self.files.source(source, &selection, time, &read_columns([])).await?;
                    let last = last_rows(&times).filter(|(key, ..)| !found.contains(key));
                    last.map(|(key, time, _)| (key, time)).collect()
                }
            };
            if !wanted.is_empty() {
                found.extend(wanted.iter().map(|&(key, _)| key));
                batches.push(self.rows_at(source, &wanted, columns).await?);
            }
            if let Some(missing) = &mut missing {
                missing.retain(|key| !found.contains(key));
            }
        }
        Ok(batches)
    }

    /// The rows of one period at exactly these keys and instants.
    async fn rows_at(
        &self,
        source: &Source,
        wanted: &[(Key, Timestamp)],
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let instants: HashMap<Key, Timestamp> = wanted.iter().copied().collect();
        let keys = KeySelection::list(wanted.iter().map(|&(key, _)| key));
        let from = wanted.iter().map(|&(_, time)| time).min().unwrap_or(Timestamp::MIN);
        let to = wanted.iter().map(|&(_, time)| time).max().unwrap_or(Timestamp::MIN);
        let time = TimeRange { from, to: to + Span::MICROSECOND };
        let rows = self.files.source(source, &keys, time, columns).await?;
        let chosen = instants_of(&rows)
            .filter(|(key, time, _)| instants.get(key) == Some(time))
            .map(|(.., row)| row)
            .collect::<Vec<_>>();
        take_rows(&rows, chosen)
    }

    fn in_order(&self, batches: Vec<RecordBatch>, columns: &[usize]) -> Result<RecordBatch> {
        let schema = project(&self.view.schema, columns)?;
        let batches = batches
            .into_iter()
            .map(|batch| with_schema(&schema, batch))
            .collect::<Result<Vec<_>>>()?;
        let rows = concat_batches(&schema, &batches)?;
        let keys = rows.column(KEY_COLUMN);
        if (1..rows.num_rows()).all(|row| key_at(keys, row - 1) < key_at(keys, row)) {
            return Ok(rows);
        }
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_unstable_by_key(|&row| key_at(keys, row as usize));
        take_rows(&rows, order)
    }
}

/// The time of a source before `before`, newest first: its last hour, its last day, and the rest. Most keys
/// are found in the first.
fn ranges(source: &Source, before: Timestamp) -> impl Iterator<Item = TimeRange> {
    let (start, end) = (source.period.start(), source.period.end().min(before));
    let newest = source.newest().map_or(end, |newest| newest + Span::MICROSECOND).min(end);
    let hour = newest.saturating_sub(Span::HOUR).max(start);
    let day = newest.saturating_sub(Span::DAY).max(start);
    [(hour, end), (day, hour), (start, day)].into_iter().map(|(from, to)| TimeRange { from, to })
}

fn distinct(keys: &[Key]) -> Vec<Key> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys
}
