//! Tests of stores: durable local folders, put-if-absent, injected faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use url::Url;

use super::faults::{Fault, FaultPlan, FaultStore, Operation};
use super::{LakeStore, StoreSettings};
use crate::ErrorKind;

fn local() -> (tempfile::TempDir, LakeStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = LakeStore::local(&folder.path().join("a lake #1/ä")).unwrap();
    (folder, store)
}

fn memory() -> LakeStore {
    LakeStore::with_store(Arc::new(InMemory::new()), Url::parse("memory:///some/where").unwrap())
}

async fn names(store: &LakeStore) -> Vec<String> {
    let listed: Vec<_> =
        store.object().list(Some(&store.path(""))).try_collect::<Vec<_>>().await.unwrap();
    let mut names: Vec<_> =
        listed.iter().map(|meta| store.relative(&meta.location).unwrap()).collect();
    names.sort();
    names
}

/// What the lake asks of any store.
async fn conforms(store: LakeStore) {
    assert!(names(&store).await.is_empty());
    let object = store.object();
    let path = store.path("hour/2026-11-22T10/one.parquet");
    let create = || PutMode::Create.into();
    object.put_opts(&path, "first".into(), create()).await.unwrap();
    let again = object.put_opts(&path, "second".into(), create()).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    assert_eq!(object.get(&path).await.unwrap().bytes().await.unwrap(), "first");

    object.put(&path, "third".into()).await.unwrap();
    assert_eq!(object.get_range(&path, 1..3).await.unwrap(), "hi");

    let child = store.child("hour");
    assert_eq!(child.path("2026-11-22T10/one.parquet"), path);
    assert_eq!(names(&child).await, ["2026-11-22T10/one.parquet"]);
    assert_eq!(child.url().as_str(), format!("{}hour/", store.url()));

    let mut upload = object.put_multipart(&store.path("large")).await.unwrap();
    let parts = ["abc", "", "defg"].map(|part| upload.put_part(part.into()));
    futures::future::try_join_all(parts.into_iter().rev()).await.unwrap();
    assert_eq!(names(&store).await.len(), 1, "a part is not visible");
    upload.complete().await.unwrap();
    assert_eq!(object.get(&store.path("large")).await.unwrap().bytes().await.unwrap(), "abcdefg");

    let long: Bytes = (0..(2_u32 << 20) + 5).map(|byte| (byte % 251) as u8).collect();
    object.put(&store.path("long"), long.clone().into()).await.unwrap();
    assert_eq!(object.get(&store.path("long")).await.unwrap().bytes().await.unwrap(), long);
    let cut = |from, to| long.slice(from..to);
    let mut upload = object.put_multipart(&store.path("long")).await.unwrap();
    let chunks = PutPayload::from_iter([cut(0, 700_000), cut(700_000, 1_900_000)]);
    let parts = [chunks, cut(1_900_000, long.len()).into()].map(|part| upload.put_part(part));
    futures::future::try_join_all(parts).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(object.get(&store.path("long")).await.unwrap().bytes().await.unwrap(), long);
    object.delete(&store.path("long")).await.unwrap();

    let mut aborted = object.put_multipart(&store.path("aborted")).await.unwrap();
    aborted.put_part("abc".into()).await.unwrap();
    aborted.abort().await.unwrap();
    assert_eq!(names(&store).await, ["hour/2026-11-22T10/one.parquet", "large"]);

    object.rename(&store.path("large"), &store.path("moved/there")).await.unwrap();
    object.delete(&path).await.unwrap();
    assert_eq!(names(&store).await, ["moved/there"]);
    let absent = object.get(&path).await.unwrap_err();
    assert!(matches!(absent, Error::NotFound { .. }), "{absent}");
}

#[tokio::test]
async fn local_and_memory_stores_conform() {
    let (_folder, store) = local();
    conforms(store).await;
    conforms(memory()).await;
    let faultless = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
    conforms(LakeStore::with_store(faultless, Url::parse("memory:///").unwrap())).await;
}

#[tokio::test]
async fn a_local_store_leaves_no_temporary_files() {
    let (_folder, store) = local();
    let path = store.path("x");
    store.object().put(&path, "1".into()).await.unwrap();
    store.object().put_opts(&path, "2".into(), PutMode::Create.into()).await.unwrap_err();
    store.object().put_opts(&path, "3".into(), PutMode::Overwrite.into()).await.unwrap();
    let folder = store.local_path("").unwrap();
    let left: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["x"]);
    assert_eq!(std::fs::read(store.local_path("x").unwrap()).unwrap(), b"3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_racing_creators_exactly_one_wins() {
    let (_folder, store) = local();
    for round in 0..20 {
        let path = store.path(&format!("log/{round}"));
        let racers = (0..100).map(|racer| {
            let (object, path) = (store.object().clone(), path.clone());
            tokio::spawn(async move {
                let content = Bytes::from(format!("racer {racer}").repeat(100));
                match object.put_opts(&path, content.clone().into(), PutMode::Create.into()).await {
                    Ok(_) => Some(content),
                    Err(Error::AlreadyExists { .. }) => None,
                    Err(e) => panic!("{e}"),
                }
            })
        });
        let results = futures::future::try_join_all(racers).await.unwrap();
        let winners: Vec<_> = results.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        let stored = store.object().get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored, winners[0]);
    }
}

#[test]
fn locations_are_understood() {
    let s3 = LakeStore::open("s3://bucket/some/lake").unwrap();
    assert_eq!(s3.path("readings/x").as_ref(), "some/lake/readings/x");
    assert_eq!(s3.local_path("x"), None);
    assert_eq!(s3.child("readings").url().as_str(), "s3://bucket/some/lake/readings/");

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let by_path = LakeStore::open(folder.to_str().unwrap()).unwrap();
    let by_url = LakeStore::open(Url::from_file_path(&folder).unwrap().as_str()).unwrap();
    assert_eq!(by_path.url(), by_url.url());
    assert_eq!(by_path.local_path("a/b"), Some(folder.join("a/b")));

    for wrong in ["ftp://host/lake", "http://host/lake", "file://host/lake", "s3://"] {
        let error = LakeStore::open(wrong).expect_err(wrong);
        assert_eq!(error.kind(), ErrorKind::Request, "{error}");
    }
}

#[tokio::test]
async fn faults_strike_as_planned() {
    let plan = FaultPlan::none()
        .on(Operation::Put, 1, Fault::Fail)
        .on(Operation::Put, 2, Fault::LoseReply)
        .on(Operation::Get, 0, Fault::Delay(Duration::from_millis(1)))
        .on(Operation::List, 0, Fault::Fail);
    let store = FaultStore::new(Arc::new(InMemory::new()), plan);
    let path = |name: &str| object_store::path::Path::from(name);
    store.put(&path("a"), "a".into()).await.unwrap();
    store.put(&path("b"), "b".into()).await.unwrap_err();
    store.put(&path("c"), "c".into()).await.unwrap_err();
    store.get(&path("a")).await.unwrap();
    store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    let there: Vec<_> = store.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    assert_eq!(there, [path("a"), path("c")]);
    assert_eq!((store.count(Operation::Put), store.faults()), (3, 4));
}

#[tokio::test]
async fn a_late_put_is_there_when_it_is_delivered() {
    let plan =
        FaultPlan::none().on(Operation::Put, 0, Fault::Late).on(Operation::Put, 1, Fault::Late);
    let store = FaultStore::new(Arc::new(InMemory::new()), plan);
    let path = |name: &str| object_store::path::Path::from(name);
    store.put(&path("a"), "early".into()).await.unwrap_err();
    store.put_opts(&path("b"), "early".into(), PutMode::Create.into()).await.unwrap_err();
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 0);
    for name in ["a", "b"] {
        store.put(&path(name), "later".into()).await.unwrap();
    }
    store.set_plan(FaultPlan::none());
    assert_eq!((store.deliver().await, store.deliver().await), (2, 0));
    let content = async |name| store.get(&path(name)).await.unwrap().bytes().await.unwrap();
    assert_eq!((content("a").await, content("b").await), ("early".into(), "later".into()));
}

#[tokio::test]
async fn seeded_faults_repeat() {
    let run = |seed| async move {
        let plan = FaultPlan::seeded(seed, 200, Duration::from_micros(10));
        let store = FaultStore::new(Arc::new(InMemory::new()), plan);
        let mut outcomes = Vec::new();
        for n in 0..100 {
            let path = object_store::path::Path::from(n.to_string());
            outcomes.push(store.put(&path, "x".into()).await.is_ok());
        }
        (outcomes, store.faults())
    };
    let (outcomes, faults) = run(7).await;
    assert_eq!((outcomes.clone(), faults), run(7).await);
    assert_ne!(outcomes, run(8).await.0);
    let failed = outcomes.iter().filter(|ok| !**ok).count();
    assert!((20..60).contains(&failed), "{failed} of 100 failed at 2 × 200 per mille");
}

/// A store that answers every request with five bytes, on as many connections as are opened.
fn five_bytes() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"1\"\r\n\
                  Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\nbytes";
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut to = connection.unwrap();
            let from = BufReader::new(to.try_clone().unwrap());
            std::thread::spawn(move || {
                let ends = from.lines().map_while(std::io::Result::ok).filter(String::is_empty);
                ends.for_each(|_| to.write_all(answer.as_bytes()).unwrap());
            });
        }
    });
    address
}

#[test]
fn a_held_up_thread_holds_up_nobody_who_uses_its_connection() {
    let options = [
        ("aws_endpoint", format!("http://{}", five_bytes())),
        ("aws_allow_http", "true".to_owned()),
        ("aws_skip_signature", "true".to_owned()),
        ("aws_region", "nowhere".to_owned()),
        // A request that waits for the connection is not asked again on another.
        ("timeout", "1h".to_owned()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value));
    let settings = StoreSettings { hedge: false, ..StoreSettings::default() };
    let url = Url::parse("s3://bucket/lake").unwrap();
    let object = super::remote::open(&url, options, &settings, "test").unwrap();
    let read = |object: Arc<dyn ObjectStore>| async move {
        let path = object_store::path::Path::from("one");
        assert_eq!(object.get(&path).await.unwrap().bytes().await.unwrap(), "bytes");
        // The connection goes back to the others.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Nothing drives what lives on this one while it is not asked to wait for something.
    let held_up = runtime();
    held_up.block_on(read(Arc::clone(&object)));
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(read(object));
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("the second read");
    drop(held_up);
}
