//! Settings of SQL: memory, disk, time, queue, size of statements and threads.

use std::path::PathBuf;

use barograph_engine::internal::ProcessMemoryLimit;
use barograph_engine::internal::{THREADS_MAX, check_count};
use barograph_engine::{Error, Result};
use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::bounds::Bounds;

/// Settings of SQL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SqlSettings {
    /// Most memory for all running queries together, their planning included. A query that needs more spills to disk
    /// where it can (sorts, joins, aggregations), and ends with RESOURCE_EXHAUSTED where it cannot. The memory of
    /// ingestion (`engine.tail_bytes_max`) is separate and never used by queries.
    pub memory_bytes_max: Size,
    /// Largest value that a function may produce for one row, such as a text made by `repeat` or a list made by
    /// `range`. All values that a function produces at a time may take four times as much, plus four times the size of
    /// its arguments. A query that asks for more is refused before the values are produced. They count towards
    /// `memory_bytes_max`.
    pub value_bytes_max: Size,
    /// Resident memory of the whole server above which queries are refused with RESOURCE_EXHAUSTED. If absent, nine
    /// tenths of the machine's memory, or of the smallest memory limit of the control groups that the server runs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_bytes_max: Option<Size>,
    /// Folder that queries spill to. If absent, the system's folder for temporary files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spill_folder: Option<PathBuf>,
    /// Most bytes that all running queries together may spill. A query that would exceed it ends with
    /// RESOURCE_EXHAUSTED.
    pub spill_bytes_max: Size,
    /// Longest time that a query may take, including waiting for its turn, unless its session asks for less.
    pub timeout: Span,
    /// Longest time that an answer waits for its client to read on. A client that pauses for longer gets an error at
    /// the end of what it was sent. While a client is not reading, its query holds memory but does not count towards
    /// `queries_max`. Raise it for people who page through an answer.
    pub reader_timeout: Span,
    /// Queries that run at the same time; the others wait. More of them share the same processors and memory.
    pub queries_max: usize,
    /// Queries that may wait for their turn. One more is refused with RESOURCE_EXHAUSTED.
    pub queue_max: usize,
    /// Most queries that have ended (timed out, been cancelled, or lost their client) while one of their threads is
    /// still in an operation that cannot be interrupted, such as comparing two long texts. Each keeps its threads until
    /// that operation is done (`tasks` in `system.queries`); other queries run on other threads. At the limit, new
    /// queries are refused with RESOURCE_EXHAUSTED.
    pub abandoned_max: usize,
    /// Deepest tree of a statement: terms of a chain (`a OR b OR c`), branches of a UNION, nested queries, and WITH
    /// tables that refer to one another. Joins may be a quarter as many, nested brackets and nested CASE an eighth as
    /// deep, EXCEPT and INTERSECT a sixteenth as many. A deeper statement is refused. Each query thread reserves a
    /// stack for this depth, of which only the part in use takes memory.
    pub depth_max: usize,
    /// Largest statement, in words, operators and values of its text, and in nodes of its plan: each use of a table
    /// counts 50, and a WITH table counts wherever it is used. A larger statement is refused.
    pub nodes_max: usize,
    /// Highest cost of a query, in bytes of lake files that it may have to read. A query above it is refused before it
    /// runs. If absent, the cost is unlimited.
    #[serde(alias = "price_bytes_max", skip_serializing_if = "Option::is_none")]
    pub cost_bytes_max: Option<Size>,
    /// Highest cost of a query, in lake files that it may have to read. A query above it is refused before it runs. If
    /// absent, the cost is unlimited.
    #[serde(alias = "price_files_max", skip_serializing_if = "Option::is_none")]
    pub cost_files_max: Option<u64>,
    /// Threads for each query; 0 means one per processor. They are separate from those of the server and of other
    /// queries, so that a heavy query neither delays acknowledgements nor keeps other queries from running.
    pub threads: usize,
    /// Number of finished queries that `system.queries` remembers.
    pub recent_max: usize,
    /// Interval at which a key is expected to report. `system.completeness` and the column `expected` of rollups are
    /// computed from it.
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
            cost_bytes_max: None,
            cost_files_max: None,
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
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            what: "the statement",
            depth: (self.depth_max, "sql.depth_max"),
            nodes: (self.nodes_max, "sql.nodes_max"),
        }
    }

    /// The most memory that the process may hold.
    pub(crate) fn process_limit(&self) -> ProcessMemoryLimit {
        ProcessMemoryLimit::new(self.server_bytes_max.map(Size::get))
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
