//! Arrow Flight and Flight SQL: the server that answers clients, and a typed client.
//!
//! A [`Server`] answers Arrow Flight on one port: tickets ([`ticket`], JSON) become the engine's reads, and
//! batches become bytes (`wire`). A [`Client`] is the other side.
//!
//! | module | what it is for |
//! |---|---|
//! | the root | [`Server`] and its settings, who may ask it ([`access_by`]), [`Client`], [`Ticket`], errors |
//! | [`client`] | what the calls of a client return |
//! | [`door`] | how protocols of other crates ask and write on the same port |
//! | [`metrics`] | what `GET /metrics` answers, and what other parts of a program add to it |
//! | [`ticket`] | the parts of a ticket |

mod audit;
mod call;
pub mod client;
pub mod door {
    //! How protocols of other crates ask and write on the same port: by the scans, statements and puts of Flight, under
    //! its limits.

    pub use crate::server::{
        Answering, Asked, Beside, Connected, Door, Held, OpenedTicket, Place, Rows, ShownTable,
        Stored, Transport,
    };
}
mod error;
mod message;
pub mod metrics;
mod peers;
mod refusals;
mod server;
mod settings;
mod sql;
pub mod ticket;
mod tls;
mod wire;

pub use audit::audit_rows;
pub use call::{Alter, Reopening, access_by};
pub use client::Client;
pub use error::{Error, Result};
pub use message::{AFTER_HEADER, AlterProgress, AlterRequest, BATCH_ID_HEADER, DURABILITY_HEADER};
pub use peers::FlightPeers;
pub use server::{Listener, Server};
pub use settings::FlightSettings;
pub use ticket::Ticket;
pub use tls::{ClientTls, TlsVersion};

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
