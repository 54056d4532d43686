//! The pattern of a table's name: a name, in which `*` stands for any characters.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The table of rejected rows. It holds rows of all other tables as they were sent, so that only its own name means it.
const DEAD_LETTERS: &str = "dead_letters";

/// Names of tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TablePattern(String);

impl TablePattern {
    /// The pattern of a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it means `table`.
    pub fn matches(&self, table: &str) -> bool {
        if table == DEAD_LETTERS || !self.0.contains('*') {
            return self.0 == table;
        }
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = table.strip_prefix(first) else { return false };
        let mut parts = parts.peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.is_empty()
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for TablePattern {
    fn schema_name() -> Cow<'static, str> {
        "TablePattern".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_but_never_for_the_dead_letters() {
        for (pattern, table, matches) in [
            ("readings", "readings", true),
            ("readings", "readings_1h", false),
            ("*", "readings", true),
            ("*", "", true),
            ("readings*", "readings_1h", true),
            ("*_1h", "readings_1h", true),
            ("r*s_*h", "readings_1h", true),
            ("r*s_*d", "readings_1h", false),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
            ("", "readings", false),
            ("*", "dead_letters", false),
            ("dead_*", "dead_letters", false),
            ("dead_letters", "dead_letters", true),
        ] {
            assert_eq!(TablePattern::new(pattern).matches(table), matches, "{pattern} {table}");
        }
    }
}
