//! `barograph lake release-log`: everything in the local log lands, and the lake is left to whichever log claims it next.

use barograph_engine::Engine;
use barograph_engine::log::discard;
use barograph_lake::internal::release;
use barograph_lake::store::LakeStore;

use crate::figures::grouped;
use crate::output::say;
use crate::settings::{LogPlace, Settings};
use crate::{Error, Result, wiring};

pub(super) async fn run(lake: &LakeStore, settings: &Settings) -> Result<()> {
    if settings.log == LogPlace::Store {
        return Err(Error::usage(
            "log is \"store\": any machine that reaches the store can serve the lake already; give up a local log with --set log=local",
        ));
    }
    let folder = wiring::log_folder(settings)?;
    if !folder.is_dir() {
        return Err(Error::usage(format!(
            "there is no log in {}: say by log_folder where it is",
            folder.display()
        )));
    }
    let engine = wiring::open_engine(settings, false, "").await?;
    let landed = land(&engine, lake).await;
    let ended = engine.shutdown().await;
    let rows = landed?;
    ended?;
    discard(&folder)?;
    say(format_args!(
        "{} rows landed; the lake is free for another log, and that in {} is gone: start a server with --set log=store, or on another machine",
        grouped(rows),
        folder.display()
    ))
}

/// Lands everything, and gives up the log while this process still holds it.
async fn land(engine: &Engine, lake: &LakeStore) -> Result<u64> {
    let unlanded = |why: &str| {
        Error::failed(format!(
            "{why}: the log keeps the lake. system.faults of a server says what cannot land"
        ))
    };
    let report = engine.flush().await.map_err(|e| unlanded(&e.to_string()))?;
    let left: u64 = engine.views().values().map(|view| view.tail.rows()).sum();
    if left > 0 {
        return Err(unlanded(&format!("{} rows could not land", grouped(left))));
    }
    release(lake).await?;
    Ok(report.rows)
}
