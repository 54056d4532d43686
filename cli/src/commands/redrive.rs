//! `barograph redrive`: dead letters are validated and put once more.

use barograph_engine::{Clock, SystemClock};
use barograph_lake::TimeRange;

use super::times;
use crate::arguments::RedriveArguments;
use crate::figures::grouped;
use crate::output::say;
use crate::settings::Settings;
use crate::{Result, signals, wiring};

pub(super) async fn run(arguments: RedriveArguments, settings: &Settings) -> Result<()> {
    let now = SystemClock.now();
    let bound = |text: &Option<String>, otherwise| match text {
        Some(text) => times::instant(text, now),
        None => Ok(otherwise),
    };
    let time = TimeRange {
        from: bound(&arguments.from, TimeRange::ALL.from)?,
        to: bound(&arguments.to, TimeRange::ALL.to)?,
    };
    let client = wiring::connect(settings).await?;
    let report =
        signals::unless_stopped(async { Ok(client.redrive(&arguments.table, time).await?) })
            .await?;
    say(format_args!(
        "{} dead letters of {}: {} are in the table now, {} stay",
        grouped(report.letters),
        arguments.table,
        grouped(report.accepted),
        grouped(report.rejected + report.unreadable)
    ))?;
    if report.superseded > 0 {
        say(format_args!(
            "{} were superseded by rows of the same key and time that were accepted later",
            grouped(report.superseded)
        ))?;
    }
    if report.unreadable > 0 {
        say(format_args!(
            "{} of those that stay do not hold the values as they were sent (rows as they stood in a file, rows that \
             are cut, letters of earlier versions): import or send those rows again",
            grouped(report.unreadable)
        ))?;
    }
    Ok(())
}
