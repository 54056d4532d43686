//! The import of files of readings into a table: read piece by piece, mapped, every row accounted for, and resumed
//! where an earlier run stopped. Rows go through the log of a server, or directly into files of the lake.
//!
//! ```text
//! file ─► input ─► apply (mapping) ─► queue ─┬► sink, n at a time ─► acknowledged, in order ─► state
//!         └──────── one thread ────┘         └► direct: sorted runs ─► state ─► merged into the table
//! ```

pub mod apply;
pub mod direct;
pub mod input;
pub mod mapping;
pub mod sink;
pub mod state;
pub mod time;

mod reading;
mod replaced;
mod run;

pub use direct::{DirectImport, ImportEvent, Imported};
pub use input::FileForm;
pub use mapping::Mapping;
pub use replaced::{Replaced, SeenRows};
pub use run::{FileSummary, Import, Options, Progress, Stop};
pub use sink::{PutOutcome, Sink};
pub use state::{Identity, State};
