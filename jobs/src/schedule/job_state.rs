//! The state of a job from run to run: a register, the newest entry of which counts.

use barograph_lake::LakeStore;
use barograph_lake::register::{Put, Register};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::job_store::{Document, JobStore, Kind};
use crate::{Error, ErrorKind, Result};

/// The state that a job keeps beside its records.
#[derive(Debug)]
pub struct JobState {
    store: JobStore,
    job: &'static str,
    /// Number of the newest object, once it is known.
    newest: Mutex<Option<u64>>,
}

impl JobState {
    /// The state of the job `job` in `store`, the folder of all jobs.
    pub fn new(store: LakeStore, job: &'static str) -> Self {
        Self { store: JobStore::new(store), job, newest: Mutex::default() }
    }

    /// The value that was kept last; `None` if none was.
    ///
    /// # Errors
    /// `Damage` if it is not what was written: the error names the object to delete.
    pub async fn read<T: Serialize + DeserializeOwned>(&self) -> Result<Option<T>> {
        let mut newest = self.newest.lock().await;
        let found = self.register::<T>().newest().await?;
        *newest = Some(found.as_ref().map_or(0, |(number, _)| *number));
        Ok(found.map(|(_, Document(value))| value))
    }

    /// Keeps `value` in place of what was read or kept before. It is durable when this returns.
    ///
    /// # Errors
    /// `Unavailable` if another process kept something meanwhile, or the store does not say whether this was kept: what
    /// is there is to be read first.
    pub async fn write<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<()> {
        let mut newest = self.newest.lock().await;
        let register = self.register();
        let before = match newest.take() {
            Some(number) => number,
            None => register.list().await?.numbers.pop().unwrap_or(0),
        };
        let number = before + 1;
        match register.advance(number, &Document(value)).await? {
            Put::Made | Put::Found(_) => {
                *newest = Some(number);
                Ok(())
            }
            Put::Taken => Err(Error::new(
                ErrorKind::Unavailable,
                format!("another process is also running the job {}", self.job),
            )),
            Put::Unknown(error) => {
                let what = format!("the state of the job {} may not have been saved", self.job);
                Err(Error::new(ErrorKind::Unavailable, what).with_source(error))
            }
        }
    }

    fn register<T: Serialize + DeserializeOwned>(&self) -> Register<Document<T>> {
        self.store.register(self.job, Kind::State)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use barograph_lake::store::faults::{Fault, FaultPlan, FaultStore, Operation};
    use object_store::memory::InMemory;

    use super::*;

    fn states() -> (Arc<FaultStore>, [JobState; 2]) {
        let faults = FaultStore::new(Arc::new(InMemory::new()), FaultPlan::none());
        let store =
            || LakeStore::with_store(Arc::clone(&faults) as _, "memory:///jobs".parse().unwrap());
        let both = [JobState::new(store(), "rollup"), JobState::new(store(), "rollup")];
        (faults, both)
    }

    #[tokio::test]
    async fn what_is_kept_though_the_reply_was_lost_is_kept() {
        let (faults, [a, _]) = states();
        a.write(1).await.unwrap();
        faults.set_plan(FaultPlan::none().on(Operation::Put, 0, Fault::LoseReply));
        a.write(2).await.unwrap();
        a.write(3).await.unwrap();
        assert_eq!(a.read().await.unwrap(), Some(3));
        // What may come yet does not come after what was read since.
        faults.set_plan(FaultPlan::none().on(Operation::Put, 0, Fault::Late));
        assert_eq!(a.write(4).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(a.read().await.unwrap(), Some(3));
        a.write(5).await.unwrap();
        faults.deliver().await;
        assert_eq!(a.read().await.unwrap(), Some(5));
    }

    #[tokio::test]
    async fn who_stood_still_does_not_keep_what_is_out_of_date() {
        let (_, [a, b]) = states();
        a.write(1).await.unwrap();
        assert_eq!(b.read().await.unwrap(), Some(1));
        for value in [2, 3] {
            b.write(value).await.unwrap();
        }
        // The number after the one that it knows is free again.
        let error = a.write(9).await.unwrap_err();
        assert!(
            error.to_string().contains("another process is also running the job rollup"),
            "{error}"
        );
        assert_eq!(a.read().await.unwrap(), Some(3));
        a.write(4).await.unwrap();
        assert_eq!(b.write(9).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
