//! The header that asks any call for what was acknowledged at a position of the log.

use barograph_lake::LogPosition;
use http::HeaderMap;

use crate::{Error, Result};

/// The request header with a position of an acknowledgement: the answer shows what stands there.
pub const AFTER_HEADER: &str = "x-barograph-after";

/// The position that a request's headers ask for.
pub(crate) fn after(headers: &HeaderMap) -> Result<Option<LogPosition>> {
    let Some(value) = headers.get(AFTER_HEADER) else { return Ok(None) };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    position.map(Some).ok_or_else(|| {
        Error::request(format!(
            "header {AFTER_HEADER} is {:?}: write a position as an acknowledgement gives it, like 00000000000000417792",
            String::from_utf8_lossy(value.as_bytes())
        ))
    })
}
