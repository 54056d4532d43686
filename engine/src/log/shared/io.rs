//! The requests of a shared log, on a thread of their own: whoever appends waits for answers as it would for a disk,
//! on a thread of a runtime or not.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::message::{Command, Event, FloorRead, Got, Put};
use super::objects::Objects;
use crate::clock::{Clock, pause};
use crate::{Error, ErrorKind, Result};

/// A request that takes longer counts as one whose reply was lost.
const REQUEST_WITHIN: Duration = Duration::from_secs(20);

/// Something to be done on the thread.
type Work = Box<dyn FnOnce(Objects) -> futures::future::BoxFuture<'static, ()> + Send>;

/// See the module.
#[derive(Debug)]
pub(super) struct Io {
    work: Option<UnboundedSender<Work>>,
    answers: Receiver<(Event, Option<Error>)>,
    answer: Sender<(Event, Option<Error>)>,
    clock: Arc<dyn Clock>,
    outstanding: usize,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Io {
    pub(super) fn start(objects: Objects, clock: Arc<dyn Clock>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::internal("start the runtime of the log").with_source(e))?;
        let (work, to_do) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("barograph-log".to_owned())
            .spawn(move || runtime.block_on(run(objects, to_do)))
            .map_err(|e| Error::internal("start the thread of the log").with_source(e))?;
        let (answer, answers) = channel();
        let thread = Some(thread);
        Ok(Self { work: Some(work), answers, answer, clock, outstanding: 0, thread })
    }

    /// Sends a request of the protocol. Whether `command` is one.
    pub(super) fn send(&mut self, command: &Command) -> bool {
        match command {
            Command::Put(position, object) => {
                let (position, object) = (*position, object.clone());
                self.ask(Event::Put(Put::Unknown), move |objects| async move {
                    let (put, error) = objects.put(position, object).await;
                    (Event::Put(put), error)
                });
            }
            Command::Get(position) => {
                let position = *position;
                self.ask(Event::Got(position, Got::Failed), move |objects| async move {
                    let (got, error) = objects.get(position).await;
                    (Event::Got(position, got), error)
                });
            }
            Command::List(from) => {
                let from = *from;
                self.ask(Event::Listed(None), move |objects| async move {
                    let (positions, error) = objects.list(from).await;
                    (Event::Listed(positions), error)
                });
            }
            Command::ReadFloor => self.ask(Event::Floor(None), |objects| async move {
                let (floor, error) = objects.read_floor().await;
                (Event::Floor(floor), error)
            }),
            _ => return false,
        }
        true
    }

    /// Asks for `work`, which is answered by `late` if it takes too long.
    fn ask<F>(&mut self, late: Event, work: impl FnOnce(Objects) -> F + Send + 'static)
    where
        F: Future<Output = (Event, Option<Error>)> + Send + 'static,
    {
        self.outstanding += 1;
        let (answer, clock) = (self.answer.clone(), Arc::clone(&self.clock));
        self.spawn(move |objects| async move {
            let work = std::pin::pin!(work(objects));
            let answered = match select(work, clock.sleep(REQUEST_WITHIN)).await {
                Either::Left((answered, _)) => answered,
                Either::Right(_) => (late, Some(late_error())),
            };
            let _ = answer.send(answered);
        });
    }

    fn spawn<F>(&self, work: impl FnOnce(Objects) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(sender) = &self.work {
            let _ = sender.send(Box::new(move |objects| Box::pin(work(objects))));
        }
    }

    /// The next answer, once there is one; `None` if nothing was asked.
    pub(super) fn answer(&mut self) -> Result<Option<(Event, Option<Error>)>> {
        if self.outstanding == 0 {
            return Ok(None);
        }
        self.outstanding -= 1;
        let gone = |e| Error::internal("the thread of the log has ended").with_source(e);
        self.answers.recv().map(Some).map_err(gone)
    }

    /// Does something with the objects, and waits for it.
    pub(super) fn wait<T: Send + 'static, F>(
        &self,
        work: impl FnOnce(Objects) -> F + Send + 'static,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (sender, done) = channel();
        self.spawn(move |objects| async move {
            let _ = sender.send(work(objects).await);
        });
        let gone = |e| Error::internal("the thread of the log has ended").with_source(e);
        done.recv().map_err(gone)?
    }

    /// Waits before another try.
    pub(super) fn pause(&self, length: Duration) -> Result<()> {
        self.wait(move |_| async move {
            pause(length).await;
            Ok(())
        })
    }

    /// Moves the floor, if it can.
    pub(super) fn move_floor(&self, to: u64) -> Result<Option<FloorRead>> {
        let now = self.clock.now();
        self.wait(move |objects| async move { objects.move_floor(to, now).await })
    }

    /// Deletes what lies below an old floor, beside everything else.
    pub(super) fn clean_up(&self, through: u64) {
        let now = self.clock.now();
        self.spawn(move |objects| async move {
            match objects.clean_up(through, now).await {
                Ok(0) => {}
                Ok(deleted) => tracing::debug!(deleted, "old groups of the log are deleted"),
                Err(error) => tracing::warn!(%error, "could not delete old groups of the log: trying again later"),
            }
        });
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(objects: Objects, mut to_do: UnboundedReceiver<Work>) {
    while let Some(work) = to_do.recv().await {
        tokio::spawn(work(objects.clone()));
    }
}

fn late_error() -> Error {
    let seconds = REQUEST_WITHIN.as_secs();
    let message = format!("log: the store did not answer within {seconds} s");
    Error::new(ErrorKind::Unavailable, message)
}
