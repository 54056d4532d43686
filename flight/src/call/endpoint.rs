//! Parts of a FlightInfo: numbers of rows and bytes, and endpoints that are valid for some time, where their view is.

use arrow_flight::FlightEndpoint;
use barograph_lake::Timestamp;
use barograph_lake::time::MICROS_PER_SECOND;

use super::State;

impl State {
    /// An endpoint that is valid for some time, and at this process only.
    pub(crate) fn pinned(&self, endpoint: FlightEndpoint, expires: Timestamp) -> FlightEndpoint {
        let expires = expires.as_micros();
        let endpoint = endpoint.with_expiration_time(prost_types::Timestamp {
            seconds: expires.div_euclid(MICROS_PER_SECOND),
            nanos: (expires.rem_euclid(MICROS_PER_SECOND) * 1_000) as i32,
        });
        match &self.location {
            None => endpoint,
            Some(address) => {
                let scheme = match self.settings.tls_certificate {
                    None => "grpc+tcp",
                    Some(_) => "grpc+tls",
                };
                endpoint.with_location(format!("{scheme}://{address}"))
            }
        }
    }
}

/// A number of rows or bytes.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
