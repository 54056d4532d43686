//! The HTTP API of Barograph, on the port of Flight: reads in several formats, SQL, puts, line protocol, forms of weather
//! stations, and answers in the shape of Open-Meteo.
//!
//! ```text
//! request ─► endpoint: parameters, who asks ─► Door of Flight: ticket, statement, put ─► rows ─► format ─► coding ─► body
//! ```
//!
//! | front door | what it is for |
//! |---|---|
//! | [`Http`] | the routes for a server, and its figures for `/metrics` |
//! | [`HttpSettings`] | which names of other protocols mean what here, and bounds |
//! | [`Places`] | the places that keys stand for |
//!
//! Inside:
//!
//! - `endpoints`: which paths are there? Each is declared once, and by that served, checked, listed and documented.
//! - `request`: parameters, what is accepted, bodies within bounds. `answer`: formats, codings, tags. `failure`: in whose words?
//! - `tables`, `sql`: our own API. `open_meteo`, `line_protocol`, `stations`: what others' clients and
//!   hardware speak. `page`: the page at `/`, whose scripts ask the API.
//! - `rows`: rows that come as text, one at a time, become batches of a table.

mod answer;
mod endpoints;
mod failure;
mod figures;
mod json;
mod line_protocol;
mod open_meteo;
mod openapi;
mod page;
mod places;
mod request;
mod rows;
mod serve;
mod settings;
mod sql;
mod stations;
mod tables;
#[cfg(test)]
mod tests;

pub use endpoints::reference;
pub use figures::FAMILIES;
pub use places::{FindPlace, Place, Places};
pub use serve::Http;
pub use settings::{
    HttpSettings, LineProtocolSettings, MeasurementSettings, OpenMeteoSettings, StationSettings,
};

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
