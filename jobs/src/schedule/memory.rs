//! What does a job know from run to run? Numbered objects that are put if absent, the newest of which counts.

use barograph_lake::LakeStore;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::shelf::{Kind, Shelf};
use crate::{Error, ErrorKind, Result};

/// What a job keeps beside its records.
#[derive(Debug)]
pub struct Memory {
    shelf: Shelf,
    job: &'static str,
    /// Number of the newest object, once it is known.
    newest: Mutex<Option<u64>>,
}

impl Memory {
    /// What the job `job` keeps in `store`, the folder of all jobs.
    pub fn new(store: LakeStore, job: &'static str) -> Self {
        Self { shelf: Shelf::new(store), job, newest: Mutex::default() }
    }

    /// What was kept last; `None` if nothing was.
    ///
    /// # Errors
    /// `Damage` if it is not what was written: the error names the object to delete.
    pub async fn read<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let mut newest = self.newest.lock().await;
        let number = self.shelf.list(self.job, Kind::Memory).await?.numbers.pop();
        *newest = Some(number.unwrap_or(0));
        match number {
            None => Ok(None),
            Some(number) => self.shelf.get(self.job, Kind::Memory, number).await,
        }
    }

    /// Keeps `value` in place of what was read or kept before. It is durable when this returns.
    ///
    /// # Errors
    /// `Unavailable` if another process kept something meanwhile: what it did is to be read first.
    pub async fn keep<T: Serialize>(&self, value: &T) -> Result<()> {
        let mut newest = self.newest.lock().await;
        let before = match *newest {
            Some(number) => number,
            None => self.shelf.list(self.job, Kind::Memory).await?.numbers.pop().unwrap_or(0),
        };
        let number = before + 1;
        if !self.shelf.create(self.job, Kind::Memory, number, value).await? {
            *newest = None;
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("another process runs the job {} as well", self.job),
            ));
        }
        *newest = Some(number);
        self.shelf.delete(self.job, Kind::Memory, before).await
    }
}
