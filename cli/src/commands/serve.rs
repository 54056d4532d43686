//! `barograph serve`: the tables of a data folder over Arrow Flight, until told to stop.

use barograph_flight::Server;
use barograph_jobs::schedule::Clockwork;
use tokio::sync::oneshot;

use super::say;
use crate::arguments::ServeArguments;
use crate::settings::Settings;
use crate::{Result, signals, wiring};

pub(super) async fn run(arguments: ServeArguments, settings: Settings) -> Result<()> {
    let engine = wiring::open_engine(&settings, arguments.accept_log_damage).await?;
    let schedule = wiring::open_schedule(&settings, Some(&engine))?;
    let sql = wiring::open_sql(&settings, &engine, &schedule)?;
    let server = Server::bind(engine, sql, settings.flight.clone()).await?;
    let stopped = signals::stop();
    // Scripts wait for this line, and take the port from it.
    say(format_args!("barograph serves {} at http://{}", settings.data, server.local_addr()))?;
    let clockwork = Clockwork::start(&schedule);
    let (told, asked) = oneshot::channel::<()>();
    let serving = server.serve(async move {
        stopped.await;
        drop(told);
    });
    // Calls and jobs come to their ends side by side.
    let (served, ()) = tokio::join!(serving, async move {
        let _ = asked.await;
        clockwork.stop().await;
    });
    served?;
    tracing::info!("stopped");
    Ok(())
}
