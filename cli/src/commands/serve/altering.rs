//! The alteration of columns while a server runs: it reads its settings anew, writes files beside readers and puts,
//! and opens its engine anew with the tables as they are declared.

use std::sync::Arc;

use barograph_access::Access;
use barograph_engine::ErrorKind as EngineErrorKind;
use barograph_flight::{Alter, AlterProgress, AlterRequest, Reopening};
use barograph_jobs::schedule::Scheduler;
use barograph_query::Sql;
use futures::future::BoxFuture;
use parking_lot::Mutex as Cell;
use tokio::sync::{Mutex, oneshot};

use super::Opened;
use crate::commands::alter::{Plan, plan, redeclared};
use crate::metrics::JobFigures;
use crate::settings::{Layers, LogPlace, Settings};
use crate::{Error, ErrorKind, Result, wiring};

/// So many files are written while puts wait at most, unless new ones come faster than they are written.
const FILES_LEFT: usize = 8;
/// How often files that came meanwhile are written before puts have to wait.
const ROUNDS: usize = 5;

/// The settings and jobs that go with the engine that is served.
#[derive(Debug)]
pub(super) struct Served {
    layers: Layers,
    /// Where others reach this process.
    address: String,
    now: Mutex<Running>,
    figures: Arc<JobFigures>,
    access: Arc<Access>,
    /// Told why nothing can be served any more.
    broken: Cell<Option<oneshot::Sender<Error>>>,
}

#[derive(Debug)]
struct Running {
    settings: Settings,
    scheduler: Option<Scheduler>,
}

impl Served {
    /// What is served with these settings, which `layers` make; and what becomes ready when nothing can be served
    /// any more.
    pub(super) fn new(
        layers: Layers,
        settings: Settings,
        address: String,
        access: &Arc<Access>,
        figures: Arc<JobFigures>,
    ) -> (Arc<Self>, oneshot::Receiver<Error>) {
        let (broken, receiver) = oneshot::channel();
        let now = Mutex::new(Running { settings, scheduler: None });
        let broken = Cell::new(Some(broken));
        let access = Arc::clone(access);
        (Arc::new(Self { layers, address, now, figures, access, broken }), receiver)
    }

    /// The jobs that run from now on.
    pub(super) async fn start(&self, scheduler: Scheduler) {
        self.now.lock().await.scheduler = Some(scheduler);
    }

    /// Lets jobs come to their ends, after an alteration that is being carried out.
    pub(super) async fn stop(&self) {
        let scheduler = self.now.lock().await.scheduler.take();
        if let Some(scheduler) = scheduler {
            scheduler.stop().await;
        }
    }

    async fn carry_out(
        &self,
        request: &AlterRequest,
        reopening: &Reopening,
    ) -> Result<Vec<String>> {
        let mut now = self.now.lock().await;
        let read = self.layers.resolve()?;
        let settings = Settings {
            tables: read.tables,
            rollups: read.rollups,
            quality: read.quality,
            ..now.settings.clone()
        };
        settings.check()?;
        let lake = wiring::lake(&settings, "alter")?;
        let planned = plan(&lake, request, &settings).await?;
        // Rows with the columns before may stand in the log, and others go on to append such.
        if is_shared(&now.settings) && !planned.is_empty() {
            return Err(Error::usage(
                "the log is shared, and columns are dropped or renamed only where no server has rows with the columns before: stop all servers of the lake, run `barograph lake alter TABLE --data …` with the new settings, and start them with these",
            ));
        }
        let mut lines = redeclared(&lake, &planned, &settings).await?;
        if request.dry_run {
            lines.extend(planned.iter().map(Plan::outlook));
        }
        if planned.is_empty() && settings == now.settings {
            lines.push(format!("{}: columns are as declared; nothing was changed", request.table));
        } else if !request.dry_run {
            if !planned.is_empty() {
                write_ahead(request, &settings, reopening).await?;
            }
            lines.extend(self.reopen(request, settings, &mut now, reopening).await?);
            if lines.is_empty() {
                lines.push(format!("{}: this server declares its columns, too", request.table));
            }
        }
        Ok(lines)
    }

    /// Opens the engine anew with `settings`, or as it was if that cannot be; commits before what `request` says.
    async fn reopen(
        &self,
        request: &AlterRequest,
        settings: Settings,
        now: &mut Running,
        reopening: &Reopening,
    ) -> Result<Vec<String>> {
        tracing::info!(
            table = request.table,
            "columns are being altered: jobs stop, and puts wait"
        );
        if let Some(scheduler) = now.scheduler.take() {
            scheduler.stop().await;
        }
        let mut done = Ok(Vec::new());
        let mut schedule = None;
        let replaced = reopening.replace(async {
            let (engine, sql) = (reopening.engine(), reopening.sql());
            if let Err(error) = engine.flush().await {
                tracing::warn!(%error, "not everything could land before columns are altered");
            }
            let lake = wiring::lake(&settings, "alter").map_err(wired)?;
            for plan in plan(&lake, request, &settings).await.map_err(wired)? {
                plan.check_tail(&engine).map_err(wired)?;
            }
            let altered = async {
                match engine.shutdown().await {
                    // One that met values of columns that another server has added stopped for that. Its rows are in the store.
                    Err(error) if is_shared(&settings) => {
                        tracing::warn!(%error, "the engine had stopped before columns were altered");
                    }
                    done => done?,
                }
                let mut lines = Vec::new();
                for plan in plan(&lake, request, &settings).await? {
                    lines.push(plan.carry_out(&settings, &mut |_| {}).await?);
                }
                let opened = self.opened(&settings, &sql).await?;
                Ok((opened, lines))
            };
            let opened = match altered.await {
                Ok((opened, lines)) => {
                    done = Ok(lines);
                    opened
                }
                Err(error) => {
                    tracing::error!(%error, "columns were not altered: the tables are opened as they were");
                    let before = self.opened(&now.settings, &sql).await;
                    let before = before.map_err(|again| self.give_up(&error, &again))?;
                    done = Err(error.during("columns were not altered"));
                    before
                }
            };
            schedule = Some(opened.schedule);
            Ok((opened.engine, opened.sql))
        });
        let replaced = replaced.await;
        let schedule = match schedule {
            Some(schedule) => schedule,
            None => wiring::open_schedule(&now.settings, Some(&reopening.engine()))?,
        };
        self.figures.set(&schedule);
        now.scheduler = Some(Scheduler::start(&schedule));
        replaced?;
        let lines = done?;
        now.settings = settings;
        tracing::info!(table = request.table, "columns are as declared; jobs and puts continue");
        Ok(lines)
    }

    async fn opened(&self, settings: &Settings, before: &Sql) -> Result<Opened> {
        Opened::open(settings, false, &self.address, &self.access, Some(before)).await
    }

    /// Ends the server, whose tables can be opened neither as they are declared nor as they were.
    fn give_up(&self, error: &Error, again: &Error) -> barograph_flight::Error {
        let error = format!(
            "columns were not altered ({error}), and the tables could not be opened as they were ({again}): the server stops; start it again"
        );
        if let Some(broken) = self.broken.lock().take() {
            let _ = broken.send(Error::failed(error.clone()));
        }
        barograph_flight::Error::new(EngineErrorKind::Unavailable, error)
    }
}

/// Whether other servers append to the log, too.
fn is_shared(settings: &Settings) -> bool {
    settings.log == LogPlace::Store
}

/// Writes files anew beside who reads and puts, until few are left.
async fn write_ahead(
    request: &AlterRequest,
    settings: &Settings,
    reopening: &Reopening,
) -> Result<()> {
    let lake = wiring::lake(settings, "alter")?;
    for _ in 0..ROUNDS {
        let mut written = 0;
        for plan in plan(&lake, request, settings).await? {
            let (name, of) = (plan.name().to_owned(), plan.rows());
            let mut progress = |rows| {
                reopening.report(AlterProgress { table: name.clone(), rows, of });
                reopening.is_wanted()
            };
            written += plan.write_ahead(settings, &mut progress).await?;
        }
        if written <= FILES_LEFT {
            break;
        }
    }
    Ok(())
}

impl Alter for Served {
    fn alter(
        self: Arc<Self>,
        request: AlterRequest,
        reopening: Reopening,
    ) -> BoxFuture<'static, barograph_flight::Result<Vec<String>>> {
        Box::pin(async move { self.carry_out(&request, &reopening).await.map_err(wired) })
    }
}

/// An error as who asked is told.
fn wired(error: Error) -> barograph_flight::Error {
    let kind = match error.kind() {
        ErrorKind::Usage => EngineErrorKind::Request,
        _ => EngineErrorKind::Unavailable,
    };
    barograph_flight::Error::new(kind, error.to_string())
}
