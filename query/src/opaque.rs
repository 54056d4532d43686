//! Opaque values: the compiler need not look inside to know that they can be sent and shared between threads, as that is
//! shown where they are made.
//!
//! A future is `Send` if all that it holds is. The types of DataFusion's plans and expressions refer to each other in
//! hundreds of places, and what was shown of them for one future is shown again for the next, 8 seconds each: a future of
//! this crate holds them as [`Opaque`] or [`&dyn Value`](Value). For the same reason the planners and tables of this crate
//! write out what `async_trait` would make of an `async fn`: that holds all its arguments.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

/// A physical plan in the making.
pub(crate) type Planned<'a> = BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>>;

/// A shared `T`; a clone is another reference to it.
pub(crate) struct Opaque<T>(Arc<dyn Value<T>>);

/// A value behind a reference that hides what it is made of.
pub(crate) trait Value<T>: Send + Sync {
    /// The value.
    fn value(&self) -> &T;
}

impl<T: Send + Sync> Value<T> for T {
    fn value(&self) -> &T {
        self
    }
}

impl<T: Send + Sync + 'static> Opaque<T> {
    /// Shares `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for Opaque<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Opaque<T> {
    type Target = T;

    fn deref(&self) -> &T {
        (*self.0).value()
    }
}

impl<T: fmt::Debug> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
