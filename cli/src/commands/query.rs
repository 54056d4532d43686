//! `barograph latest` and `barograph range`: tickets to a server, rows to stdout.

use std::collections::BTreeSet;
use std::io::BufWriter;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use barograph_engine::{Aggregate, Clock, SystemClock};
use barograph_flight::client::Answer;
use barograph_flight::ticket::{RangeRead, Windows};
use barograph_flight::{Client, Ticket};
use barograph_lake::Key;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, INGESTED_AT, KEY_COLUMN};
use futures::TryStreamExt;

use super::times;
use crate::arguments::{AnswerArguments, KeyArguments, LatestArguments, RangeArguments};
use crate::cities::{CITY_KEY, Cities};
use crate::output::{Format, RowWriter, check_terminal, say};
use crate::plot::Plot;
use crate::settings::Settings;
use crate::{Error, Result, progress, signals, wiring};

pub(super) async fn latest(arguments: LatestArguments, settings: &Settings) -> Result<()> {
    let command = ReadCommand::new(&arguments.keys, &arguments.answer, settings).await?;
    let table = &arguments.keys.table;
    let ticket = match &arguments.at {
        None => Ticket::latest(table, command.keys.clone()),
        Some(at) => Ticket::at(table, command.keys.clone(), times::instant(at, SystemClock.now())?),
    };
    let ticket = ticket.columns(command.columns(&arguments.keys));
    signals::unless_stopped(command.answer(&ticket, false)).await
}

pub(super) async fn range(arguments: RangeArguments, settings: &Settings) -> Result<()> {
    let now = SystemClock.now();
    let (from, to) = (times::instant(&arguments.from, now)?, times::instant(&arguments.to, now)?);
    if from >= to {
        return Err(Error::usage(format!(
            "the range from {} to {} is empty: --from must be before --to",
            arguments.from, arguments.to
        )));
    }
    let command = ReadCommand::new(&arguments.keys, &arguments.answer, settings).await?;
    let windows = match &arguments.every {
        None => None,
        Some(every) => Some(command.windows(every, &arguments)?),
    };
    let whole = windows.is_none();
    let range = RangeRead {
        keys: command.keys.clone(),
        from: Some(from),
        to: Some(to),
        filter: arguments.filter.clone(),
        windows,
        limit: arguments.limit,
        as_of: arguments.as_of.as_deref().map(|text| times::as_of(text, now)).transpose()?,
        ..RangeRead::default()
    };
    let mut ticket = Ticket::range(&arguments.keys.table, range);
    if whole {
        ticket = ticket.columns(command.columns(&arguments.keys));
    }
    if arguments.explain {
        let plan =
            signals::unless_stopped(async { Ok(command.client.plan(&ticket).await?) }).await?;
        return say(plan.trim_end());
    }
    signals::unless_stopped(command.answer(&ticket, arguments.plot)).await
}

const AGGREGATES: [Aggregate; 7] = [
    Aggregate::Count,
    Aggregate::Sum,
    Aggregate::Mean,
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::First,
    Aggregate::Last,
];

/// A read from the command line: the client, the table, and the keys.
struct ReadCommand {
    client: Client,
    schema: SchemaRef,
    keys: Option<Vec<Key>>,
    format: Format,
}

impl ReadCommand {
    async fn new(
        keys: &KeyArguments,
        answer: &AnswerArguments,
        settings: &Settings,
    ) -> Result<Self> {
        check_terminal(answer.format)?;
        let client = wiring::connect_after(settings, answer.after).await?;
        let schema = client.schema(&keys.table).await?;
        let keys = match keys.all {
            true => None,
            false => Some(keys_of(&keys.cities, &keys.table, &schema)?),
        };
        Ok(Self { client, schema, keys, format: answer.format })
    }

    /// The columns asked for; all but the engine's own if none are named.
    fn columns(&self, arguments: &KeyArguments) -> Vec<String> {
        if !arguments.columns.is_empty() {
            return arguments.columns.iter().map(|name| name.trim().to_owned()).collect();
        }
        let values = self.schema.fields().iter().skip(FIRST_VALUE_COLUMN);
        values.map(|field| field.name().clone()).filter(|name| name != INGESTED_AT).collect()
    }

    /// The figures asked for, of the named columns or of all that are numbers.
    fn windows(&self, every: &str, arguments: &RangeArguments) -> Result<Windows> {
        let aggregates =
            arguments.agg.iter().map(|name| aggregate(name.trim())).collect::<Result<Vec<_>>>()?;
        let numbers = |name: &String| {
            self.schema.field_with_name(name).is_ok_and(|field| field.data_type().is_numeric())
        };
        let columns: Vec<_> = match arguments.keys.columns.is_empty() {
            true => self.columns(&arguments.keys).into_iter().filter(numbers).collect(),
            false => self.columns(&arguments.keys),
        };
        Ok(Windows {
            every: every.parse()?,
            aggregates: columns.into_iter().map(|name| (name, aggregates.clone())).collect(),
        })
    }

    /// Writes the answer to stdout as rows, or as a plot.
    async fn answer(&self, ticket: &Ticket, is_plot: bool) -> Result<()> {
        let mut answer: Answer = self.client.get(ticket).await?;
        let schema = answer.schema().clone();
        let to = BufWriter::with_capacity(256 << 10, std::io::stdout());
        let mut writer = RowWriter::new(to, self.format, &schema, has_cities(&schema))?;
        let plot = || Plot::new(&schema, has_cities(&schema), true);
        let mut plot = is_plot.then(plot).transpose()?;
        let mut missing: BTreeSet<Key> = self.keys.iter().flatten().copied().collect();
        while let Some(rows) = answer.try_next().await? {
            strike_out(&mut missing, &rows)?;
            match &mut plot {
                Some(plot) => plot.take(&rows)?,
                None => writer.write(&rows)?,
            }
        }
        match plot {
            Some(plot) => say(plot.text().trim_end())?,
            None => drop(writer.finish()?),
        }
        if !missing.is_empty() {
            let names: Vec<_> = missing.into_iter().map(|key| self.name(key)).collect();
            progress::line(&format!("no reading of {}", names.join(", ")));
        }
        Ok(())
    }

    fn name(&self, key: Key) -> String {
        let cities = has_cities(&self.schema).then(Cities::built_in).and_then(Result::ok);
        let city = cities.and_then(|cities| cities.get(key));
        city.map_or_else(|| key.to_string(), |city| format!("{} ({key})", city.name))
    }
}

/// The keys that cities, or numbers, name in a table.
pub(super) fn keys_of(names: &[String], table: &str, schema: &SchemaRef) -> Result<Vec<Key>> {
    let cities = has_cities(schema).then(Cities::built_in).transpose()?;
    let key = |text: &String| match cities {
        Some(cities) => cities.key(text),
        None => text.parse().map_err(|_| {
            Error::usage(format!("{text:?} is not a key of table {table}: give a number"))
        }),
    };
    names.iter().map(key).collect()
}

/// Takes the keys of `rows`, which are sorted by key, off the list of those that nothing was seen of.
fn strike_out(missing: &mut BTreeSet<Key>, rows: &RecordBatch) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let keys = cast(rows.column(KEY_COLUMN), &DataType::Int64)?;
    let mut last = None;
    for &key in keys.as_primitive::<Int64Type>().values() {
        if last.replace(key) != Some(key) {
            missing.remove(&Key::new(key));
        }
    }
    Ok(())
}

fn aggregate(name: &str) -> Result<Aggregate> {
    AGGREGATES.into_iter().find(|aggregate| aggregate.name() == name).ok_or_else(|| {
        let names: Vec<_> = AGGREGATES.iter().map(|aggregate| aggregate.name()).collect();
        Error::usage(format!("--agg {name}: choose from {}", names.join(", ")))
    })
}

/// Whether the first column is the key of cities.
pub(super) fn has_cities(schema: &SchemaRef) -> bool {
    schema.fields().get(KEY_COLUMN).is_some_and(|key| key.name() == CITY_KEY)
}
