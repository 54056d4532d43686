//! The writer of tickets as JSON.

use barograph_engine::{Aggregate, Point};
use barograph_lake::{AsOf, Key};
use serde_json::{Map, Value, json};

use super::{AGGREGATES, Read, Ticket, VERSION};

impl Ticket {
    /// The ticket as JSON on one line.
    pub fn to_json(&self) -> String {
        let mut ticket = Map::new();
        ticket.insert("v".to_owned(), VERSION.into());
        ticket.insert("table".to_owned(), self.table.as_str().into());
        let mut read = Map::new();
        match &self.read {
            Read::Point { keys, point } => {
                put(&mut read, "keys", keys.as_deref().map(numbers));
                let name = match point {
                    Point::Latest => "latest",
                    Point::At(time) => {
                        put(&mut read, "time", Some(time.to_string()));
                        "at"
                    }
                };
                ticket.insert(name.to_owned(), read.into());
            }
            Read::Range(range) => {
                put(&mut read, "keys", range.keys.as_deref().map(numbers));
                put(&mut read, "key_from", range.key_from.map(Key::get));
                put(&mut read, "key_to", range.key_to.map(Key::get));
                put(&mut read, "from", range.from.map(|at| at.to_string()));
                put(&mut read, "to", range.to.map(|at| at.to_string()));
                ticket.insert("range".to_owned(), read.into());
                put(&mut ticket, "filter", range.filter.clone());
                if let Some(windows) = &range.windows {
                    ticket.insert("every".to_owned(), windows.every.to_string().into());
                    let aggregates = windows
                        .aggregates
                        .iter()
                        .map(|(column, functions)| {
                            let names: Vec<_> =
                                functions.iter().map(|&f| aggregate_name(f)).collect();
                            (column.clone(), json!(names))
                        })
                        .collect::<Map<_, _>>();
                    ticket.insert("aggregates".to_owned(), aggregates.into());
                }
                put(&mut ticket, "limit", range.limit);
                let as_of = range.as_of.map(|as_of| match as_of {
                    AsOf::Version(version) => Value::from(version.get()),
                    AsOf::Time(time) => time.to_string().into(),
                });
                put(&mut ticket, "as_of", as_of);
            }
        }
        put(&mut ticket, "columns", self.columns.clone());
        put(&mut ticket, "after", self.after.map(|position| position.to_string()));
        put(&mut ticket, "view", self.view.clone());
        Value::Object(ticket).to_string()
    }
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

fn numbers(keys: &[Key]) -> Vec<i64> {
    keys.iter().map(|key| key.get()).collect()
}

/// The name of an aggregate in tickets.
fn aggregate_name(function: Aggregate) -> &'static str {
    AGGREGATES.iter().find(|(_, f)| *f == function).map_or("count", |(name, _)| name)
}
