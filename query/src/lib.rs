//! SQL over the tables of an engine.
//!
//! DataFusion plans and runs statements; the scans are the engine's own, the same that answer tickets:
//!
//! ```text
//! text ─► Statement ─► plan over views pinned together ─► batches
//!                          └─ ScanExec: filters, columns, order, statistics and windows pushed down
//! ```
//!
//! | front door | what it is for |
//! |---|---|
//! | the root | [`Sql`] over an engine, its sessions, [`Statement`]s and answers; running statements; [`SqlExpressions`] |
//! | [`functions`] | the SQL functions, registered in a DataFusion session of one's own |
//!
//! Inside:
//!
//! - `statement`: from a text to the last batch of its answer.
//! - `table`: tables as the planner sees them, and how their scans run. `system`: tables about the server itself.
//! - `pushdown`: conditions and groupings that scans decide and compute themselves.
//! - `corrections`: what the parser and the planner take for something else than it means.
//! - `limits`: how much a statement may take, and what stops it.
//! - `functions`: the SQL functions beyond DataFusion's own.
//! - `expression`: SQL expressions over the columns of one row, apart from any table.
//! - `tree`: walks of the syntax tree of a statement, and of plans.

mod corrections;
mod errors;
mod expression;
pub mod functions;
mod limits;
mod opaque;
mod pushdown;
mod settings;
mod statement;
mod system;
mod table;
#[cfg(test)]
mod tests;
mod tree;

pub use barograph_engine::scan::Cost;
pub use datafusion::common::ScalarValue;
pub use expression::SqlExpressions;
pub use limits::queries::{Queries, QueryCounts, QueryId, QueryInfo, QueryState};
pub use settings::SqlSettings;
pub use statement::divide::{AnswerPartition, Division, key_ranges};
pub use statement::prepared::Statement;
pub use statement::script::{Script, in_one_line};
pub use statement::session::{Answer, SqlSession};
pub use statement::sql::Sql;
pub use table::catalog::{CATALOG, PUBLIC_SCHEMA, SYSTEM_SCHEMA, TableEntry};
pub use table::derived::DerivedSchema;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_engine::internal::CountingAllocator<
    barograph_fuzz::Allocator<std::alloc::System>,
> = barograph_engine::internal::CountingAllocator(barograph_fuzz::Allocator(std::alloc::System));
