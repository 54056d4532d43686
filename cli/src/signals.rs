//! The signals that ask the process to stop: Ctrl-C, or SIGTERM of a supervisor.

use crate::{Error, Result};

/// Ready when the process is asked to stop, from this call on, even if it is not awaited yet.
pub(crate) fn stop() -> impl Future<Output = ()> + Send + 'static {
    #[cfg(unix)]
    let asked = {
        use tokio::signal::unix::{SignalKind, signal};
        let heard = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        async move {
            let waits = heard.into_iter().flatten().map(|mut signal| {
                Box::pin(async move {
                    signal.recv().await;
                })
            });
            let waits: Vec<_> = waits.collect();
            if waits.is_empty() {
                // No signal can be heard: nobody can ask.
                std::future::pending::<()>().await;
            }
            futures::future::select_all(waits).await;
        }
    };
    #[cfg(not(unix))]
    let asked = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    asked
}

/// Does `work` unless the process is asked to stop first; it is then dropped where it stands.
pub(crate) async fn unless_stopped<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = stop() => Err(Error::stopped("stopped")),
    }
}

/// The signal SIGHUP, which asks a server to read its settings again; there is none elsewhere than on Unix.
pub(crate) struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Hears the signal from now on, which would end the process otherwise.
    pub(crate) fn hear() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    /// Ready when it comes again.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
