//! The cache holds what it may, and an object store is asked in few requests.

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use url::Url;

use super::*;

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
        files.push(
            OpenFile::open(&fixture.store, &schema, &fixture.entry, &handles, &used).await.unwrap(),
        );
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
