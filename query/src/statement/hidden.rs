//! The names in a statement that failed which are there, and which its caller is not shown: for records, never for who asked.

use std::collections::BTreeSet;

use barograph_lake::TableSchema;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::statement::sql::Sql;
use crate::table::catalog::SYSTEM_SCHEMA;

/// So much of a text is looked at.
const TEXT_BYTES: usize = 64 << 10;
/// So many names are told.
const NAMES_MAX: usize = 16;

impl Sql {
    /// Names of tables and columns in `text` that are not shown to whom this SQL is shown.
    pub fn hidden_names(&self, text: &str) -> Vec<String> {
        if self.shown.is_everything() {
            return Vec::new();
        }
        let tables = self.engine.tables().into_iter().map(|table| table.schema);
        let mut hidden = BTreeSet::new();
        let columns = |table: &TableSchema| -> BTreeSet<String> {
            table.arrow().fields().iter().map(|field| field.name().to_ascii_lowercase()).collect()
        };
        for table in tables {
            match self.shown.table(&table) {
                None => _ = hidden.insert(table.name().to_owned()),
                Some(None) => {}
                Some(Some(restriction)) => {
                    let shown = columns(restriction.visible());
                    hidden.extend(columns(&table).into_iter().filter(|name| !shown.contains(name)));
                }
            }
        }
        let entries = self.tables();
        let is_shown = |name: &str| entries.iter().any(|entry| entry.name == name);
        hidden.extend(self.dimension_names().filter(|name| !is_shown(name)).map(str::to_owned));
        named(text, |name| hidden.contains(name), |name| !self.shown.system(name))
    }
}

/// The words and texts of a statement that are `hidden`, and the tables of `system` that are.
fn named(
    text: &str,
    hidden: impl Fn(&str) -> bool,
    hidden_of_system: impl Fn(&str) -> bool,
) -> Vec<String> {
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES)).unwrap_or_default();
    let mut tokens = Vec::new();
    // What was read before a fault is looked at, too.
    let _ = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens);
    let words = tokens.iter().filter_map(|token| match &token.token {
        Token::Word(word) => Some(word.value.to_ascii_lowercase()),
        // An argument of a table function.
        Token::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    });
    let (mut names, mut before) = (Vec::new(), String::new());
    for word in words {
        let found = if before == SYSTEM_SCHEMA && hidden_of_system(&word) {
            Some(format!("{SYSTEM_SCHEMA}.{word}"))
        } else {
            hidden(&word).then(|| word.clone())
        };
        if let Some(found) = found
            && !names.contains(&found)
            && names.len() < NAMES_MAX
        {
            names.push(found);
        }
        before = word;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_found_wherever_they_stand() {
        let found = |text: &str| {
            let of_system = |name: &str| name != "queries";
            named(text, |name| ["secrets", "humidity"].contains(&name), of_system).join(",")
        };
        for (text, expected) in [
            ("SELECT 1", ""),
            ("SELECT * FROM secrets", "secrets"),
            ("SELECT * FROM public.\"SECRETS\" s JOIN Secrets", "secrets"),
            ("SELECT max(humidity) FROM readings", "humidity"),
            ("SELECT * FROM latest('secrets')", "secrets"),
            ("SELECT * FROM system.audit, system.queries", "system.audit"),
            ("WITH x AS (SELECT 1) SELECT humidity, FROM 'not closed", "humidity"),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
