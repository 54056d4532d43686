//! Tests of the decorators of remote stores: lost replies, refusals that are none, the cache on the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::single_range_in_vec_init, reason = "a list of one range is what is asked for")]

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;

use super::cache::{BLOCK, DiskCache};
use super::cached::Cached;
use super::put_if_absent::PutIfAbsent;
use super::reads::Reads;
use crate::store::StoreSettings;
use crate::store::decorator::{Decorated, Decorator};
use crate::store::faults::{Fault, FaultPlan, FaultStore, Operation};

fn create() -> PutOptions {
    PutMode::Create.into()
}

async fn content(store: &dyn ObjectStore, path: &Path) -> Bytes {
    store.get(path).await.unwrap().bytes().await.unwrap()
}

#[tokio::test]
async fn a_put_whose_reply_was_lost_is_recognised() {
    for fault in [Fault::Fail, Fault::LoseReply, Fault::Late] {
        let plan = FaultPlan::none().on(Operation::Put, 0, fault);
        let faulty = FaultStore::new(Arc::new(InMemory::new()), plan);
        let store = Decorated(PutIfAbsent(faulty.clone()));
        let path = Path::from("log/1");
        store.put_opts(&path, "mine".into(), create()).await.unwrap();
        // What was under way comes late, and finds the place taken.
        faulty.deliver().await;
        let error = store.put_opts(&path, "another".into(), create()).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{fault:?}: {error}");
        assert_eq!(content(&store, &path).await, "mine");
    }
}

#[tokio::test]
async fn a_put_that_another_won_while_its_reply_was_lost_has_lost() {
    let plan = FaultPlan::none().on(Operation::Put, 1, Fault::Late);
    let faulty = FaultStore::new(Arc::new(InMemory::new()), plan);
    let path = Path::from("log/1");
    faulty.put_opts(&path, "another".into(), create()).await.unwrap();
    let store = Decorated(PutIfAbsent(faulty));
    let error = store.put_opts(&path, "mine".into(), create()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert_eq!(content(&store, &path).await, "another");
}

#[tokio::test]
async fn a_put_that_is_never_answered_is_not_known() {
    let faults = (0..20).fold(FaultPlan::none(), |p, n| p.on(Operation::Put, n, Fault::Fail));
    let faulty = FaultStore::new(Arc::new(InMemory::new()), faults);
    let store = Decorated(PutIfAbsent(faulty.clone()));
    let error = store.put_opts(&Path::from("a"), "x".into(), create()).await.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }) && error.to_string().contains("not known"));
    assert!(faulty.count(Operation::Put) < 20, "tries are bounded");
}

/// S3 says 409 while another put of the same name is under way, which may fail: nothing may be there.
#[derive(Debug)]
struct Conflicts {
    inner: Arc<dyn ObjectStore>,
    left: Mutex<u32>,
}

#[async_trait]
impl Decorator for Conflicts {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let conflicts = {
            let mut left = self.left.lock();
            *left = left.saturating_sub(1);
            *left > 0
        };
        if conflicts {
            return Err(Error::AlreadyExists { path: at.to_string(), source: "409".into() });
        }
        self.inner.put_opts(at, payload, options).await
    }
}

#[tokio::test]
async fn a_conflict_without_an_object_is_tried_again() {
    let inner = Arc::new(InMemory::new());
    let store = Decorated(Conflicts { inner, left: Mutex::new(3) });
    let store = Decorated(PutIfAbsent(Arc::new(store)));
    let path = Path::from("log/1");
    store.put_opts(&path, "mine".into(), create()).await.unwrap();
    assert_eq!(content(&store, &path).await, "mine");
}

fn data(len: u64) -> Bytes {
    (0..len).map(|at| (at * 7 % 251) as u8).collect::<Vec<_>>().into()
}

fn settings(part: u64, gap: u64) -> StoreSettings {
    StoreSettings {
        read_bytes_max: crate::Size::bytes(part),
        read_gap_bytes: crate::Size::bytes(gap),
        ..StoreSettings::default()
    }
}

#[tokio::test]
async fn a_large_file_is_read_in_parts_and_pages_together() {
    let faulty = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
    let path = Path::from("lake/readings/hour/h/1.parquet");
    let all = data(1_000_003);
    faulty.put(&path, all.clone().into()).await.unwrap();
    let store = Decorated(Reads::new(faulty.clone(), &settings(128 << 10, 64 << 10)));
    let found = store.get(&path).await.unwrap();
    assert_eq!((found.meta.size, found.range.clone()), (1_000_003, 0..1_000_003));
    assert_eq!(found.bytes().await.unwrap(), all);
    assert_eq!(faulty.count(Operation::Get), 8);
    faulty.set_plan(FaultPlan::none());
    let pages: Vec<Range<u64>> = (0..10).map(|n| n * 10_000..n * 10_000 + 4_000).collect();
    let found = store.get_ranges(&path, &pages).await.unwrap();
    for (page, found) in pages.iter().zip(found) {
        assert_eq!(found, all.slice(page.start as usize..page.end as usize));
    }
    assert_eq!(faulty.count(Operation::Get), 1);
    let small = Path::from("small.parquet");
    store.put(&small, "ab".into()).await.unwrap();
    assert_eq!(content(&store, &small).await, "ab");
    let absent = store.get(&Path::from("absent.parquet")).await.unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
}

struct Remote {
    requests: Arc<FaultStore>,
    folder: tempfile::TempDir,
    path: Path,
    all: Bytes,
}

impl Remote {
    async fn new(len: u64) -> Self {
        let requests = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
        let path = Path::from("lake/readings/hour/h/1.parquet");
        let all = data(len);
        requests.put(&path, all.clone().into()).await.unwrap();
        Self { requests, folder: tempfile::tempdir().unwrap(), path, all }
    }

    fn cached(&self, capacity: u64) -> (Decorated<Cached>, Arc<DiskCache>) {
        let cache = DiskCache::open(self.folder.path(), capacity).unwrap().unwrap();
        (Decorated(Cached::new(self.requests.clone(), Arc::clone(&cache), "bucket")), cache)
    }

    async fn reads(&self, store: &dyn ObjectStore, ranges: &[Range<u64>]) -> u64 {
        let before = self.requests.count(Operation::Get);
        let found = store.get_ranges(&self.path, ranges).await.unwrap();
        for (range, found) in ranges.iter().zip(found) {
            assert_eq!(found, self.all.slice(range.start as usize..range.end as usize));
        }
        self.requests.count(Operation::Get) - before
    }

    fn files(&self, extension: &str) -> Vec<std::path::PathBuf> {
        let mut folders = vec![self.folder.path().to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|e| e == extension) => files.push(path),
                    false => {}
                }
            }
        }
        files
    }
}

#[tokio::test]
async fn what_was_read_is_kept_beyond_a_restart() {
    let remote = Remote::new(5 * BLOCK + 1_000).await;
    let ranges = [10..20, BLOCK - 5..BLOCK + 5, 4 * BLOCK + 7..5 * BLOCK + 1_000];
    {
        let (store, cache) = remote.cached(1 << 30);
        assert_eq!(remote.reads(&store, &ranges).await, 1);
        assert_eq!(remote.reads(&store, &ranges).await, 0);
        assert_eq!(remote.reads(&store, &[2 * BLOCK..2 * BLOCK + 9]).await, 1);
        assert_eq!(cache.used(), 4 * BLOCK + 1_000);
    }
    let (store, _) = remote.cached(1 << 30);
    assert_eq!(remote.reads(&store, &ranges).await, 0);
    // Whatever may change under its name is asked for each time.
    let hint = Path::from("lake/readings/_delta_log/1.checkpoint.parquet");
    for content in ["one", "two"] {
        store.put(&hint, content.into()).await.unwrap();
        assert_eq!(store.get_ranges(&hint, &[0..3]).await.unwrap(), [content]);
    }
}

#[tokio::test]
async fn a_damaged_block_is_read_again() {
    let remote = Remote::new(3 * BLOCK).await;
    let whole = 0..3 * BLOCK;
    let (store, _cache) = remote.cached(1 << 30);
    assert_eq!(remote.reads(&store, std::slice::from_ref(&whole)).await, 1);
    let damage: [fn(&mut Vec<u8>); 3] =
        [|b| b[BLOCK as usize + 3] ^= 1, |b| b.truncate(100), |b| b.clear()];
    for damage in damage {
        let [data] = remote.files("data").try_into().unwrap();
        let mut bytes = std::fs::read(&data).unwrap();
        damage(&mut bytes);
        std::fs::write(&data, bytes).unwrap();
        assert_eq!(remote.reads(&store, std::slice::from_ref(&whole)).await, 1);
        assert_eq!(remote.reads(&store, std::slice::from_ref(&whole)).await, 0);
    }
    let [sums] = remote.files("sums").try_into().unwrap();
    std::fs::write(&sums, [7; 24]).unwrap();
    assert_eq!(remote.reads(&store, std::slice::from_ref(&whole)).await, 1);
    std::fs::remove_file(&sums).unwrap();
    assert_eq!(remote.reads(&store, std::slice::from_ref(&whole)).await, 1);
    assert_eq!(remote.reads(&store, std::slice::from_ref(&whole)).await, 0);
}

#[tokio::test]
async fn the_cache_is_bounded_and_lets_the_oldest_go() {
    let remote = Remote::new(2 * BLOCK).await;
    let (store, cache) = remote.cached(10 * BLOCK);
    let path = |n: u32| Path::from(format!("lake/readings/day/d/{n}.parquet"));
    for n in 0..9 {
        store.put(&path(n), data(2 * BLOCK).into()).await.unwrap();
        store.get_ranges(&path(n), &[0..2 * BLOCK]).await.unwrap();
        store.get_ranges(&path(0), &[0..5]).await.unwrap();
        assert!(cache.used() <= 10 * BLOCK, "{}", cache.used());
    }
    let before = remote.requests.count(Operation::Get);
    store.get_ranges(&path(0), &[0..5]).await.unwrap();
    store.get_ranges(&path(8), &[0..5]).await.unwrap();
    assert_eq!(remote.requests.count(Operation::Get), before, "what is used stays");
    store.get_ranges(&path(1), &[0..5]).await.unwrap();
    assert_eq!(remote.requests.count(Operation::Get), before + 1, "what is not used goes");
    let on_disk: u64 = remote.files("data").iter().map(|f| f.metadata().unwrap().len()).sum();
    assert!(on_disk <= 10 * BLOCK, "{on_disk}");
    // A file of more than half of the cache does not push everything else out.
    let large = Path::from("lake/readings/month/m/1.parquet");
    store.put(&large, data(8 * BLOCK).into()).await.unwrap();
    store.get_ranges(&large, &[0..8 * BLOCK]).await.unwrap();
    assert!(cache.used() <= 10 * BLOCK);
    let before = remote.requests.count(Operation::Get);
    store.get_ranges(&path(8), &[0..5]).await.unwrap();
    assert_eq!(remote.requests.count(Operation::Get), before);
}

#[test]
fn processes_keep_apart_and_stores_of_one_process_share() {
    let folder = tempfile::tempdir().unwrap();
    // As another process would hold it: a lock of another open file.
    std::fs::create_dir_all(folder.path().join("0")).unwrap();
    let other = std::fs::File::create(folder.path().join("0/lock")).unwrap();
    other.try_lock().unwrap();
    let cache = DiskCache::open(folder.path(), 1 << 20).unwrap().unwrap();
    cache.write("bucket/a.parquet", 0, &data(10)).unwrap();
    assert!(folder.path().join("1/bucket/a.parquet.data").exists());
    let same = DiskCache::open(folder.path(), 1 << 20).unwrap().unwrap();
    assert!(Arc::ptr_eq(&cache, &same));
}

#[tokio::test]
async fn readers_of_one_file_at_the_same_time_read_what_is_there() {
    let remote = Arc::new(Remote::new(40 * BLOCK).await);
    let (store, _cache) = remote.cached(30 * BLOCK);
    let store = Arc::new(store);
    let readers = (0..16_u64).map(|reader| {
        let (remote, store) = (Arc::clone(&remote), Arc::clone(&store));
        tokio::spawn(async move {
            for step in 0..20 {
                let from = (reader * 7 + step * 13) % 38 * BLOCK + reader;
                remote.reads(store.as_ref(), &[from..from + 2 * BLOCK - 40]).await;
                tokio::task::yield_now().await;
            }
        })
    });
    futures::future::try_join_all(readers).await.unwrap();
}

#[test]
fn credentials_come_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    let text = "# of the lake\nAWS_ACCESS_KEY_ID=me\nexport AWS_SECRET_ACCESS_KEY = \"a=b\"\n\n";
    std::fs::write(&path, text).unwrap();
    let settings = StoreSettings { credentials: Some(path.clone()), ..StoreSettings::default() };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        settings.credentials().unwrap(),
        [pair("AWS_ACCESS_KEY_ID", "me"), pair("AWS_SECRET_ACCESS_KEY", "a=b")]
    );
    std::fs::write(&path, "a=b\nsecret\n").unwrap();
    let error = settings.credentials().unwrap_err().to_string();
    assert!(error.contains(":2 is not NAME=VALUE") && !error.contains("secret\n"), "{error}");
}
