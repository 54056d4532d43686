//! What can be set for SQL?

use std::path::PathBuf;

use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use crate::process::Ceiling;
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
    /// Longest value that a function may make of one row, such as a text that `repeat` makes or a list of `range`.
    /// All values that a function makes at a time may take four times as much, beside four times what it is given. A
    /// query that asks for more is refused before it is made. What is made counts among `memory_bytes_max`.
    pub value_bytes_max: Size,
    /// Memory of the whole server, as the system counts it (resident), from which on queries are refused with
    /// RESOURCE_EXHAUSTED. Absent: nine tenths of what the machine has, or of the smallest bound of the control groups
    /// that the server runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_bytes_max: Option<Size>,
    /// Folder for what queries spill; absent: the system's folder for temporary files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spill_folder: Option<PathBuf>,
    /// Bytes that running queries may spill together. A query that would go beyond it ends with
    /// RESOURCE_EXHAUSTED.
    pub spill_bytes_max: Size,
    /// Longest time a query may take, waiting included, if its session does not ask for less.
    pub timeout: Span,
    /// Longest time an answer waits for its client to read on. A client that pauses for longer gets an error at
    /// the end of what it was sent. While a client does not read, its query holds memory, but no place among
    /// `queries_max`. Raise it for people who page through an answer.
    pub reader_timeout: Span,
    /// Queries that run at a time. More share processors and memory; the others wait.
    pub queries_max: usize,
    /// Queries that may wait for their turn. One more is refused with RESOURCE_EXHAUSTED.
    pub queue_max: usize,
    /// Queries that may have been ended (timed out, cancelled, left by their client) while a thread was in the middle of
    /// something for them that cannot be interrupted, such as comparing two long texts. Each keeps its threads until that is
    /// done (`tasks` in `system.queries`); others run on other threads. With as many, new queries are refused with
    /// RESOURCE_EXHAUSTED.
    pub abandoned_max: usize,
    /// Deepest tree of a statement: terms of a chain (`a OR b OR c`), parts of UNION, queries in queries, tables of WITH
    /// that name each other. Joins may be a quarter as many, brackets in brackets and CASE in CASE an eighth as deep,
    /// EXCEPT and INTERSECT a sixteenth as many. A deeper statement is refused. Every thread of queries has a stack that
    /// carries it, of which only what is used takes memory.
    pub depth_max: usize,
    /// Most words, signs and values of a statement, and most parts of its plan: every use of a table counts
    /// 50, and a table of WITH counts wherever it is used. A larger one is refused.
    pub nodes_max: usize,
    /// Largest price of a query in bytes of lake files that it may have to read. A query above it is
    /// refused before it runs; absent: any price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_bytes_max: Option<Size>,
    /// Largest price of a query in lake files that it may have to read. A query above it is refused
    /// before it runs; absent: any price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_files_max: Option<u64>,
    /// Threads that work on each query; 0 is one per processor. They are apart from those of the server and of other
    /// queries, so that a heavy query delays no acknowledgement and keeps no other from running.
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
            value_bytes_max: Size::mebibytes(16),
            server_bytes_max: None,
            spill_folder: None,
            spill_bytes_max: Size::mebibytes(4096),
            timeout: Span::seconds(300),
            reader_timeout: Span::seconds(120),
            queries_max: 16,
            queue_max: 256,
            abandoned_max: 16,
            depth_max: 1_000,
            nodes_max: 250_000,
            price_bytes_max: None,
            price_files_max: None,
            threads: 0,
            recent_max: 256,
            reading_every: Span::seconds(60),
        }
    }
}

/// What catalogs and tools ask has to be allowed.
const DEPTH_MIN: usize = 64;
/// The deepest statements that can be allowed.
const DEPTH_MAX: usize = 10_000;
/// The largest statements that can be allowed.
const NODES_MAX: usize = 1 << 24;

impl SqlSettings {
    /// How deep and large a statement may be.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            what: "the statement",
            depth: (self.depth_max, "sql.depth_max"),
            nodes: (self.nodes_max, "sql.nodes_max"),
        }
    }

    /// The most memory that the process may hold.
    pub(super) fn ceiling(&self) -> Ceiling {
        Ceiling::new(self.server_bytes_max.map(Size::get))
    }

    /// Refuses settings under which no query can run.
    ///
    /// # Errors
    /// `Request` with the name of the setting below `sql`, its value and what it may be.
    pub fn check(&self) -> Result<()> {
        if self.memory_bytes_max.get() < 1 << 20 {
            let size = self.memory_bytes_max;
            return Err(Error::request(format!("memory_bytes_max is {size}: give 1MiB or more")));
        }
        if self.value_bytes_max.get() < 1 << 10 {
            let size = self.value_bytes_max;
            return Err(Error::request(format!("value_bytes_max is {size}: give 1KiB or more")));
        }
        check_count("queries_max", self.queries_max, 1, 1 << 16)?;
        check_count("abandoned_max", self.abandoned_max, 1, 1 << 10)?;
        check_count("depth_max", self.depth_max, DEPTH_MIN, DEPTH_MAX)?;
        check_count("nodes_max", self.nodes_max, 1_000, NODES_MAX)?;
        check_count("threads", self.threads, 0, THREADS_MAX)
    }
}
