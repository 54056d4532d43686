//! Metrics: what `GET /metrics` answers. Nothing is kept for it: each answer reads the statistics that the parts of the
//! server have anyway. The families are declared in one place, from which the reference page is written, too.
//!
//! ```text
//! engine, SQL, store, process ─► collect ─► Samples ─► encode ─► OpenMetrics, or the text format of Prometheus
//! parts above this crate ── Figures ──────────┘
//! ```

mod collect;
mod encode;
mod families;
mod family;
mod process;
mod reference;

use std::fmt;

use futures::future::BoxFuture;

pub use encode::Samples;
pub use families::FAMILIES;
pub use family::{Family, FamilyKind, Value};
pub use reference::{golden, page};

pub(crate) use collect::collect;
pub(crate) use encode::format_of;

/// The figures of a part of the program that this crate does not know, such as its jobs.
///
/// 1. `families` never changes, and no name in it is one of [`FAMILIES`].
/// 2. `collect` adds samples of these families only, and gives up by itself on what takes long.
/// 3. The values of labels are few, whatever is asked of the program: names of tables and jobs, never keys or users.
pub trait Figures: fmt::Debug + Send + Sync {
    /// What it reports.
    fn families(&self) -> &'static [Family];
    /// Adds its samples at this moment.
    fn collect<'a>(&'a self, samples: &'a mut Samples) -> BoxFuture<'a, ()>;
}
