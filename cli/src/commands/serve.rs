//! `barograph serve`: the tables of a data folder over Arrow Flight, until told to stop.

use barograph_flight::Server;

use super::say;
use crate::arguments::ServeArguments;
use crate::settings::Settings;
use crate::{Result, signals, wiring};

pub(super) async fn run(arguments: ServeArguments, settings: Settings) -> Result<()> {
    let engine = wiring::open_engine(&settings, arguments.accept_log_damage).await?;
    let sql = wiring::open_sql(&settings, &engine)?;
    let server = Server::bind(engine, sql, settings.flight.clone()).await?;
    let stopped = signals::stop();
    // Scripts wait for this line, and take the port from it.
    say(format_args!("barograph serves {} at http://{}", settings.data, server.local_addr()))?;
    server.serve(stopped).await?;
    tracing::info!("stopped");
    Ok(())
}
