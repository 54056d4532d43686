//! A statement, from its text to the last batch of its answer.
//!
//! ```text
//! text ─prepare─► Statement ─bind─► plan over views pinned together ─run─► rows
//! ```
//!
//! - `session`: the doors in: sessions, prepared statements, answers. `asked`: what is true of one execution.
//! - `prepare`, `bind`: a text becomes a plan, and values its parameters. `deferred`: what is planned once they are there.
//! - `run`, `watch`, `rows`: the plan runs, what ends it, and how its rows come to whoever reads them.
//! - `script`: texts of several statements. `divide`: answers whose parts are fetched apart.

pub(crate) mod asked;
pub(crate) mod bind;
pub(crate) mod deferred;
pub(crate) mod divide;
pub(crate) mod prepare;
pub(crate) mod rows;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod session;
pub(crate) mod watch;
