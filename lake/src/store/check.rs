//! The check of a store: whether it keeps the promises that the lake relies on, tried out in a folder of its own.
//!
//! A store that lets two writers create one object loses commits; one that lists or reads what is not so lets a table
//! go back in time. Some stores, proxies and emulators do so only when several writers come at once.

use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
};
use uuid::Uuid;

use super::LakeStore;

/// Races for one object.
const RACES: usize = 12;
/// Writers of each.
const RACERS: usize = 16;
/// Objects that are read at once after they were written.
const READ_BACK: usize = 24;
/// Objects of a listing: more than one page of S3 has.
const LISTED: usize = 1_050;
/// Bytes of an object that is put at once, and of the first two parts of one that is uploaded.
const LARGE_BYTES: usize = 8 << 20;
/// Requests at a time.
const AT_ONCE: usize = 32;

/// A promise of a store, as it was found.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What is promised.
    pub promise: &'static str,
    /// Whether it was kept.
    pub verdict: Verdict,
    /// What was tried, or what was found instead.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
}

/// Whether a promise was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Each time.
    Kept,
    /// Not each time.
    Broken,
    /// The store failed to answer.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        })
    }
}

/// Why a promise does not hold, or is not known to.
enum Flaw {
    Broken(String),
    Failed(StoreError),
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

type Tried = Result<String, Flaw>;

/// Tries every promise of `store`, in a folder below it that is removed again; `told` is shown each finding at once.
///
/// An upload that breaks off half-way is left to the store, which has a rule for such (a lifecycle rule on S3).
pub async fn check(store: &LakeStore, told: &mut (dyn FnMut(&Finding) + Send)) -> Vec<Finding> {
    let folder = Folder {
        store: store.object().as_ref(),
        root: store.child(&format!("_check-{}", Uuid::new_v4().simple())),
    };
    let mut findings = Vec::new();
    let mut add = |finding: Finding| {
        told(&finding);
        findings.push(finding);
    };
    add(tried("read after write", folder.read_after_write()).await);
    add(tried("put if absent", folder.put_if_absent()).await);
    add(tried("put if absent under a race", folder.race()).await);
    add(tried("ranges", folder.ranges()).await);
    add(tried("large objects", folder.large()).await);
    add(tried("uploads of parts", folder.parts()).await);
    add(tried("listings", folder.listings()).await);
    add(tried("deletions", folder.deletions()).await);
    if let Some(folder) = folder.root.local_path("") {
        // Empty folders, which no object store has.
        let _ = std::fs::remove_dir_all(folder);
    }
    findings
}

#[allow(clippy::disallowed_methods, reason = "says how long it took")]
async fn tried(promise: &'static str, work: impl Future<Output = Tried>) -> Finding {
    let begun = Instant::now();
    let (verdict, detail) = match work.await {
        Ok(detail) => (Verdict::Kept, detail),
        Err(Flaw::Broken(why)) => (Verdict::Broken, why),
        Err(Flaw::Failed(error @ StoreError::NotImplemented { .. })) => {
            (Verdict::Broken, error.to_string())
        }
        Err(Flaw::Failed(error)) => (Verdict::Unknown, error.to_string()),
    };
    Finding { promise, verdict, detail, took: begun.elapsed() }
}

fn broken<T>(why: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Broken(why.into()))
}

struct Folder<'a> {
    store: &'a dyn ObjectStore,
    root: LakeStore,
}

impl Folder<'_> {
    fn path(&self, name: &str) -> Path {
        self.root.path(name)
    }

    async fn content(&self, path: &Path) -> Result<Bytes, StoreError> {
        self.store.get(path).await?.bytes().await
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let listed: Vec<ObjectMeta> =
            self.store.list(Some(&self.path(folder))).try_collect().await?;
        let mut names: Vec<_> =
            listed.iter().filter_map(|meta| self.root.relative(&meta.location)).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What was written, replaced or deleted is so for whoever asks next.
    async fn read_after_write(&self) -> Tried {
        for number in 0..READ_BACK {
            let name = format!("read/{number}");
            let path = self.path(&name);
            for content in [format!("first {number}"), format!("second {number}")] {
                self.store.put(&path, content.clone().into()).await?;
                let found = self.content(&path).await?;
                if found != content {
                    let found = String::from_utf8_lossy(&found).into_owned();
                    return broken(format!("{name}: {content:?} was put, {found:?} was read"));
                }
                let size = self.store.head(&path).await?.size;
                if size != content.len() as u64 {
                    return broken(format!("{name}: {} bytes put, {size} told", content.len()));
                }
            }
            if !self.names("read").await?.contains(&name) {
                return broken(format!("{name} was put, and a listing does not show it"));
            }
            self.store.delete(&path).await?;
            match self.content(&path).await {
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return broken(format!("{name} was deleted, and can be read")),
            }
            if self.names("read").await?.contains(&name) {
                return broken(format!("{name} was deleted, and a listing shows it"));
            }
        }
        Ok(format!("{READ_BACK} objects put, replaced, read, listed and deleted"))
    }

    /// A second put of a name is refused, and changes nothing.
    async fn put_if_absent(&self) -> Tried {
        let path = self.path("absent/one");
        self.store.put_opts(&path, "first".into(), PutMode::Create.into()).await?;
        match self.store.put_opts(&path, "second".into(), PutMode::Create.into()).await {
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return broken("an object that is there was put once more"),
        }
        match self.content(&path).await? {
            found if found == "first" => {}
            _ => return broken("a put that was refused changed the object"),
        }
        self.store.delete(&path).await?;
        self.store.put_opts(&path, "third".into(), PutMode::Create.into()).await?;
        Ok("an object that is there is not put again; one that was deleted is".to_owned())
    }

    /// Of several writers that put one name at the same time exactly one is told that it did, and its bytes stay.
    async fn race(&self) -> Tried {
        for race in 0..RACES {
            let path = self.path(&format!("race/{race}"));
            let racers = (0..RACERS).map(|racer| {
                let content = Bytes::from(format!("racer {racer} ").repeat(200));
                let path = &path;
                async move {
                    let put =
                        self.store.put_opts(path, content.clone().into(), PutMode::Create.into());
                    (content, put.await)
                }
            });
            let ended = futures::future::join_all(racers).await;
            let mut winners = Vec::new();
            for (content, put) in ended {
                match put {
                    Ok(_) => winners.push(content),
                    Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let found = self.content(&path).await?;
            match winners.as_slice() {
                [winner] if *winner == found => {}
                [_] => return broken("the object has the bytes of a writer that was refused"),
                winners => {
                    return broken(format!(
                        "{} of {RACERS} writers were told that they created one object: commits would be lost",
                        winners.len()
                    ));
                }
            }
        }
        Ok(format!("{RACES} races of {RACERS} writers, one winner each"))
    }

    /// Parts of an object are those bytes.
    async fn ranges(&self) -> Tried {
        let path = self.path("ranges");
        let content = noise(300_000);
        self.store.put(&path, content.clone().into()).await?;
        let ranges = [0..1, 0..300_000, 1_000..70_000, 299_999..300_000, 150_000..150_001];
        let pieces = self.store.get_ranges(&path, &ranges).await?;
        for (range, piece) in ranges.iter().zip(&pieces) {
            if content.get(range.start as usize..range.end as usize) != Some(piece.as_ref()) {
                return broken(format!("bytes {range:?} are not those that were put"));
            }
        }
        for (range, expected) in [
            (GetRange::Offset(299_000), 299_000..300_000),
            (GetRange::Bounded(299_000..400_000), 299_000..300_000),
        ] {
            let what = format!("{range}");
            let options = GetOptions::new().with_range(Some(range));
            let piece = self.store.get_opts(&path, options).await?.bytes().await?;
            if content.get(expected) != Some(piece.as_ref()) {
                return broken(format!("{what} of 300000 bytes are not those that were put"));
            }
        }
        Ok("first, last, middle and all bytes of an object of 300000".to_owned())
    }

    /// An object of some megabytes is put at once, if absent.
    async fn large(&self) -> Tried {
        let path = self.path("large");
        let content = noise(2 * LARGE_BYTES);
        self.store.put_opts(&path, content.clone().into(), PutMode::Create.into()).await?;
        if self.content(&path).await? != content {
            return broken("16 MiB that were put are read otherwise");
        }
        Ok("16 MiB put at once".to_owned())
    }

    /// An object that is uploaded in parts is there as a whole when it is completed, and not before.
    async fn parts(&self) -> Tried {
        let path = self.path("parts/one");
        let content = noise(2 * LARGE_BYTES + 1_000_000);
        let mut upload = self.store.put_multipart(&path).await?;
        let cut = |from: usize, to: usize| content.slice(from..to);
        let parts = [
            cut(0, LARGE_BYTES),
            cut(LARGE_BYTES, 2 * LARGE_BYTES),
            cut(2 * LARGE_BYTES, content.len()),
        ];
        let parts: Vec<_> = parts.into_iter().map(|part| upload.put_part(part.into())).collect();
        futures::future::try_join_all(parts.into_iter().rev()).await?;
        if !self.names("parts").await?.is_empty() {
            return broken("an upload that is not completed is listed");
        }
        upload.complete().await?;
        if self.content(&path).await? != content {
            return broken("three parts that were uploaded are read otherwise");
        }
        let across = LARGE_BYTES as u64 - 500..LARGE_BYTES as u64 + 500;
        let piece = self.store.get_range(&path, across.clone()).await?;
        if content.get(across.start as usize..across.end as usize) != Some(piece.as_ref()) {
            return broken("bytes across two parts are not those that were put");
        }
        let mut aborted = self.store.put_multipart(&self.path("parts/aborted")).await?;
        aborted.put_part(cut(0, LARGE_BYTES).into()).await?;
        aborted.abort().await?;
        match self.names("parts").await?.as_slice() {
            [one] if one == "parts/one" => Ok("three parts, in any order; one given up".to_owned()),
            names => broken(format!("after an upload was given up there are {names:?}")),
        }
    }

    /// A listing shows every object below a folder once, and the folders in it.
    async fn listings(&self) -> Tried {
        let name = |number: usize| format!("list/{:02}/{number:05}", number % 3);
        let puts = stream::iter(0..LISTED).map(|number| {
            let path = self.path(&name(number));
            async move { self.store.put(&path, "x".into()).await }
        });
        puts.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let mut expected: Vec<_> = (0..LISTED).map(name).collect();
        expected.sort_unstable();
        let found = self.names("list").await?;
        if found != expected {
            return broken(format!("{LISTED} objects were put, {} listed", found.len()));
        }
        let listed = self.store.list_with_delimiter(Some(&self.path("list"))).await?;
        if listed.common_prefixes.len() != 3 || !listed.objects.is_empty() {
            return broken(format!(
                "a folder with 3 folders lists {} and {} objects",
                listed.common_prefixes.len(),
                listed.objects.len()
            ));
        }
        Ok(format!("{LISTED} objects in 3 folders"))
    }

    /// What is deleted is gone, and deleting what is not there does no harm. Removes all that the check has put.
    async fn deletions(&self) -> Tried {
        let listed: Vec<ObjectMeta> = self.store.list(Some(&self.path(""))).try_collect().await?;
        let count = listed.len();
        let absent = self.path("absent/never");
        let all = listed.into_iter().map(|meta| meta.location).chain([absent]);
        let all: Vec<_> = all.map(Ok).collect();
        let mut deleted = self.store.delete_stream(stream::iter(all).boxed());
        while let Some(deleted) = deleted.next().await {
            match deleted {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.names("").await?.len() {
            0 => Ok(format!("{count} objects at once")),
            left => broken(format!("{left} of {count} objects that were deleted are listed")),
        }
    }
}

/// Bytes that no store compresses or takes for others (an xorshift generator).
fn noise(len: usize) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
