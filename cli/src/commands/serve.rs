//! `barograph serve`: the tables of a data folder over Arrow Flight, until told to stop.

mod altering;
mod reloading;

use std::sync::Arc;

use barograph_access::Access;
use barograph_engine::Engine;
use barograph_flight::{Listener, Server};
use barograph_jobs::schedule::{Schedule, Scheduler};
use barograph_query::Sql;
use tokio::sync::oneshot;

use crate::arguments::ServeArguments;
use crate::doors::Doors;
use crate::metrics::JobFigures;
use crate::output::say;
use crate::settings::{Layers, Settings};
use crate::traces::Exporter;
use crate::{Result, signals, wiring};
use altering::Served;

/// What is opened to be served.
struct Opened {
    engine: Arc<Engine>,
    schedule: Arc<Schedule>,
    sql: Arc<Sql>,
}

impl Opened {
    /// Opens what the settings declare; `before` is the SQL that was served until then.
    async fn open(
        settings: &Settings,
        accept_damage: bool,
        address: &str,
        access: &Arc<Access>,
        before: Option<&Sql>,
    ) -> Result<Self> {
        let engine = wiring::open_engine(settings, accept_damage, address).await?;
        let schedule = wiring::open_schedule(settings, Some(&engine))?;
        let sql = wiring::open_sql(settings, &engine, &schedule, access, before)?;
        Ok(Self { engine, schedule, sql })
    }
}

pub(super) async fn run(
    arguments: ServeArguments,
    settings: Settings,
    layers: Layers,
    exporter: Option<Exporter>,
) -> Result<()> {
    let listener = Listener::bind_with(&settings.flight, &settings.access).await?;
    let doors = Doors::bind(&settings).await?;
    let access = wiring::access(&settings)?;
    let address = wiring::address(&settings, &listener)?;
    let Opened { engine, schedule, sql } =
        Opened::open(&settings, arguments.accept_log_damage, &address, &access, None).await?;
    let reloading = reloading::reload(layers.clone(), settings.flight.clone(), Arc::clone(&access));
    let reloading = tokio::spawn(reloading);
    let figures = JobFigures::new(&schedule);
    let (served, broken) =
        Served::new(layers, settings.clone(), address, &access, Arc::clone(&figures));
    let flight = settings.flight.clone();
    let server = Server::at(listener, Some(served.clone()), engine, sql, flight)?;
    let server = wiring::with_http(&settings, server.with_access(access))?.with_figures(figures);
    let traced = exporter.as_ref().map(Exporter::figures).unwrap_or_default();
    let server = server.with_figures(traced);
    let exporting = exporter.map(Exporter::start);
    let stopped = signals::stop();
    // Scripts wait for this line, and take the port from it.
    say(format_args!("barograph serves {} at {}", settings.data, server.url()))?;
    doors.announce()?;
    let server = doors.of(&settings, server);
    served.start(Scheduler::start(&schedule)).await;
    drop(schedule);
    let (told, asked) = oneshot::channel();
    let serving = server.serve(async move {
        let why = tokio::select! {
            () = stopped => Ok(()),
            Ok(error) = broken => Err(error),
        };
        let _ = told.send(why);
    });
    // Calls and jobs come to their ends side by side.
    let (ended, why) = tokio::join!(serving, async move {
        let why = asked.await.unwrap_or(Ok(()));
        served.stop().await;
        why
    });
    reloading.abort();
    if let Some(exporting) = exporting {
        exporting.stop().await;
    }
    why?;
    ended?;
    tracing::info!("stopped");
    Ok(())
}
