//! The comparison of Parquet layouts. One hour of 15,000 cities at one reading a minute is written in every candidate
//! layout and read back: bytes a row, time to write, to scan, to find one city (docs/adr/0004-parquet-layout.md).
//!
//! ```text
//! cargo bench -p barograph-cli --bench layout -- [--keep FOLDER]
//! ```
//! `--keep` leaves the default layout's files in a folder, for `benches/layout_peers.py` to compare their size
//! with that of other writers.
//!
//! There are two kinds of weather, because the best encoding depends on it: that of the demonstration, in which
//! readings scatter around a slow change, and a drifting one, in which each reading is near the one before it.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use barograph::{Cities, City};
use barograph_lake::file::{FileCache, FileRead, Layout, OpenFile, encode_as};
use barograph_lake::store::LakeStore;
use barograph_lake::time::MICROS_PER_HOUR;
use barograph_lake::{
    FilePath, Hour, Key, KeySelection, LogPosition, TableSchema, TimeRange, Timestamp,
};
use barograph_test_support::weather_table;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

#[path = "layout/weather.rs"]
mod weather;

use weather::{MINUTES, demonstration, drifting};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2026-11-22T10:00:00Z.
const FIRST_HOUR: i64 = 1_795_341_600_000_000;
const POINT_READS: usize = 4_000;
const SLICE_ROWS: usize = 65_536;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let keep = arguments.iter().position(|a| a == "--keep").and_then(|at| arguments.get(at + 1));
    let cities = Cities::built_in().unwrap().all();
    let schema = Arc::new(weather_table());
    let temporary = tempfile::tempdir().unwrap();
    let folder = keep.map_or(temporary.path().to_owned(), PathBuf::from);

    let demonstration = demonstration(cities, &schema, FIRST_HOUR);
    let drifting = drifting(cities, &schema, FIRST_HOUR);
    for (name, hour) in [("demonstration", demonstration), ("drifting", drifting)] {
        println!("\n{} rows of {name} weather", hour.num_rows());
        println!(
            "| layout | bytes/row | write ms | scan ms | one city µs p50/p99 | one column µs | memory kB |"
        );
        println!("|---|---|---|---|---|---|---|");
        // The default comes last, so that its file stays.
        for (label, layout) in candidates() {
            let figures = ours(&folder.join(name), &schema, &hour, &layout, cities);
            println!("| {label} | {figures}");
        }
        for (label, properties) in references() {
            let figures = reference(&folder.join("reference.parquet"), &hour, properties, cities);
            println!("| {label} | {figures}");
        }
    }
    day(&folder.join("day"), &schema, cities);
}

/// The layouts that differ from the default in one respect.
fn candidates() -> Vec<(String, Layout)> {
    let default = Layout::default();
    let mut layouts = Vec::new();
    for page_rows in [1_024, 2_048, 4_096, 8_192] {
        if page_rows != default.page_rows {
            layouts.push((format!("page {page_rows}"), Layout { page_rows, ..default }));
        }
    }
    for row_group_rows in [65_536, 131_072, 262_144, 1 << 20] {
        if row_group_rows != default.row_group_rows {
            layouts.push((
                format!("row group {row_group_rows}"),
                Layout { row_group_rows, ..default },
            ));
        }
    }
    for decompression_cost in [0.0, 0.1, 0.2, 0.3, f64::INFINITY] {
        if decompression_cost != default.decompression_cost {
            layouts.push((
                format!("decompression cost {decompression_cost}"),
                Layout { decompression_cost, ..default },
            ));
        }
    }
    for zstd_level in [1, 3, 5, 9, 19] {
        if zstd_level != default.zstd_level {
            layouts.push((format!("zstd {zstd_level}"), Layout { zstd_level, ..default }));
        }
    }
    // What the smallest files of other writers do.
    let smallest = Layout {
        page_rows: 32_768,
        row_group_rows: 1 << 20,
        zstd_level: 19,
        decompression_cost: 0.0,
        ..default
    };
    layouts.push((
        "zstd 19, decompression cost 0".to_owned(),
        Layout { page_rows: default.page_rows, ..smallest },
    ));
    layouts.push((
        "zstd 19, decompression cost 0, page 32768, row group 1048576".to_owned(),
        smallest,
    ));
    layouts.push(("no whole bytes".to_owned(), Layout { whole_bytes: false, ..default }));
    layouts.push(("**default**".to_owned(), default));
    layouts
}

/// The Parquet crate's own writer and reader.
fn references() -> Vec<(String, WriterProperties)> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let mut all = Vec::new();
    let codecs = [
        ("no codec", Compression::UNCOMPRESSED),
        ("lz4_raw", Compression::LZ4_RAW),
        ("snappy", Compression::SNAPPY),
        ("zstd 1", zstd),
    ];
    for (name, codec) in codecs {
        for page in [1_024, 2_048, 4_096] {
            if name != "lz4_raw" && page != 2_048 {
                continue;
            }
            let properties = WriterProperties::builder()
                .set_compression(codec)
                .set_max_row_group_row_count(Some(262_144))
                .set_data_page_row_count_limit(page)
                .set_write_batch_size(page)
                .set_statistics_enabled(EnabledStatistics::Page)
                .set_column_dictionary_enabled("wind_direction".into(), false)
                .set_column_encoding("wind_direction".into(), Encoding::DELTA_BINARY_PACKED)
                .build();
            all.push((format!("parquet crate: dictionary, {name}, page {page}"), properties));
        }
    }
    all
}

#[derive(Default)]
struct Figures {
    bytes_per_row: f64,
    write: Duration,
    scan: Duration,
    point: Vec<Duration>,
    column: Vec<Duration>,
    memory: usize,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{:.3} | {:.0} | {:.1} | {:.1} / {:.1} | {:.1} | {} |",
            self.bytes_per_row,
            millis(self.write),
            millis(self.scan),
            micros(&self.point, 0.5),
            micros(&self.point, 0.99),
            micros(&self.column, 0.5),
            self.memory / 1_000,
        )
    }
}

fn micros(times: &[Duration], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

fn best(runs: usize, mut work: impl FnMut()) -> Duration {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

fn ours(
    folder: &Path,
    schema: &Arc<TableSchema>,
    hour: &RecordBatch,
    layout: &Layout,
    cities: &[City],
) -> Figures {
    let rows = std::slice::from_ref(hour);
    let path =
        FilePath::new(Hour::of(Timestamp::from_micros(FIRST_HOUR)).unwrap(), LogPosition::new(1));
    let mut figures = Figures {
        write: best(4, || {
            black_box(encode_as(layout, schema, rows, path).unwrap());
        }),
        ..Figures::default()
    };
    let file = open(folder, schema, layout, hour, path, &FileCache::new(1 << 30));
    figures.bytes_per_row = file.entry().bytes as f64 / hour.num_rows() as f64;
    let mut read = everything(schema);
    assert_eq!(&now(file.read(&read)).unwrap(), hour);
    let slices = slices(&file);
    figures.scan = best(8, || {
        let rows: usize = slices
            .iter()
            .map(|keys| {
                read.keys = keys.clone();
                black_box(now(file.read(&read)).unwrap()).num_rows()
            })
            .sum();
        assert_eq!(rows, hour.num_rows());
    });
    let mut random = SmallRng::seed_from_u64(3);
    for _ in 0..POINT_READS {
        read.keys = KeySelection::list(vec![cities[random.random_range(0..cities.len())].id]);
        figures.point.push(time(|| assert_eq!(now(file.read(&read)).unwrap().num_rows(), MINUTES)));
    }
    read.columns = vec![0, 1, 2];
    for _ in 0..POINT_READS {
        read.keys = KeySelection::list(vec![cities[random.random_range(0..cities.len())].id]);
        figures
            .column
            .push(time(|| assert_eq!(now(file.read(&read)).unwrap().num_rows(), MINUTES)));
    }
    figures.memory = file.bytes();
    figures
}

/// Ranges of keys with about [`SLICE_ROWS`] rows each, as a scan goes through a file.
fn slices(file: &OpenFile) -> Vec<KeySelection> {
    let mut rows = 0;
    let mut starts = Vec::new();
    for page in file.pages() {
        if rows >= SLICE_ROWS * starts.len() {
            starts.push(page.first);
        }
        rows += page.rows as usize;
    }
    starts.push(Key::MAX);
    starts
        .windows(2)
        .map(|pair| KeySelection::Range { from: pair[0], to: pair[1].previous() })
        .collect()
}

fn reference(
    file: &Path,
    hour: &RecordBatch,
    properties: WriterProperties,
    cities: &[City],
) -> Figures {
    let write = |bytes: &mut Vec<u8>| {
        let mut writer =
            ArrowWriter::try_new(bytes, hour.schema(), Some(properties.clone())).unwrap();
        writer.write(hour).unwrap();
        writer.close().unwrap();
    };
    let mut figures = Figures {
        write: best(3, || {
            let mut bytes = Vec::new();
            write(&mut bytes);
            black_box(bytes);
        }),
        ..Figures::default()
    };
    let mut bytes = Vec::new();
    write(&mut bytes);
    std::fs::write(file, &bytes).unwrap();
    figures.bytes_per_row = bytes.len() as f64 / hour.num_rows() as f64;
    let file = File::open(file).unwrap();
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
    figures.memory = metadata.metadata().memory_size();
    let builder = || {
        ParquetRecordBatchReaderBuilder::new_with_metadata(
            file.try_clone().unwrap(),
            metadata.clone(),
        )
    };
    figures.scan = best(4, || {
        for batch in builder().with_batch_size(SLICE_ROWS).build().unwrap() {
            black_box(batch.unwrap());
        }
    });
    let group_rows = 262_144;
    let point = |city: usize, mask: ProjectionMask| {
        let (from, to) = (city * MINUTES, (city + 1) * MINUTES);
        let groups: Vec<_> = (from / group_rows..=(to - 1) / group_rows).collect();
        let first = groups[0] * group_rows;
        let selection =
            RowSelection::from(vec![RowSelector::skip(from - first), RowSelector::select(MINUTES)]);
        let reader = builder()
            .with_projection(mask)
            .with_row_groups(groups)
            .with_row_selection(selection)
            .with_batch_size(MINUTES)
            .build()
            .unwrap();
        assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), MINUTES);
    };
    let mut random = SmallRng::seed_from_u64(3);
    for _ in 0..POINT_READS {
        let city = random.random_range(0..cities.len());
        figures.point.push(time(|| point(city, ProjectionMask::all())));
    }
    let some = ProjectionMask::leaves(metadata.parquet_schema(), [0, 1, 2]);
    for _ in 0..POINT_READS {
        let city = random.random_range(0..cities.len());
        figures.column.push(time(|| point(city, some.clone())));
    }
    figures
}

/// 24 hours of one city from 24 files.
fn day(folder: &Path, schema: &Arc<TableSchema>, cities: &[City]) {
    let cache = FileCache::new(1 << 30);
    let mut opened = Vec::new();
    let files: Vec<_> = (0..24)
        .map(|hour| {
            let start = FIRST_HOUR + hour * MICROS_PER_HOUR;
            let rows = drifting(cities, schema, start);
            let path = FilePath::new(
                Hour::of(Timestamp::from_micros(start)).unwrap(),
                LogPosition::new(1),
            );
            let file = open(folder, schema, &Layout::default(), &rows, path, &cache);
            let store = LakeStore::local(folder).unwrap();
            let fresh = FileCache::new(1 << 30);
            opened.push(time(|| {
                black_box(now(fresh.open(&store, schema, file.entry())).unwrap());
            }));
            file
        })
        .collect();
    let mut read = everything(schema);
    let mut random = SmallRng::seed_from_u64(5);
    let times: Vec<_> = (0..1_000)
        .map(|_| {
            read.keys = KeySelection::list(vec![cities[random.random_range(0..cities.len())].id]);
            time(|| {
                let rows: usize =
                    files.iter().map(|file| now(file.read(&read)).unwrap().num_rows()).sum();
                assert_eq!(rows, 24 * MINUTES);
            })
        })
        .collect();
    println!(
        "\n24 hours of one city from 24 files: {:.0} µs p50, {:.0} µs p99",
        micros(&times, 0.5),
        micros(&times, 0.99)
    );
    println!(
        "opening a file: {:.0} µs p50; 24 open files hold {} kB",
        micros(&opened, 0.5),
        cache.used_bytes() / 1_000
    );
}

fn open(
    folder: &Path,
    schema: &Arc<TableSchema>,
    layout: &Layout,
    rows: &RecordBatch,
    path: FilePath,
    cache: &FileCache,
) -> Arc<OpenFile> {
    let (bytes, entry) = encode_as(layout, schema, std::slice::from_ref(rows), path).unwrap();
    let file = folder.join(path.to_string());
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
    now(cache.open(&LakeStore::local(folder).unwrap(), schema, &Arc::new(entry))).unwrap()
}

fn everything(schema: &TableSchema) -> FileRead {
    FileRead {
        keys: KeySelection::All,
        time: TimeRange::ALL,
        columns: (0..schema.arrow().fields().len()).collect(),
        pages: None,
    }
}

/// Local reads never wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
