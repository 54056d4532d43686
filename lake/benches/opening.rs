//! The time to open a table while it grows: of a day, a year and ten years, with a file for each hour, and with as many
//! files as are left where hours are compacted into days, and days into months.
//!
//! `cargo bench --workspace --bench opening`. Each table has a checkpoint and as many commits behind it as an
//! engine makes before the next. Prints min, median and max in ms, and the requests and bytes read from the store.
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod table;

use std::fmt;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use barograph_lake::store::{DurableLocal, LakeStore};
use barograph_lake::{Change, FileEntry, LakeTable, Operation, Snapshot, Timestamp};
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use table::{entry, schema};

const SIZES: [(&str, i64); 5] = [
    ("a day", 24),
    ("a year, folded", 24 + 31 + 11),
    ("ten years, folded", 24 + 31 + 119),
    ("a year of hours", 8_760),
    ("ten years of hours and more", 100_000),
];
/// Commits between two checkpoints, as `engine.checkpoint_commits` has it.
const COMMITS: i64 = 19;
const ROUNDS: usize = 9;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for (name, files) in SIZES {
        runtime.block_on(run(name, files));
    }
}

async fn land(table: &LakeTable, base: &Snapshot, added: Vec<Arc<FileEntry>>) -> Snapshot {
    let landing = table.transaction(base, Operation::Land, Change::Moved);
    landing.add(added).commit(Timestamp::UNIX_EPOCH).await.unwrap().committed().unwrap()
}

async fn run(name: &str, files: i64) {
    let folder = tempfile::tempdir().unwrap();
    let counted =
        Arc::new(Counted { inner: DurableLocal::new(), requests: 0.into(), bytes: 0.into() });
    let url = url::Url::from_directory_path(folder.path()).unwrap();
    let store = LakeStore::with_store(counted.clone(), url).child("readings");
    let schema = Arc::new(schema());
    let (table, base) = LakeTable::open(store.clone(), schema.clone()).await.unwrap();
    let added = (COMMITS..files).map(|n| Arc::new(entry(n))).collect();
    let mut held = land(&table, &base, added).await;
    let begun = Instant::now();
    table.checkpoint(&held).await.unwrap();
    let checkpoint = begun.elapsed().as_secs_f64() * 1e3;
    for n in 0..COMMITS {
        held = land(&table, &held, vec![Arc::new(entry(n))]).await;
    }

    let mut millis = Vec::new();
    for _ in 0..ROUNDS {
        counted.requests.store(0, Ordering::Relaxed);
        counted.bytes.store(0, Ordering::Relaxed);
        let begun = Instant::now();
        let opened = black_box(LakeTable::open(store.clone(), schema.clone()).await.unwrap());
        millis.push(begun.elapsed().as_secs_f64() * 1e3);
        assert_eq!(opened.1.files().len() as i64, files);
    }
    millis.sort_by(f64::total_cmp);
    println!(
        "{name:<27} {files:>7} files  open min {:7.2}  median {:7.2}  max {:7.2}  {} requests, {} KiB read  \
         checkpoint written in {checkpoint:.0}",
        millis[0],
        millis[ROUNDS / 2],
        millis[ROUNDS - 1],
        counted.requests.load(Ordering::Relaxed),
        counted.bytes.load(Ordering::Relaxed) >> 10
    );
}

/// A local folder that counts what is read from it.
#[derive(Debug)]
struct Counted {
    inner: DurableLocal,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Counted {
    fn count(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counted({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let got = self.inner.get_opts(location, options).await;
        self.count(
            got.as_ref().map_or(0, |got| if head { 0 } else { got.range.end - got.range.start }),
        );
        got
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.count(ranges.iter().map(|range| range.end - range.start).sum());
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count(0);
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.count(0);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.count(0);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
