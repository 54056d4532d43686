//! Cancellation: the statements that run, by the number and the secret of their connection. Whoever knows both may end
//! one; whether there is such a connection is told to nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use barograph_flight::{Error, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Notify;

/// Bytes of a secret, as the protocol has them up to 3.0 and from 3.2 on.
const SHORT: usize = 4;
const LONG: usize = 32;

/// The connections whose statements may be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Cancels {
    open: Mutex<HashMap<i32, Arc<Cancel>>>,
    next: AtomicI32,
}

/// The cancellation of one connection's statements.
#[derive(Debug)]
pub(crate) struct Cancel {
    pub(crate) number: i32,
    pub(crate) secret: Bytes,
    is_asked: AtomicBool,
    asked: Notify,
}

/// A connection in the list, until this is dropped.
#[derive(Debug)]
pub(crate) struct Listed {
    cancels: Arc<Cancels>,
    pub(crate) cancel: Arc<Cancel>,
}

impl Cancels {
    /// A number and a secret for a connection; the secret is long where its client knows such.
    ///
    /// # Errors
    /// `Unavailable` if the system gives no random numbers.
    pub(crate) fn list(self: &Arc<Self>, is_long: bool) -> Result<Listed> {
        let mut secret = vec![0; if is_long { LONG } else { SHORT }];
        SystemRandom::new().fill(&mut secret).map_err(|_| {
            let text = "the system gives no random numbers: try again";
            Error::new(barograph_engine::ErrorKind::Unavailable, text)
        })?;
        let mut open = self.open.lock();
        let number = loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if number != 0 && !open.contains_key(&number) {
                break number;
            }
        };
        let (is_asked, asked) = (AtomicBool::new(false), Notify::new());
        let cancel = Arc::new(Cancel { number, secret: secret.into(), is_asked, asked });
        open.insert(number, Arc::clone(&cancel));
        Ok(Listed { cancels: Arc::clone(self), cancel })
    }

    /// Ends what the connection does at present.
    pub(crate) fn cancel(&self, number: i32, secret: &[u8]) {
        let cancel = self.open.lock().get(&number).cloned();
        if let Some(cancel) = cancel
            && is_same(&cancel.secret, secret)
        {
            cancel.is_asked.store(true, Ordering::Release);
            cancel.asked.notify_one();
        }
    }
}

/// Compares secrets in a time that tells nothing of them.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differing == 0
}

impl Cancel {
    /// A statement begins: what was asked before was about an earlier one.
    pub(crate) fn begin(&self) {
        self.is_asked.store(false, Ordering::Release);
    }

    /// Ready when somebody asked that the statement be ended.
    pub(crate) async fn requested(&self) {
        while !self.is_asked.load(Ordering::Acquire) {
            self.asked.notified().await;
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.cancels.open.lock().remove(&self.cancel.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn only_who_knows_the_secret_cancels() {
        let cancels = Arc::new(Cancels::default());
        let one = cancels.list(true).unwrap();
        let other = cancels.list(false).unwrap();
        assert_eq!((one.cancel.secret.len(), other.cancel.secret.len()), (LONG, SHORT));
        assert_ne!(one.cancel.number, other.cancel.number);
        let mut wrong = one.cancel.secret.to_vec();
        wrong[0] ^= 1;
        cancels.cancel(one.cancel.number, &wrong);
        cancels.cancel(one.cancel.number, &[]);
        cancels.cancel(other.cancel.number, &one.cancel.secret);
        assert!(one.cancel.requested().now_or_never().is_none());
        cancels.cancel(one.cancel.number, &one.cancel.secret.clone());
        assert!(one.cancel.requested().now_or_never().is_some());
        assert!(other.cancel.requested().now_or_never().is_none());
        one.cancel.begin();
        assert!(one.cancel.requested().now_or_never().is_none(), "that was about the one before");
        let number = one.cancel.number;
        drop(one);
        cancels.cancel(number, &[]);
        assert_eq!(cancels.open.lock().len(), 1);
    }
}
