//! `barograph lake release-log`: everything in the log lands, and the lake is left to whichever log claims it next.

use barograph_engine::Engine;
use barograph_engine::log::{discard, discard_shared, shared_log};
use barograph_lake::internal::{is_released, release};
use barograph_lake::store::LakeStore;

use crate::figures::grouped;
use crate::output::say;
use crate::settings::{LogPlace, Settings};
use crate::{Error, Result, wiring};

pub(super) async fn run(lake: &LakeStore, settings: &Settings) -> Result<()> {
    match settings.log {
        LogPlace::Local => release_local(lake, settings).await,
        LogPlace::Store => release_shared(lake, settings).await,
    }
}

async fn release_local(lake: &LakeStore, settings: &Settings) -> Result<()> {
    let folder = wiring::log_folder(settings)?;
    if !folder.is_dir() {
        return Err(Error::usage(format!(
            "there is no log in {}: say by log_folder where it is",
            folder.display()
        )));
    }
    let rows = land(lake, settings).await?;
    discard(&folder)?;
    say(format_args!(
        "{} rows landed; the lake is free for another log, and that in {} is gone: start a server with --set log=store, or on another machine",
        grouped(rows),
        folder.display()
    ))
}

async fn release_shared(lake: &LakeStore, settings: &Settings) -> Result<()> {
    let Some(log) = shared_log(lake).await? else {
        return Err(Error::usage(format!(
            "there is no shared log in {}: give up a local log with --set log=local",
            settings.data
        )));
    };
    // An earlier try may have been interrupted while it deleted the log.
    let rows = match is_released(lake, log).await? {
        true => 0,
        false => land(lake, settings).await?,
    };
    discard_shared(lake).await?;
    say(format_args!(
        "{} rows landed; the lake is free for another log, and the shared one is gone: start a server with --set log=local, on whichever machine is to have the log",
        grouped(rows)
    ))
}

/// Lands everything, and gives up the log while this process still holds it. How many rows landed.
async fn land(lake: &LakeStore, settings: &Settings) -> Result<u64> {
    let engine = wiring::open_engine(settings, false, "").await?;
    let landed = land_with(&engine, lake).await;
    let ended = engine.shutdown().await;
    let rows = landed?;
    ended?;
    Ok(rows)
}

async fn land_with(engine: &Engine, lake: &LakeStore) -> Result<u64> {
    wiring::check_alone(engine).await?;
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
