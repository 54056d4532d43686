//! Tables as the planner sees them, and how their scans run.
//!
//! - `catalog`: the tables, and how statements are planned with them. `provider`: a table that plans scans over the
//!   view its statement has pinned.
//! - `exec`, `partition`: a scan as a leaf of the plan, and the reading of one of its partitions.
//! - `latest`, `live`: the newest row of every key, and the windows of a rollup, as tables.
//! - `shown`: what of the tables a caller is shown. `statistics`: what is known about a scan before it runs.

pub(crate) mod catalog;
pub(crate) mod derived;
pub(crate) mod exec;
pub(crate) mod latest;
pub(crate) mod live;
pub(crate) mod partition;
pub(crate) mod provider;
pub(crate) mod shown;
pub(crate) mod statistics;
