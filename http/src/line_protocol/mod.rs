//! Line protocol, as InfluxDB 1, 2 and 3 take it: lines become rows of declared tables, and are acknowledged once they are
//! durable. What a line says is understood by itself, so that a bad one holds up no other.
//!
//! ```text
//! body ─► Lines: where does a line end? ─► Line: measurement, tags, fields, time ─► Mapping: table, columns, key ─► rows
//!                                           └──────────── bad ───────────────────────┴─► dead letters, and the answer
//! ```

mod lines;
mod mapping;
mod parse;
mod precision;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use write::{ping, write_v1, write_v2, write_v3};
