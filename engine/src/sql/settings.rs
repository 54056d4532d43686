//! What can be set for SQL?

use std::path::PathBuf;

use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::{THREADS_MAX, check_count};
use crate::{Error, Result};

/// Settings of SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqlSettings {
    /// Memory that running queries may take together. A query that needs more spills to disk where it
    /// can (sorts, joins, aggregations) and ends with RESOURCE_EXHAUSTED where it cannot. The memory of
    /// ingestion (`tail_bytes_max`) is apart from it and never touched by a query.
    pub memory_bytes_max: Size,
    /// Folder for what queries spill; absent: the system's folder for temporary files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spill_folder: Option<PathBuf>,
    /// Bytes that running queries may spill together. A query that would go beyond it ends with
    /// RESOURCE_EXHAUSTED.
    pub spill_bytes_max: Size,
    /// Longest time a query may take, waiting included, if its session does not ask for less.
    pub timeout: Span,
    /// Queries that run at a time. More share processors and memory; the others wait.
    pub queries_max: usize,
    /// Queries that may wait for their turn. One more is refused with RESOURCE_EXHAUSTED.
    pub queue_max: usize,
    /// Largest price of a query in bytes of lake files that it may have to read. A query above it is
    /// refused before it runs; absent: any price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_bytes_max: Option<Size>,
    /// Largest price of a query in lake files that it may have to read. A query above it is refused
    /// before it runs; absent: any price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_files_max: Option<u64>,
    /// Threads that work on queries; 0 is one per processor. They are apart from those of the server,
    /// so that a heavy query delays no acknowledgement.
    pub threads: usize,
    /// Finished queries that `system.queries` remembers.
    pub recent_max: usize,
    /// How often a key is expected to report: the measure of `system.completeness`.
    pub reading_every: Span,
}

impl Default for SqlSettings {
    fn default() -> Self {
        Self {
            memory_bytes_max: Size::mebibytes(512),
            spill_folder: None,
            spill_bytes_max: Size::mebibytes(4096),
            timeout: Span::seconds(300),
            queries_max: 16,
            queue_max: 256,
            price_bytes_max: None,
            price_files_max: None,
            threads: 0,
            recent_max: 256,
            reading_every: Span::seconds(60),
        }
    }
}

impl SqlSettings {
    /// Refuses settings under which no query can run.
    ///
    /// # Errors
    /// `Request` with the name of the setting below `sql`, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        if self.memory_bytes_max.get() < 1 << 20 {
            let size = self.memory_bytes_max;
            return Err(Error::request(format!("memory_bytes_max is {size}: give 1MiB or more")));
        }
        check_count("queries_max", self.queries_max, 1, 1 << 16)?;
        check_count("threads", self.threads, 0, THREADS_MAX)
    }
}
