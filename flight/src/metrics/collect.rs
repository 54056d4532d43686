//! The collection of samples: each scrape reads the statistics of the engine, SQL, store and server once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use barograph_engine::statistics::{EngineStatistics, REJECTIONS};
use barograph_engine::{Engine, View};
use barograph_lake::store::{RequestCount, disk_cache_use, requests};
use barograph_lake::{CacheUse, Timestamp};

use super::encode::Samples;
use super::families::{self as family, FAMILIES};
use super::{Figures, Value, process};
use crate::call::State;
use crate::refusals;

/// All samples at this moment.
pub(crate) async fn collect(state: &State, figures: &[Arc<dyn Figures>]) -> Samples {
    let more = figures.iter().flat_map(|figures| figures.families());
    let mut samples = Samples::of(FAMILIES.iter().chain(more));
    samples.add(&family::BUILD, &[env!("CARGO_PKG_VERSION")], Value::Info);
    let failed = u64::from(state.engine.failure().is_some());
    samples.add(&family::FAILED, &[], failed);
    let statistics = state.engine.statistics();
    puts(&mut samples, &statistics);
    log(&mut samples, &state.engine, &statistics);
    tables(&mut samples, &state.engine, &statistics);
    landing(&mut samples, &state.engine, &statistics);
    cache(&mut samples, "files", statistics.file_cache);
    cache(&mut samples, "pages", statistics.page_cache);
    cache(&mut samples, "store", disk_cache_use());
    store(&mut samples, &requests());
    calls(&mut samples, state);
    for memory in statistics.memory.iter().chain([&state.sql.memory()]) {
        samples.add(&family::MEMORY, &[memory.setting], memory.used);
        samples.add(&family::MEMORY_LIMIT, &[memory.setting], memory.limit);
    }
    process::collect(&mut samples);
    for figures in figures {
        figures.collect(&mut samples).await;
    }
    samples
}

fn puts(samples: &mut Samples, statistics: &EngineStatistics) {
    for (table, puts) in &statistics.puts {
        let table = table.as_str();
        samples.add(&family::PUT_BATCHES, &[table], puts.batches);
        samples.add(&family::PUT_ROWS, &[table], puts.rows);
        samples.add(&family::PUT_BYTES, &[table], puts.bytes);
        for (kind, rows) in REJECTIONS.into_iter().zip(puts.rejected) {
            samples.add(&family::DEAD_LETTERS, &[table, kind], rows);
        }
    }
    for (level, time) in &statistics.acknowledgements {
        samples.add(&family::ACKNOWLEDGEMENT, &[level], time.clone());
    }
}

fn log(samples: &mut Samples, engine: &Engine, statistics: &EngineStatistics) {
    let gauge = engine.log_gauge();
    samples.add(&family::LOG_BYTES, &[], gauge.bytes.load(Ordering::Relaxed));
    samples.add(&family::LOG_SEGMENTS, &[], gauge.segments());
    samples.add(&family::LOG_END, &[], gauge.end.load(Ordering::Relaxed));
    samples.add(&family::LOG_RECORDS, &[], gauge.records.load(Ordering::Relaxed));
    samples.add(&family::LOG_ROWS, &[], gauge.rows.load(Ordering::Relaxed));
    samples.add(&family::LOG_APPENDS, &[], gauge.groups.load(Ordering::Relaxed));
    samples.add(&family::LOG_ROWS_AGAIN, &[], gauge.rows_written_again());
    if let Some(lag) = engine.follower_lag() {
        samples.add(&family::LOG_FOLLOWER_LAG, &[], lag.as_secs_f64());
    }
    samples.add(&family::LOG_SYNC, &[], statistics.log_syncs.clone());
}

fn tables(samples: &mut Samples, engine: &Engine, statistics: &EngineStatistics) {
    let now = engine.now();
    let age = |at: Timestamp| now.since(at).micros() as f64 / 1e6;
    for (table, view) in engine.views() {
        let table = [table.as_str()];
        let tail = &view.tail;
        let tail_bytes: usize = tail.hours().iter().map(|hour| hour.bytes()).sum();
        samples.add(&family::TAIL_ROWS, &table, tail.rows());
        samples.add(&family::TAIL_BYTES, &table, tail_bytes as u64);
        samples.add(&family::TAIL_PERIODS, &table, tail.hours().len() as u64);
        let files = view.snapshot.files();
        samples.add(&family::LAKE_FILES, &table, files.len() as u64);
        samples.add(&family::LAKE_ROWS, &table, files.iter().map(|file| file.rows).sum::<u64>());
        samples.add(&family::LAKE_BYTES, &table, view.lake_bytes());
        samples.add(&family::LAKE_VERSION, &table, view.snapshot.version().get());
        if let Some(newest) = View::newest(&view) {
            samples.add(&family::READING_AGE, &table, age(newest));
        }
    }
    for (table, keys) in engine.key_activity() {
        samples.add(&family::KEYS, &[&table, "reporting"], keys.reporting);
        samples.add(&family::KEYS, &[&table, "silent"], keys.silent);
    }
    for (table, puts) in &statistics.puts {
        if let Some(at) = puts.last_at {
            samples.add(&family::INGESTION_AGE, &[table], age(at));
        }
    }
}

fn landing(samples: &mut Samples, engine: &Engine, statistics: &EngineStatistics) {
    let landing = &statistics.landing;
    samples.add(&family::LANDING_ROUNDS, &[], landing.rounds);
    samples.add(&family::LANDING_FILES, &[], landing.files);
    samples.add(&family::LANDING_ROWS, &[], landing.rows);
    samples.add(&family::LANDING_BYTES, &[], landing.bytes);
    samples.add(&family::LANDING_FAILURES, &[], landing.failures);
    samples.add(&family::LANDING_SECONDS, &[], landing.time.as_secs_f64());
    samples.add(&family::LANDING_FAULTS, &[], engine.landing_faults().len() as u64);
}

fn cache(samples: &mut Samples, kind: &str, cache: CacheUse) {
    samples.add(&family::CACHE_HITS, &[kind], cache.hits);
    samples.add(&family::CACHE_MISSES, &[kind], cache.misses);
    samples.add(&family::CACHE_BYTES, &[kind], cache.bytes);
    samples.add(&family::CACHE_LIMIT, &[kind], cache.bytes_max);
}

/// Requests to the store, those of the server and of all jobs together.
fn store(samples: &mut Samples, counts: &[RequestCount]) {
    let mut kinds: BTreeMap<[&str; 2], Vec<&RequestCount>> = BTreeMap::new();
    for count in counts {
        kinds.entry([count.verb, count.object]).or_default().push(count);
    }
    for (labels, counts) in kinds {
        let sum = |of: fn(&RequestCount) -> u64| counts.iter().map(|count| of(count)).sum::<u64>();
        samples.add(&family::STORE_REQUESTS, &labels, sum(|count| count.requests));
        samples.add(&family::STORE_FAILURES, &labels, sum(|count| count.failed));
        samples.add(&family::STORE_HEDGED, &labels, sum(|count| count.hedged));
        samples.add(&family::STORE_SENT, &labels, sum(|count| count.bytes_sent));
        samples.add(&family::STORE_RECEIVED, &labels, sum(|count| count.bytes_received));
        let waited: f64 = counts.iter().map(|count| count.waited.as_secs_f64()).sum();
        samples.add(&family::STORE_SECONDS, &labels, waited);
    }
}

fn calls(samples: &mut Samples, state: &State) {
    for requests in state.requests.read() {
        let kind = [requests.kind];
        samples.add(&family::QUERY, &kind, requests.time);
        samples.add(&family::QUERY_FAILURES, &kind, requests.failures);
        samples.add(&family::QUERY_ROWS, &kind, requests.rows);
        samples.add(&family::QUERY_BYTES, &kind, requests.bytes);
    }
    samples.add(&family::STREAMS, &[], state.limits.running() as u64);
    samples.add(&family::STREAMS_LIMIT, &[], state.limits.most() as u64);
    let queries = state.sql.queries().counts();
    for (name, count) in
        [("queued", queries.queued), ("running", queries.running), ("unread", queries.unread)]
    {
        samples.add(&family::SQL_QUERIES, &[name], count);
    }
    for (how, count) in queries.ended {
        samples.add(&family::SQL_ENDED, &[&how.to_string().replace(' ', "_")], count);
    }
    samples.add(&family::SLOW_READERS, &[], queries.ended_unread);
    samples.add(&family::AUDIT_RECORDS, &[], state.access.audit().recorded());
    samples.add(&family::AUDIT_LOST, &[], state.access.audit().lost());
    for (of, done, failed) in state.access.reloads().read() {
        samples.add(&family::RELOADS, &[of, "done"], done);
        samples.add(&family::RELOADS, &[of, "failed"], failed);
    }
    for (bound, count) in refusals::by_bound() {
        samples.add(&family::REFUSALS, &[&bound.replace(' ', "_")], count);
    }
}
