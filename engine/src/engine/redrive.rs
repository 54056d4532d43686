//! The re-drive of dead letters: after a fix (of a range, of the known keys) they are read and validated anew, and
//! the rows that pass are put into their table and marked, in one append.
//!
//! ```text
//! letters ─► rows as they were sent ─► validate ─► rows that no newer one stands against ─► put, mark
//!                    └ none: stay          └ stay      └ a newer one: mark
//! ```
//! A row that was accepted after the letter was written stays, whenever it came: the writer puts nothing in place of
//! a row that came during the re-drive.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use barograph_lake::schema::{KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Hour, Key, KeySelection, Span, TimeRange, Timestamp};
use futures::TryStreamExt;
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::Engine;
use super::put::{batch_bytes, entry};
use crate::dead_letters::{DEAD_LETTERS, Letter, decode, encode};
use crate::memory::Reservation;
use crate::scan::Scan;
use crate::table::Table;
use crate::validate::{Validated, key_at, logged_schema, row, validate};
use crate::view::View;
use crate::writer::Precondition;
use crate::{Durability, Error, ErrorKind, Result, retry};

/// Letters that are put at a time.
const LETTERS_AT_ONCE: usize = 1_024;
/// Bytes of rows of letters that are put at a time.
const BYTES_AT_ONCE: usize = 8 << 20;
/// How often rows are looked at anew because one of them was put, or landed, meanwhile.
const TRIES: usize = 64;
/// Memory of a row that was put, until all are.
const PUT_BYTES: usize = 64;

/// What a re-drive did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveReport {
    /// Letters of the table and time that were looked at and not re-driven before: the sum of the others.
    pub letters: u64,
    /// Rows that are in their table now.
    pub accepted: u64,
    /// Letters that stay, as they would be rejected again.
    pub rejected: u64,
    /// Letters that gave way to a row of the same key and time that was accepted after they were written.
    #[serde(default)]
    pub superseded: u64,
    /// Letters that stay, as they do not hold the values that were sent: rows as they stood in a file, rows that
    /// are cut, and letters of earlier versions. Import or send those rows again.
    #[serde(default)]
    pub unreadable: u64,
}

/// A re-drive that is running.
struct Run<'a> {
    target: &'a Arc<Table>,
    letters: &'a Arc<Table>,
    report: RedriveReport,
    /// When each row that this one put was accepted.
    put: HashMap<(Key, Timestamp), Timestamp>,
    held: Vec<Reservation>,
}

/// Letters whose rows may go in, with the rows.
struct Passed {
    letters: Vec<Letter>,
    rows: RecordBatch,
    /// Key and instant of each row.
    at: Vec<(Key, Timestamp)>,
}

impl Engine {
    /// Puts the dead letters of `table` that were rejected in `time` again, at durability `disk`.
    pub async fn redrive(self: &Arc<Self>, table: &str, time: TimeRange) -> Result<RedriveReport> {
        let _alone = self.redriving.lock().await;
        let (target, letters) = (self.table(table)?, self.table(DEAD_LETTERS)?);
        let columns = (0..letters.schema.arrow().fields().len()).collect();
        let scan = Scan { columns, ..Scan::of(KeySelection::All, time) };
        let report = RedriveReport::default();
        let mut run = Run { target, letters, report, put: HashMap::new(), held: Vec::new() };
        let mut answer = self.scan(letters.view.load_full(), scan).await?.batches;
        while let Some(rows) = answer.try_next().await? {
            let mut some = Vec::new();
            let mut bytes = 0;
            for letter in decode(&rows)? {
                if letter.table != table || letter.redriven_at.is_some() {
                    continue;
                }
                bytes += letter.rejected.row.len();
                some.push(letter);
                if some.len() >= LETTERS_AT_ONCE || bytes >= BYTES_AT_ONCE {
                    self.redrive_some(&mut run, std::mem::take(&mut some)).await?;
                    bytes = 0;
                }
            }
            self.redrive_some(&mut run, some).await?;
        }
        Ok(run.report)
    }

    async fn redrive_some(self: &Arc<Self>, run: &mut Run<'_>, letters: Vec<Letter>) -> Result<()> {
        run.report.letters += letters.len() as u64;
        let passed = self.passed(run, letters)?;
        if passed.letters.is_empty() {
            return Ok(());
        }
        let passed = self.unique(run, passed).await?;
        let now = self.now();
        for _ in 0..TRIES {
            let view = run.target.view.load_full();
            let accepted = self.accepted(&view, &passed.at).await?;
            let newer = |at: usize| {
                let row = passed.at.get(at)?;
                let accepted = accepted.get(row)?;
                let ours = run.put.get(row) == Some(accepted);
                let written = passed.letters.get(at)?.written_at;
                // A letter of a clock that was ahead does not tell whether it is older.
                ((*accepted >= written || written > now) && !ours).then_some(())
            };
            let (stay, go): (Vec<_>, Vec<_>) =
                (0..passed.letters.len()).partition(|&at| newer(at).is_some());
            if self.put_again(run, &passed, &go, &stay, view).await? {
                return Ok(());
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!(
                "table {:?}: rows of the same keys and times were put or landed {TRIES} times while dead letters were redriven: try again when the table is less busy",
                run.target.schema.name()
            ),
        ))
    }

    /// The letters whose rows the table takes now.
    fn passed(&self, run: &mut Run<'_>, letters: Vec<Letter>) -> Result<Passed> {
        let schema = &run.target.schema;
        let texts: Vec<_> = letters.iter().map(|letter| letter.rejected.row.as_str()).collect();
        let groups = row::read(&texts)?;
        let readable: usize = groups.iter().map(|group| group.from.len()).sum();
        run.report.unreadable += (letters.len() - readable) as u64;
        let rules = self.rules(run.target);
        let (mut batches, mut from) = (Vec::new(), Vec::new());
        for group in groups {
            // Columns that the table no longer has, or of other types: as a put of them it is refused whole.
            let Ok(Validated { accepted, rejected }) = validate(schema, &group.rows, &rules) else {
                run.report.rejected += group.from.len() as u64;
                continue;
            };
            run.report.rejected += rejected.len() as u64;
            let passed = group.from.iter().enumerate();
            from.extend(passed.filter(|(row, _)| !rejected.holds(*row)).map(|(_, &at)| at));
            batches.push(accepted);
        }
        let rows = concat_batches(&logged_schema(schema), &batches)?;
        let mut letters: Vec<_> = letters.into_iter().map(Some).collect();
        let passed = from.iter().filter_map(|&at| letters.get_mut(at)?.take()).collect();
        let times = rows.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
        let at =
            |row| (key_at(rows.column(KEY_COLUMN), row), Timestamp::from_micros(times.value(row)));
        let at = (0..rows.num_rows()).map(at).collect();
        Ok(Passed { letters: passed, rows, at })
    }

    /// The last letter of each row; the others give way to it.
    async fn unique(&self, run: &mut Run<'_>, passed: Passed) -> Result<Passed> {
        let mut last: HashMap<(Key, Timestamp), usize> = HashMap::new();
        let written =
            |at: usize| passed.letters.get(at).map(|letter| (letter.written_at, letter.id));
        for (at, &row) in passed.at.iter().enumerate() {
            let kept = last.entry(row).or_insert(at);
            if written(*kept) < written(at) {
                *kept = at;
            }
        }
        if last.len() == passed.at.len() {
            return Ok(passed);
        }
        let mut kept: Vec<_> = last.into_values().collect();
        kept.sort_unstable();
        let gone: Vec<_> =
            (0..passed.at.len()).filter(|at| kept.binary_search(at).is_err()).collect();
        let marks = self.marks(&passed, &[], &gone);
        let marks = encode(&run.letters.schema, &marks)?;
        let reservation = self.reserve_tail(batch_bytes(&marks))?;
        let entries = vec![entry(run.letters, marks, "redrive")?];
        self.submit(entries, Durability::Disk, reservation, None)?.written().await?;
        run.report.superseded += gone.len() as u64;
        let rows = rows_of(&passed.rows, &kept)?;
        let at = kept.iter().filter_map(|&at| passed.at.get(at).copied()).collect();
        let mut letters: Vec<_> = passed.letters.into_iter().map(Some).collect();
        let letters = kept.iter().filter_map(|&at| letters.get_mut(at)?.take()).collect();
        Ok(Passed { letters, rows, at })
    }

    /// When the rows of the table with these keys and instants were accepted, as far as there are any.
    async fn accepted(
        &self,
        view: &Arc<View>,
        rows: &[(Key, Timestamp)],
    ) -> Result<HashMap<(Key, Timestamp), Timestamp>> {
        let mut found = HashMap::new();
        for (hour, wanted) in by_hour(rows) {
            let keys = KeySelection::list(wanted.iter().map(|row| row.0));
            let from = wanted.iter().map(|row| row.1).min().unwrap_or_else(|| hour.start());
            let to = wanted.iter().map(|row| row.1).max().unwrap_or_else(|| hour.start());
            let time = TimeRange { from, to: to + Span::MICROSECOND };
            let scan = Scan { columns: vec![view.schema.ingested_at()], ..Scan::of(keys, time) };
            let mut answer = self.scan(Arc::clone(view), scan).await?.batches;
            while let Some(held) = answer.try_next().await? {
                let times = held.column(TIME_COLUMN).as_primitive::<TimestampMicrosecondType>();
                let accepted = held.column(2).as_primitive::<TimestampMicrosecondType>();
                for row in 0..held.num_rows() {
                    let time = Timestamp::from_micros(times.value(row));
                    let at = (key_at(held.column(KEY_COLUMN), row), time);
                    if wanted.contains(&at) {
                        found.insert(at, Timestamp::from_micros(accepted.value(row)));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Puts the rows `go`, and marks them and those that `stay`, unless a row of the same key and time was put since
    /// `view`: then nothing is done.
    async fn put_again(
        &self,
        run: &mut Run<'_>,
        passed: &Passed,
        go: &[usize],
        stay: &[usize],
        view: Arc<View>,
    ) -> Result<bool> {
        let marks = encode(&run.letters.schema, &self.marks(passed, go, stay))?;
        let rows = rows_of(&passed.rows, go)?;
        let reservation = self.reserve_tail(batch_bytes(&rows) + batch_bytes(&marks))?;
        let held = self.bounds.scan.try_reserve(go.len() * PUT_BYTES, retry::READ_ENDS)?;
        let mut entries = vec![entry(run.letters, marks, "redrive")?];
        if !go.is_empty() {
            entries.insert(0, entry(run.target, rows, "redrive")?);
        }
        let precondition =
            Precondition { table: Arc::clone(run.target), view, rows: by_hour(&passed.at) };
        let Some(written) = self.submit_unchanged(entries, reservation, precondition).await? else {
            return Ok(false);
        };
        run.held.push(held);
        let put = go.iter().filter_map(|&at| passed.at.get(at));
        run.put.extend(put.map(|&row| (row, written.ingested_at)));
        run.report.accepted += go.len() as u64;
        run.report.superseded += stay.len() as u64;
        Ok(true)
    }

    /// The letters of rows that go in, and of those that give way, marked.
    fn marks(&self, passed: &Passed, go: &[usize], stay: &[usize]) -> Vec<Letter> {
        let now = Some(self.now());
        let put = go.iter().filter_map(|&at| passed.letters.get(at).cloned());
        let put = put.map(|letter| Letter { redriven_at: now, ..letter });
        let gone = stay.iter().filter_map(|&at| passed.letters.get(at).cloned());
        let gone = gone.map(|mut letter| {
            letter.rejected.reason = format!(
                "superseded by a row that was accepted later; it was rejected as {}",
                letter.rejected.reason
            );
            Letter { redriven_at: now, ..letter }
        });
        put.chain(gone).collect()
    }
}

fn rows_of(rows: &RecordBatch, which: &[usize]) -> Result<RecordBatch> {
    let which = UInt32Array::from_iter_values(which.iter().map(|&at| at as u32));
    Ok(take_record_batch(rows, &which)?)
}

fn by_hour(rows: &[(Key, Timestamp)]) -> HashMap<Hour, HashSet<(Key, Timestamp)>> {
    let mut hours: HashMap<Hour, HashSet<(Key, Timestamp)>> = HashMap::new();
    for &row in rows {
        if let Some(hour) = Hour::of(row.1) {
            hours.entry(hour).or_default().insert(row);
        }
    }
    hours
}

#[cfg(test)]
mod tests;
