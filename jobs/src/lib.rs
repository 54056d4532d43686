//! Jobs over the tables: imports, tables derived from readings, and the work that is scheduled over and over.

pub mod alter;
pub mod audit;
pub mod compact;
pub mod error;
pub mod frame;
pub mod import;
pub mod maintenance;
pub mod materialize;
pub mod quality;
pub mod schedule;

pub use error::{Error, ErrorKind, Result};
/// The version of polars that frames are of.
pub use polars;
