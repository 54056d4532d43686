//! Scenarios that cross crates: the real binary under kill -9, third-party clients, the command line.
#![allow(
    clippy::disallowed_methods,
    reason = "a test waits for what is to hold, and looks at it now and then"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod amplifiers;
mod clients;
mod columns;
mod compaction;
mod crash;
mod files;
mod formats;
mod import;
mod jobs;
mod kills;
mod logs;
mod mapping;
mod monitoring;
mod nyc;
mod server;
mod serving;
mod settings;
mod several;
mod stations;
mod stores;
mod traces;
