//! Times on the command line: the instant, or the version, that each means.

use barograph_lake::{AsOf, Span, TableVersion, Timestamp};

use crate::{Error, Result};

/// Reads `now`, a length of time before or after it (`-24h`, `+5m`), or an instant.
pub(crate) fn instant(text: &str, now: Timestamp) -> Result<Timestamp> {
    let text = text.trim();
    if text == "now" {
        return Ok(now);
    }
    let relative =
        |sign: i64, length: &str| length.parse::<Span>().map(|length| now + sign * length);
    let parsed = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(length), _) => relative(-1, length),
        (_, Some(length)) => relative(1, length),
        _ => text.parse::<Timestamp>(),
    };
    parsed.map_err(|_| {
        Error::usage(format!(
            "time {text:?}: write it like 2026-11-22T10:00:00Z, 2026-11-22, -24h or now"
        ))
    })
}

/// Reads a number of a version, or a time as [`instant`] does.
pub(crate) fn as_of(text: &str, now: Timestamp) -> Result<AsOf> {
    match text.trim().parse() {
        Ok(version) => Ok(AsOf::Version(TableVersion::new(version))),
        Err(_) => instant(text, now).map(AsOf::Time),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn times_are_absolute_or_relative_to_now() {
        let now = Timestamp::from_micros(1_795_341_600_000_000);
        let epoch = Timestamp::UNIX_EPOCH;
        assert_eq!(instant("now", now).unwrap(), now);
        assert_eq!(instant("-24h", now).unwrap(), now - Span::DAY);
        assert_eq!(instant("+90s", now).unwrap(), now + Span::seconds(90));
        assert_eq!(instant("2026-11-22T10:00:00Z", epoch).unwrap(), now);
        assert_eq!(instant("2026-11-22 10:00", epoch).unwrap(), now);
        assert_eq!(as_of("42", now).unwrap(), AsOf::Version(TableVersion::new(42)));
        assert_eq!(as_of("-24h", now).unwrap(), AsOf::Time(now - Span::DAY));
        for wrong in ["yesterday", "24h", "-soon", ""] {
            assert_eq!(instant(wrong, now).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
