//! The PostgreSQL door: the wire protocol of PostgreSQL, version 3, on a port of its own, read only.
//!
//! It stands beside Flight and HTTP and has no path of its own around them: a statement is that of a
//! [`Door`](barograph_flight::door::Door), for the same identities, rights, quotas and records.
//!
//! ```text
//! connection ─ TLS? ─► startup ─► sign-in ─► session: messages ─► commands (SET, BEGIN, FETCH …), answered here
//!                                                            └──► statements ─ names of pg_catalog ─► Door ─► rows as text or binary
//! ```
//!
//! - `serve`: the port, its connections, and their end. `cancel`: who may end which statement.
//! - `wire`: bytes become messages, within bounds, and messages bytes; `pgwire` knows how they are laid out.
//! - `session`: from sign-in to the last statement: what a client has set, prepared and opened.
//! - `types`: which types of PostgreSQL the columns have, and how values are written and read.
//! - `catalog`: what clients ask about tables and types, in words that `query` plans.
//! - `failure`: errors as PostgreSQL says them, with an SQLSTATE.

mod cancel;
mod catalog;
mod failure;
mod serve;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod types;
mod wire;

pub use serve::{Postgres, PostgresListener};
pub use settings::PostgresSettings;

/// The schema `pg_catalog`, as far as clients ask for it.
pub fn pg_catalog() -> std::sync::Arc<dyn barograph_query::DerivedSchema> {
    std::sync::Arc::new(catalog::PgCatalog)
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
