//! Calls: what those of native Flight and of SQL stand on. The state that all of them share, who calls and for how long,
//! running answers and puts, and what is kept between calls.

mod after;
mod answer;
mod bound_parameters;
mod caller;
mod charged;
mod endpoint;
mod executions;
mod limits;
mod pins;
mod put;
mod requests;
mod serving;
mod shutdown;
mod state;
mod time;

pub(crate) use answer::Running;
pub(crate) use caller::{Caller, Peer, Shown, restriction, shown};
pub(crate) use charged::{Part, SharedCall};
pub(crate) use endpoint::signed;
pub(crate) use executions::{Cancellation, Cancelled, Execution};
pub(crate) use limits::Deadline;
#[cfg(test)]
pub(crate) use put::decode;
pub(crate) use put::{PutRequest, Sent, Writing, batches_of, sent_batches_of};
pub(crate) use requests::{Observed, RequestKind};
pub(crate) use serving::Serving;
pub use serving::{Alter, Reopening};
pub(crate) use shutdown::{Phase, Shutdown};
pub(crate) use state::{Planned, State};
pub use time::access_by;
pub(crate) use time::open_access;
