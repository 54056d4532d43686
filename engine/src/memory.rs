//! Memory limits: how many bytes are taken, and whether more may be.
//!
//! A [`Budget`] has a name and a bound. Memory is held together with a [`Reservation`] of it, which is given back
//! when dropped, so that the figure is exact for as long as the reservation lives with the bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::{Error, Result};

/// A named bound on bytes.
#[derive(Debug)]
pub struct Budget {
    name: &'static str,
    limit: usize,
    used: AtomicUsize,
    stuck: AtomicUsize,
}

/// Bytes taken from a [`Budget`] until dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A bound of `limit` bytes under `name`, which is the setting that sets it.
    pub fn new(name: &'static str, limit: usize) -> Arc<Self> {
        Arc::new(Self { name, limit, used: AtomicUsize::new(0), stuck: AtomicUsize::new(0) })
    }

    /// The setting that sets the bound.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Bytes taken.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Sets how many of the bytes taken cannot be given back at present.
    pub(crate) fn set_stuck(&self, bytes: usize) {
        self.stuck.store(bytes, Ordering::Relaxed);
    }

    /// Whether the bytes that cannot be given back are so many that no more of them are to be taken.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) > self.limit / 4 * 3
    }

    /// Bytes to free once more than three quarters are taken of those that can be given back at all; 0 before.
    pub(crate) fn to_free(&self) -> usize {
        let stuck = self.stuck.load(Ordering::Relaxed).min(self.limit);
        let (used, limit) = (self.used().saturating_sub(stuck), self.limit - stuck);
        if used > limit / 4 * 3 { used - limit / 2 } else { 0 }
    }

    /// Takes `bytes`, or says that the bound is reached and when to come back.
    pub(crate) fn try_reserve(
        self: &Arc<Self>,
        bytes: usize,
        retry_after: Duration,
    ) -> Result<Reservation> {
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Reservation { budget: Arc::clone(self), bytes }),
            Err(used) => Err(Error::resources(
                self.name,
                format!(
                    "{used} of {} bytes are in use, and {bytes} more were requested",
                    self.limit
                ),
                retry_after,
            )),
        }
    }

    /// Takes `bytes` even over the bound: for what is already accepted and must be held.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Reservation { budget: Arc::clone(self), bytes }
    }
}

impl Reservation {
    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows or shrinks to `bytes`, even over the bound.
    pub(crate) fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
