//! What must happen over time: import, transforms, schedules.

pub mod audit;
pub mod error;
pub mod frame;
pub mod import;

pub use error::{Error, ErrorKind, Result};
