//! The families of the server, engine, SQL, object store and process.

use super::Family;

macro_rules! families {
    ($($name:ident = $family:expr;)+) => {
        $(pub(super) const $name: Family = $family;)+
        /// The families that every server has, in the order in which it reports them.
        pub static FAMILIES: &[Family] = &[$($name),+];
    };
}

const TABLE: &[&str] = &["table"];
const KIND: &[&str] = &["kind"];
const VERB: &[&str] = &["verb", "kind"];

families! {
    BUILD = Family::info("barograph_build", "Version of the server.").labels(&["version"]);
    FAILED = Family::gauge("barograph_failed", "1 if nothing can be written until the server is started again, else 0.");

    PUT_BATCHES = Family::counter("barograph_put_batches", "Batches that were acknowledged.").labels(TABLE);
    PUT_ROWS = Family::counter("barograph_put_rows", "Rows of acknowledged batches that went into the table.").labels(TABLE);
    PUT_BYTES = Family::counter("barograph_put_bytes", "Bytes of acknowledged batches, in memory.").unit("bytes").labels(TABLE);
    ACKNOWLEDGEMENT = Family::histogram("barograph_acknowledgement_seconds", "Time from the arrival of a batch to its acknowledgement, by durability.").labels(&["level"]);
    DEAD_LETTERS = Family::counter("barograph_dead_letters", "Rows that were rejected, by what was wrong with them.").labels(&["table", "kind"]);

    LOG_BYTES = Family::gauge("barograph_log_bytes", "Bytes that the log takes.").unit("bytes");
    LOG_SEGMENTS = Family::gauge("barograph_log_segments", "Segments that the log is divided into.");
    LOG_END = Family::gauge("barograph_log_end_position", "Position in the log where the next record may stand.");
    LOG_RECORDS = Family::counter("barograph_log_records", "Records appended to the log.");
    LOG_ROWS = Family::counter("barograph_log_rows", "Rows appended to the log.");
    LOG_APPENDS = Family::counter("barograph_log_appends", "Appends to the log, each one write for all batches that waited.");
    LOG_ROWS_AGAIN = Family::counter("barograph_log_rows_written_again", "Rows that were written to the log again, as they held back its truncation.");
    LOG_FOLLOWER_LAG = Family::gauge("barograph_log_follower_lag_seconds", "Time since this process last saw all that others append to the log; absent if nobody else can.").unit("seconds");
    LOG_SYNC = Family::histogram("barograph_log_sync_seconds", "Time of an append with its sync.");

    TAIL_ROWS = Family::gauge("barograph_tail_rows", "Rows in the tail: put, and not landed yet.").labels(TABLE);
    TAIL_BYTES = Family::gauge("barograph_tail_bytes", "Bytes of the rows in the tail.").unit("bytes").labels(TABLE);
    TAIL_PERIODS = Family::gauge("barograph_tail_periods", "Hours of readings that have rows in the tail.").labels(TABLE);

    LANDING_ROUNDS = Family::counter("barograph_landing_rounds", "Rounds of landing through all tables, also those with nothing to land.");
    LANDING_FILES = Family::counter("barograph_landing_files", "Files that landing wrote.");
    LANDING_ROWS = Family::counter("barograph_landing_rows", "Rows in files that landing wrote, those merged with late rows included.");
    LANDING_BYTES = Family::counter("barograph_landing_bytes", "Bytes of files that landing wrote.").unit("bytes");
    LANDING_FAILURES = Family::counter("barograph_landing_failures", "Hours, days, months and tables that could not land, each time that they were tried.");
    LANDING_SECONDS = Family::counter("barograph_landing_seconds", "Time that rounds of landing took.").unit("seconds");
    LANDING_FAULTS = Family::gauge("barograph_landing_faults", "Hours, days, months and tables that cannot land at present; system.faults lists them.");

    LAKE_FILES = Family::gauge("barograph_lake_files", "Active files of the table in the lake.").labels(TABLE);
    LAKE_ROWS = Family::gauge("barograph_lake_rows", "Rows in active files.").labels(TABLE);
    LAKE_BYTES = Family::gauge("barograph_lake_bytes", "Bytes of active files.").unit("bytes").labels(TABLE);
    LAKE_VERSION = Family::gauge("barograph_lake_version", "Version of the table in the lake that queries see.").labels(TABLE);
    READING_AGE = Family::gauge("barograph_table_reading_age_seconds", "Time since the newest reading of the table, by the reading's own time.").unit("seconds").labels(TABLE);
    INGESTION_AGE = Family::gauge("barograph_table_ingestion_age_seconds", "Time since rows last went into the table, since the server started.").unit("seconds").labels(TABLE);
    KEYS = Family::gauge("barograph_keys", "Keys with a reading within a week, as far as this process has seen it: reporting, or silent for longer than engine.silent_after.").labels(&["table", "state"]);

    CACHE_HITS = Family::counter("barograph_cache_hits", "Requests that the cache answered: of open files, decompressed pages, and blocks of remote files on the disk.").labels(KIND);
    CACHE_MISSES = Family::counter("barograph_cache_misses", "Requests that the cache did not answer.").labels(KIND);
    CACHE_BYTES = Family::gauge("barograph_cache_bytes", "Bytes that the cache holds.").unit("bytes").labels(KIND);
    CACHE_LIMIT = Family::gauge("barograph_cache_limit_bytes", "Bytes that the cache may hold.").unit("bytes").labels(KIND);

    STORE_REQUESTS = Family::counter("barograph_store_requests", "Requests to the object store by verb and kind of object, each try counted. Local folders have none.").labels(VERB);
    STORE_FAILURES = Family::counter("barograph_store_failures", "Requests that failed on their way or were answered with 5xx or 429.").labels(VERB);
    STORE_HEDGED = Family::counter("barograph_store_hedged_requests", "Requests that were sent because another for the same took long.").labels(VERB);
    STORE_SENT = Family::counter("barograph_store_sent_bytes", "Bytes of the bodies of requests.").unit("bytes").labels(VERB);
    STORE_RECEIVED = Family::counter("barograph_store_received_bytes", "Bytes of the bodies of replies.").unit("bytes").labels(VERB);
    STORE_SECONDS = Family::counter("barograph_store_wait_seconds", "Time until replies began.").unit("seconds").labels(VERB);

    QUERY = Family::histogram("barograph_query_seconds", "Time from a request for rows to the end of its answer: tickets (latest, at, range), point queries of an exchange, and SQL.").labels(KIND);
    QUERY_FAILURES = Family::counter("barograph_query_failures", "Requests for rows that ended with an error, or whose client left before the end.").labels(KIND);
    QUERY_ROWS = Family::counter("barograph_query_rows", "Rows sent; those of exchanges are not counted.").labels(KIND);
    QUERY_BYTES = Family::counter("barograph_query_sent_bytes", "Bytes of answers.").unit("bytes").labels(KIND);
    STREAMS = Family::gauge("barograph_streams", "Answers, puts and exchanges that run.");
    STREAMS_LIMIT = Family::gauge("barograph_streams_limit", "Answers, puts and exchanges that may run (flight.streams_max).");
    SQL_QUERIES = Family::gauge("barograph_sql_queries", "Statements of SQL that are queued, running, or unread by their clients.").labels(&["state"]);
    SQL_ENDED = Family::counter("barograph_sql_ended_queries", "Statements of SQL that have ended, by how they did.").labels(&["state"]);
    SLOW_READERS = Family::counter("barograph_slow_readers_ended", "Statements of SQL that were ended because their clients had stopped reading (sql.reader_timeout).");
    REFUSALS = Family::counter("barograph_refusals", "Requests that were refused or ended with RESOURCE_EXHAUSTED, by the bound that was reached, and those refused for want of a known caller (unauthenticated) or of a right (denied).").labels(&["bound"]);
    AUDIT_RECORDS = Family::counter("barograph_audit_records", "Records of who asked for what.");
    AUDIT_LOST = Family::counter("barograph_audit_lost", "Records that did not reach access.audit.file.");
    RELOADS = Family::counter("barograph_access_reloads", "How often tokens, keys of an issuer and roles were read again after a change, and whether they could be used.").labels(&["of", "outcome"]);

    MEMORY = Family::gauge("barograph_memory_bytes", "Memory in use under a limit.").unit("bytes").labels(&["budget"]);
    MEMORY_LIMIT = Family::gauge("barograph_memory_limit_bytes", "The limit, by the setting that sets it.").unit("bytes").labels(&["budget"]);

    CPU = Family::counter("process_cpu_seconds", "Processor time that the process used.").unit("seconds");
    RESIDENT = Family::gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.").unit("bytes");
    VIRTUAL = Family::gauge("process_virtual_memory_bytes", "Address space of the process.").unit("bytes");
    OPEN_FDS = Family::gauge("process_open_fds", "Open file descriptors.");
    MAX_FDS = Family::gauge("process_max_fds", "File descriptors that may be open.");
    THREADS = Family::gauge("process_threads", "Threads of the process.");
    START = Family::gauge("process_start_time_seconds", "When the process started, since the Unix epoch.").unit("seconds");
}
