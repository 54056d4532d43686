//! Statements, from their text to the last batch of their answer.
//!
//! ```text
//! text ─prepare─► Statement ─bind─► plan over views pinned together ─run─► rows
//! ```
//!
//! - `sql`: what all statements share. `session`: the entry points: sessions and answers. `prepared`: a prepared statement. `query_session`: the session of one query.
//! - `prepare`, `bind`: the plan of a text, and the values of its parameters. `deferred`: what is planned once they are
//!   bound.
//! - `run`, `watch`, `rows`: the run of a plan, what ends it early, and how its rows reach the client.
//! - `script`: texts of several statements. `divide`: answers whose partitions are fetched apart.
//! - `hidden`: which names of a failed statement are there, and not shown.

pub(crate) mod bind;
pub(crate) mod deferred;
pub(crate) mod divide;
mod hidden;
pub(crate) mod prepare;
pub(crate) mod prepared;
pub(crate) mod query_session;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod sql;
pub(crate) mod watch;
