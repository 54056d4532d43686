//! The tables over HTTP: which there are, reads of them, whose parameters mean what those of tickets mean, and rows that are
//! put into them.

mod list;
mod live;
mod put;
mod read;

pub(crate) use list::list;
pub(crate) use live::live;
pub(crate) use put::{POSITION, names, put};
pub(crate) use read::{at, latest, range};
