//! The announcement of a version by a process that shares no log: a command that changes a table beside the servers.

use std::sync::Arc;

use barograph_lake::internal::owner;
use barograph_lake::{LakeStore, LogPosition, TableVersion};

use super::io::Io;
use super::log::SharedLog;
use super::objects::Objects;
use crate::clock::Clock;
use crate::log::{Log, LogSettings, Notice};
use crate::{ErrorKind, Result};

/// Tells all who share the log of a lake, from a process that is none of them, that a table is at a version which answers
/// have to show, and gives the position behind which they do; `None` if the lake's rows come from a log of one process.
/// Waits for the store: on a thread that may.
///
/// # Errors
/// As of [`SharedLog::open`] and [`Log::announce`].
pub fn announce(
    lake: &LakeStore,
    settings: &LogSettings,
    clock: Arc<dyn Clock>,
    table: &str,
    version: TableVersion,
) -> Result<Option<LogPosition>> {
    let io = Io::start(Objects::new(lake), Arc::clone(&clock))?;
    let of = lake.clone();
    let is_shared = io.wait(move |objects| async move {
        let (owner, id) = (owner(&of).await?, objects.id().await?);
        Ok(owner.is_some() && owner == id)
    })?;
    if !is_shared {
        return Ok(None);
    }
    let mut log = SharedLog::open(lake, settings, clock, LogPosition::new(0), "")?;
    let notice = Notice { table: table.into(), version, is_awaited: true };
    loop {
        match log.announce(notice.clone()) {
            Err(error) if error.kind() == ErrorKind::Behind => log.follow(&mut |_, _| Ok(()))?,
            announced => return announced.map(Some),
        }
    }
}
