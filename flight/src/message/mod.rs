//! The JSON messages and headers of puts and actions, as client and server write and read them.

mod action;
mod after;
mod alter;
mod batch_id;
mod forward;
mod groups;
mod put;

pub(crate) use action::{DeleteJson, DeletionJson, RedriveJson};
pub use after::AFTER_HEADER;
pub(crate) use after::after;
pub(crate) use alter::AlterMessage;
pub use alter::{AlterProgress, AlterRequest};
pub use batch_id::BATCH_ID_HEADER;
pub(crate) use batch_id::{BatchIds, batch_id_of, batch_metadata};
pub(crate) use forward::{FORWARD, ForwardReply, ForwardRequest};
pub(crate) use groups::{GROUPS, GroupMessage, log_of};
pub use put::DURABILITY_HEADER;
pub(crate) use put::{AckJson, durability, durability_name, durability_of};
