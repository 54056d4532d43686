//! The wire: bytes become messages and messages bytes. Nothing is taken from a message before it is there as a whole, is
//! no longer than it may be, and is laid out as its kind says.

mod connection;
mod frame;

pub(crate) use connection::Connection;
pub(crate) use frame::{First, first, message};
