//! The network between the engines of a simulation: they call each other, and replies get lost.

use std::collections::HashMap;
use std::sync::Arc;

use barograph_engine::log::Place;
use barograph_engine::{AppendedGroup, Engine, Error, ErrorKind, ForwardedBatch, Peers};
use barograph_lake::LogId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use parking_lot::Mutex;

/// The engines by their addresses, as far as they are reached.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) engines: Mutex<HashMap<String, Arc<Engine>>>,
    /// Whether replies to come are lost, the next one last.
    pub(super) losses: Mutex<Vec<bool>>,
}

impl Network {
    pub(super) fn engine(&self, address: &str) -> Option<Arc<Engine>> {
        self.engines.lock().get(address).cloned()
    }

    /// Whether a reply is lost, as was drawn beforehand.
    fn loses_reply(&self) -> bool {
        self.losses.lock().pop().unwrap_or(false)
    }
}

impl Peers for Network {
    fn is_alive<'a>(&'a self, address: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.engine(address).is_some_and(|e| e.failure().is_none()) })
    }

    fn forward<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
        batches: Vec<ForwardedBatch>,
    ) -> BoxFuture<'a, barograph_engine::Result<Vec<barograph_engine::Result<Place>>>> {
        Box::pin(async move {
            let gone = || Error::new(ErrorKind::Unavailable, "nobody is there");
            let engine = self.engine(address).ok_or_else(gone)?;
            let places = engine.accept_forwarded(log, batches).await?;
            if self.loses_reply() { Err(gone()) } else { Ok(places) }
        })
    }

    fn groups<'a>(
        &'a self,
        address: &'a str,
        log: LogId,
    ) -> BoxFuture<
        'a,
        barograph_engine::Result<BoxStream<'static, barograph_engine::Result<AppendedGroup>>>,
    > {
        Box::pin(async move {
            let gone = || Error::new(ErrorKind::Unavailable, "nobody is there");
            let groups = self.engine(address).ok_or_else(gone)?.groups(log)?;
            Ok(groups.map(Ok).boxed())
        })
    }
}
