//! Tests of the check: stores that keep their promises pass, and one that breaks any is found out.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::{GetResult, PutOptions, PutPayload, PutResult};
use parking_lot::Mutex;
use url::Url;

use super::*;
use crate::store::decorator::{Decorated, Decorator};
use crate::store::faults::{Fault, FaultPlan, FaultStore, Operation};

async fn found(object: Arc<dyn ObjectStore>) -> HashMap<&'static str, Finding> {
    let store = LakeStore::with_store(object, Url::parse("memory:///lake").unwrap());
    let mut told = 0;
    let findings = check(&store, &mut |_| told += 1).await;
    assert_eq!(told, findings.len());
    findings.into_iter().map(|finding| (finding.promise, finding)).collect()
}

/// What is broken in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// Puts over an object that is there.
    Create,
    /// Looks whether an object is there, and then puts it.
    LookFirst,
    /// Reads a byte later than it is asked to.
    Ranges,
    /// Forgets what comes after some megabytes.
    Large,
    /// Reads what was there when it was first read.
    Stale,
}

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn ObjectStore>,
    how: Break,
    seen: Mutex<HashMap<Path, Bytes>>,
}

#[async_trait]
impl Decorator for Broken {
    fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult, StoreError> {
        let payload = match self.how {
            Break::Large if payload.content_length() > LARGE_BYTES => {
                Bytes::from(payload).slice(..LARGE_BYTES).into()
            }
            _ => payload,
        };
        let options = match self.how {
            Break::Create => PutMode::Overwrite.into(),
            Break::LookFirst if options.mode == PutMode::Create => {
                if self.inner.head(location).await.is_ok() {
                    return self.inner.put_opts(location, payload, options).await;
                }
                tokio::task::yield_now().await;
                PutMode::Overwrite.into()
            }
            _ => options,
        };
        self.inner.put_opts(location, payload, options).await
    }

    async fn get(&self, location: &Path, options: GetOptions) -> Result<GetResult, StoreError> {
        if self.how == Break::Stale && options.range.is_none() && !options.head {
            let seen = self.seen.lock().get(location).cloned();
            let store = InMemory::new();
            let content = match seen {
                Some(content) => content,
                None => self.inner.get(location).await?.bytes().await?,
            };
            self.seen.lock().insert(location.clone(), content.clone());
            store.put(location, content.into()).await?;
            return store.get_opts(location, options).await;
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StoreError> {
        let shift = u64::from(self.how == Break::Ranges);
        let ranges: Vec<_> = ranges.iter().map(|r| r.start + shift..r.end + shift).collect();
        let kept = ranges.iter().filter(|range| range.start < 300_000 || shift == 0);
        self.inner.get_ranges(location, &kept.cloned().collect::<Vec<_>>()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_and_memory_keep_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let store = LakeStore::local(folder.path()).unwrap();
    for finding in check(&store, &mut |_| ()).await {
        assert_eq!(finding.verdict, Verdict::Kept, "{finding:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the check leaves nothing");
    for finding in found(Arc::new(InMemory::new())).await.values() {
        assert_eq!(finding.verdict, Verdict::Kept, "{finding:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_promise_is_found() {
    for (how, promises) in [
        (Break::Create, &["put if absent", "put if absent under a race"][..]),
        (Break::LookFirst, &["put if absent under a race"]),
        (Break::Ranges, &["ranges"]),
        (Break::Large, &["large objects"]),
        (Break::Stale, &["read after write"]),
    ] {
        let inner = Arc::new(InMemory::new());
        let findings =
            found(Arc::new(Decorated(Broken { inner, how, seen: Mutex::default() }))).await;
        for promise in promises {
            assert_eq!(findings[promise].verdict, Verdict::Broken, "{how:?}: {findings:?}");
        }
        assert_eq!(findings["listings"].verdict, Verdict::Kept, "{how:?}: {findings:?}");
        if how == Break::LookFirst {
            assert_eq!(findings["put if absent"].verdict, Verdict::Kept, "{findings:?}");
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_not_taken_for_a_broken_one() {
    let plan = FaultPlan::none().on(Operation::List, 0, Fault::Fail);
    let findings = found(FaultStore::new(Arc::new(InMemory::new()), plan)).await;
    assert_eq!(findings["read after write"].verdict, Verdict::Unknown, "{findings:?}");
    assert_eq!(findings["listings"].verdict, Verdict::Kept, "{findings:?}");
}
