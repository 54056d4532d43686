//! One binary, `barograph`: settings, wiring, commands.
//!
//! The library exists so that benches and tests can use the demonstration's weather, the cities and the settings;
//! [`run`] is the whole program.

mod arguments;
mod cities;
mod commands;
mod demo;
mod doors;
mod error;
mod figures;
mod logging;
mod metrics;
mod output;
mod plot;
mod progress;
mod settings;
mod signals;
mod terminal;
mod traces;
mod wiring;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;

pub use cities::{Cities, City};
pub use demo::weather::Weather;
pub use error::{Error, ErrorKind, Result};
pub use settings::{
    LogPlace, LoggingFormat, LoggingSettings, QualitySettings, Settings, Thresholds, TracesSettings,
};

/// Runs the command that the process's arguments name.
///
/// Exit code 0: done; 1: failed; 2: wrong usage.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = start(arguments);
    progress::clear();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind() != ErrorKind::OutputClosed {
                let _ = writeln!(std::io::stderr(), "barograph: {error}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn start(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::failed(format!("threads: {e}")))?;
    // Two providers come in through dependencies, so rustls does not choose by itself.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = runtime.block_on(commands::run(arguments));
    // A blocked thread (a reader of a file, a slow disk) must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
