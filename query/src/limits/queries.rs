//! The list of queries: the running ones and the last finished ones, with their user, progress and use of resources.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use barograph_engine::scan::Cost;
use barograph_engine::{Error, ErrorKind, Result};
use barograph_lake::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::executors::Lease;

/// Longest query text that is kept, in bytes; a longer one is cut.
const TEXT_BYTES: usize = 16 << 10;

/// Number of a query, counted from 1 since the server started. `Display` and `FromStr` are inverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(u64);

impl QueryId {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for QueryId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self).map_err(|e| {
            Error::request(format!("query id {text:?}: write a number, as in system.queries"))
                .with_source(e)
        })
    }
}

/// State of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueryState {
    /// It waits for a slot.
    Queued,
    /// It is being planned.
    Planning,
    /// It returns rows.
    Running,
    /// Its client has stopped reading; it holds no slot meanwhile.
    Unread,
    /// Its answer is complete.
    Done,
    /// It ended with an error.
    Failed,
    /// Its client left, or it was cancelled.
    Cancelled,
    /// It took longer than allowed.
    TimedOut,
}

impl fmt::Display for QueryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Unread => "unread",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        })
    }
}

/// A query at one moment.
#[derive(Debug, Clone)]
pub struct QueryInfo {
    /// Its number, for [`Queries::cancel`].
    pub id: QueryId,
    /// Name of the user.
    pub user: String,
    /// Text of the statement, cut if it is very long.
    pub text: String,
    /// Its state.
    pub state: QueryState,
    /// When it arrived, µs.
    pub created_at: Timestamp,
    /// When it got its slot, µs.
    pub started_at: Option<Timestamp>,
    /// When it ended, µs.
    pub finished_at: Option<Timestamp>,
    /// Most that its scans read, known from its plan.
    pub cost: Option<Cost>,
    /// Rows that its scans have returned so far.
    pub rows_read: u64,
    /// Rows of the answer returned so far.
    pub rows: u64,
    /// Bytes of the answer returned so far, in memory.
    pub bytes: u64,
    /// Memory held, in bytes.
    pub memory_bytes: u64,
    /// Most memory held so far, in bytes.
    pub memory_bytes_peak: u64,
    /// Tasks that work for it. Those of a query that has ended are in an operation that cannot be interrupted.
    pub tasks: u64,
    /// Error with which it ended, if the answer is not complete.
    pub error: Option<String>,
}

/// Resources used by a query, reported by the parts that use them.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    rows_read: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    memory: AtomicUsize,
    memory_peak: AtomicUsize,
}

impl Meter {
    /// Adds rows returned by a scan.
    pub(crate) fn read(&self, rows: usize) {
        self.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Adds rows returned to the client.
    pub(crate) fn given(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds memory that was taken.
    pub(crate) fn grow(&self, bytes: usize) {
        let held = self.memory.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.memory_peak.fetch_max(held, Ordering::Relaxed);
    }

    /// Subtracts memory that was released.
    pub(crate) fn shrink(&self, bytes: usize) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

/// A query, from its arrival until it is forgotten.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) id: QueryId,
    user: String,
    text: String,
    created_at: Timestamp,
    progress: Mutex<Progress>,
    pub(crate) meter: Arc<Meter>,
    lease: Mutex<Weak<Lease>>,
    /// Notified when the query is cancelled.
    pub(crate) cancelled: Notify,
    counts: Arc<EndCounts>,
}

/// Counts the queries that have ended.
#[derive(Debug, Default)]
struct EndCounts {
    by_state: [AtomicU64; ENDS.len()],
    unread: AtomicU64,
}

/// The states in which a query ends.
const ENDS: [QueryState; 4] =
    [QueryState::Done, QueryState::Failed, QueryState::Cancelled, QueryState::TimedOut];

/// How many queries there are and were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryCounts {
    /// Those that wait for a slot.
    pub queued: u64,
    /// Those that are planned or run.
    pub running: u64,
    /// Those whose clients do not read.
    pub unread: u64,
    /// Those that have ended, by the state in which they did.
    pub ended: Vec<(QueryState, u64)>,
    /// Those of them that were ended because their clients had stopped reading for too long.
    pub ended_unread: u64,
}

#[derive(Debug)]
struct Progress {
    state: QueryState,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    cost: Option<Cost>,
    error: Option<String>,
}

impl Query {
    pub(crate) fn advance(&self, state: QueryState, now: Timestamp) {
        let mut progress = self.progress.lock();
        progress.state = state;
        if state == QueryState::Planning {
            progress.started_at = Some(now);
        }
    }

    /// Counts that it is ended because its client does not read.
    pub(crate) fn ends_unread(&self) {
        self.counts.unread.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn costs(&self, cost: Cost) {
        self.progress.lock().cost = Some(cost);
    }

    /// Sets the lease under which work for the query runs from here on.
    pub(crate) fn works_on(&self, lease: &Arc<Lease>) {
        *self.lease.lock() = Arc::downgrade(lease);
    }

    fn tasks(&self) -> usize {
        self.lease.lock().strong_count()
    }

    fn info(&self) -> QueryInfo {
        let progress = self.progress.lock();
        let meter = &self.meter;
        QueryInfo {
            id: self.id,
            user: self.user.clone(),
            text: self.text.clone(),
            state: progress.state,
            created_at: self.created_at,
            started_at: progress.started_at,
            finished_at: progress.finished_at,
            cost: progress.cost,
            rows_read: meter.rows_read.load(Ordering::Relaxed),
            rows: meter.rows.load(Ordering::Relaxed),
            bytes: meter.bytes.load(Ordering::Relaxed),
            memory_bytes: meter.memory() as u64,
            memory_bytes_peak: meter.memory_peak.load(Ordering::Relaxed) as u64,
            tasks: self.tasks() as u64,
            error: progress.error.clone(),
        }
    }
}

/// The running queries and the last finished ones.
#[derive(Debug)]
pub struct Queries {
    last_id: AtomicU64,
    running: Mutex<BTreeMap<QueryId, Arc<Query>>>,
    recent: Mutex<VecDeque<Arc<Query>>>,
    recent_max: usize,
    counts: Arc<EndCounts>,
}

impl Queries {
    pub(crate) fn new(recent_max: usize) -> Arc<Self> {
        Arc::new(Self {
            last_id: AtomicU64::new(0),
            running: Mutex::default(),
            recent: Mutex::default(),
            recent_max,
            counts: Arc::default(),
        })
    }

    /// Cancels a query that waits or runs; its stream ends with an error of kind `Cancelled`.
    ///
    /// # Errors
    /// `NotFound` if no such query waits or runs.
    pub fn cancel(&self, id: QueryId) -> Result<()> {
        let query = self.running.lock().get(&id).cloned();
        match query {
            Some(query) => {
                query.cancelled.notify_one();
                Ok(())
            }
            None => Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "query {id} is not running: SELECT * FROM system.queries shows those that are"
                ),
            )),
        }
    }

    /// The running queries, then the finished ones, newest first.
    pub fn list(&self) -> Vec<QueryInfo> {
        let running: Vec<_> = self.running.lock().values().cloned().collect();
        let mut list: Vec<_> = running.iter().map(|query| query.info()).collect();
        let recent: Vec<_> = self.recent.lock().iter().cloned().collect();
        list.extend(recent.iter().map(|query| query.info()));
        list
    }

    /// One query by its number.
    pub fn get(&self, id: QueryId) -> Option<QueryInfo> {
        let running = self.running.lock().get(&id).cloned();
        let found =
            running.or_else(|| self.recent.lock().iter().find(|query| query.id == id).cloned());
        found.map(|query| query.info())
    }

    /// How many queries wait and run, and how many have ended.
    pub fn counts(&self) -> QueryCounts {
        let mut counts = QueryCounts::default();
        for query in self.running.lock().values() {
            match query.progress.lock().state {
                QueryState::Queued => counts.queued += 1,
                QueryState::Unread => counts.unread += 1,
                _ => counts.running += 1,
            }
        }
        let ended = self.counts.by_state.iter().map(|count| count.load(Ordering::Relaxed));
        counts.ended = ENDS.into_iter().zip(ended).collect();
        counts.ended_unread = self.counts.unread.load(Ordering::Relaxed);
        counts
    }

    /// Number of queries that wait or run.
    pub fn running(&self) -> usize {
        self.running.lock().len()
    }

    pub(crate) fn begin(&self, user: &str, text: &str, now: Timestamp) -> Arc<Query> {
        let id = QueryId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let mut end = text.len().min(TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let query = Arc::new(Query {
            id,
            user: user.to_owned(),
            text: text.get(..end).unwrap_or_default().to_owned(),
            created_at: now,
            progress: Mutex::new(Progress {
                state: QueryState::Queued,
                started_at: None,
                finished_at: None,
                cost: None,
                error: None,
            }),
            meter: Arc::default(),
            lease: Mutex::default(),
            cancelled: Notify::new(),
            counts: Arc::clone(&self.counts),
        });
        self.running.lock().insert(id, Arc::clone(&query));
        query
    }

    /// Moves a query from the running to the finished ones; tells whether it was running, as the first end counts.
    pub(crate) fn end(
        &self,
        query: &Query,
        state: QueryState,
        error: Option<String>,
        now: Timestamp,
    ) -> bool {
        let Some(query) = self.running.lock().remove(&query.id) else { return false };
        if let Some(at) = ENDS.iter().position(|end| *end == state)
            && let Some(count) = self.counts.by_state.get(at)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
        {
            let mut progress = query.progress.lock();
            progress.state = state;
            progress.finished_at = Some(now);
            progress.error = error;
        }
        let mut recent = self.recent.lock();
        recent.push_front(query);
        let mut seen = 0;
        // What is still worked on is remembered; executors are bounded.
        recent.retain(|query| {
            seen += 1;
            seen <= self.recent_max || query.tasks() > 0
        });
        true
    }

    /// Removes a query from the running ones without a trace.
    pub(crate) fn forget(&self, query: &Query) {
        self.running.lock().remove(&query.id);
    }
}
