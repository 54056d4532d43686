//! Answers in the shape of Open-Meteo's API, so that its clients can be pointed at us: observations at places, in local time,
//! in the units that are asked for. Nothing is known of what is still to come, so that no section goes beyond now.
//!
//! ```text
//! parameters ─► Request: places, variables, times, units
//!               each place ─► tickets: latest, and windows of its range ─► sections ─► JSON or CSV
//! ```
//!
//! Shape: openapi/forecast.yml and the writers of github.com/open-meteo/open-meteo.

mod answer;
mod parameters;
mod request;
mod section;
mod text;
mod units;
mod variables;

pub(crate) use answer::{archive, forecast};
pub(crate) use parameters::PARAMETERS;
