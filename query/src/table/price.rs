//! The cost of a scan, known before it runs.
//!
//! For few files, the page indexes tell exactly which pages would be read. For many, the entries of the snapshot give a
//! bound without opening a file.

use std::fmt;

use barograph_engine::Result;
use barograph_engine::scan::execute::Execution;
use barograph_lake::FileEntry;

/// Most files that are opened to know a cost exactly.
const EXACT_FILES: usize = 64;

/// The most that a scan reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Lake files.
    pub files: u64,
    /// Rows of lake and tail that are examined.
    pub rows: u64,
    /// Bytes of lake files, if none of them is cached.
    pub bytes: u64,
}

impl Price {
    /// The sum of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            rows: self.rows.saturating_add(other.rows),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, at most {} rows, {} bytes", self.files, self.rows, self.bytes)
    }
}

/// A bound on the cost, from the snapshot's entries alone.
pub(crate) fn bound(execution: &Execution) -> Price {
    let columns = execution.files.schema.arrow().fields().len().max(1) as f64;
    let wanted = execution.read_columns() as f64;
    let mut price = Price::default();
    for source in &execution.sources {
        for file in &source.files {
            let share = share(file, execution);
            price.files += 1;
            price.rows += (file.rows as f64 * share).ceil() as u64;
            price.bytes += (file.bytes as f64 * share * wanted / columns).ceil() as u64;
        }
        price.rows += source.tail_rows();
    }
    price
}

/// The share of a file's rows that lies in the requested time, if they are spread evenly.
pub(crate) fn share(file: &FileEntry, execution: &Execution) -> f64 {
    let time = execution.scan.time;
    let (first, last) = file.times;
    let end = last.saturating_add(1);
    let inside = time.to.min(end).saturating_sub(time.from.max(first));
    (inside as f64 / end.saturating_sub(first).max(1) as f64).clamp(0.0, 1.0)
}

/// The cost of a scan: exact if it touches few files, else a bound.
pub(crate) async fn price(execution: &Execution) -> Result<Price> {
    let files: usize = execution.sources.iter().map(|source| source.files.len()).sum();
    if files > EXACT_FILES {
        return Ok(bound(execution));
    }
    let read = execution.file_read(&execution.scan.keys);
    let mut price = Price::default();
    for source in &execution.sources {
        for entry in &source.files {
            let lake = &execution.files;
            let one = lake.cache.open(&lake.store, &lake.schema, entry).await?.price(&read);
            price.files += u64::from(one.pages > 0);
            price.rows += one.rows;
            price.bytes += one.bytes;
        }
        price.rows += source.tail_rows();
    }
    Ok(price)
}
