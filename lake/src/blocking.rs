//! Waits for a disk: which threads may, and how a read that must is kept off the others.
//!
//! A thread that runs asynchronous tasks keeps all of them waiting while it waits itself. What the page cache holds is
//! read at once on any thread; a read that would wait goes to a thread that [may wait](may_wait).

use std::cell::Cell;
use std::io;

use tokio::runtime::Handle;

thread_local! {
    static MAY_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` on the calling thread, which waits for a disk where it has to: on a thread for blocking work.
pub fn may_wait<T>(work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            MAY_WAIT.set(self.0);
        }
    }
    let _before = Before(MAY_WAIT.replace(true));
    work()
}

/// Does `work`, which waits for a disk, on a thread that may: on this one if it does, or if no runtime has another.
pub(crate) async fn wait<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match Handle::try_current() {
        Ok(runtime) if !MAY_WAIT.get() => {
            runtime.spawn_blocking(work).await.map_err(io::Error::other)?
        }
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::thread;

    use super::*;

    #[tokio::test]
    async fn what_waits_is_done_by_a_thread_that_may() {
        let this = thread::current().id();
        let worker = || Ok(thread::current().id());
        assert_ne!(wait(worker).await.unwrap(), this);
        let waiting = tokio::task::spawn_blocking(move || {
            let this = thread::current().id();
            let found = may_wait(|| Handle::current().block_on(wait(worker))).unwrap();
            (this, found, MAY_WAIT.get())
        });
        let (this, found, still) = waiting.await.unwrap();
        assert_eq!((found, still), (this, false));
    }
}
