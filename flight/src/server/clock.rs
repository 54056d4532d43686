//! What time is it for the server? The engine's time.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::{Clock, Engine};
use barograph_lake::Micros;
use futures::future::BoxFuture;

/// The clock of an engine.
#[derive(Debug)]
pub(super) struct EngineClock(pub(super) Arc<Engine>);

impl Clock for EngineClock {
    fn now(&self) -> Micros {
        self.0.now()
    }

    fn elapsed(&self) -> Micros {
        self.0.clock().elapsed()
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        self.0.clock().sleep(length)
    }
}
