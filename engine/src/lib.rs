//! The engine of Barograph: it accepts readings, keeps them, and answers reads.
//!
//! A reading is written down once (`log`), seen at once (`tail`), kept for ever (the lake). Every
//! query reads one [`View`]: the tail and a lake snapshot, swapped together.

pub mod allocations;
pub mod clock;
pub mod dead_letters;
pub mod engine;
pub mod error;
pub mod expression;
pub mod filter;
pub mod landing;
pub mod log;
mod logged;
pub mod memory;
pub mod process_memory;
pub mod recent;
pub mod retry;
pub mod rewrite;
pub mod rollup;
pub mod scan;
pub mod settings;
pub mod system;
pub mod table;
pub mod tail;
pub mod threads;
pub mod validate;
pub mod view;
mod writer;

pub use clock::{Clock, ClockSteps, ManualClock, SystemClock};
pub use engine::{
    Engine, EngineBuilder, LogSource, Prepared, Recovery, RedriveReport, Submitted, TableInfo,
};
pub use error::{Error, ErrorKind, Result};
pub use landing::{DeletionReport, DeletionRequest, FlushReport, LandingFault};
pub use scan::{Aggregate, Aggregation, Point, PointQuery, Scan, ScanStream};
pub use settings::EngineSettings;
pub use view::View;
pub use writer::{Ack, Durability};

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator<std::alloc::System> =
    allocations::CountingAllocator(std::alloc::System);
