//! `barograph import`: files into a table, through a server or as files of the lake.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use barograph_engine::dead_letters::DEAD_LETTERS;
use barograph_engine::validate::Rejected;
use barograph_engine::{Durability, SystemClock};
use barograph_flight::Client;
use barograph_jobs::import::{
    DirectImport, FileSummary, Import, ImportEvent, Imported, Mapping, Options, PutOutcome,
    Replaced, Sink, State, Stop,
};
use barograph_jobs::import::{Found, LocalTimes};
use barograph_lake::TableSchema;
use barograph_query::SqlExpressions;

use super::lake::tell;
use crate::arguments::ImportArguments;
use crate::figures::{grouped, rate};
use crate::output::{RowWriter, check_terminal};
use crate::progress::{self, Progress};
use crate::settings::Settings;
use crate::settings::tables::READINGS;
use crate::{Error, Result, signals, wiring};

pub(super) async fn run(arguments: ImportArguments, settings: Settings) -> Result<()> {
    check_terminal(arguments.format)?;
    let mapping = mapping(&arguments)?;
    let table = arguments.table.clone().or_else(|| mapping.table.clone());
    let table = table.unwrap_or_else(|| READINGS.to_owned());
    match arguments.data.is_some() {
        true => into_lake(&arguments, &settings, mapping, &table).await,
        false => into_server(&arguments, &settings, mapping, &table).await,
    }
}

async fn into_lake(
    arguments: &ImportArguments,
    settings: &Settings,
    mapping: Mapping,
    table: &str,
) -> Result<()> {
    let lake = wiring::lake(settings, "import")?;
    let schema = wiring::table(settings, table)?;
    let state = wiring::local_data(&settings.data)?.unwrap_or_else(wiring::user_state);
    let stop = Stop::default();
    let import = DirectImport {
        target: lake.url().to_string(),
        lake: lake.clone(),
        rules: wiring::rules(settings, &schema)?,
        table: Arc::new(schema),
        clock: Arc::new(SystemClock),
        compaction: settings.compaction.clone(),
        mapping,
        options: options(arguments),
        stop: stop.clone(),
    };
    let mut state = open_state(arguments, state.join("imports.json"))?;
    let mut imported = Imported::default();
    let mut progress_bar = ImportProgress::default();
    let mut report = |report: ImportEvent<'_>| progress_bar.show(report);
    let done = {
        let work = import.run(&arguments.files, &mut state, &mut imported, &mut report);
        stoppable(&stop, work).await
    };
    drop(progress_bar);
    imported.files.iter().for_each(note);
    let merged = imported.merged;
    if merged.periods > 0 {
        progress::line(&format!(
            "{} rows in {} hours, days and months, {} files written",
            grouped(merged.rows),
            grouped(merged.periods),
            grouped(merged.files)
        ));
    }
    for (table, version) in &imported.committed {
        tell(&lake, settings, table, *version).await?;
    }
    if !imported.files.is_empty() {
        print(&imported.files, arguments)?;
    }
    done?;
    if imported.stopped { Err(stopped()) } else { Ok(()) }
}

/// How far an import into a lake is.
#[derive(Default)]
struct ImportProgress(Option<(String, Progress)>);

impl ImportProgress {
    fn show(&mut self, report: ImportEvent<'_>) {
        let (label, rows, of) = match report {
            ImportEvent::Note(text) => return progress::line(&text),
            ImportEvent::Read { path, rows } => (path.display().to_string(), rows, 0),
            ImportEvent::Merged { table, rows, of } => (format!("into {table}"), rows, of),
        };
        if self.0.as_ref().is_none_or(|(other, _)| *other != label) {
            if let Some((_, progress)) = self.0.take() {
                progress.finish();
            }
            self.0 = Some((label.clone(), Progress::new(label, "rows", of)));
        }
        if let Some((_, progress)) = &mut self.0 {
            progress.set(rows);
        }
    }
}

impl Drop for ImportProgress {
    fn drop(&mut self) {
        if let Some((_, progress)) = self.0.take() {
            progress.finish();
        }
    }
}

async fn into_server(
    arguments: &ImportArguments,
    settings: &Settings,
    mapping: Mapping,
    table: &str,
) -> Result<()> {
    let client = wiring::connect(settings).await?;
    let schema = wiring::remote_table(table, client.schema(table).await?.as_ref())?;
    let state = wiring::user_state().join("imports.json");
    let target = settings.endpoint.clone();
    files(arguments, &ClientSink(client), target, Arc::new(schema), mapping, state).await
}

fn mapping(arguments: &ImportArguments) -> Result<Mapping> {
    let mut mapping = match &arguments.mapping {
        Some(path) => Mapping::read(path)?,
        None => Mapping::default(),
    };
    for text in &arguments.map {
        mapping.map(text)?;
    }
    for text in &arguments.values {
        mapping.values(text)?;
    }
    mapping.null.extend(arguments.null.iter().cloned());
    arguments.text.over(&mut mapping.format)?;
    let time = &mut mapping.time;
    if !arguments.time_column.is_empty() {
        time.columns.clone_from(&arguments.time_column);
    }
    time.format = arguments.time_format.clone().or(time.format.take());
    time.zone = arguments.time_zone.clone().or(time.zone.take());
    if let Some(unit) = &arguments.time_unit {
        time.unit = Some(unit.parse()?);
    }
    Ok(mapping)
}

async fn files<S: Sink>(
    arguments: &ImportArguments,
    sink: &S,
    target: String,
    table: Arc<TableSchema>,
    mapping: Mapping,
    state: PathBuf,
) -> Result<()> {
    let stop = Stop::default();
    let import = Import {
        sink,
        target,
        table,
        mapping,
        options: options(arguments),
        stop: stop.clone(),
        seen: Default::default(),
    };
    let mut state = open_state(arguments, state)?;
    let mut summaries = Vec::new();
    let done = stoppable(&stop, each(arguments, &import, &mut state, &mut summaries)).await;
    if !summaries.is_empty() {
        print(&summaries, arguments)?;
    }
    done
}

fn options(arguments: &ImportArguments) -> Options {
    Options {
        batch_rows: arguments.batch_rows as usize,
        memory: arguments.memory.get(),
        form: arguments.form.map(Into::into),
        restart: arguments.restart,
        ..Options::new(Arc::new(SqlExpressions))
    }
}

fn open_state(arguments: &ImportArguments, otherwise: PathBuf) -> Result<State> {
    Ok(State::open(arguments.state.clone().unwrap_or(otherwise))?)
}

/// Lets Ctrl-C stop the work, which then ends by itself.
async fn stoppable<T>(stop: &Stop, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => done,
        () = signals::stop() => {
            stop.stop();
            progress::line("stopping after the rows under way");
            work.await
        }
    }
}

fn stopped() -> Error {
    Error::stopped("stopped; the same command continues from here, with every row accounted for")
}

async fn each<S: Sink>(
    arguments: &ImportArguments,
    import: &Import<'_, S>,
    state: &mut State,
    summaries: &mut Vec<FileSummary>,
) -> Result<()> {
    for path in &arguments.files {
        let mut progress = Progress::new(path.display().to_string(), "rows", 0);
        let mut report = |reached: barograph_jobs::import::Progress| progress.set(reached.rows);
        let summary = import.file(path, state, &mut report).await;
        progress.finish();
        let summary = summary?;
        let stopped = summary.stopped;
        note(&summary);
        summaries.push(summary);
        if stopped {
            return Err(self::stopped());
        }
    }
    Ok(())
}

/// Says what the table of figures has no room for.
fn note(summary: &FileSummary) {
    let path = summary.path.display();
    if summary.read == 0 && summary.earlier > 0 {
        progress::line(&format!("{path}: imported before; --restart imports it again"));
    }
    if !summary.ignored.is_empty() {
        progress::line(&format!("{path}: not imported: {}", summary.ignored.join(", ")));
    }
    if !summary.absent.is_empty() {
        progress::line(&format!("{path}: null in every row: {}", summary.absent.join(", ")));
    }
    note_replaced(&path, &summary.replaced);
    let Found { ambiguous, nonexistent } = &summary.local;
    note_local(
        &path,
        ambiguous,
        "occur twice, as clocks are set back (`ambiguous` decides which is meant)",
    );
    note_local(
        &path,
        nonexistent,
        "do not exist, as clocks are set forward (`nonexistent` decides what is meant)",
    );
    let dead = summary.unreadable + summary.implausible;
    if dead > 0 {
        progress::line(&format!(
            "{path}: {} rows went to {DEAD_LETTERS}, each with its reason (barograph range --all --table {DEAD_LETTERS})",
            grouped(dead)
        ));
    }
    if summary.took.as_secs() > 0 {
        progress::line(&format!("{path}: {} rows/s", grouped(rate(summary.read, summary.took))));
    }
}

/// Says which rows are not in the table any more, as later ones of the same import are.
fn note_replaced(path: &impl std::fmt::Display, replaced: &Replaced) {
    if replaced.rows == 0 {
        return;
    }
    let named = replaced.named.iter().map(|(key, at)| format!("{key} at {at}"));
    let least = if replaced.is_at_least { "at least " } else { "" };
    progress::line(&format!(
        "{path}: {least}{} rows replaced others of the same import, of the same key and time: {}{}; if they \
         are different readings, the key or the time stands in more columns than the mapping takes it from",
        grouped(replaced.rows),
        named.collect::<Vec<_>>().join(", "),
        if replaced.rows > replaced.named.len() as u64 { ", …" } else { "" },
    ));
}

/// Says which local times are no single instant.
fn note_local(path: &impl std::fmt::Display, times: &LocalTimes, what: &str) {
    if let (Some(first), Some(last)) = (&times.first, &times.last) {
        let rows = grouped(times.rows);
        progress::line(&format!(
            "{path}: {rows} rows have local times that {what}: {first} to {last}"
        ));
    }
}

fn print(summaries: &[FileSummary], arguments: &ImportArguments) -> Result<()> {
    let count = |of: fn(&FileSummary) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(summaries.iter().map(of)))
    };
    let paths = summaries.iter().map(|summary| summary.path.display().to_string());
    let seconds = summaries.iter().map(|summary| summary.took.as_secs_f64());
    let rows = RecordBatch::try_from_iter([
        ("file", Arc::new(StringArray::from_iter_values(paths)) as ArrayRef),
        ("earlier", count(|summary| summary.earlier)),
        ("read", count(|summary| summary.read)),
        ("accepted", count(|summary| summary.accepted)),
        ("unreadable", count(|summary| summary.unreadable)),
        ("implausible", count(|summary| summary.implausible)),
        ("replaced", count(|summary| summary.replaced.rows)),
        ("seconds", Arc::new(Float64Array::from_iter_values(seconds))),
    ])?;
    let mut writer = RowWriter::new(std::io::stdout(), arguments.format, &rows.schema(), false)?;
    writer.write(&rows)?;
    writer.finish().map(drop)
}

/// A server, at durability `disk`.
struct ClientSink(Client);

impl Sink for ClientSink {
    async fn put(
        &self,
        table: &str,
        rows: RecordBatch,
        _: &str,
    ) -> barograph_jobs::Result<PutOutcome> {
        let ack = self.0.put_batch(table, rows, Durability::Disk).await.map_err(from_server)?;
        Ok(PutOutcome { accepted: ack.accepted, rejected: ack.rejected })
    }

    async fn put_rejected(
        &self,
        table: &str,
        rejected: &[Rejected],
        source: &str,
    ) -> barograph_jobs::Result<PutOutcome> {
        let same = |text: &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rejected.iter().map(|_| text)))
        };
        let each = |of: fn(&Rejected) -> &String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rejected.iter().map(of)))
        };
        let letters = RecordBatch::try_from_iter([
            ("table_name", same(table)),
            ("source", same(source)),
            ("reason", each(|rejected| &rejected.reason)),
            ("row", each(|rejected| &rejected.row)),
        ])?;
        let ack = self.0.put_batch(DEAD_LETTERS, letters, Durability::Disk).await;
        let ack = ack.map_err(from_server)?;
        Ok(PutOutcome { accepted: 0, rejected: ack.accepted })
    }
}

fn from_server(error: barograph_flight::Error) -> barograph_jobs::Error {
    use barograph_engine::ErrorKind as Engine;
    use barograph_jobs::ErrorKind as Jobs;
    let kind = match error.kind() {
        Engine::Request | Engine::NotFound => Jobs::Request,
        Engine::Resources => Jobs::Resources,
        Engine::Damage => Jobs::Damage,
        Engine::Internal => Jobs::Internal,
        _ => Jobs::Unavailable,
    };
    let retry_after = error.retry_after();
    barograph_jobs::Error::new(kind, "server").with_retry_after(retry_after).with_source(error)
}
