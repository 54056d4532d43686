//! What must happen over time: import, and what is done over and over.

pub mod audit;
pub mod compact;
pub mod error;
pub mod frame;
pub mod import;
pub mod schedule;
pub mod upkeep;

pub use error::{Error, ErrorKind, Result};
