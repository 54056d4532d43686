//! The mapping of a file: how its columns become the columns of a table.
//!
//! ```toml
//! table = "readings"
//! null = ["NA"]                          # besides the empty field
//!
//! [columns]                              # column of the table = column of the file, or an expression
//! city_id = "origin"
//! reading_at = "time_hour"
//! temperature = "(temp - 32) / 1.8"
//! wind_speed = "sqrt(u * u + v * v)"    # SQL over the columns of a row
//!
//! [time]                                 # how the times of the file stand in it
//! columns = ["date", "time"]
//! format = "%d/%m/%Y %H:%M"
//! zone = "Europe/Brussels"
//!
//! [values.origin]                        # what values of a column of the file stand for
//! EWR = 5101798
//! ```
//!
//! Columns of the table that are not mapped are taken from the file's column of the same name.

mod expression;
mod plan;
pub(super) mod time;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

pub use expression::{Expression, Step};
pub(crate) use plan::{Columns, Computed, Origin, Plan};
pub use time::{Ambiguous, Nonexistent, Time, Unit};

use super::input::format::{Delimiter, Format};
use crate::{Error, Result};

/// A mapping of columns, as written by hand.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The table; `readings` if absent.
    pub table: Option<String>,
    /// What stands for a missing value, besides the empty text: a text, or a number however it is written.
    pub null: Vec<String>,
    /// How the times of the table's time column stand in the file.
    pub time: Time,
    /// The same of other columns of the table that hold times, by name.
    pub times: BTreeMap<String, Time>,
    /// How the lines of a text file become rows.
    pub format: Format,
    /// The delimiter of `format`, where that does not say it.
    pub delimiter: Option<Delimiter>,
    /// Columns of the table by name.
    pub columns: BTreeMap<String, Expression>,
    /// What values of a column of the file stand for, by name of that column. A value that is not
    /// listed makes its row a bad one.
    pub values: BTreeMap<String, BTreeMap<String, Scalar>>,
}

/// A value of any type, as text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "AnyScalar")]
pub struct Scalar(pub String);

#[derive(Deserialize)]
#[serde(untagged)]
enum AnyScalar {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl From<AnyScalar> for Scalar {
    fn from(value: AnyScalar) -> Self {
        Self(match value {
            AnyScalar::Integer(value) => value.to_string(),
            AnyScalar::Number(value) => value.to_string(),
            AnyScalar::Text(value) => value,
        })
    }
}

impl Mapping {
    /// Reads a mapping file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::request(format!("mapping {}", path.display())).with_source(e))?;
        toml::from_str(&text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.get(..start).unwrap_or(&text).matches('\n').count();
            Error::request(format!("{}:{line}: {}", path.display(), error.message().trim()))
        })
    }

    /// Adds `COLUMN=EXPRESSION`, in place of what is there for the column.
    pub fn map(&mut self, text: &str) -> Result<()> {
        let (column, expression) = text.split_once('=').ok_or_else(|| {
            Error::request(format!(
                "mapping {text:?}: write COLUMN=EXPRESSION, like temperature=temp"
            ))
        })?;
        self.columns.insert(column.trim().to_owned(), expression.parse()?);
        Ok(())
    }

    /// Adds `COLUMN:VALUE=MEANING[,VALUE=MEANING…]`.
    pub fn values(&mut self, text: &str) -> Result<()> {
        let wrong = || {
            Error::request(format!(
                "values {text:?}: write COLUMN:VALUE=MEANING, like origin:EWR=5101798,JFK=5128581"
            ))
        };
        let (column, pairs) = text.split_once(':').ok_or_else(wrong)?;
        let values = self.values.entry(column.trim().to_owned()).or_default();
        for pair in pairs.split(',') {
            let (value, meaning) = pair.split_once('=').ok_or_else(wrong)?;
            values.insert(value.trim().to_owned(), Scalar(meaning.trim().to_owned()));
        }
        Ok(())
    }

    /// A number that differs, as good as surely, for mappings that differ (64-bit FNV-1a).
    pub(crate) fn fingerprint(&self) -> u64 {
        format!("{self:?}").bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::io::Write;

    use super::*;

    #[test]
    fn the_shipped_example_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/nyc-weather.toml");
        let mapping = Mapping::read(Path::new(path)).unwrap();
        assert_eq!(mapping.table.as_deref(), Some("readings"));
        assert_eq!(mapping.null, ["NA"]);
        assert_eq!(mapping.values["origin"]["JFK"], Scalar("5128581".to_owned()));
        assert_eq!(mapping.columns["temperature"].to_string(), "(temp - 32) / 1.8");
    }

    #[test]
    fn flags_say_the_same_as_the_file() {
        let toml = "[columns]\ncity_id = 'origin'\nwind_speed = 'mph * 0.44704'\n\
                    [values.origin]\nEWR = 1\nJFK = '2'\n";
        let mut flags = Mapping::default();
        flags.map("city_id = origin").unwrap();
        flags.map("wind_speed=mph*0.44704").unwrap();
        flags.values("origin: EWR=1, JFK=2").unwrap();
        let file: Mapping = toml::from_str(toml).unwrap();
        assert_eq!(flags, file);
        assert_eq!(flags.fingerprint(), file.fingerprint());
        flags.values("origin:LGA=3").unwrap();
        assert_ne!(flags.fingerprint(), file.fingerprint());
        assert!(flags.map("temperature").is_err());
        assert!(flags.values("EWR=1").is_err());
        assert!(flags.values("origin:EWR").is_err());
    }

    #[test]
    fn a_wrong_line_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "null = ['NA']\n[columns]\ntemperature = ''\n").unwrap();
        let error = Mapping::read(file.path()).unwrap_err().to_string();
        assert!(error.contains(":3: an expression is empty"), "{error}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "nulls = ['NA']").unwrap();
        let error = Mapping::read(file.path()).unwrap_err().to_string();
        assert!(error.contains(":1: unknown field `nulls`"), "{error}");
    }
}
