//! `barograph lake files|check|history|delete|restore|alter|check-store|release-log`: the lake's files, beside a server or without one.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use barograph_engine::log::announce;
use barograph_engine::{Clock, SystemClock};
use barograph_lake::internal::spans;
use barograph_lake::store::LakeStore;
use barograph_lake::table::{self, CheckReport};
use barograph_lake::{Hour, Key, LakeTable, Outcome, Snapshot, TableVersion, Timestamp};

use super::{alter, check_store, delete, release_log};
use crate::arguments::{LakeArguments, LakeCommand, LakeRestoreArguments};
use crate::figures::{bytes, grouped};
use crate::output::{Format, RowWriter, check_terminal, say};
use crate::progress::{self, Progress};
use crate::settings::Settings;
use crate::{Error, Result, signals, wiring};

impl LakeCommand {
    /// The folder or object store of the data.
    pub(crate) fn data(&self) -> &Option<String> {
        match self {
            Self::Delete(_) => &None,
            Self::Files(arguments) | Self::Check(arguments) | Self::History(arguments) => {
                &arguments.data
            }
            Self::CheckStore(arguments) => &arguments.data,
            Self::Restore(arguments) => &arguments.data,
            Self::Alter(arguments) => &arguments.data,
            Self::ReleaseLog(arguments) => &arguments.data,
        }
    }
}

pub(super) async fn run(command: LakeCommand, settings: &Settings) -> Result<()> {
    let lake = wiring::lake(settings, "lake")?;
    signals::unless_stopped(async {
        match &command {
            LakeCommand::Delete(arguments) => delete::run(arguments, settings).await,
            LakeCommand::Alter(arguments) => alter::run(arguments, settings).await,
            LakeCommand::ReleaseLog(_) => release_log::run(&lake, settings).await,
            LakeCommand::CheckStore(arguments) => check_store::run(arguments, settings).await,
            LakeCommand::Files(arguments) => {
                let (tables, refused) = tables(&lake, arguments, settings).await?;
                files(&tables, arguments.format).and(refused)
            }
            LakeCommand::Check(arguments) => {
                let (tables, refused) = tables(&lake, arguments, settings).await?;
                check(&tables, arguments.format).await.and(refused)
            }
            LakeCommand::History(arguments) => {
                let mut tables = Vec::new();
                for name in names(&lake, arguments, settings).await? {
                    tables.push(open_to_restore(&lake, &name, settings).await?);
                }
                history(&tables, arguments.format).await
            }
            LakeCommand::Restore(arguments) => {
                check_terminal(arguments.format)?;
                let table = open_to_restore(&lake, &arguments.table, settings).await?;
                restore(table, arguments, &lake, settings).await
            }
        }
    })
    .await
}

struct Opened {
    name: String,
    table: LakeTable,
    snapshot: Snapshot,
}

/// The tables that are asked for, and an error that names those that cannot be opened, if some can.
async fn tables(
    lake: &LakeStore,
    arguments: &LakeArguments,
    settings: &Settings,
) -> Result<(Vec<Opened>, Result<()>)> {
    let (mut opened, mut refused) = (Vec::new(), Vec::new());
    for name in names(lake, arguments, settings).await? {
        match open(lake, &name, settings).await {
            Ok(table) => opened.push(table),
            Err(error) => refused.push(error.to_string()),
        }
    }
    let refused = match refused.is_empty() {
        true => Ok(()),
        false => Err(Error::failed(refused.join("\n"))),
    };
    match opened.is_empty() {
        true => refused.map(|()| (opened, Ok(()))),
        false => Ok((opened, refused)),
    }
}

async fn names(
    lake: &LakeStore,
    arguments: &LakeArguments,
    settings: &Settings,
) -> Result<Vec<String>> {
    check_terminal(arguments.format)?;
    let names = match &arguments.table {
        Some(name) => vec![name.clone()],
        None => table::names(lake).await?,
    };
    if names.is_empty() {
        return Err(Error::failed(format!(
            "there is no table in {}: name another folder with --data",
            settings.data
        )));
    }
    Ok(names)
}

async fn open(lake: &LakeStore, name: &str, settings: &Settings) -> Result<Opened> {
    opened(name, LakeTable::open_existing(lake.child(name)).await, settings)
}

/// Opens a table whatever another program made of it.
async fn open_to_restore(lake: &LakeStore, name: &str, settings: &Settings) -> Result<Opened> {
    opened(name, LakeTable::open_to_restore(lake.child(name)).await, settings)
}

fn opened(
    name: &str,
    table: barograph_lake::Result<(LakeTable, Snapshot)>,
    settings: &Settings,
) -> Result<Opened> {
    let (table, snapshot) =
        table.map_err(|e| Error::failed(format!("table {name:?} in {}: {e}", settings.data)))?;
    Ok(Opened { name: name.to_owned(), table, snapshot })
}

fn files(tables: &[Opened], format: Format) -> Result<()> {
    let files: Vec<_> = tables
        .iter()
        .flat_map(|opened| opened.snapshot.files().iter().map(|file| (opened.name.as_str(), file)))
        .collect();
    let rows = RecordBatch::try_from_iter([
        ("table", text(files.iter().map(|(table, _)| (*table).to_owned()))),
        ("path", text(files.iter().map(|(_, file)| file.path.to_string()))),
        ("rows", count(files.iter().map(|(_, file)| file.rows))),
        ("bytes", count(files.iter().map(|(_, file)| file.bytes))),
        (
            "bytes_per_row",
            Arc::new(Float64Array::from_iter_values(
                files.iter().map(|(_, file)| file.bytes as f64 / file.rows.max(1) as f64),
            )) as ArrayRef,
        ),
        ("key_min", key(files.iter().map(|(_, file)| file.keys.0))),
        ("key_max", key(files.iter().map(|(_, file)| file.keys.1))),
        ("from", time(files.iter().map(|(_, file)| file.times.0))),
        ("to", time(files.iter().map(|(_, file)| file.times.1))),
    ])?;
    print(&rows, format)?;
    for opened in tables {
        let files = opened.snapshot.files();
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let size: u64 = files.iter().map(|file| file.bytes).sum();
        progress::line(&format!(
            "{}: version {}, {} files, {} rows, {}, {:.2} bytes a row",
            opened.name,
            opened.snapshot.version(),
            grouped(files.len() as u64),
            grouped(rows),
            bytes(size),
            size as f64 / rows.max(1) as f64
        ));
        for other in opened.snapshot.foreign_files() {
            progress::line(&format!(
                "{}: {} is a file of another program, {}, which the server takes over",
                opened.name,
                other.path,
                bytes(other.bytes)
            ));
        }
    }
    Ok(())
}

async fn check(tables: &[Opened], format: Format) -> Result<()> {
    let mut reports: Vec<(&str, CheckReport)> = Vec::new();
    for opened in tables {
        let files = opened.snapshot.files().len() as u64;
        let mut progress = Progress::new(format!("checking {}", opened.name), "files", files);
        let mut told = |done: usize, _: usize| progress.set(done as u64);
        let report = opened.table.check(&opened.snapshot, &mut told).await?;
        progress.finish();
        reports.push((&opened.name, report));
    }
    let findings: Vec<_> = reports
        .iter()
        .flat_map(|(table, report)| report.findings.iter().map(move |finding| (*table, finding)))
        .collect();
    if !findings.is_empty() || format != Format::Table {
        let severity = |damage: bool| if damage { "damage" } else { "note" }.to_owned();
        let rows = RecordBatch::try_from_iter([
            ("table", text(findings.iter().map(|(table, _)| (*table).to_owned()))),
            ("severity", text(findings.iter().map(|(_, f)| severity(f.kind.is_damage())))),
            ("kind", text(findings.iter().map(|(_, f)| f.kind.to_string()))),
            ("subject", text(findings.iter().map(|(_, f)| f.subject.clone()))),
            ("detail", text(findings.iter().map(|(_, f)| f.detail.clone()))),
        ])?;
        print(&rows, format)?;
    }
    for (table, report) in &reports {
        let line = format!(
            "{table}: version {}, {} files, {} rows, {} read: {}",
            report.version,
            grouped(report.files),
            grouped(report.rows),
            bytes(report.bytes),
            if report.is_sound() { "sound" } else { "DAMAGED" }
        );
        match format {
            Format::Table => say(line)?,
            _ => progress::line(&line),
        }
    }
    let damaged: Vec<_> =
        reports.iter().filter(|(_, report)| !report.is_sound()).map(|(table, _)| *table).collect();
    if damaged.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!("damage in {}", damaged.join(", "))))
}

async fn history(tables: &[Opened], format: Format) -> Result<()> {
    let mut commits = Vec::new();
    for opened in tables {
        for commit in opened.table.history().await? {
            commits.push((opened.name.as_str(), commit));
        }
    }
    let rows = RecordBatch::try_from_iter([
        ("table", text(commits.iter().map(|(table, _)| (*table).to_owned()))),
        ("version", count(commits.iter().map(|(_, commit)| commit.version.get()))),
        ("at", time(commits.iter().map(|(_, commit)| commit.at))),
        ("operation", text(commits.iter().map(|(_, commit)| commit.operation.clone()))),
        ("hours", hours(commits.iter().map(|(_, commit)| commit.hours.as_deref()))),
        ("files_added", count(commits.iter().map(|(_, commit)| commit.files_added))),
        ("files_removed", count(commits.iter().map(|(_, commit)| commit.files_removed))),
        ("rows_added", count(commits.iter().map(|(_, commit)| commit.rows_added))),
        ("bytes_added", count(commits.iter().map(|(_, commit)| commit.bytes_added))),
    ])?;
    print(&rows, format)
}

async fn restore(
    opened: Opened,
    arguments: &LakeRestoreArguments,
    lake: &LakeStore,
    settings: &Settings,
) -> Result<()> {
    let Opened { name, table, snapshot } = opened;
    let version = TableVersion::new(arguments.version);
    let plan = table.plan_restore(&snapshot, version).await?;
    let removed = plan.removed.iter().map(|file| ("remove", file));
    let changed: Vec<_> = removed.chain(plan.added.iter().map(|file| ("add", file))).collect();
    let rows = RecordBatch::try_from_iter([
        ("change", text(changed.iter().map(|(change, _)| (*change).to_owned()))),
        ("path", text(changed.iter().map(|(_, file)| file.path.to_string()))),
        ("rows", count(changed.iter().map(|(_, file)| file.rows))),
        ("bytes", count(changed.iter().map(|(_, file)| file.bytes))),
        ("from", time(changed.iter().map(|(_, file)| file.times.0))),
        ("to", time(changed.iter().map(|(_, file)| file.times.1))),
    ])?;
    print(&rows, arguments.format)?;
    let (before, after) = plan.rows();
    let change = format!(
        "{name}: {} files removed, {} added, {} rows before, {} after",
        grouped(plan.removed.len() as u64),
        grouped(plan.added.len() as u64),
        grouped(before),
        grouped(after)
    );
    if arguments.dry_run {
        progress::line(&format!("{change}; nothing was changed"));
        return Ok(());
    }
    let restored = match table.restore(&plan, SystemClock.now()).await? {
        Outcome::Committed(restored) => restored,
        Outcome::Conflicted(conflict) => {
            return Err(Error::failed(format!(
                "{}: its changes would be lost unseen; nothing was changed: check, and restore again",
                barograph_lake::Error::from(conflict)
            )));
        }
        Outcome::Unknown(unknown) => {
            return Err(Error::failed(format!(
                "{}; `barograph lake history {name}` shows it, if it was",
                barograph_lake::Error::from(unknown)
            )));
        }
    };
    progress::line(&format!(
        "{change}; version {} has the files of version {version}, and `barograph lake restore {name} --version {}` \
         undoes it",
        restored.version(),
        snapshot.version()
    ));
    tell(lake, settings, &name, restored.version()).await
}

/// Tells the servers of a shared log, if there are, that a table is at a version that this command made.
pub(super) async fn tell(
    lake: &LakeStore,
    settings: &Settings,
    table: &str,
    version: TableVersion,
) -> Result<()> {
    let (lake, settings) = (lake.clone(), settings.engine.log.clone());
    let of = table.to_owned();
    let told = tokio::task::spawn_blocking(move || {
        announce(&lake, &settings, Arc::new(SystemClock), &of, version)
    });
    match told.await.map_err(|e| Error::failed(e.to_string()))? {
        Ok(None) => {}
        Ok(Some(position)) => progress::line(&format!(
            "{table}: every server answers with version {version} after position {position} (--after {position})"
        )),
        Err(error) => progress::line(&format!(
            "{table}: the log could not be told of version {version} ({error}): servers that share it see the version within engine.poll_commits_every"
        )),
    }
    Ok(())
}

/// Spans of hours; null where they are not known.
fn hours<'a>(values: impl Iterator<Item = Option<&'a [Hour]>>) -> ArrayRef {
    Arc::new(values.map(|hours| hours.map(spans)).collect::<StringArray>())
}

pub(super) fn text(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn count(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

fn key(values: impl Iterator<Item = Key>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(Key::get)))
}

fn time(instants: impl Iterator<Item = Timestamp>) -> ArrayRef {
    let micros = instants.map(Timestamp::as_micros);
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

pub(super) fn print(rows: &RecordBatch, format: Format) -> Result<()> {
    let mut writer = RowWriter::new(std::io::stdout(), format, &rows.schema(), false)?;
    writer.write(rows)?;
    writer.finish()?.flush()?;
    Ok(())
}
