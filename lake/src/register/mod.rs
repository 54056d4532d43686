//! A register: numbered objects in a folder, put if absent, of which the one with the highest number counts.
//!
//! ```text
//! FOLDER/00000000000000000041.json ─► …42.json ─► …43.json      each put by a writer that read the one before
//! ```
//!
//! 1. Of several puts of one number exactly one is made, on any store that can put if absent.
//! 2. A writer that loses the reply to its put recognises its own entry by what identifies it.
//! 3. The highest number is never deleted, and so never falls. A writer that puts into the gap that a deletion left
//!    finds a higher number when it lists again, and has lost.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutMode};

use crate::{Error, ErrorKind, LakeStore, Result};

#[cfg(test)]
mod tests;

/// How often the newest entry is looked for because it was replaced while it was read.
const TRIES: usize = 16;

/// An entry of a register.
pub trait Entry: Sized {
    /// The bytes of its object.
    fn encode(&self) -> Result<Bytes>;

    /// Reads an object.
    ///
    /// # Errors
    /// What is wrong with it.
    fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error>;

    /// Whether `found`, which stands under the number that this was put under, is what that put wrote.
    fn is_same(&self, found: &Self) -> bool;
}

/// The outcome of a put.
#[derive(Debug)]
#[must_use = "only what was made counts"]
pub enum Put<T> {
    /// The entry stands under its number.
    Made,
    /// The entry stands there since an earlier put, as read here.
    Found(T),
    /// Another entry stands there, or did.
    Taken,
    /// The store failed, and the entry was not seen there: it may be, or come, if the put was under way. The same put
    /// can be repeated.
    Unknown(Error),
}

/// Numbers of the objects in a register.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those of its entries, ascending.
    pub numbers: Vec<u64>,
    /// Names of objects that are no entries.
    pub foreign: Vec<String>,
}

/// Numbered objects in a folder.
pub struct Register<T> {
    store: LakeStore,
    folder: String,
    entry: PhantomData<fn() -> T>,
}

impl<T: Entry> Register<T> {
    /// The register in a folder below `store`.
    pub fn new(store: &LakeStore, folder: impl Into<String>) -> Self {
        Self { store: store.clone(), folder: folder.into(), entry: PhantomData }
    }

    /// The path of the entry of a number.
    pub fn path(&self, number: u64) -> Path {
        self.store.path(&format!("{}/{number:020}.json", self.folder))
    }

    /// The numbers of all entries.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn list(&self) -> Result<Listed> {
        let folder = self.store.path(&self.folder);
        let objects = self.store.object().list(Some(&folder));
        let objects: Vec<ObjectMeta> = objects.try_collect().await.map_err(failed(&folder))?;
        let mut listed = Listed::default();
        for object in objects {
            let name = object.location.filename().unwrap_or_default();
            let number = name.strip_suffix(".json").and_then(|digits| digits.parse().ok());
            match number.filter(|number| self.path(*number) == object.location) {
                Some(number) => listed.numbers.push(number),
                None => listed.foreign.push(object.location.to_string()),
            }
        }
        listed.numbers.sort_unstable();
        Ok(listed)
    }

    /// The entry of a number; `None` if there is none.
    ///
    /// # Errors
    /// `Damage`, with the name of the object, if it cannot be read.
    pub async fn get(&self, number: u64) -> Result<Option<T>> {
        let path = self.path(number);
        let bytes = match self.store.object().get(&path).await {
            Ok(object) => object.bytes().await.map_err(failed(&path))?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(failed(&path)(e)),
        };
        let entry = T::decode(&bytes);
        let damaged = || Error::damage(format!("{path} does not hold what was written: delete it"));
        entry.map(Some).map_err(|e| damaged().with_source(e))
    }

    /// The entry of the highest number, with it; `None` if there is none.
    ///
    /// # Errors
    /// As of [`Self::get`]; a store error if it was replaced each time before it could be read.
    pub async fn newest(&self) -> Result<Option<(u64, T)>> {
        for _ in 0..TRIES {
            let Some(&number) = self.list().await?.numbers.last() else { return Ok(None) };
            if let Some(entry) = self.get(number).await? {
                return Ok(Some((number, entry)));
            }
        }
        let folder = self.store.path(&self.folder);
        let why =
            format!("the newest object in {folder} changes faster than it can be read: try again");
        Err(Error::new(ErrorKind::Store, why))
    }

    /// Puts an entry if there is none of its number. One of the same number may have been deleted before: see
    /// [`Self::advance`].
    ///
    /// # Errors
    /// If the entry cannot be written, or another that stands there cannot be read.
    pub async fn put(&self, number: u64, entry: &T) -> Result<Put<T>> {
        use object_store::Error as Store;
        let path = self.path(number);
        let put = entry.encode()?.into();
        let lost = match self.store.object().put_opts(&path, put, PutMode::Create.into()).await {
            Ok(_) => return Ok(Put::Made),
            Err(e) => e,
        };
        // A client of an object store repeats a put whose reply was lost, and meets what it wrote itself.
        let is_taken = matches!(lost, Store::AlreadyExists { .. } | Store::Precondition { .. });
        match self.get(number).await {
            Ok(Some(found)) if entry.is_same(&found) => Ok(Put::Found(found)),
            Ok(Some(_)) => Ok(Put::Taken),
            Err(error) if error.kind() == ErrorKind::Damage => Err(error),
            Err(error) if is_taken => Ok(Put::Unknown(error)),
            Ok(None) | Err(_) => Ok(Put::Unknown(failed(&path)(lost))),
        }
    }

    /// Whether the entry of a number is the one that was put; `None` if there is none.
    ///
    /// # Errors
    /// As of [`Self::get`].
    pub async fn holds(&self, number: u64, entry: &T) -> Result<Option<bool>> {
        Ok(self.get(number).await?.map(|found| entry.is_same(&found)))
    }

    /// Puts the entry that follows the highest one, makes sure that none came after it meanwhile, and deletes those
    /// before it.
    ///
    /// # Errors
    /// As of [`Self::put`].
    pub async fn advance(&self, number: u64, entry: &T) -> Result<Put<T>> {
        let made = match self.put(number, entry).await? {
            made @ (Put::Made | Put::Found(_)) => made,
            other => return Ok(other),
        };
        let numbers = match self.list().await {
            Ok(listed) => listed.numbers,
            Err(error) => return Ok(Put::Unknown(error)),
        };
        let is_newest = numbers.last().is_none_or(|newest| *newest <= number);
        for old in numbers.into_iter().filter(|old| *old < number || (*old == number && !is_newest))
        {
            // What is left here goes when the next entry comes.
            if let Err(error) = self.delete(old).await {
                tracing::debug!(%error, "could not delete a replaced object: it is left behind");
            }
        }
        Ok(if is_newest { made } else { Put::Taken })
    }

    /// Writes an entry over any of the same number, for a writer that alone uses that number.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn replace(&self, number: u64, entry: &T) -> Result<()> {
        let path = self.path(number);
        let put = self.store.object().put(&path, entry.encode()?.into()).await;
        put.map(drop).map_err(failed(&path))
    }

    /// Deletes an entry that does not count, if it is there.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn delete(&self, number: u64) -> Result<()> {
        let path = self.path(number);
        match self.store.object().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(&path)(e)),
        }
    }
}

impl<T> fmt::Debug for Register<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Register").field(&self.folder).finish()
    }
}

fn failed(path: &Path) -> impl Fn(object_store::Error) -> Error + '_ {
    move |e| Error::new(ErrorKind::Store, path.to_string()).with_source(e)
}
