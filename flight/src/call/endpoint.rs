//! Parts of a FlightInfo: numbers of rows and bytes, and endpoints that are valid for some time.

use arrow_flight::FlightEndpoint;
use barograph_lake::Timestamp;
use barograph_lake::time::MICROS_PER_SECOND;

/// An endpoint that is valid for some time.
pub(crate) fn until(endpoint: FlightEndpoint, expires: Timestamp) -> FlightEndpoint {
    let expires = expires.as_micros();
    endpoint.with_expiration_time(prost_types::Timestamp {
        seconds: expires.div_euclid(MICROS_PER_SECOND),
        nanos: (expires.rem_euclid(MICROS_PER_SECOND) * 1_000) as i32,
    })
}

/// A number of rows or bytes.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
