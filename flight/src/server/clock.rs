//! What time is it for the server? The engine's time.

use std::sync::Arc;

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

    fn sleep_until(&self, until: Micros) -> BoxFuture<'static, ()> {
        self.0.clock().sleep_until(until)
    }
}
