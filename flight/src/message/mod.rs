//! The JSON messages and headers of puts and actions, as client and server write and read them.

mod action;
mod alter;
mod put;

pub(crate) use action::{DeleteJson, RedriveJson};
pub(crate) use alter::AlterMessage;
pub use alter::{AlterProgress, AlterRequest};
pub use put::DURABILITY_HEADER;
pub(crate) use put::{AckJson, durability, durability_of};
