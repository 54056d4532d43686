//! The status of the writer: whether it works, has stopped as asked, or has failed and why.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::watch;

use crate::{Error, ErrorKind, Result};

/// Whether the writer works.
#[derive(Debug, Clone, Default)]
enum State {
    #[default]
    Working,
    /// It ended because it was told to.
    Stopped,
    /// It writes nothing more, and why.
    Failed(Arc<Error>),
}

/// The writer's own end, by which it reports its status.
#[derive(Debug, Default)]
pub(super) struct StatusSender(watch::Sender<State>);

/// What others see of the writer's status. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct WriterStatus(watch::Receiver<State>);

impl StatusSender {
    pub(super) fn status(&self) -> WriterStatus {
        WriterStatus(self.0.subscribe())
    }

    /// Says that nothing more is written because of `error`. The first reason stays.
    pub(super) fn fail(&self, error: &Error) {
        self.change(State::Failed(Arc::new(error.again())));
    }

    /// The same, of a panic.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) {
        let error = Error::internal(format!(
            "the writer panicked ({}): nothing more is written until the server is restarted; what was acknowledged is in the log",
            panic_text(panic)
        ));
        tracing::error!(%error, "the writer has ended");
        self.fail(&error);
    }

    /// Says that the writer ended as it was told to.
    pub(super) fn stop(&self) {
        self.change(State::Stopped);
    }

    fn change(&self, to: State) {
        self.0.send_if_modified(|state| {
            let first = matches!(state, State::Working);
            if first {
                *state = to;
            }
            first
        });
    }
}

impl WriterStatus {
    /// Why nothing more is written, if the writer failed.
    pub(crate) fn failure(&self) -> Option<Error> {
        match &*self.0.borrow() {
            State::Failed(error) => Some(error.again()),
            State::Working | State::Stopped => None,
        }
    }

    /// Ready when the writer fails.
    pub(crate) async fn failed(&self) -> Error {
        let mut state = self.0.clone();
        if state.wait_for(|state| matches!(state, State::Failed(_))).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.failure().unwrap_or_else(stopped)
    }

    /// Why an answer never came: the writer ends, or has.
    pub(crate) async fn gone(&self) -> Error {
        // An error is that of a writer that is gone, too.
        let _ = self.0.clone().wait_for(|state| !matches!(state, State::Working)).await;
        self.failure().unwrap_or_else(stopped)
    }

    /// How the writer came to its end, once it has.
    pub(super) async fn end(&self) -> Result<()> {
        let _ = self.0.clone().wait_for(|state| !matches!(state, State::Working)).await;
        self.failure().map_or(Ok(()), Err)
    }

    /// What the sender of a message is told that nobody takes.
    pub(super) fn refusal(&self) -> Error {
        self.failure().unwrap_or_else(stopped)
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the engine is shutting down: send the batch again later")
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
