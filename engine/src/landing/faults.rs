//! The faults of landing: which rows cannot land, since when and why, and when they are tried again. Such rows stay
//! in the log and the tail, while others land.

use std::collections::HashMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use barograph_lake::schema::TIME_COLUMN;
use barograph_lake::{FileEntry, Hour, Period, Span, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::table::Table;
use crate::view::View;
use crate::{Error, ErrorKind, retry};

/// How long the second try waits; each further one waits twice as long.
const WAIT_MIN: Span = Span::seconds(5);
/// The longest wait where the store or the disk may come back by itself.
const WAIT_MAX: Span = Span::MINUTE;
/// The longest wait where an operator has to mend something.
const WAIT_MAX_DAMAGE: Span = Span::seconds(600);

/// An hour, day or month of a table, or the table as a whole, whose rows cannot land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandingFault {
    /// The table.
    pub table: String,
    /// The period of the rows; `None` is the whole table.
    pub period: Option<Period>,
    /// Whether the fault lies in a version that another program wrote: it then stays, whether or not there are rows
    /// to land.
    pub of_version: bool,
    /// The files that the rows are to be merged into.
    pub files: Vec<String>,
    /// When it first occurred.
    pub since: Timestamp,
    /// When landing was last tried.
    pub tried_at: Timestamp,
    /// Number of tries.
    pub tries: u32,
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The message of the error.
    pub error: String,
    /// The remedy for an operator.
    pub cure: String,
}

/// What a table's or period's rows are waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Sound,
    /// For the next try.
    Waiting,
    /// Nothing any more: they are to be tried.
    Due,
}

/// The faults of all tables.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<HashMap<String, HashMap<Option<Period>, LandingFault>>>);

impl LandingFault {
    /// When landing is tried again, unless the clock is set meanwhile.
    pub fn next_at(&self) -> Timestamp {
        self.tried_at.saturating_add(self.wait())
    }

    /// The bytes that its rows take in the tail, and their number.
    pub fn held(&self, view: &View) -> (usize, u64) {
        let hours = view.tail.hours().iter().filter(|hour| match self.period {
            None => true,
            Some(period) => period.holds(hour.hour()),
        });
        hours.fold((0, 0), |(bytes, rows), hour| (bytes + hour.bytes(), rows + hour.rows()))
    }

    fn wait(&self) -> Span {
        let most = match self.kind {
            // What another program made of a table may be undone at any time.
            ErrorKind::Unavailable | ErrorKind::Resources | ErrorKind::Request => WAIT_MAX,
            _ => WAIT_MAX_DAMAGE,
        };
        let doubled = self.tries.saturating_sub(1).min(10);
        (WAIT_MIN * (1 << doubled)).min(most)
    }

    fn standing(&self, now: Timestamp) -> Standing {
        // A clock that was set, either way, must not keep a try from coming.
        let passed = now.since(self.tried_at).abs();
        if passed >= self.wait() { Standing::Due } else { Standing::Waiting }
    }

    fn subject(&self) -> String {
        match self.period {
            None => format!("table {:?}", self.table),
            Some(period) => format!("{} {period} of table {:?}", period.tier(), self.table),
        }
    }
}

impl Faults {
    /// All of them, by table and time.
    pub(crate) fn all(&self) -> Vec<LandingFault> {
        let faults = self.0.lock();
        let mut all: Vec<_> = faults.values().flat_map(HashMap::values).cloned().collect();
        all.sort_by(|a, b| {
            let start = |fault: &LandingFault| fault.period.map(Period::start);
            (&a.table, start(a)).cmp(&(&b.table, start(b)))
        });
        all
    }

    /// Notes that the newest version of a table is none to go on from.
    pub(super) fn refused(&self, table: &Table, error: &Error, now: Timestamp) {
        self.note(table, None, &[], error, now);
        let mut faults = self.0.lock();
        let of_table = faults.get_mut(table.schema.name());
        if let Some(fault) = of_table.and_then(|of_table| of_table.get_mut(&None)) {
            fault.of_version = true;
        }
    }

    /// Notes that rows could not land. The first time, and when another reason is given, it is said in a message.
    pub(super) fn note(
        &self,
        table: &Table,
        period: Option<Period>,
        files: &[Arc<FileEntry>],
        error: &Error,
        now: Timestamp,
    ) {
        let name = table.schema.name();
        let mut faults = self.0.lock();
        let of_table = faults.entry(name.to_owned()).or_default();
        let before = of_table.get(&period);
        let fault = LandingFault {
            table: name.to_owned(),
            period,
            of_version: before.is_some_and(|before| before.of_version),
            files: files.iter().map(|file| place(table, file)).collect(),
            since: before.map_or(now, |before| before.since),
            tried_at: now,
            tries: before.map_or(0, |before| before.tries) + 1,
            kind: error.kind(),
            error: error.to_string(),
            cure: cure(table, files, error),
        };
        let told = before.is_some_and(|before| before.kind == fault.kind);
        let (what, error, cure) = (fault.subject(), &fault.error, &fault.cure);
        if told {
            tracing::debug!(tries = fault.tries, "{what} still cannot land: {error}");
        } else {
            tracing::error!(
                "{what} cannot land: {error}; its rows stay in the log and the tail, and everything else lands; {cure}"
            );
        }
        of_table.insert(period, fault);
    }

    /// Notes that rows have landed.
    pub(super) fn mended(&self, table: &Table, period: Option<Period>) {
        let mut faults = self.0.lock();
        let name = table.schema.name();
        let Some(of_table) = faults.get_mut(name) else { return };
        if let Some(fault) = of_table.remove(&period) {
            tracing::info!(tries = fault.tries, "{} has landed", fault.subject());
        }
        if of_table.is_empty() {
            faults.remove(name);
        }
    }

    /// Notes that the newest version of a table is one to go on from.
    pub(super) fn accepted(&self, table: &Table) {
        let faults = self.0.lock();
        let of_table = faults.get(table.schema.name());
        let refused = of_table.and_then(|of_table| of_table.get(&None));
        let refused = refused.is_some_and(|fault| fault.of_version);
        drop(faults);
        if refused {
            self.mended(table, None);
        }
    }

    /// What rows of a table and period are waiting for.
    pub(super) fn standing(&self, table: &str, period: Option<Period>, now: Timestamp) -> Standing {
        let faults = self.0.lock();
        let fault = faults.get(table).and_then(|of_table| of_table.get(&period));
        fault.map_or(Standing::Sound, |fault| fault.standing(now))
    }

    /// Forgets faults whose rows are not in the tail any more, and gives the bytes that the others hold there.
    pub(super) fn settle(&self, tables: &[Arc<Table>]) -> usize {
        let mut faults = self.0.lock();
        let mut bytes = 0;
        for table in tables {
            let Some(of_table) = faults.get_mut(table.schema.name()) else { continue };
            let view = table.view.load();
            of_table.retain(|&period, fault| match period {
                None => fault.of_version || !view.tail.hours().is_empty(),
                Some(period) => {
                    let mut hours = view.tail.hours().iter().filter(|h| period.holds(h.hour()));
                    hours.any(|hour| period_of(&view, hour.hour()) == period)
                }
            });
            if let Some(whole) = of_table.get(&None) {
                bytes += whole.held(&view).0;
                continue;
            }
            bytes += of_table.values().map(|fault| fault.held(&view).0).sum::<usize>();
        }
        faults.retain(|_, of_table| !of_table.is_empty());
        bytes
    }

    /// Why rows are not taken, as rows of theirs that cannot land take too much memory.
    pub(crate) fn refusal(
        &self,
        table: &Table,
        rows: &RecordBatch,
        bound: &'static str,
    ) -> Option<Error> {
        let faults = self.0.lock();
        let of_table = faults.get(table.schema.name())?;
        let view = table.view.load();
        let times = rows.column(TIME_COLUMN).as_primitive_opt::<TimestampMicrosecondType>()?;
        let mut last = None;
        let fault = of_table.get(&None).or_else(|| {
            times.values().iter().find_map(|&time| {
                let hour = Hour::of(Timestamp::from_micros(time))
                    .filter(|&hour| last.replace(hour) != Some(hour))?;
                of_table.get(&Some(period_of(&view, hour)))
            })
        })?;
        let message = format!(
            "rows that cannot land take up three quarters of it, among them those of {} since {}: {}; {}",
            fault.subject(),
            fault.since,
            fault.error,
            fault.cure
        );
        Some(Error::resources(bound, message, retry::FAULT_MENDED))
    }
}

/// The period whose rows land together with those of `hour`.
pub(super) fn period_of(view: &View, hour: Hour) -> Period {
    view.snapshot.files_of_hour(hour).first().map_or(hour.into(), |file| file.path.period())
}

/// Where a file stands, as an operator looks for it.
fn place(table: &Table, file: &FileEntry) -> String {
    let path = file.path.to_string();
    match table.lake.store().local_path(&path) {
        Some(path) => path.display().to_string(),
        None => format!("{}/{path}", table.lake.store().url().as_str().trim_end_matches('/')),
    }
}

fn cure(table: &Table, files: &[Arc<FileEntry>], error: &Error) -> String {
    let name = table.schema.name();
    match error.kind() {
        ErrorKind::Damage if !files.is_empty() => {
            let files: Vec<_> = files.iter().map(|file| place(table, file)).collect();
            format!(
                "restore the file from a copy of the lake ({}), and landing continues by itself; if there is no copy, `barograph lake history {name}` lists the earlier versions, and `barograph lake restore` goes back to one",
                files.join(", ")
            )
        }
        ErrorKind::Damage => format!(
            "check {} with `barograph lake check {name}`; landing continues by itself once it is repaired",
            table.lake.store().url()
        ),
        ErrorKind::Unavailable => format!(
            "make sure that {} can be read and written; landing then continues by itself",
            table.lake.store().url()
        ),
        ErrorKind::Request => "landing continues by itself once that is done".to_owned(),
        ErrorKind::Resources => "free some space; landing then continues by itself".to_owned(),
        _ => "this is a bug in Barograph: please report the message".to_owned(),
    }
}
