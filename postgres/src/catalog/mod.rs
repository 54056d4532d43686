//! The catalog: what clients ask about tables, types and the server, in words that `query` plans.

mod casts;
mod functions;
mod lexer;
mod reader;
mod rewrite;
mod schema;
mod tables;

pub(crate) use lexer::{Token, TokenKind, statements, tokens};
pub(crate) use rewrite::{Facts, rewritten};
pub(crate) use tables::PgCatalog;

/// What clients take for the version of PostgreSQL, whose catalog they then ask for.
pub(crate) const SERVER_VERSION: &str = "15.0";
/// What `version()` says.
pub(crate) const VERSION: &str =
    concat!("PostgreSQL 15.0 (Barograph ", env!("CARGO_PKG_VERSION"), ")");
