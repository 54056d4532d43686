//! The settings as text: a file that can be edited, and the reference page `docs/settings.md`.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::Settings;
use super::catalogue::{Catalogue, Section, Setting, TABLES};
use crate::{Error, Result};

/// Columns that a comment of the file may take.
const WIDTH: usize = 96;

/// `settings` as a file, each setting with its documentation as a comment.
pub(crate) fn file(settings: &Settings) -> Result<String> {
    let tree = tree(settings)?;
    let mut text = String::new();
    for section in Catalogue::new().sections {
        if section.path.is_empty() {
            text.push_str("# Settings of Barograph. A setting that is absent has its default.\n\n");
        } else {
            comment(&mut text, &section.doc);
            let _ = writeln!(text, "[{}]\n", section.path);
        }
        for setting in &section.settings {
            comment(&mut text, &setting.doc);
            let name = name(setting);
            let _ = match value(&tree, &setting.path) {
                Some(value) => writeln!(text, "{name} = {value}\n"),
                None => writeln!(text, "# {name} =\n"),
            };
        }
    }
    text.push_str(
        "# Tables: a key column, a time column and value columns with type, unit and range.\n",
    );
    if let Some(Value::Table(tables)) = tree.get(TABLES) {
        for (name, table) in tables {
            declaration(&mut text, name, table);
        }
    }
    Ok(text)
}

/// The reference page.
pub(crate) fn page() -> Result<String> {
    let defaults = tree(&Settings::default())?;
    let mut text = String::from(HEAD);
    for section in Catalogue::new().sections {
        section_of_page(&mut text, &section, &defaults);
    }
    text.push_str(TABLES_OF_PAGE);
    if let Some(Value::Table(tables)) = defaults.get(TABLES) {
        text.push_str("\n```toml\n");
        for (name, table) in tables {
            declaration(&mut text, name, table);
        }
        text.push_str("```\n");
    }
    Ok(text)
}

const HEAD: &str = "\
# Settings

<!-- Written by `barograph config --reference` from the code; a test holds the two together. -->

A setting has a built-in default, which the settings file, an environment variable or a flag overrides,
each taking precedence over the one before. The file is TOML, named by `--config FILE` or `BAROGRAPH_CONFIG`.
An unknown setting or an unknown `BAROGRAPH_…` variable is an error.

| where | how `engine.log.segment_bytes` is written |
|---|---|
| file | `segment_bytes = \"64MiB\"` under `[engine.log]` |
| environment | `BAROGRAPH_ENGINE__LOG__SEGMENT_BYTES=64MiB` (upper case, two underscores for a dot) |
| flag of any command | `--set engine.log.segment_bytes=64MiB` |

`barograph config` prints the current settings as a file, `barograph config --defaults` the built-in
ones. A *duration* is an integer and a unit: `us`, `ms`, `s`, `m`, `h`, `d` or `w`. A *size* is an integer
and a unit: `B`, `KiB`, `MiB`, `GiB` or `TiB`.
";

const TABLES_OF_PAGE: &str = "
## `[tables.NAME]`

Tables are declared in the settings file. `NAME` and the names of columns consist of `a-z`, `0-9` and `_`. The names
`cities`, `dead_letters`, `information_schema`, `quality_flags` and `system` are reserved. As long as a table has never held a
row, its declaration can be changed freely, so a mistake is undone by correcting the file.

Every table also has a column `ingested_at`: when the engine accepted the row. It increases with every batch, so it tells
which of two rows was accepted later, even after the clock was set back.

| setting | type | default | meaning |
|---|---|---|---|
| `key` | text | required | name of the key column |
| `key_type` | int32 or int64 | `\"int32\"` | type of the key column |
| `time` | text | required | name of the time column (µs, UTC) |
| `dimension` | text | absent | `\"cities\"`: only the built-in cities are valid keys, and commands accept and show their names. If absent, every key is valid |
| `columns` | list | `[]` | value columns, each with `name`, `type` (int16, int32, int64, float32, float64, utf8, timestamp) and optionally `unit` (text) and `range` (smallest and largest plausible value; a row outside it goes to `dead_letters`). [docs/columns.md](columns.md) tells how the columns of a table that holds rows can change |

The built-in table; a table declared under the same name replaces it as a whole:
";

fn tree(settings: &Settings) -> Result<Table> {
    Table::try_from(settings).map_err(|e| Error::failed(format!("settings as TOML: {e}")))
}

fn section_of_page(text: &mut String, section: &Section, defaults: &Table) {
    if section.settings.is_empty() {
        return;
    }
    if section.path.is_empty() {
        text.push_str("\n## Top of the file\n\n");
    } else {
        let _ = writeln!(text, "\n## `[{}]`\n\n{}\n", section.path, section.doc);
    }
    text.push_str("| setting | type | default | meaning |\n|---|---|---|---|\n");
    for setting in &section.settings {
        let default = match value(defaults, &setting.path) {
            Some(value) => format!("`{value}`"),
            None => "absent".to_owned(),
        };
        let doc = setting.doc.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {default} | {doc} |", name(setting), setting.kind);
    }
}

fn name(setting: &Setting) -> &str {
    setting.path.rsplit('.').next().unwrap_or_default()
}

fn value<'a>(tree: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        None => tree.get(path),
        Some((name, rest)) => value(tree.get(name)?.as_table()?, rest),
    }
}

/// A table's declaration with one line for each column.
fn declaration(text: &mut String, name: &str, table: &Value) {
    let _ = writeln!(text, "[{TABLES}.{name}]");
    let Some(table) = table.as_table() else { return };
    for (name, value) in table {
        match value {
            Value::Array(columns) => {
                let _ = writeln!(text, "{name} = [");
                for column in columns {
                    let _ = writeln!(text, "  {column},");
                }
                text.push_str("]\n");
            }
            value => {
                let _ = writeln!(text, "{name} = {value}");
            }
        }
    }
}

fn comment(text: &mut String, doc: &str) {
    let mut line = String::from("#");
    for word in doc.split(' ') {
        if line.len() + word.len() >= WIDTH && line.len() > 1 {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_committed_reference_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
        let committed = std::fs::read_to_string(path).unwrap();
        let generated = page().unwrap();
        assert!(
            committed == generated,
            "docs/settings.md is stale: cargo run --release -- config --reference > docs/settings.md"
        );
    }

    #[test]
    fn what_is_printed_is_read_back_as_the_same_settings() {
        let mut settings = Settings::default();
        settings.flight.listen = "[::]:1".to_owned();
        settings.logging.filter = Some("debug".to_owned());
        let text = file(&settings).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings, "{text}");
    }

    #[test]
    fn every_setting_is_documented() {
        let catalogue = Catalogue::new();
        assert!(catalogue.settings().count() > 20);
        for setting in catalogue.settings() {
            assert!(setting.doc.len() > 10, "{} has no documentation", setting.path);
            assert_eq!(catalogue.by_variable(&setting.variable()), Some(setting));
        }
        for section in catalogue.sections {
            assert!(section.path.is_empty() || !section.doc.is_empty(), "{}", section.path);
        }
    }
}
