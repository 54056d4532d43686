//! How do files of readings get into a table? Read piece by piece, mapped, put with several pieces in
//! flight, every row accounted for, and resumed where an earlier run stopped.
//!
//! ```text
//! file ─► input ─► apply (mapping) ─► queue ─► sink, n at a time ─► acknowledged, in order ─► state
//!         └──────── one thread ────┘           └──────────── asynchronous ─────────────┘
//! ```

pub mod apply;
pub mod input;
pub mod mapping;
pub mod sink;
pub mod state;

mod run;

pub use input::FileForm;
pub use mapping::Mapping;
pub use run::{FileSummary, Import, Options, Progress, Stop};
pub use sink::{EngineSink, Sink, Taken};
pub use state::{Identity, State};
