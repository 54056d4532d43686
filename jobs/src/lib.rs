//! Jobs over the tables: imports, tables derived from readings, and the work that is scheduled over and over.
//!
//! | module | what it is for |
//! |---|---|
//! | [`schedule`] | jobs that run by the clock, in one process at a time, and the records of their runs |
//! | [`compact`] | hours become days, days become months |
//! | [`maintenance`] | rows expire, unreferenced files go, files are verified |
//! | [`materialize`] | tables computed from another: rollups |
//! | [`quality`] | flags of doubtful readings |
//! | [`import`] | files of other programs into a table |
//! | [`frame`] | rows as frames of polars, and back |
//! | [`audit`] | answers computed a second time, by polars |
//! | the root | [`Alter`]: columns of a table dropped or renamed; errors |

mod alter;
pub mod audit;
pub mod compact;
mod error;
pub mod frame;
pub mod import;
pub mod maintenance;
pub mod materialize;
pub mod quality;
pub mod schedule;

pub use alter::{Alter, AlterBounds};
pub use error::{Error, ErrorKind, Result};
/// The version of polars that frames are of.
pub use polars;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
