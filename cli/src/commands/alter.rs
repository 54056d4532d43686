//! `barograph lake alter`: a table that holds rows gets the columns that the settings declare.

use std::sync::Arc;

use barograph_engine::SystemClock;
use barograph_flight::AlterRequest;
use barograph_jobs::quality::flags_of;
use barograph_jobs::{Alter, AlterBounds};
use barograph_lake::store::LakeStore;
use barograph_lake::table::{Alteration, AlterationRequest};
use barograph_lake::{ErrorKind, LakeTable, Snapshot, Span, TableSchema};

use crate::arguments::LakeAlterArguments;
use crate::figures::grouped;
use crate::output::say;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::{Error, Result, wiring};

/// Nothing is looked for while files are written.
const NEVER: Span = Span::seconds(1_000_000_000);

/// A table with what is to be done to it.
pub(super) struct Plan {
    table: LakeTable,
    snapshot: Snapshot,
    alteration: Alteration,
}

pub(super) async fn run(arguments: &LakeAlterArguments, settings: &Settings) -> Result<()> {
    let request = AlterRequest {
        table: arguments.table.clone(),
        rename: arguments.rename.clone(),
        drop: arguments.drop.clone(),
        dry_run: arguments.dry_run,
    };
    let lines = match arguments.endpoint {
        Some(_) => through_servers(&request, settings).await?,
        None => in_files(&request, settings).await?,
    };
    lines.iter().try_for_each(say)
}

/// Each server of a shared log has its own declarations: all that are named alter the columns, one after the other.
async fn through_servers(request: &AlterRequest, settings: &Settings) -> Result<Vec<String>> {
    let addresses: Vec<&str> = settings.endpoint.split(',').map(str::trim).collect();
    if addresses.len() == 1 {
        return through_server(request, settings).await;
    }
    let mut lines = Vec::new();
    for (done, address) in addresses.iter().enumerate() {
        let at = Settings { endpoint: (*address).to_owned(), ..settings.clone() };
        let told = through_server(request, &at).await.map_err(|error| {
            let of = addresses.len();
            error.during(format!("{address}, after {done} of {of} servers (repeat the command)"))
        })?;
        lines.extend(told.into_iter().map(|line| format!("{address}: {line}")));
    }
    Ok(lines)
}

async fn through_server(request: &AlterRequest, settings: &Settings) -> Result<Vec<String>> {
    let client = wiring::connect(settings).await?;
    let mut shown: Option<(String, Progress)> = None;
    let mut show = |now: barograph_flight::AlterProgress| {
        let begun = |of: &(String, Progress)| of.0 != now.table;
        if shown.as_ref().is_none_or(begun) {
            let progress = Progress::new(format!("altering {}", now.table), "rows", now.of);
            shown = Some((now.table.clone(), progress));
        }
        if let Some((_, progress)) = &mut shown {
            progress.set(now.rows);
        }
    };
    let lines = client.alter(request, &mut show).await?;
    if let Some((_, progress)) = shown {
        progress.finish();
    }
    Ok(lines)
}

async fn in_files(request: &AlterRequest, settings: &Settings) -> Result<Vec<String>> {
    let lake = wiring::lake(settings, "alter")?;
    let planned = plan(&lake, request, settings).await?;
    if planned.is_empty() {
        return Ok(vec![format!(
            "{}: no file has to be rewritten for the declared columns; nothing was changed",
            request.table
        )]);
    }
    if request.dry_run {
        return Ok(planned.iter().map(Plan::outlook).collect());
    }
    // Whoever has the log has rows that are still to land, or may get some.
    let mut settings = settings.clone();
    settings.engine.poll_commits_every = NEVER;
    let stored = stored(&lake, &settings).await?;
    let engine = wiring::open_engine_of(&settings, stored).await.map_err(|error| {
        Error::failed(format!(
            "{error}. If a server has the data open, let it alter the columns: name it with --endpoint"
        ))
    })?;
    let altered = async {
        wiring::check_alone(&engine).await?;
        engine.flush().await?;
        let mut lines = Vec::new();
        for plan in plan(&lake, request, &settings).await? {
            plan.check_tail(&engine)?;
            let mut progress =
                Progress::new(format!("altering {}", plan.name()), "rows", plan.rows());
            lines.push(plan.carry_out(&settings, &mut |rows| progress.set(rows)).await?);
            progress.finish();
        }
        Ok(lines)
    };
    let altered = altered.await;
    engine.shutdown().await?;
    altered
}

impl Plan {
    pub(super) fn name(&self) -> &str {
        self.table.schema().name()
    }

    /// Rows to write anew.
    pub(super) fn rows(&self) -> u64 {
        self.snapshot.files().iter().map(|file| file.rows).sum()
    }

    /// Refuses to go on with rows that have not landed.
    pub(super) fn check_tail(&self, engine: &barograph_engine::Engine) -> Result<()> {
        match engine.view(self.name())?.tail.rows() {
            0 => Ok(()),
            _ => Err(Error::failed(format!(
                "table {:?} has rows that could not land (system.faults says why): nothing was changed",
                self.name()
            ))),
        }
    }

    /// Writes files anew beside a server; gives how many there were to write. `progress` says whether to go on.
    pub(super) async fn write_ahead(
        &self,
        settings: &Settings,
        progress: &mut (dyn FnMut(u64) -> bool + Send),
    ) -> Result<usize> {
        Ok(self.alter(settings).write_ahead(&self.snapshot, progress).await?)
    }

    /// Writes what is left to write and commits; gives a line that tells it.
    pub(super) async fn carry_out(
        &self,
        settings: &Settings,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<String> {
        let alter = self.alter(settings);
        let after = alter.run(self.snapshot.clone(), &SystemClock, progress).await?;
        Ok(self.summary("were rewritten", &after))
    }

    fn alter(&self, settings: &Settings) -> Alter<'_> {
        let spec = &settings.jobs.compact;
        let bounds = AlterBounds {
            memory: spec.memory,
            threads: spec.threads,
            file_bytes: settings.compaction.file_bytes,
        };
        Alter { table: &self.table, alteration: &self.alteration, bounds }
    }

    /// What would be done.
    pub(super) fn outlook(&self) -> String {
        self.summary("would be rewritten", &self.snapshot)
    }

    fn summary(&self, what: &str, snapshot: &Snapshot) -> String {
        let (before, after) = (names(self.alteration.before()), names(self.alteration.after()));
        let rows: u64 = snapshot.files().iter().map(|file| file.rows).sum();
        format!(
            "{}, version {}: columns {before} become {after}; {} files with {} rows {what}",
            self.name(),
            snapshot.version(),
            grouped(snapshot.files().len() as u64),
            grouped(rows)
        )
    }
}

/// The value columns of a table.
fn names(schema: &TableSchema) -> String {
    let names: Vec<_> = schema.values().iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

/// What is to be done: first to the tables that are computed of the one that is meant, so that an end in between is
/// seen at that one.
pub(super) async fn plan(
    lake: &LakeStore,
    request: &AlterRequest,
    settings: &Settings,
) -> Result<Vec<Plan>> {
    let columns =
        AlterationRequest { renamed: request.rename.clone(), dropped: request.drop.clone() };
    let declared = wiring::table(settings, &request.table)?;
    let meant = plan_of(lake, declared, request.dry_run, |_, _| columns.clone()).await?;
    let mut plans = Vec::new();
    for derived in derived(&request.table, settings)? {
        let columns = |stored: &TableSchema, is: &TableSchema| columns.of_derived(stored, is);
        plans.extend(plan_of(lake, derived, request.dry_run, columns).await?);
    }
    plans.extend(meant);
    Ok(plans)
}

/// The other tables of the settings that are not as they are declared, each with a line that says what changes.
///
/// # Errors
/// If one cannot become as it is declared.
pub(super) async fn redeclared(
    lake: &LakeStore,
    planned: &[Plan],
    settings: &Settings,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for declared in settings.schemas()? {
        if planned.iter().any(|plan| plan.name() == declared.name()) {
            continue;
        }
        let declared = Arc::new(declared);
        let (name, after) = (declared.name(), names(&declared));
        let prepared = LakeTable::prepare(lake.child(name), Arc::clone(&declared)).await?;
        if prepared.is_as_declared() {
            continue;
        }
        let before = match prepared.snapshot() {
            Some(_) => names(LakeTable::open_existing(lake.child(name)).await?.0.schema()),
            None => String::new(),
        };
        lines.push(match before.as_str() {
            "" => format!("{name}: a new table with the columns {after}"),
            same if same == after => {
                format!("{name}: types, units or ranges of its columns change")
            }
            before => format!("{name}: columns {before} become {after}"),
        });
    }
    Ok(lines)
}

async fn plan_of(
    lake: &LakeStore,
    declared: TableSchema,
    dry_run: bool,
    request: impl Fn(&TableSchema, &TableSchema) -> AlterationRequest,
) -> Result<Option<Plan>> {
    let declared = Arc::new(declared);
    let (table, snapshot) = match LakeTable::open_existing(lake.child(declared.name())).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let request = request(table.schema(), &declared);
    for name in request.dropped.iter().chain(request.renamed.iter().map(|(from, _)| from)) {
        if !table.knows_column(name) {
            table.schema().column(name)?;
        }
    }
    let alteration = Alteration::new(table.schema(), &declared, &request)?;
    if alteration.is_none() && !dry_run {
        // Of a run that was cut off behind its commit.
        table.forget_altered().await?;
    }
    Ok(alteration.map(|alteration| Plan { table, snapshot, alteration }))
}

/// The tables that are computed of a table.
fn derived(of: &str, settings: &Settings) -> Result<Vec<TableSchema>> {
    let rollups = settings.rollups()?.into_iter().filter(|rollup| rollup.source().name() == of);
    let mut derived: Vec<_> = rollups.map(|rollup| TableSchema::clone(rollup.table())).collect();
    let (source, checks) = settings.checked()?;
    if source.name() == of {
        derived.push(flags_of(&source, &checks)?);
    }
    Ok(derived)
}

/// The tables of the settings, as they are stored.
async fn stored(lake: &LakeStore, settings: &Settings) -> Result<Vec<TableSchema>> {
    let mut stored = Vec::new();
    for declared in settings.schemas()? {
        match LakeTable::open_existing(lake.child(declared.name())).await {
            Err(error) if error.kind() == ErrorKind::NotFound => stored.push(declared),
            opened => stored.push(TableSchema::clone(opened?.0.schema())),
        }
    }
    Ok(stored)
}
