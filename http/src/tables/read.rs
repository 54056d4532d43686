//! Reads of a table: parameters become a ticket, so that they mean what its fields mean, and are refused as they are.

use std::sync::Arc;

use barograph_flight::door::OpenedTicket;
use barograph_flight::{Error, Result};
use barograph_lake::{TableSchema, Timestamp};
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::answer::{Freshness, is_match, rows, tag_of_range, unchanged};
use crate::request::{Call, format_of};
use crate::serve::{Answered, Shared};

/// The answer to `GET /api/v1/tables/{table}/latest`.
pub(crate) fn latest(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move { read(&shared, call, "latest").await })
}

/// The answer to `GET /api/v1/tables/{table}/at`.
pub(crate) fn at(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move { read(&shared, call, "at").await })
}

/// The answer to `GET /api/v1/tables/{table}/range`.
pub(crate) fn range(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move { read(&shared, call, "range").await })
}

async fn read(shared: &Shared, call: Call, kind: &str) -> Answered {
    let headers = &call.parts.headers;
    let format = format_of(&call.query, headers)?;
    let table = call.asked.readable(call.table())?;
    let ticket = ticket(shared, &call, &table, kind)?;
    let opened = call.asked.open(&ticket).await?;
    let now = shared.door.clock().now();
    let freshness = Freshness { now, newest: newest(&opened, now), every: shared.reading_every };
    let variant = format!("{} {}", call.parts.uri, format.name());
    let tag = tag_of_range(&opened, &variant);
    if let Some(tag) = tag.as_ref().filter(|tag| is_match(headers, tag)) {
        opened.end();
        return Ok(unchanged(tag, Some(freshness)));
    }
    rows(headers, &call.id, format, opened.rows().await?, tag, Some(freshness)).await
}

/// The newest reading that the answer could have: a range in the past changes with what comes late only.
fn newest(opened: &OpenedTicket, now: Timestamp) -> Option<Timestamp> {
    // When others' readings come is not told to those who may not see them.
    if opened.is_restricted() {
        return None;
    }
    let newest = opened.view().newest()?;
    let is_past = opened.range().is_some_and(|(_, time)| time.to <= newest);
    Some(if is_past { now } else { newest })
}

/// The ticket that the parameters say.
pub(super) fn ticket(
    shared: &Shared,
    call: &Call,
    table: &TableSchema,
    kind: &str,
) -> Result<String> {
    let query = &call.query;
    let mut ticket = Map::new();
    ticket.insert("v".to_owned(), 1.into());
    ticket.insert("table".to_owned(), table.name().into());
    let mut read = Map::new();
    if let Some(keys) = keys(shared, call, table)? {
        read.insert("keys".to_owned(), keys.into());
    }
    for name in ["from", "to", "time"] {
        if let Some(text) = query.one(name)? {
            read.insert(name.to_owned(), text.into());
        }
    }
    ticket.insert(kind.to_owned(), read.into());
    if let Some(columns) = query.list("columns") {
        ticket.insert("columns".to_owned(), columns.into());
    }
    for (name, field) in [("where", "filter"), ("every", "every"), ("after", "after")] {
        if let Some(text) = query.one(name)? {
            ticket.insert(field.to_owned(), text.into());
        }
    }
    if let Some(limit) = query.number("limit")? {
        ticket.insert("limit".to_owned(), limit.into());
    }
    if let Some(text) = query.one("as_of")? {
        let version = text.parse::<u64>().map(Value::from);
        ticket.insert("as_of".to_owned(), version.unwrap_or_else(|_| text.into()));
    }
    if let Some(asked) = query.list("aggregates") {
        ticket.insert("aggregates".to_owned(), aggregates(&asked)?);
    }
    Ok(Value::Object(ticket).to_string())
}

/// The keys by number and by name; none is every key.
fn keys(shared: &Shared, call: &Call, table: &TableSchema) -> Result<Option<Vec<i64>>> {
    let numbers = call.query.list("keys");
    let mut names = call.query.all("place").peekable();
    if numbers.is_none() && names.peek().is_none() {
        return Ok(None);
    }
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            Error::request(format!("parameter \"keys\" has {text:?}: write whole numbers, like keys=2988507,1850147, or names by place=Paris"))
        })
    };
    let mut keys =
        numbers.unwrap_or_default().into_iter().map(number).collect::<Result<Vec<_>>>()?;
    for name in names {
        if table.declaration().dimension.is_none() {
            return Err(Error::request(format!(
                "parameter \"place\" is {name:?}: the keys of table {:?} are no places, give numbers by keys=…",
                table.name()
            )));
        }
        keys.push(shared.places.key(name).map_err(Error::request)?.get());
    }
    Ok(Some(keys))
}

/// `temperature:mean` and so on, as tickets write them.
fn aggregates(asked: &[&str]) -> Result<Value> {
    let mut aggregates = Map::new();
    for text in asked {
        let Some((column, function)) = text.split_once(':') else {
            return Err(Error::request(format!(
                "parameter \"aggregates\" has {text:?}: write a column and a function, like aggregates=temperature:mean,temperature:max"
            )));
        };
        let functions = aggregates.entry(column.trim()).or_insert_with(|| json!([]));
        if let Some(functions) = functions.as_array_mut() {
            functions.push(function.trim().into());
        }
    }
    Ok(aggregates.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn aggregates_are_gathered_by_column() {
        let asked = ["t:mean", "h:count", "t:max"];
        let expected = json!({ "t": ["mean", "max"], "h": ["count"] });
        assert_eq!(aggregates(&asked).unwrap(), expected);
        assert!(aggregates(&["t"]).unwrap_err().to_string().contains("\"t\""));
    }
}
