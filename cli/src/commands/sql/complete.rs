//! The completion of words: the tables, columns and functions of the server, and the words of SQL.

use std::collections::BTreeSet;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use barograph_flight::Client;
use dialoguer::Completion;
use futures::TryStreamExt;

use crate::Result;

/// Words of SQL that are long enough to be completed.
const WORDS: &str = "and as asc between by case cast count cross date_bin desc distinct else end except exists \
    explain analyze false first_value following from full group having in inner intersect interval is \
    join last_value lateral left like limit max min not null nulls offset on or order outer over \
    partition preceding range right rows select then true union unbounded using values when where \
    window with";
const NAMES: [&str; 3] = [
    "select table_name from information_schema.tables union \
     select concat(table_schema, '.', table_name) from information_schema.tables where table_schema <> 'public'",
    "select distinct column_name from information_schema.columns",
    "select distinct routine_name from information_schema.routines",
];

/// The words that can be meant.
#[derive(Debug, Default)]
pub(super) struct Words(BTreeSet<String>);

impl Words {
    /// The words of SQL, and the names that the server has.
    pub(super) async fn of(client: &Client) -> Result<Self> {
        let mut words: BTreeSet<_> = WORDS.split_whitespace().map(str::to_owned).collect();
        for names in NAMES {
            let rows: Vec<RecordBatch> = client.sql(names).await?.try_collect().await?;
            for batch in rows {
                let names = cast(batch.column(0), &DataType::Utf8)?;
                words.extend(names.as_string::<i32>().iter().flatten().map(str::to_owned));
            }
        }
        Ok(Self(words))
    }

    /// What `begun` can go on with, as far as it is sure.
    fn continued(&self, begun: &str) -> Option<String> {
        let lower = begun.to_lowercase();
        let mut meant = self.0.range(lower.clone()..).take_while(|word| word.starts_with(&lower));
        let first = meant.next()?;
        let sure = meant.fold(first.as_str(), |sure, word| {
            let same = sure.char_indices().zip(word.chars()).find(|((_, a), b)| a != b);
            let end = same.map_or(sure.len().min(word.len()), |((at, _), _)| at);
            sure.get(..end).unwrap_or_default()
        });
        sure.get(lower.len()..).filter(|more| !more.is_empty()).map(|more| format!("{begun}{more}"))
    }
}

impl Completion for Words {
    fn get(&self, input: &str) -> Option<String> {
        let start =
            input.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).map_or(0, |at| {
                at + input.get(at..).and_then(|s| s.chars().next()).map_or(1, char::len_utf8)
            });
        let (before, word) = input.split_at_checked(start)?;
        // A column after its table's name is completed by itself.
        let (table, name) = match self.continued(word) {
            None => word.rsplit_once('.').map(|(table, name)| (format!("{table}."), name))?,
            Some(_) => (String::new(), word),
        };
        if name.is_empty() {
            return None;
        }
        Some(format!("{before}{table}{}", self.continued(name)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_as_far_as_they_are_sure() {
        let names =
            ["readings", "reading_at", "system.queries", "temperature", "select", "dew_point"];
        let words = Words(names.map(str::to_owned).into());
        let get = |input| words.get(input);
        assert_eq!(get("sel").as_deref(), Some("select"));
        assert_eq!(get("SEL").as_deref(), Some("SELect"));
        assert_eq!(get("select read").as_deref(), Some("select reading"));
        assert_eq!(get("select readings").as_deref(), None);
        assert_eq!(get("select avg(temp").as_deref(), Some("select avg(temperature"));
        assert_eq!(get("select r.temp").as_deref(), Some("select r.temperature"));
        assert_eq!(get("from system.q").as_deref(), Some("from system.queries"));
        assert_eq!(get("select é(dew").as_deref(), Some("select é(dew_point"));
        assert_eq!(get(""), None);
        assert_eq!(get("select xyz"), None);
        assert_eq!(get("select r."), None);
    }
}
