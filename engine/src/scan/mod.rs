//! Reads of a table: range reads and point reads, and how they are answered.
//!
//! ```text
//! request ──► plan: inputs, cost, slices ──► partitions, which run in parallel ──► run: slice by slice
//! ```
//!
//! A [`Scan`] is the one description of a range read, a [`PointQuery`] that of a point read. Tickets, SQL, rollups and
//! rewrites make a [`Plan`] of a range read, which is what `EXPLAIN` prints and what runs. A partition of a read is what
//! is worked on in parallel with others; a slice is the unit of work.

pub(crate) mod aggregate;
pub(crate) mod files;
pub(crate) mod merge;
pub(crate) mod newest;
pub(crate) mod partition;
pub(crate) mod plan;
pub(crate) mod point;
mod request;
mod run;

pub use aggregate::winds::WindSum;
pub use aggregate::{Aggregate, Aggregation, kernel, rank};
pub use files::{Files, head, with_schema};
pub use merge::merge;
pub use plan::{Cost, Plan, Slice, Source, sources};
pub use request::{Point, PointQuery, Scan};
pub use run::{Executor, ScanStream, Slices};
