//! Memory and requests of reads: the caches stay within their bounds, and an object store is asked in few requests.

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use url::Url;

use super::super::page_cache::{PageCache, Pages};
use super::*;
use crate::store::faults::{FaultPlan, FaultStore, Operation};

#[tokio::test]
async fn the_cache_stays_within_its_bound_and_readers_keep_their_file() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let layout = Layout { page_rows: 64, ..Layout::default() };
    let fixtures: Vec<_> = (0..12)
        .map(|_| Fixture::new(&schema, &layout, &[hour_of_rows(&schema, 100, 60)]))
        .collect();
    let alone = FileCache::new(usize::MAX);
    let file = alone.open(&fixtures[0].store, &schema, &fixtures[0].entry).await.unwrap();
    let before = alone.used_bytes();
    file.read(&everything(&schema)).await.unwrap();
    assert!(alone.used_bytes() > before, "dictionaries are counted");
    assert_eq!(alone.used_bytes(), file.bytes());
    let again = alone.open(&fixtures[0].store, &schema, &fixtures[0].entry).await.unwrap();
    assert!(Arc::ptr_eq(&file, &again));

    let one = file.bytes();
    let cache = FileCache::new(4 * one);
    let first = cache.open(&fixtures[0].store, &schema, &fixtures[0].entry).await.unwrap();
    for _ in 0..3 {
        for fixture in &fixtures {
            let file = cache.open(&fixture.store, &schema, &fixture.entry).await.unwrap();
            file.read(&everything(&schema)).await.unwrap();
            drop(file);
            assert!(cache.used_bytes() <= 6 * one, "{} of {}", cache.used_bytes(), 4 * one);
        }
    }
    first.read(&everything(&schema)).await.unwrap();
    drop((first, file, again));
    drop(alone);
}

#[tokio::test]
async fn more_files_than_handles_can_be_read() {
    let schema = schema(KeyType::Int32, &[]);
    let handles = super::super::source::Handles::new(3);
    let used = Arc::default();
    let fixtures: Vec<_> = (0..10)
        .map(|_| Fixture::new(&schema, &Layout::default(), &[hour_of_rows(&schema, 2, 60)]))
        .collect();
    let mut files = Vec::new();
    for fixture in &fixtures {
        let pages = Pages { cache: PageCache::new(0), file: files.len() as u64 };
        let file = OpenFile::open(&fixture.store, &schema, &fixture.entry, &handles, &used, pages);
        files.push(file.await.unwrap());
    }
    for file in files.iter().rev().chain(&files) {
        assert_eq!(file.read(&everything(&schema)).await.unwrap().num_rows(), 120);
    }
}

#[tokio::test]
async fn an_object_store_gives_the_same_rows() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 300, 60);
    let fixture = Fixture::new(&schema, &Layout::default(), std::slice::from_ref(&rows));
    let object = Arc::new(InMemory::new());
    let store =
        LakeStore::with_store(object.clone(), Url::parse("memory:///lake/readings/").unwrap());
    object
        .put(&store.path(&fixture.entry.path.to_string()), fixture.bytes.clone().into())
        .await
        .unwrap();
    let file = FileCache::new(1 << 20).open(&store, &schema, &fixture.entry).await.unwrap();
    file.verify().await.unwrap();
    let mut read = everything(&schema);
    assert_eq!(file.read(&read).await.unwrap(), rows);
    read.keys = KeySelection::list(vec![100, 400, 403, 997]);
    assert_eq!(file.read(&read).await.unwrap(), filtered(&rows, &read));
    // Its chunks are so small that they are in memory: only who has not read them misses them.
    let unread = FileCache::new(1 << 20).open(&store, &schema, &fixture.entry).await.unwrap();
    object
        .put(&store.path(&fixture.entry.path.to_string()), fixture.bytes[..5_000].to_vec().into())
        .await
        .unwrap();
    assert_eq!(file.read(&everything(&schema)).await.unwrap(), rows);
    assert!(unread.read(&everything(&schema)).await.is_err());
}

/// A file in a store that counts.
struct Counted {
    faults: Arc<FaultStore>,
    store: LakeStore,
    fixture: Fixture,
}

impl Counted {
    async fn new(schema: &Arc<TableSchema>, rows: &RecordBatch) -> Self {
        let fixture = Fixture::new(schema, &Layout::default(), std::slice::from_ref(rows));
        let faults = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
        let object = Arc::clone(&faults) as Arc<dyn object_store::ObjectStore>;
        let store = LakeStore::with_store(object, Url::parse("memory:///lake/readings/").unwrap());
        let counted = Self { faults, store, fixture };
        counted.put(&counted.fixture.bytes).await;
        counted
    }

    async fn put(&self, bytes: &[u8]) {
        let path = self.store.path(&self.fixture.entry.path.to_string());
        self.faults.put(&path, bytes.to_vec().into()).await.unwrap();
    }

    async fn open(&self, cache: &FileCache) -> Arc<OpenFile> {
        cache.open(&self.store, &self.fixture.schema, &self.fixture.entry).await.unwrap()
    }

    /// Rows, and how often the store was asked.
    async fn read(&self, file: &OpenFile, read: &FileRead) -> (RecordBatch, u64) {
        let before = self.faults.count(Operation::Get);
        (file.read(read).await.unwrap(), self.faults.count(Operation::Get) - before)
    }
}

#[tokio::test]
async fn pages_that_were_asked_for_are_neither_read_nor_unpacked_again() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 3_000, 60);
    let counted = Counted::new(&schema, &rows).await;
    let few =
        FileRead { keys: KeySelection::list(vec![100, 400, 403, 997]), ..everything(&schema) };
    let expected = filtered(&rows, &few);

    let cache = FileCache::with_pages(1 << 20, 8 << 20);
    let file = counted.open(&cache).await;
    let (first, asked) = counted.read(&file, &few).await;
    assert!(first == expected && asked > 0);
    assert_eq!(cache.page_bytes(), 0, "most pages are asked for once");
    let (second, asked) = counted.read(&file, &few).await;
    assert!(second == expected && asked > 0 && cache.page_bytes() > 0);
    assert_eq!(counted.read(&file, &few).await, (expected.clone(), 0));
    let kept = cache.page_bytes();
    assert_eq!(counted.read(&file, &everything(&schema)).await.0, rows);
    assert_eq!(cache.page_bytes(), kept, "who reads everything leaves nothing");

    let without = FileCache::new(1 << 20);
    let file = counted.open(&without).await;
    counted.read(&file, &few).await;
    let (again, asked) = counted.read(&file, &few).await;
    assert!(again == expected && asked > 0 && without.page_bytes() == 0);
}

#[tokio::test]
async fn pages_in_memory_stay_within_their_bound() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 3_000, 60);
    let counted = Counted::new(&schema, &rows).await;
    let bound = 300_000;
    let cache = FileCache::with_pages(1 << 20, bound);
    let file = counted.open(&cache).await;
    for key in (100..9_000).step_by(150) {
        let read = FileRead { keys: KeySelection::list(vec![key]), ..everything(&schema) };
        for _ in 0..3 {
            assert_eq!(counted.read(&file, &read).await.0, filtered(&rows, &read));
        }
        assert!(cache.page_bytes() <= bound, "{} of {bound}", cache.page_bytes());
    }
    assert!(cache.page_bytes() > bound / 2);
}

#[tokio::test]
async fn a_damaged_page_is_not_kept() {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 3_000, 60);
    let counted = Counted::new(&schema, &rows).await;
    let read = FileRead { keys: KeySelection::list(vec![100, 403]), ..everything(&schema) };
    let cache = FileCache::with_pages(1 << 20, 8 << 20);
    let file = counted.open(&cache).await;
    let mut damaged = counted.fixture.bytes.clone();
    let end = damaged.len() / 2;
    damaged[..end].iter_mut().for_each(|byte| *byte ^= 1);
    counted.put(&damaged).await;
    for _ in 0..3 {
        file.read(&read).await.unwrap_err();
    }
    counted.put(&counted.fixture.bytes).await;
    assert_eq!(file.read(&read).await.unwrap(), filtered(&rows, &read));
}
