//! Statistics of a scan: what is known about its rows without reading them.
//!
//! Row counts, and the smallest and largest key and instant, are exact wherever the scan takes whole files: a row of
//! the tail that replaces a row of the lake has the same key and instant. The number of replaced rows is looked up once
//! per period and kept. A figure that cannot be exact is reported as an estimate.

use std::sync::Arc;

use arrow::datatypes::DataType;
use barograph_engine::HourView;
use barograph_engine::Result;
use barograph_engine::scan::Plan;
use barograph_engine::scan::Source;
use barograph_lake::ColumnStats;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{FilePath, Key, KeySelection, LogPosition, Period, Timestamp};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::pushdown::values::may_be_nan;

/// Most rows of the tail that are compared with those of a file to count what they replace. For more, an estimate has
/// to do.
const COUNTED_ROWS: u64 = 65_536;
/// Periods whose counts are kept.
const KEPT_PERIODS: usize = 4_096;

/// Statistics of the scans of a table. Row counts of periods whose tail replaces rows are kept while the period does
/// not change.
#[derive(Debug, Default)]
pub(crate) struct TableStatistics {
    counted: Mutex<HashMap<Period, (Held, u64)>>,
}

/// State of a period when its rows were counted.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    files: Vec<FilePath>,
    /// The ranges of its rows in the tail.
    tails: Vec<(LogPosition, LogPosition, u64)>,
}

impl Held {
    fn of(source: &Source) -> Self {
        let tails = source.tails.iter().map(|tail| (tail.first(), tail.through(), tail.rows()));
        let files = source.files.iter().map(|file| file.path);
        Self { files: files.collect(), tails: tails.collect() }
    }
}

impl TableStatistics {
    /// Statistics of the columns `output` of a scan, given as indexes into the table's Arrow schema.
    pub(crate) async fn of(&self, plan: &Plan, output: &[usize]) -> Result<Statistics> {
        let mut known = Known::default();
        for source in plan.sources() {
            self.count(plan, source, &mut known).await?;
        }
        let fields = plan.table().arrow().fields();
        let columns = output.iter().map(|&column| {
            let of = fields.get(column).map_or(&DataType::Null, |field| field.data_type());
            known.column(plan, column, of)
        });
        let rows = usize::try_from(known.rows).unwrap_or(usize::MAX);
        Ok(Statistics {
            num_rows: known.precise(rows),
            total_byte_size: Precision::Absent,
            column_statistics: columns.collect(),
        })
    }

    /// Adds one period to the statistics.
    async fn count(&self, plan: &Plan, source: &Source, known: &mut Known) -> Result<()> {
        let scan = plan.request();
        let whole = |keys: Option<(Key, Key)>, times: Option<(Timestamp, Timestamp)>| {
            keys.is_some_and(|(min, max)| scan.keys.covers(min, max))
                && times.is_some_and(|(min, max)| scan.time.covers(min, max))
        };
        let mut covered = scan.filter.is_none();
        let mut rows = 0;
        for file in &source.files {
            covered &= whole(Some(file.keys), Some(file.times));
            known.widen(file.keys, file.times);
            rows += match &scan.keys {
                KeySelection::List(keys) => {
                    let of_all = keys.len() as f64
                        / (file.keys.1.get() as f64 - file.keys.0.get() as f64 + 1.0);
                    (file.rows as f64 * plan.share(file) * of_all.min(1.0)).ceil() as u64
                }
                _ if covered => file.rows,
                _ => (file.rows as f64 * plan.share(file)).ceil() as u64,
            };
        }
        for tail in &source.tails {
            known.files_only = false;
            covered &= whole(tail.keys(), tail.times());
            if let (Some(keys), Some(times)) = (tail.keys(), tail.times()) {
                known.widen(keys, times);
            }
        }
        let may_repeat = !source.files.is_empty() || source.tails.iter().any(HourView::may_repeat);
        if covered && may_repeat && !source.tails.is_empty() {
            match self.distinct_rows(plan, source).await? {
                Some(counted) => rows = counted,
                None => {
                    covered = false;
                    rows += source.tail_rows();
                }
            }
        } else {
            rows += source.tail_rows();
        }
        known.exact &= covered;
        known.rows += rows;
        Ok(())
    }

    /// Rows of a period, each key and instant once, if counting them is cheap.
    async fn distinct_rows(&self, plan: &Plan, source: &Source) -> Result<Option<u64>> {
        if let Some(rows) = self.kept(source) {
            return Ok(Some(rows));
        }
        if source.tail_rows() > COUNTED_ROWS {
            return Ok(None);
        }
        let columns = [KEY_COLUMN, TIME_COLUMN];
        let mut rows: u64 = source.files.iter().map(|file| file.rows).sum();
        for tail in &source.tails {
            let keys = KeySelection::list(tail.key_counts().into_iter().map(|(key, _)| key));
            let time = tail.hour().range();
            let landed = Source { tails: Vec::new(), ..source.clone() };
            let files = plan.files();
            let before = files.source(&landed, &keys, time, &columns).await?.num_rows() as u64;
            let after = files.source(source, &keys, time, &columns).await?.num_rows() as u64;
            rows += after - before.min(after);
        }
        self.keep(source, rows);
        Ok(Some(rows))
    }

    fn kept(&self, source: &Source) -> Option<u64> {
        let counted = self.counted.lock();
        let (held, rows) = counted.get(&source.period)?;
        (*held == Held::of(source)).then_some(*rows)
    }

    fn keep(&self, source: &Source, rows: u64) {
        let mut counted = self.counted.lock();
        if counted.len() >= KEPT_PERIODS {
            counted.clear();
        }
        counted.insert(source.period, (Held::of(source), rows));
    }
}

/// Statistics of the rows of some hours.
#[derive(Debug)]
struct Known {
    rows: u64,
    exact: bool,
    /// Whether no row comes from the tail.
    files_only: bool,
    keys: Option<(Key, Key)>,
    times: Option<(Timestamp, Timestamp)>,
}

impl Default for Known {
    fn default() -> Self {
        Self { rows: 0, exact: true, files_only: true, keys: None, times: None }
    }
}

impl Known {
    fn widen(&mut self, keys: (Key, Key), times: (Timestamp, Timestamp)) {
        fn wider<T: Ord + Copy>(a: Option<(T, T)>, b: (T, T)) -> Option<(T, T)> {
            Some(a.map_or(b, |a| (a.0.min(b.0), a.1.max(b.1))))
        }
        self.keys = wider(self.keys, keys);
        self.times = wider(self.times, times);
    }

    fn precise<T: std::fmt::Debug + Clone + PartialEq + Eq + PartialOrd>(
        &self,
        value: T,
    ) -> Precision<T> {
        if self.exact { Precision::Exact(value) } else { Precision::Inexact(value) }
    }

    fn column(&self, plan: &Plan, column: usize, of: &DataType) -> ColumnStatistics {
        let mut statistics = ColumnStatistics::new_unknown();
        let whole = |value: i64| match of {
            DataType::Int32 => ScalarValue::Int32(i32::try_from(value).ok()),
            DataType::Timestamp(..) => {
                ScalarValue::TimestampMicrosecond(Some(value), Some(Arc::from("UTC")))
            }
            _ => ScalarValue::Int64(Some(value)),
        };
        let bounds = match column {
            KEY_COLUMN => self.keys.map(|(min, max)| (min.get(), max.get())),
            TIME_COLUMN => self.times.map(|(min, max)| (min.as_micros(), max.as_micros())),
            _ => {
                if self.files_only {
                    self.value_column(plan, column, of, &mut statistics);
                }
                return statistics;
            }
        };
        statistics.null_count = self.precise(0);
        if let Some((min, max)) = bounds {
            statistics.min_value = self.precise(whole(min));
            statistics.max_value = self.precise(whole(max));
        }
        statistics
    }

    /// A value column of rows that all come from whole files.
    fn value_column(
        &self,
        plan: &Plan,
        column: usize,
        of: &DataType,
        statistics: &mut ColumnStatistics,
    ) {
        let files = plan.sources().iter().flat_map(|source| &source.files);
        let (mut nulls, mut bounds, mut bounded) =
            (0_u64, None::<(ScalarValue, ScalarValue)>, true);
        for file in files {
            let Some(stats) = file.columns.get(column) else { return };
            nulls += stats.nulls;
            match scalars(stats, of) {
                Some((min, max)) => {
                    bounds = Some(match bounds {
                        None => (min, max),
                        Some((low, high)) => {
                            (if min < low { min } else { low }, if max > high { max } else { high })
                        }
                    });
                }
                None => bounded &= stats.nulls == file.rows,
            }
        }
        statistics.null_count = self.precise(usize::try_from(nulls).unwrap_or(usize::MAX));
        if let (true, Some((min, max))) = (bounded, bounds) {
            let exact = |value| match may_be_nan(plan.table(), column) {
                // Files have bounds without it, and it is above all else.
                true => self.precise(value).to_inexact(),
                false => self.precise(value),
            };
            statistics.min_value = exact(min);
            statistics.max_value = exact(max);
        }
    }
}

/// Smallest and largest value in the entry of a file.
fn scalars(stats: &ColumnStats, of: &DataType) -> Option<(ScalarValue, ScalarValue)> {
    let read = |value: &Option<serde_json::Value>| {
        let value = value.as_ref()?;
        Some(match of {
            DataType::Int16 => ScalarValue::Int16(Some(i16::try_from(value.as_i64()?).ok()?)),
            DataType::Int32 => ScalarValue::Int32(Some(i32::try_from(value.as_i64()?).ok()?)),
            DataType::Int64 => ScalarValue::Int64(Some(value.as_i64()?)),
            DataType::Float32 => ScalarValue::Float32(Some(value.as_f64()? as f32)),
            DataType::Float64 => ScalarValue::Float64(Some(value.as_f64()?)),
            DataType::Timestamp(..) => ScalarValue::TimestampMicrosecond(
                Some(value.as_str()?.parse::<Timestamp>().ok()?.as_micros()),
                Some(Arc::from("UTC")),
            ),
            _ => return None,
        })
    };
    Some((read(&stats.min)?, read(&stats.max)?))
}
