//! `barograph sql`: one statement from the command line or stdin, or an interactive session.
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

mod complete;
pub(super) mod error_place;
mod shell;

use std::io::{BufWriter, IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use barograph_flight::Client;
use barograph_query::Script;
use futures::TryStreamExt;

use super::query::has_cities;
use crate::arguments::SqlArguments;
use crate::output::{Format, RowWriter, check_terminal, say};
use crate::plot::Plot;
use crate::settings::Settings;
use crate::{Error, Result, signals, wiring};

pub(super) async fn run(arguments: SqlArguments, settings: &Settings) -> Result<()> {
    check_terminal(arguments.answer.format)?;
    let (format, is_plot) = (arguments.answer.format, arguments.plot);
    let text = match arguments.statement {
        Some(text) => text,
        None if std::io::stdin().is_terminal() => {
            if is_plot {
                return Err(Error::usage(
                    "--plot: give the statement, like barograph sql --plot 'SELECT …'",
                ));
            }
            let client = wiring::connect_after(settings, arguments.answer.after).await?;
            return shell::run(client, format).await;
        }
        None => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            text
        }
    };
    let client = wiring::connect_after(settings, arguments.answer.after).await?;
    let script = Script::of(&text);
    let mut statements = script.statements().peekable();
    if statements.peek().is_none() {
        return Err(Error::usage("no statement: write one, like barograph sql 'SELECT 1'"));
    }
    for statement in statements {
        signals::unless_stopped(async {
            let answered = match is_plot {
                true => plot(&client, statement).await,
                false => answer(&client, statement, format).await.map(drop),
            };
            answered.map_err(|e| error_place::with_place(e, statement))
        })
        .await?;
    }
    Ok(())
}

/// Asks and draws the answer to stdout.
async fn plot(client: &Client, statement: &str) -> Result<()> {
    let mut answer = client.sql(statement).await?;
    let mut plot = Plot::new(answer.schema(), has_cities(answer.schema()), false)?;
    while let Some(batch) = answer.try_next().await? {
        plot.take(&batch)?;
    }
    say(plot.text().trim_end())
}

/// How large an answer was, and how long it took.
struct AnswerSummary {
    rows: u64,
    took: Duration,
}

/// Asks and writes the answer to stdout.
async fn answer(client: &Client, statement: &str, format: Format) -> Result<AnswerSummary> {
    let begun = Instant::now();
    let (_, rows) = write_answer(client, statement, format, std::io::stdout(), |_| {}).await?;
    Ok(AnswerSummary { rows, took: begun.elapsed() })
}

/// Asks and writes the answer batch by batch; `told` hears how many rows have been written. Gives back what
/// was written to, and the number of rows.
pub(super) async fn write_answer<W: Write + Send>(
    client: &Client,
    statement: &str,
    format: Format,
    to: W,
    mut told: impl FnMut(u64),
) -> Result<(W, u64)> {
    let mut answer = client.sql(statement).await?;
    let schema = answer.schema().clone();
    let to = BufWriter::with_capacity(256 << 10, to);
    let mut writer = RowWriter::new(to, format, &schema, has_cities(&schema))?;
    let mut rows = 0;
    while let Some(batch) = answer.try_next().await? {
        writer.write(&batch)?;
        rows += batch.num_rows() as u64;
        told(rows);
        // Where the next batch is there already, a Ctrl-C would not be heard.
        tokio::task::yield_now().await;
    }
    let to = writer.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok((to, rows))
}
