//! A round of landing: the hours that are due in every table, piece by piece and table by table in turn, so that no
//! table waits for another's hours or faults.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use barograph_lake::{Hour, Period, Span, Tier};
use hashbrown::HashMap;

use super::decide::{HourFacts, Reason, Situation, decide};
use super::faults::{Standing, period_of};
use super::land::{FlushReport, Landing, land_hours};
use super::{LanderParts, Memory, guarded, poll_commits, read_anew, relog, stopped, watermarks};
use crate::table::Table;
use crate::tail::HourView;
use crate::view::View;
use crate::{Error, ErrorKind, Result};

/// Hours that one commit carries at most.
pub(super) const HOURS_PER_COMMIT: usize = 64;
/// Bytes of the tail that one commit carries at most; one hour may always go.
const BYTES_PER_COMMIT: usize = 64 << 20;
/// Hours that are due for so long are landed by whoever notices, if the process that leads does not.
const LEADS_WITHIN: Duration = Duration::from_secs(15);
/// Of so many hours of a piece none could land because the store does not answer: the table's others wait, too.
const OUTAGE_HOURS: usize = 4;

/// What a round has on its hands for a table.
struct Work {
    table: Arc<Table>,
    pieces: VecDeque<Vec<Hour>>,
}

/// What a round has done.
#[derive(Default)]
struct Done {
    report: FlushReport,
    failures: usize,
    first: Option<Error>,
}

impl Done {
    fn fail(&mut self, error: Error) {
        self.failures += 1;
        self.first.get_or_insert(error);
    }
}

/// Lands what `reason` asks for, and moves on in the log what holds it back.
///
/// # Errors
/// Why something could not land, once all else has.
pub(super) async fn round(
    parts: &LanderParts,
    memory: &mut Memory,
    reason: Reason,
) -> Result<FlushReport> {
    if let Some(failure) = parts.writer.status().failure() {
        return Err(failure);
    }
    read_anew::read_anew(parts).await?;
    if reason == Reason::Flush {
        // What was acknowledged before lands, whoever acknowledged it.
        parts.writer.follow().await?;
    }
    poll_commits::poll_commits(parts, memory).await;
    watermarks::forget(parts, memory).await;
    let mut works: VecDeque<Work> = VecDeque::new();
    for table in &parts.tables {
        let pieces = pieces(parts, table, memory, reason);
        works.push_back(Work { table: Arc::clone(table), pieces });
    }
    if reason == Reason::Due && !parts.gauge.leads() {
        let is_due = works.iter().any(|work| !work.pieces.is_empty());
        stand_by(parts, memory, is_due)?;
        return Ok(FlushReport::default());
    }
    memory.due_since = None;
    let mut done = Done::default();
    while let Some(mut work) = works.pop_front() {
        if parts.is_stopping() {
            return Err(stopped());
        }
        let Some(piece) = work.pieces.pop_front() else { continue };
        match guarded(land_hours(parts, &work.table, &piece)).await {
            Ok(landing) => {
                if settle(parts, &work.table, landing, &mut done) {
                    works.push_back(work);
                }
            }
            Err(error) if parts.is_stopping() => return Err(error),
            Err(error) => {
                parts.faults.note(&work.table, None, &[], &error, parts.clock.now());
                parts.counts.failed();
                done.fail(error);
            }
        }
    }
    if let Err(error) = relog::relog(parts).await {
        tracing::warn!(%error, "could not shorten the log: trying again later");
    }
    match done.first {
        None => Ok(done.report),
        Some(first) => {
            let message = match done.failures {
                1 => "landing".to_owned(),
                count => {
                    format!("landing had {count} faults (system.faults lists them), the first")
                }
            };
            Err(Error::new(first.kind(), message).with_source(first))
        }
    }
}

/// Waits for the process that leads to land what is due, and takes its place if it does not.
fn stand_by(parts: &LanderParts, memory: &mut Memory, is_due: bool) -> Result<()> {
    let now = parts.clock.elapsed();
    let since = *memory.due_since.get_or_insert(now);
    if !is_due {
        memory.due_since = None;
    } else if now.saturating_sub(since) >= Span::from_duration(LEADS_WITHIN) {
        memory.due_since = None;
        parts.writer.take_lead()?;
    }
    Ok(())
}

/// Notes what landed and what could not; gives whether the table's next piece is to be tried.
fn settle(parts: &LanderParts, table: &Table, landing: Landing, done: &mut Done) -> bool {
    let Landing { report, landed, failed } = landing;
    done.report.files += report.files;
    done.report.rows += report.rows;
    done.report.bytes += report.bytes;
    parts.counts.landed(report.files, report.rows, report.bytes);
    if !landed.is_empty() {
        parts.faults.mended(table, None);
    }
    landed.iter().for_each(|&period| parts.faults.mended(table, Some(period)));
    let outage = landed.is_empty()
        && failed.len() >= OUTAGE_HOURS
        && failed.iter().all(|(_, error)| error.kind() == ErrorKind::Unavailable);
    let now = parts.clock.now();
    for (at, (unit, error)) in failed.into_iter().enumerate() {
        match (outage, at) {
            (false, _) => {
                parts.faults.note(table, Some(unit.period()), &unit.files, &error, now);
            }
            (true, 0) => parts.faults.note(table, None, &[], &error, now),
            (true, _) => {}
        }
        parts.counts.failed();
        done.fail(error);
    }
    !outage
}

/// The hours of a table to land, cut into what one commit carries.
fn pieces(
    parts: &LanderParts,
    table: &Arc<Table>,
    memory: &mut Memory,
    reason: Reason,
) -> VecDeque<Vec<Hour>> {
    let now = parts.clock.now();
    let view = table.view.load_full();
    let name = table.schema.name();
    let passed = parts.clock.elapsed();
    let due = |merged: &mut HashMap<String, Span>, every: Span| {
        let last = *merged.entry(name.to_owned()).or_insert(passed);
        let is_due = passed.saturating_sub(last) >= every;
        if is_due || reason == Reason::Flush {
            merged.insert(name.to_owned(), passed);
        }
        is_due
    };
    let merge_due = due(&mut memory.merged, parts.settings.late_merge_every);
    let compacted_merge_due =
        due(&mut memory.compacted_merged, parts.settings.compacted_merge_every);
    let whole = parts.faults.standing(name, None, now);
    if view.tail.hours().is_empty() || (whole == Standing::Waiting && reason == Reason::Due) {
        return VecDeque::new();
    }
    let (mut facts, mut again) = (Vec::new(), Vec::new());
    for hour in view.tail.hours() {
        let period = period_of(&view, hour.hour());
        match parts.faults.standing(name, Some(period), now) {
            Standing::Sound => facts.push(of(&view, hour)),
            _ if reason == Reason::Flush => facts.push(of(&view, hour)),
            Standing::Due => again.push(hour.hour()),
            Standing::Waiting => {}
        }
    }
    let situation = Situation {
        watermark: view.newest().unwrap_or(now).min(now),
        now,
        lateness: parts.settings.lateness,
        merge_due,
        compacted_merge_due,
        bytes_to_free: parts.budget.to_free(),
    };
    let hours = decide(&facts, &situation, reason);
    // Whole days and months take long to write: fresh hours do not wait for them.
    let is_compacted = |hour: &Hour| period_of(&view, *hour).tier() > Tier::Hour;
    let (compacted, hours): (Vec<_>, Vec<_>) = hours.into_iter().partition(is_compacted);
    [hours, compacted, again].iter().flat_map(|hours| cut(&view, hours)).collect()
}

fn of(view: &View, hour: &HourView) -> HourFacts {
    let file = view.snapshot.files_of_hour(hour.hour()).first();
    HourFacts {
        hour: hour.hour(),
        bytes: hour.bytes(),
        file: file.map(|file| file.path.period().tier()),
        since: hour.since(),
    }
}

/// Hours in runs that one commit carries.
fn cut(view: &View, hours: &[Hour]) -> Vec<Vec<Hour>> {
    let mut pieces: Vec<Vec<Hour>> = Vec::new();
    let (mut bytes, mut last): (usize, Option<Period>) = (0, None);
    for &hour in hours {
        let period = period_of(view, hour);
        // The hours of a day or month land together.
        let joins = last == Some(period);
        bytes += view.tail.hour(hour).map_or(0, HourView::bytes);
        last = Some(period);
        match pieces.last_mut() {
            Some(piece)
                if joins || (piece.len() < HOURS_PER_COMMIT && bytes <= BYTES_PER_COMMIT) =>
            {
                piece.push(hour);
            }
            _ => {
                bytes = view.tail.hour(hour).map_or(0, HourView::bytes);
                pieces.push(vec![hour]);
            }
        }
    }
    pieces
}
