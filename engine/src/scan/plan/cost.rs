//! The cost of a read, known before it runs.
//!
//! The entries of the snapshot give a bound without opening a file; the page indexes tell exactly which pages would be
//! read.

use std::fmt;

use barograph_lake::{FileEntry, Span};

use super::{Plan, Source};
use crate::Result;

/// The most that a read takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Lake files.
    pub files: u64,
    /// Rows of lake and tail that are examined.
    pub rows: u64,
    /// Bytes of lake files, if none of them is cached.
    pub bytes: u64,
}

impl Cost {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            rows: self.rows.saturating_add(other.rows),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, at most {} rows, {} bytes", self.files, self.rows, self.bytes)
    }
}

impl Plan {
    /// The cost: exact once it is [known](Self::costed), a bound before.
    pub fn cost(&self) -> Cost {
        let mut cost = match &self.costs {
            Some(costs) => costs.iter().flatten().fold(Cost::default(), |sum, file| {
                let files = u64::from(file.pages > 0);
                sum.and(Cost { files, rows: file.rows, bytes: file.bytes })
            }),
            None => self.bound(),
        };
        cost.rows += self.sources.iter().map(Source::tail_rows).sum::<u64>();
        cost
    }

    /// The plan with its exact cost.
    pub async fn costed(mut self) -> Result<Self> {
        let request = &self.request;
        let read = self.file_read(&request.keys, request.time);
        let mut costs = Vec::with_capacity(self.sources.len());
        for source in self.sources.iter() {
            let mut of_source = Vec::with_capacity(source.files.len());
            for entry in &source.files {
                let lake = &self.files;
                let file = lake.cache.open(&lake.store, &lake.schema, entry).await?;
                of_source.push(file.cost(&read));
            }
            costs.push(of_source);
        }
        self.costs = Some(costs.into());
        Ok(self)
    }

    /// A bound on the cost of its files, from the snapshot's entries alone.
    fn bound(&self) -> Cost {
        let columns = self.table().arrow().fields().len().max(1) as f64;
        let read = self.read.len() as f64;
        let files = self.sources.iter().flat_map(|source| &source.files);
        files.fold(Cost::default(), |sum, file| {
            let share = self.share(file);
            sum.and(Cost {
                files: 1,
                rows: (file.rows as f64 * share).ceil() as u64,
                bytes: (file.bytes as f64 * share * read / columns).ceil() as u64,
            })
        })
    }

    /// The share of a file's rows that lies in the requested time, if they are spread evenly.
    pub fn share(&self, file: &FileEntry) -> f64 {
        let time = self.request.time;
        let (first, last) = file.times;
        let end = last + Span::MICROSECOND;
        let inside = time.to.min(end).since(time.from.max(first)).micros();
        (inside as f64 / end.since(first).micros().max(1) as f64).clamp(0.0, 1.0)
    }
}
