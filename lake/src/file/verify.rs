//! Verification of a file: everything is read again and compared with its checksums, its statistics and its entry.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::footer::MAGIC;
use super::value::Number;
use super::{FileRead, OpenFile, PageColumn, PageValue};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::{Error, Key, KeySelection, Result, TimeRange, Timestamp};

impl OpenFile {
    /// Reads the whole file and checks it: every checksum; that its bytes are all accounted for; that rows are
    /// in order, each (key, time) once and inside the file's period; that the statistics of every page and of the
    /// file's entry are exactly those of the rows. Reads one row group at a time.
    ///
    /// # Errors
    /// Damage, naming what differs from what was written.
    pub async fn verify(&self) -> Result<()> {
        let fault =
            |what: String| Error::damage(format!("data file {}: {what}", self.entry().path));
        let size = self.source().size().await?;
        if size != self.entry().bytes {
            return Err(fault(format!(
                "it has {size} bytes, its entry says {}",
                self.entry().bytes
            )));
        }
        let magic = self.source().read(std::slice::from_ref(&(0..MAGIC.len() as u64))).await?;
        if magic.first().is_none_or(|bytes| bytes.as_ref() != MAGIC) {
            return Err(fault("it does not start with PAR1".to_owned()));
        }
        self.check_layout().map_err(fault)?;
        let fields = self.schema().arrow().fields();
        let mut totals: Vec<Total> = vec![Total::default(); fields.len()];
        let mut last = None;
        for &[start, end] in self.index().groups.array_windows() {
            let rows = self.read_every_page(start..end).await?;
            self.check_order(&rows, &mut last).map_err(fault)?;
            let mut from = 0;
            for page in start..end {
                let page_rows = self.page_rows(page) as usize;
                for (column, (total, field)) in totals.iter_mut().zip(fields).enumerate() {
                    let values = rows.column(column).slice(from, page_rows);
                    let found = Found::of(&values);
                    let text = self.index().stated_text(page, column);
                    if !found.agrees(self.page_column(page, column))
                        || text.is_some_and(|text| text != text_bytes(&values))
                    {
                        return Err(fault(format!(
                            "the statistics of column {:?} in page {page} are not those of its rows",
                            field.name()
                        )));
                    }
                    total.add(&found);
                }
                from += page_rows;
            }
            if from != rows.num_rows() {
                return Err(fault(
                    "pages hold another number of rows than their index says".to_owned(),
                ));
            }
        }
        for ((total, stats), field) in totals.iter().zip(&self.entry().columns).zip(fields) {
            if total.nulls != stats.nulls || !total.agrees(stats, field.data_type()) {
                return Err(fault(format!(
                    "the statistics of column {:?} in its entry are wrong",
                    field.name()
                )));
            }
        }
        Ok(())
    }

    /// Every byte between the magic and the footer belongs to a page.
    fn check_layout(&self) -> Result<(), String> {
        let mut ranges = Vec::new();
        for column in self.index().columns.iter().flatten() {
            for (group, chunk) in column.chunks.iter().enumerate() {
                let pages = self.index().groups.get(group).zip(self.index().groups.get(group + 1));
                let places =
                    pages.and_then(|(&from, &to)| column.places.get(from..to)).unwrap_or_default();
                let start = chunk.dictionary.as_ref().map(|range| range.start);
                if let (Some(first), Some(last)) = (places.first(), places.last()) {
                    ranges.push(start.unwrap_or(first.offset)..last.offset + u64::from(last.bytes));
                }
            }
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let mut end = MAGIC.len() as u64;
        for range in ranges {
            if range.start != end {
                return Err(format!("bytes {end} to {} belong to no page", range.start));
            }
            end = range.end;
        }
        if end == self.pages_end() {
            Ok(())
        } else {
            Err("bytes before the footer belong to no page".to_owned())
        }
    }

    async fn read_every_page(&self, pages: std::ops::Range<usize>) -> Result<RecordBatch> {
        let read = FileRead {
            keys: KeySelection::All,
            time: TimeRange::ALL,
            columns: (0..self.schema().arrow().fields().len()).collect(),
            pages: None,
        };
        self.read_pages(&read, &pages.collect::<Vec<_>>(), true).await
    }

    fn check_order(
        &self,
        rows: &RecordBatch,
        last: &mut Option<(Key, Timestamp)>,
    ) -> Result<(), String> {
        let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>().values();
        let keys = rows.column(KEY_COLUMN);
        let key: &dyn Fn(usize) -> Key = match keys.data_type() {
            DataType::Int32 => &|row| keys.as_primitive::<Int32Type>().value(row).into(),
            _ => &|row| keys.as_primitive::<Int64Type>().value(row).into(),
        };
        let period = self.entry().path.period().range();
        for (row, &time) in times.iter().enumerate() {
            let time = Timestamp::from_micros(time);
            let this = (key(row), time);
            if last.is_some_and(|last| last >= this) {
                return Err(format!("the row of key {} at {time} is out of order", this.0));
            }
            if !period.contains(time) {
                return Err(format!("the row of key {} at {time} lies outside its period", this.0));
            }
            *last = Some(this);
        }
        Ok(())
    }
}

/// What the values of a column in a page are.
#[derive(Debug)]
struct Found {
    numbers: Option<(Number, Number)>,
    texts: Option<(String, String)>,
    nulls: usize,
    nan: bool,
}

/// What the values of a column in the file are.
#[derive(Debug, Clone, Default)]
struct Total {
    bounds: Option<(Number, Number)>,
    nulls: u64,
    nan: bool,
}

macro_rules! bounds {
    ($values:expr, $type:ty, $number:path) => {{
        let values = $values.as_primitive::<$type>();
        min(values).zip(max(values)).map(|(min, max)| ($number(min.into()), $number(max.into())))
    }};
}

impl Found {
    fn of(values: &ArrayRef) -> Self {
        let numbers = match values.data_type() {
            DataType::Int16 => bounds!(values, Int16Type, Number::Int),
            DataType::Int32 => bounds!(values, Int32Type, Number::Int),
            DataType::Int64 => bounds!(values, Int64Type, Number::Int),
            DataType::Timestamp(..) => bounds!(values, TimestampMicrosecondType, Number::Int),
            DataType::Float32 => bounds!(values, Float32Type, Number::Float),
            DataType::Float64 => bounds!(values, Float64Type, Number::Float),
            _ => None,
        };
        let nan = match values.data_type() {
            DataType::Float32 => {
                values.as_primitive::<Float32Type>().iter().flatten().any(f32::is_nan)
            }
            DataType::Float64 => {
                values.as_primitive::<Float64Type>().iter().flatten().any(f64::is_nan)
            }
            _ => false,
        };
        let texts = values.as_string_opt::<i32>().and_then(|texts| {
            min_string(texts)
                .zip(max_string(texts))
                .map(|(min, max)| (min.to_owned(), max.to_owned()))
        });
        Self { numbers, texts, nulls: values.null_count(), nan }
    }

    /// Whether statistics say the same, or that they do not know.
    fn agrees(&self, stats: PageColumn<'_>) -> bool {
        if stats.nulls.is_some_and(|nulls| nulls as usize != self.nulls) {
            return false;
        }
        let Some((min, max)) = stats.bounds else {
            // A column that holds NaN or a long text has no page index.
            return stats.nulls.is_none() || (self.numbers.is_none() && self.texts.is_none());
        };
        let number = |value: PageValue<'_>| match value {
            PageValue::Int(value) => Some(Number::Int(value)),
            PageValue::Float(value) => Some(Number::Float(value)),
            PageValue::Text(_) => None,
        };
        match (&self.texts, min, max) {
            (Some((low, high)), PageValue::Text(min), PageValue::Text(max)) => {
                low == min && high == max
            }
            _ => self.numbers.is_some() && self.numbers == number(min).zip(number(max)),
        }
    }
}

impl Total {
    fn add(&mut self, found: &Found) {
        self.nulls += found.nulls as u64;
        self.nan |= found.nan;
        self.bounds = match (self.bounds, found.numbers) {
            (Some(a), Some(b)) => {
                Some((if b.0 < a.0 { b.0 } else { a.0 }, if b.1 > a.1 { b.1 } else { a.1 }))
            }
            (a, b) => a.or(b),
        };
    }

    fn agrees(&self, stats: &crate::snapshot::ColumnStats, data_type: &DataType) -> bool {
        let bounds = self.bounds.filter(|_| !self.nan);
        let same = |number: Option<Number>, value: &Option<serde_json::Value>| {
            number
                .and_then(|number| super::statistics::json(number, data_type))
                .as_ref()
                .map(canonical)
                == value.as_ref().map(canonical)
        };
        same(bounds.map(|(min, _)| min), &stats.min) && same(bounds.map(|(_, max)| max), &stats.max)
    }
}

/// Bytes of texts.
fn text_bytes(values: &ArrayRef) -> u64 {
    let texts = values.as_string_opt::<i32>();
    texts.map_or(0, |texts| texts.iter().flatten().map(|text| text.len() as u64).sum())
}

/// Zeros of either sign are one value.
fn canonical(value: &serde_json::Value) -> serde_json::Value {
    match value.as_f64() {
        Some(0.0) => 0.into(),
        _ => value.clone(),
    }
}
