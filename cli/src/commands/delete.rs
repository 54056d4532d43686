//! `barograph lake delete`: rows are deleted for good, through a running server.

use barograph_engine::{Clock, SystemClock};
use barograph_lake::TimeRange;

use super::query::keys_of;
use super::times;
use crate::arguments::LakeDeleteArguments;
use crate::figures::grouped;
use crate::output::say;
use crate::settings::Settings;
use crate::{Result, wiring};

pub(super) async fn run(arguments: &LakeDeleteArguments, settings: &Settings) -> Result<()> {
    let now = SystemClock.now();
    let bound = |text: &Option<String>, otherwise| match text {
        Some(text) => times::instant(text, now),
        None => Ok(otherwise),
    };
    let time = TimeRange {
        from: bound(&arguments.from, TimeRange::ALL.from)?,
        to: bound(&arguments.to, TimeRange::ALL.to)?,
    };
    let client = wiring::connect_after(settings, arguments.after).await?;
    let keys = match arguments.all {
        true => None,
        false => {
            let schema = client.schema(&arguments.table).await?;
            Some(keys_of(&arguments.keys, &arguments.table, &schema)?)
        }
    };
    let report = client.delete(&arguments.table, keys, time, &arguments.reason).await?;
    match report.version {
        None => say(format_args!("there are no such rows in {}", arguments.table))?,
        Some(version) => say(format_args!(
            "deleted {} rows of {} as of version {version}; {} files held them, which the job sweep deletes",
            grouped(report.rows),
            arguments.table,
            grouped(report.files)
        ))?,
    }
    match report.position {
        None => Ok(()),
        Some(position) => say(format_args!(
            "no server answers with them after position {position} (--after {position})"
        )),
    }
}
