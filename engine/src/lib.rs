//! The engine of Barograph: it accepts readings, keeps them, and answers reads.
//!
//! A reading is written down once ([`log`]), seen at once (the tail), kept for ever (the lake). Every
//! query reads one [`View`]: the tail and a lake snapshot, swapped together.
//!
//! | module | what it is for |
//! |---|---|
//! | the root | [`Engine`]: open it, put rows, read them, delete, land; what a caller is shown ([`Restriction`]); clocks, settings, views, errors, the other processes of a shared log |
//! | [`scan`] | range reads as plans with a cost, run slice by slice; aggregates and their kernels |
//! | [`filter`] | the SQL condition of a read |
//! | [`validate`] | which rows a table takes, and what is wrong with the others |
//! | [`dead_letters`] | the table of rejected rows |
//! | [`log`] | the log: a folder of segments, groups in an object store that several processes share, or a log in memory for tests |
//! | [`rollup`] | tables of windows over another, and how far they are up to date |
//! | [`rewrite`] | rows that move to other files, in bounded memory |
//! | [`expression`] | expressions over the columns of one row, which a crate above provides |
//! | [`statistics`] | what was put, synced and landed, and how long it took |
//! | [`retry`] | how long a refused caller waits |

mod allocations;
mod clock;
mod cluster;
pub mod dead_letters;
mod engine;
mod error;
pub mod expression;
pub mod filter;
mod ipc;
mod landing;
pub mod log;
mod logged;
mod memory;
mod process_memory;
mod recent;
mod restriction;
pub mod retry;
pub mod rewrite;
pub mod rollup;
pub mod scan;
mod settings;
mod silence;
pub mod statistics;
mod subscription;
mod system;
mod table;
mod tail;
mod threads;
pub mod validate;
mod view;
mod watch;
mod writer;

pub use clock::{Clock, ClockSteps, ManualClock, SystemClock};
pub use cluster::{AppendedGroup, ForwardedBatch, ForwardedEntry, Member, Peers, Role};
pub use engine::{
    Engine, EngineBuilder, LogSource, Prepared, Recovery, RedriveReport, Submitted, TableInfo,
};
pub use error::{Error, ErrorKind, Result};
pub use landing::{DeletionReport, DeletionRequest, FlushReport, LandingFault};
pub use restriction::Restriction;
pub use scan::{Aggregate, Aggregation, Point, PointQuery, Scan, ScanStream};
pub use settings::EngineSettings;
pub use system::SystemRows;
pub use tail::{HourView, TailView};
pub use view::View;
pub use writer::{Ack, Durability, LogGauge};

/// What the other crates of Barograph share with this one, and what its benches measure by itself. It may change with
/// any version.
#[doc(hidden)]
pub mod internal {
    pub use crate::allocations::{CountingAllocator, held};
    pub use crate::clock::{pause, roughly};
    pub use crate::engine::batch_bytes;
    pub use crate::ipc::{
        Decoded, IpcDecoder, IpcError, IpcFile, IpcStream, read_stream, schema_of,
    };
    pub use crate::process_memory::{
        CLOCK_TICKS, PAGE_BYTES, ProcessMemoryLimit, SETTING as PROCESS_MEMORY_SETTING, auxiliary,
    };
    pub use crate::recent::Recent;
    pub use crate::settings::{THREADS_MAX, check_count};
    pub use crate::threads::Threads;

    // `benches/tail.rs` fills a tail without an engine, `benches/kernels.rs` compares the kernels of a filter.
    pub use crate::filter::kernels::{Comparisons, Kernels, Lane, available};
    pub use crate::memory::Budget;
    pub use crate::tail::Tail;
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator<barograph_fuzz::Allocator<std::alloc::System>> =
    allocations::CountingAllocator(barograph_fuzz::Allocator(std::alloc::System));
