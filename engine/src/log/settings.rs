//! The settings of the log.

use barograph_lake::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::frame::GROUP_BYTES_MAX;
use crate::{Error, Result};

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Size at which a segment file is closed and the next one begins. Disk space is reserved for the segment being
    /// written, and is freed in whole segments: smaller ones are freed sooner after a landing, larger ones pause less
    /// often for the three syncs that a new file costs.
    pub segment_bytes: Size,
    /// Largest body of one record, which is one batch of rows as it was sent. A larger batch is refused: split it, or
    /// raise this setting together with `flight.request_bytes_max`. At most `512MiB`.
    pub record_bytes_max: Size,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { segment_bytes: Size::mebibytes(64), record_bytes_max: Size::mebibytes(64) }
    }
}

impl LogSettings {
    /// Refuses settings under which no log can work.
    pub fn check(&self) -> Result<()> {
        if self.segment_bytes.get() < 4096 {
            return Err(Error::request(format!(
                "log.segment_bytes is {}: it must be at least 4KiB",
                self.segment_bytes
            )));
        }
        if self.record_bytes_max.get() == 0
            || self.record_bytes_max.get() as u64 > GROUP_BYTES_MAX / 2
        {
            return Err(Error::request(format!(
                "log.record_bytes_max is {}: it must be more than 0B and at most 512MiB",
                self.record_bytes_max
            )));
        }
        Ok(())
    }
}
