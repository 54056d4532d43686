//! How is SQL asked of the tables?
//!
//! DataFusion plans and runs; the scans are our own, the same that answer tickets:
//!
//! ```text
//! text ─► Statement ─► plan over views pinned together ─► batches
//!                          └─ ScanExec: filters, columns, order, statistics and windows pushed down
//! ```
//!
//! - `session`, `prepare`, `bind`, `deferred`, `asked`, `run`: a statement from its text to the last batch of its answer.
//! - `provider`, `translate`, `values`, `exec`, `part`, `dynamic`, `windows`, `hours`, `latest`, `live`: tables as the
//!   planner sees them, and how their scans run.
//! - `script`: texts of several statements.
//! - `divide`: answers whose parts are fetched apart.
//! - `precedence`, `spelling`, `unheard`, `using`, `spans`, `literals`, `instants`, `zones`, `subqueries`, `unknown`,
//!   `membership`, `multisets`, `drawn`: what a text means, where the parser or the planner takes it for something else.
//! - `dialect`, `names`: spellings and functions of other databases.
//! - `expression`: what one row is worth, apart from any table.
//! - `bounds`, `stack`: how deep and large a statement may be, and what carries it.
//! - `statistics`, `price`, `opaque`, `unambiguous`, `limits`, `nulls`: what is known before it runs, and what must not
//!   be concluded.
//! - `executors`, `planning`, `watch`, `rows`: on which threads a statement is planned and runs, what ends it, and how its
//!   rows come to whoever reads them.
//! - `growth`: what functions may take.
//! - `guard`, `stop`, `interruptible`, `queries`, `settings`: bounds on what runs, and who runs what.
//! - `catalog`, `system`: which tables there are, and those that tell of the server itself.

mod asked;
mod bind;
pub mod bounds;
mod catalog;
mod deferred;
mod dialect;
mod divide;
mod drawn;
mod dynamic;
mod errors;
mod exec;
mod executors;
pub mod expression;
mod growth;
mod guard;
mod hours;
mod instants;
mod interruptible;
mod latest;
mod limits;
mod literals;
mod live;
mod membership;
mod multisets;
mod names;
mod nulls;
mod opaque;
mod part;
mod planning;
mod precedence;
mod prepare;
mod price;
mod provider;
mod queries;
mod rows;
mod run;
mod script;
mod session;
mod settings;
mod spans;
mod spared;
mod spelling;
mod stack;
mod statistics;
mod stop;
mod subqueries;
mod system;
#[cfg(test)]
mod tests;
mod totals;
mod translate;
mod unambiguous;
mod unheard;
mod unknown;
mod using;
mod values;
mod watch;
mod windows;
mod zones;

pub use catalog::{CATALOG, PUBLIC_SCHEMA, SYSTEM_SCHEMA, TableEntry};
pub use datafusion::common::ScalarValue;
pub use divide::{AnswerPart, Division, key_ranges};
pub use price::Price;
pub use queries::{Queries, QueryId, QueryInfo, QueryState};
pub use script::{Script, in_one_line};
pub use session::{Answer, Sql, SqlSession, Statement};
pub use settings::SqlSettings;
pub(crate) use statistics::CountedPeriods;
pub use system::SystemRows;
