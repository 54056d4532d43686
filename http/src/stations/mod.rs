//! Stations: the forms in which the hardware of weather stations sends its readings. Those of Weather Underground and Ecowitt
//! become rows of a declared table, in the units of its columns.
//!
//! ```text
//! GET  …/updateweatherstation.php?ID=…&PASSWORD=TOKEN&dateutc=…&tempf=68 ─┐
//! POST /data/report/?token=TOKEN, PASSKEY=…&dateutc=…&tempf=68 ───────────┴► Form ─► Mapping: key, columns, units ─► a row
//!                                                                              └── bad ──┴─► dead letters
//! ```
//!
//! Formats: "PWS Upload Protocol" of Weather Underground; the "customized upload" of Ecowitt's gateways in their own protocol.

mod form;
mod mapping;
mod units;
mod write;

pub(crate) use write::{ecowitt, wunderground};

#[cfg(test)]
pub(crate) use form::Form;
#[cfg(test)]
pub(crate) use mapping::row_of;
