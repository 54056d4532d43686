//! `barograph lake alter`: columns that the settings do not declare any more go, or get the names that they declare.

use std::sync::Arc;

use barograph_engine::SystemClock;
use barograph_jobs::alter::{AlterBounds, alter};
use barograph_jobs::quality::flags_of;
use barograph_lake::store::LakeStore;
use barograph_lake::table::{Alteration, Asked};
use barograph_lake::{ErrorKind, LakeTable, Snapshot, Span, TableSchema};

use super::say;
use crate::arguments::LakeAlterArguments;
use crate::figures::grouped;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::{Error, Result, wiring};

/// Nothing is looked for while files are written.
const NEVER: Span = Span::seconds(1_000_000_000);

/// A table with what is to be done to it.
struct Plan {
    table: LakeTable,
    snapshot: Snapshot,
    alteration: Alteration,
}

pub(super) async fn run(arguments: &LakeAlterArguments, settings: &Settings) -> Result<()> {
    let lake = wiring::lake(settings)?;
    let planned = plan(&lake, arguments, settings).await?;
    if planned.is_empty() {
        return say(format_args!(
            "{}: no file has to be written anew for the columns that are declared; nothing was changed",
            arguments.table
        ));
    }
    if arguments.dry_run {
        for plan in &planned {
            told("would be written anew", plan, &plan.snapshot)?;
        }
        return Ok(());
    }
    // Whoever has the log has rows that are still to land, or may get some.
    let mut settings = settings.clone();
    settings.engine.notice_every = NEVER;
    let stored = stored(&lake, &settings).await?;
    let engine = wiring::open_engine_of(&settings, stored, false).await.map_err(|error| {
        Error::failed(format!(
            "{error}. Columns are altered without a server: stop it, run this, and start it with the columns declared"
        ))
    })?;
    let altered = async {
        engine.flush().await?;
        for plan in plan(&lake, arguments, &settings).await? {
            if engine.view(plan.table.schema().name())?.tail.rows() > 0 {
                return Err(Error::failed(format!(
                    "table {:?} has rows that could not land: nothing was changed",
                    plan.table.schema().name()
                )));
            }
            carry_out(plan, &settings).await?;
        }
        Ok(())
    };
    let altered = altered.await;
    engine.shutdown().await?;
    altered
}

async fn carry_out(plan: Plan, settings: &Settings) -> Result<()> {
    let spec = &settings.jobs.compact;
    let bounds = AlterBounds {
        memory: spec.memory,
        threads: spec.threads,
        file_bytes: settings.compaction.file_bytes,
    };
    let rows = plan.snapshot.files().iter().map(|file| file.rows).sum();
    let name = plan.table.schema().name();
    let mut progress = Progress::new(format!("altering {name}"), "rows", rows);
    let of = (&plan.table, plan.snapshot.clone());
    let mut set = |rows| progress.set(rows);
    let after = alter(of, &plan.alteration, bounds, &SystemClock, &mut set).await?;
    progress.finish();
    told("were written anew", &plan, &after)
}

fn told(what: &str, plan: &Plan, snapshot: &Snapshot) -> Result<()> {
    let names = |schema: &TableSchema| -> Vec<String> {
        schema.values().iter().map(|column| column.name.clone()).collect()
    };
    let (before, after) = (names(plan.alteration.before()), names(plan.alteration.after()));
    let rows: u64 = plan.snapshot.files().iter().map(|file| file.rows).sum();
    say(format_args!(
        "{}, version {}: columns {} become {}; {} files with {} rows {what}",
        plan.table.schema().name(),
        snapshot.version(),
        before.join(", "),
        after.join(", "),
        grouped(plan.snapshot.files().len() as u64),
        grouped(rows)
    ))
}

/// What is to be done: first to the tables that are computed of the one that is meant, so that an end in between is
/// seen at that one.
async fn plan(
    lake: &LakeStore,
    arguments: &LakeAlterArguments,
    settings: &Settings,
) -> Result<Vec<Plan>> {
    let asked = Asked { renamed: arguments.rename.clone(), dropped: arguments.drop.clone() };
    let declared = wiring::table(settings, &arguments.table)?;
    let mut plans = Vec::new();
    for derived in derived(&arguments.table, settings)? {
        let asked = |stored: &TableSchema, is: &TableSchema| asked.of_derived(stored, is);
        plans.extend(plan_of(lake, derived, arguments.dry_run, asked).await?);
    }
    plans.extend(plan_of(lake, declared, arguments.dry_run, |_, _| asked.clone()).await?);
    Ok(plans)
}

async fn plan_of(
    lake: &LakeStore,
    declared: TableSchema,
    dry_run: bool,
    asked: impl Fn(&TableSchema, &TableSchema) -> Asked,
) -> Result<Option<Plan>> {
    let declared = Arc::new(declared);
    let (table, snapshot) = match LakeTable::open_existing(lake.child(declared.name())).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let asked = asked(table.schema(), &declared);
    for name in asked.dropped.iter().chain(asked.renamed.iter().map(|(from, _)| from)) {
        if !table.knows_column(name) {
            table.schema().column(name)?;
        }
    }
    let alteration = Alteration::new(table.schema(), &declared, &asked)?;
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
