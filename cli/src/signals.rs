//! When does somebody want us to stop? On Ctrl-C, or when a supervisor sends SIGTERM.

use crate::{Error, Result};

/// Ready when the process is asked to stop.
pub async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be heard: nobody can ask.
        std::future::pending::<()>().await;
    }
}

/// Does `work` unless the process is asked to stop first; it is then dropped where it stands.
pub async fn unless_stopped<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = stop() => Err(Error::stopped("stopped")),
    }
}
