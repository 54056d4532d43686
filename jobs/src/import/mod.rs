//! The import of files of readings into a table: read piece by piece, mapped, every row accounted for, and resumed
//! where an earlier run stopped. Rows go through the log of a server, or directly into files of the lake.
//!
//! ```text
//! file ─► input ─► apply (mapping) ─► queue ─┬► sink, n at a time ─► acknowledged, in order ─► state
//!         └──────── one thread ────┘         └► direct: sorted runs ─► state ─► merged into the table
//! ```

mod apply;
mod direct;
mod input;
pub mod mapping;
mod reading;
mod replaced;
mod run;
mod sink;
mod state;
#[cfg(test)]
mod tests;
mod time;

pub use direct::{DirectImport, ImportEvent, Imported, Merged};
pub use input::FileForm;
pub use input::format::{Decimal, Delimiter, Encoding, Format, Header, Position, Quote};
pub use mapping::Mapping;
pub use replaced::Replaced;
pub use run::{FileSummary, Import, Options, Progress, Seen, Stop};
pub use sink::{PutOutcome, Sink};
pub use state::State;
pub use time::{Found, LocalTimes};
