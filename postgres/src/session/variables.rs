//! Variables of a session: what clients set and ask for. A value is taken only if the server then does as it says.

use std::collections::BTreeMap;

use arrow::array::timezone::Tz;
use barograph_lake::Span;

use crate::catalog::SERVER_VERSION;
use crate::failure::{Failure, INVALID_VALUE, Result, UNKNOWN_NAME};
use crate::types::zone;

/// Whether a value is taken.
#[derive(Debug, Clone, Copy)]
enum Taken {
    /// Any.
    Any,
    /// Only that the server has.
    Fixed,
    /// Only these, or what begins so.
    These(&'static [&'static str]),
    /// A time zone.
    Zone,
    /// A length of time in ms, or with a unit; 0 for none.
    Time,
    /// A list of schemas with that of the tables.
    Path,
}

/// Variables, with the value that they have at first and what else they take.
const KNOWN: [(&str, &str, Taken); 36] = [
    ("application_name", "", Taken::Any),
    ("bytea_output", "hex", Taken::These(&["hex"])),
    ("check_function_bodies", "on", Taken::Any),
    ("client_encoding", "UTF8", Taken::These(&["utf8", "utf-8", "unicode"])),
    ("client_min_messages", "notice", Taken::Any),
    ("datestyle", "ISO, MDY", Taken::These(&["iso"])),
    ("default_text_search_config", "pg_catalog.simple", Taken::Any),
    (
        "default_transaction_isolation",
        "read committed",
        Taken::These(&["read committed", "read uncommitted"]),
    ),
    ("default_transaction_read_only", "on", Taken::Any),
    ("extra_float_digits", "1", Taken::Any),
    ("escape_string_warning", "on", Taken::Any),
    ("idle_in_transaction_session_timeout", "0", Taken::Any),
    ("idle_session_timeout", "0", Taken::Any),
    ("in_hot_standby", "off", Taken::Fixed),
    ("integer_datetimes", "on", Taken::Fixed),
    ("intervalstyle", "postgres", Taken::These(&["postgres"])),
    ("is_superuser", "off", Taken::Fixed),
    ("jit", "off", Taken::Any),
    ("lc_collate", "C", Taken::Fixed),
    ("lc_ctype", "C", Taken::Fixed),
    ("lc_messages", "C", Taken::Any),
    ("lock_timeout", "0", Taken::Any),
    ("max_identifier_length", "63", Taken::Fixed),
    ("max_index_keys", "32", Taken::Fixed),
    ("row_security", "on", Taken::Any),
    ("search_path", "\"$user\", public", Taken::Path),
    ("server_encoding", "UTF8", Taken::Fixed),
    ("server_version", SERVER_VERSION, Taken::Fixed),
    ("server_version_num", "150000", Taken::Fixed),
    ("session_authorization", "", Taken::Fixed),
    ("standard_conforming_strings", "on", Taken::These(&["on", "true", "yes", "1"])),
    ("statement_timeout", "0", Taken::Time),
    ("timezone", "UTC", Taken::Zone),
    (
        "transaction_isolation",
        "read committed",
        Taken::These(&["read committed", "read uncommitted"]),
    ),
    ("transaction_read_only", "on", Taken::Any),
    ("work_mem", "4MB", Taken::Any),
];

/// Those that clients are told of at first and whenever they change, as PostgreSQL spells them.
pub(crate) const REPORTED: [&str; 13] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
];

/// The variables of a session.
#[derive(Debug)]
pub(crate) struct Variables {
    values: BTreeMap<String, String>,
    /// What they are reset to.
    first: BTreeMap<String, String>,
    zone: Tz,
}

fn known(name: &str) -> Option<&'static (&'static str, &'static str, Taken)> {
    KNOWN.iter().find(|(known, ..)| *known == name)
}

impl Variables {
    /// Those of a session of `user`.
    ///
    /// # Errors
    /// If the zone of UTC is not known.
    pub(crate) fn new(user: &str) -> Result<Self> {
        let zone = zone("UTC").ok_or_else(|| Failure::fatal("XX000", "UTC is not known"))?;
        let values = BTreeMap::from([("session_authorization".to_owned(), user.to_owned())]);
        Ok(Self { values, first: BTreeMap::new(), zone })
    }

    /// What it has now is what it is reset to.
    pub(crate) fn begin(&mut self) {
        self.first = self.values.clone();
    }

    /// The value of a variable, whose name is in small letters.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let own = self.values.get(name).map(String::as_str);
        own.or_else(|| known(name).map(|(_, first, _)| *first))
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        KNOWN.iter().map(|(name, first, _)| (*name, self.get(name).unwrap_or(first)))
    }

    /// The zone in which times are read and shown.
    pub(crate) fn zone(&self) -> &Tz {
        &self.zone
    }

    /// How long a statement may take, in ms; `None` for as long as the server allows.
    pub(crate) fn timeout_ms(&self) -> Option<u64> {
        let value = self.get("statement_timeout")?;
        millis(value).filter(|ms| *ms > 0)
    }

    /// Sets a variable, to what it was at first if there is no value.
    ///
    /// # Errors
    /// For names that are not known, and values that the server would not keep to.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let Some((_, default, taken)) = known(name) else {
            // Names with a point are those of extensions, which are only kept.
            if name.contains('.') {
                self.values.insert(name.to_owned(), value.unwrap_or_default().to_owned());
                return Ok(());
            }
            return Err(Failure::new(UNKNOWN_NAME, format!("there is no variable {name:?}")));
        };
        let reset = self.first.get(name).map_or(*default, String::as_str).to_owned();
        let value = value.map_or(reset, str::to_owned);
        let is_same = self.get(name).is_some_and(|own| own.eq_ignore_ascii_case(&value));
        let is_taken = match taken {
            Taken::Any => true,
            Taken::Fixed => is_same,
            Taken::These(all) => {
                let value = value.to_lowercase();
                is_same
                    || all.iter().any(|of| {
                        value.split(',').any(|part| part.trim().trim_matches('\'') == *of)
                    })
            }
            Taken::Zone => match zone(&value) {
                Some(known) => {
                    self.zone = known;
                    true
                }
                None => false,
            },
            Taken::Time => millis(&value).is_some(),
            Taken::Path => {
                let mut schemas = value.split(',').map(|of| of.trim().trim_matches('"'));
                schemas.any(|schema| schema == "public")
            }
        };
        if !is_taken {
            let mend = match taken {
                Taken::Zone => "name one like Europe/Zurich, or an offset like +02:00".to_owned(),
                Taken::Time => "write ms, or a unit like '30s'; 0 is no limit but that of the server".to_owned(),
                Taken::Path => "names without a schema are those of public: keep it in the list, and write other schemas out".to_owned(),
                Taken::These(all) => format!("here it can be {}", all.join(" or ")),
                _ => format!("here it is {}", self.get(name).unwrap_or(default)),
            };
            return Err(Failure::new(INVALID_VALUE, format!("{name} {value:?}: {mend}")));
        }
        // Their own spelling of what stays as it is.
        let value = match *taken {
            Taken::Zone if ["utc", "z"].iter().any(|utc| value.eq_ignore_ascii_case(utc)) => {
                "UTC".to_owned()
            }
            Taken::These(_) if name != "transaction_isolation" && !name.starts_with("default") => {
                (*default).to_owned()
            }
            _ => value,
        };
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Sets all variables to what they were at first.
    pub(crate) fn reset(&mut self) {
        self.values = self.first.clone();
        let own = self.values.get("timezone").map_or("UTC", String::as_str);
        if let Some(zone) = zone(own) {
            self.zone = zone;
        }
    }
}

/// A length of time in ms.
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    // PostgreSQL writes `min` where durations here are written with `m`.
    let short = text.replace("min", "m").replace(' ', "");
    let span: Span = short.parse().ok()?;
    u64::try_from(span.duration().as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_to_is_not_taken() {
        let mut variables = Variables::new("ada").unwrap();
        for (name, value) in [
            ("datestyle", "SQL, DMY"),
            ("client_encoding", "LATIN1"),
            ("intervalstyle", "iso_8601"),
            ("server_version", "9.6"),
            ("session_authorization", "eve"),
            ("timezone", "Mars/Olympus"),
            ("statement_timeout", "soon"),
            ("search_path", "system"),
            ("transaction_isolation", "serializable"),
        ] {
            assert_eq!(
                variables.set(name, Some(value)).unwrap_err().state(),
                INVALID_VALUE,
                "{name}"
            );
        }
        assert_eq!(variables.set("no_such", Some("1")).unwrap_err().state(), UNKNOWN_NAME);
        for (name, value) in [
            ("datestyle", "ISO"),
            ("client_encoding", "utf-8"),
            ("timezone", "Europe/Berlin"),
            ("search_path", "public"),
            ("session_authorization", "ada"),
            ("pool.name", "x"),
        ] {
            variables.set(name, Some(value)).unwrap();
        }
        assert_eq!(variables.get("datestyle"), Some("ISO, MDY"));
        variables.reset();
        assert_eq!(variables.get("timezone"), Some("UTC"));
    }

    #[test]
    fn a_timeout_has_a_unit_or_is_in_milliseconds() {
        let mut variables = Variables::new("ada").unwrap();
        for (value, millis) in
            [("250", Some(250)), ("0", None), ("2s", Some(2_000)), ("1min", Some(60_000))]
        {
            variables.set("statement_timeout", Some(value)).unwrap();
            assert_eq!(variables.timeout_ms(), millis, "{value}");
        }
        variables.set("statement_timeout", None).unwrap();
        assert_eq!(variables.timeout_ms(), None);
    }

    #[test]
    fn reported_variables_are_known() {
        let variables = Variables::new("ada").unwrap();
        for name in REPORTED {
            assert!(variables.get(&name.to_lowercase()).is_some(), "{name}");
        }
        assert!(KNOWN.iter().all(|(name, ..)| *name == name.to_lowercase()));
    }
}
