//! The shared log and the object store beside their limits, in real processes: each row of the table is a name.
//!
//! ```text
//! cargo bench --workspace --bench shared -- [ROW…] [--smoke] [--seconds N] [--rounds N] [--kills N] [--hours N] [--cities N]
//!     [--store ministack|radosgw|HOST:PORT,KEY,SECRET]
//! ```
//!
//! | row | what | beside |
//! |---|---|---|
//! | `ack` | acknowledgements of three servers, 12 batches of 15,000 a second in all, over a store as slow as S3 | one PUT of as many bytes through the same proxy |
//! | `folder` | rows acknowledged through the shared log in a folder, four writers | the local log, in turns |
//! | `seen` | a batch of 15,000 acknowledged at one server, until another shows it | its acknowledgement |
//! | `takeover` | time without an acknowledgement of a client with three addresses, the leader killed with -9; until rows land again | – |
//! | `latest` | the newest reading of a city, three servers | one server, in turns |
//! | `restart` | a start over an hour of 60 batches of 15,000 in a store as slow as S3 | – |
//! | `cold` | 24 hours of a city, nothing cached, 50 ms a request; the same once more | round trips; a folder |
//! | `demo` | `demo --once` on ministack | a folder, in turns |
//!
//! Without names all rows are measured, which takes half an hour. `ack`, `restart` and `cold` start the store themselves: radosgw if its packages
//! are installed, otherwise ministack, which pip installs below the target folder. What it prints goes into `docs/benchmarks.md`.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "shared/acknowledge.rs"]
mod acknowledge;
#[path = "shared/options.rs"]
mod options;
#[path = "shared/read.rs"]
mod read;
#[path = "shared/server.rs"]
mod server;
#[path = "shared/store.rs"]
mod store;
#[path = "shared/table.rs"]
mod table;
#[path = "shared/takeover.rs"]
mod takeover;

use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch, TimestampMicrosecondArray};
use barograph::{Cities, Weather};
use barograph_lake::Hour;

use options::Options;
use table::Table;

/// 2024-01-01T00:00:00Z
const START: i64 = 1_704_067_200_000_000;

fn main() {
    let options = Options::of(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut table = Table::default();
    runtime.block_on(measure(&options, &mut table));
    table.print();
}

async fn measure(options: &Options, table: &mut Table) {
    let minutes = Arc::new(minutes());
    if options.wants("folder") {
        acknowledge::folder(options, &minutes, table).await;
    }
    if options.wants("seen") {
        acknowledge::seen(options, &minutes, table).await;
    }
    if options.wants("ack") {
        acknowledge::ack(options, &minutes, table).await;
    }
    if options.wants("takeover") {
        takeover::takeover(options, table).await;
    }
    if options.wants("latest") {
        read::latest(options, &minutes, table).await;
    }
    if options.wants("restart") {
        read::restart(options, &minutes, table).await;
    }
    if options.wants("cold") {
        read::cold(options, table).await;
    }
    if options.wants("demo") {
        read::demo(options, table);
    }
}

/// An hour of the demonstration's readings, a batch a minute.
fn minutes() -> Vec<RecordBatch> {
    let cities = Cities::built_in().unwrap();
    let weather = Weather::new(1, cities.all());
    let hour: Hour = "2024-01-01T00".parse().unwrap();
    weather.hour_batches(hour).map(Result::unwrap).collect()
}

/// A row of the most populous city, so many microseconds after [`START`].
fn row(micros: i64) -> RecordBatch {
    let time = TimestampMicrosecondArray::from(vec![START + micros]).with_timezone("UTC");
    let key = Int32Array::from(vec![Cities::built_in().unwrap().all()[0].id]);
    RecordBatch::try_from_iter([
        ("city_id", Arc::new(key) as arrow::array::ArrayRef),
        ("reading_at", Arc::new(time)),
    ])
    .unwrap()
}
