//! The retention of a table: its rows by their age, its replaced files by when they were replaced.

use barograph_lake::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schedule::LOG_KEPT;
use crate::{Error, Result};

/// The shortest time that rows can be kept.
const AFTER_MIN: Span = Span::seconds(3600);

/// How long what is kept of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// A file goes when its newest row is older than this; absent: never. Rows that share a window of a rollup
    /// go together, and once it is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// How long the files of this table stay after they were replaced or expired, in place of
    /// `scheduler.removed_files_kept`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_files_kept: Option<Span>,
}

impl Retention {
    /// Refuses what cannot be meant, for the table `name`.
    pub fn check(&self, name: &str) -> Result<()> {
        let wrong = |what: String| Err(Error::request(format!("retention.{name}{what}")));
        match (self.after, self.removed_files_kept) {
            (None, None) => wrong(": write after, removed_files_kept or both".to_owned()),
            (Some(after), _) if after < AFTER_MIN => {
                wrong(format!(".after {after}: write {AFTER_MIN} or more"))
            }
            (_, Some(kept)) if kept > LOG_KEPT => {
                wrong(format!(".removed_files_kept {kept}: write {LOG_KEPT} or less"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |after: Option<&str>, kept: Option<&str>| {
            let span = |text: &str| text.parse().unwrap();
            let retention =
                Retention { after: after.map(span), removed_files_kept: kept.map(span) };
            retention.check("readings").map_err(|error| error.to_string())
        };
        check(Some("730d"), None).unwrap();
        check(Some("1h"), Some("2h")).unwrap();
        check(None, Some("7d")).unwrap();
        for (after, kept, why) in [
            (Some("3599s"), None, "retention.readings.after 3599s: write 1h or more"),
            (None, Some("8d"), "retention.readings.removed_files_kept 8d: write 7d or less"),
            (None, None, "retention.readings: write after, removed_files_kept or both"),
        ] {
            let error = check(after, kept).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
