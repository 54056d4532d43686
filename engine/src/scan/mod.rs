//! Reads of a table: range reads and point reads, and how they are answered.
//!
//! ```text
//! request ──► plan: inputs, cost, slices ──► partitions, which run in parallel ──► run: slice by slice
//! ```
//!
//! A [`Scan`] is the one description of a range read, a [`PointQuery`] that of a point read. Tickets, SQL, rollups and
//! rewrites make a [`Plan`] of a range read, which is what `EXPLAIN` prints and what runs. A partition of a read is what
//! is worked on in parallel with others; a slice is the unit of work.

pub mod aggregate;
pub mod files;
pub mod merge;
pub(crate) mod newest;
pub mod partition;
pub mod plan;
pub mod point;
mod request;
pub mod run;

pub use aggregate::winds::WindSum;
pub use aggregate::{Aggregate, Aggregation, kernel, rank};
pub use plan::{Cost, Plan};
pub use request::{Point, PointQuery, Scan};
pub use run::{Executor, ScanStream, Slices};
