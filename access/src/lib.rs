//! Access: who asks ([`Identity`]), what they may ask for ([`Decision`]), and how much ([`Limits`]).
//!
//! ```text
//! credentials ─identify─► Identity ─decide(verb, table)─► columns and rows, or a refusal
//!                            └─begin─► Call: rates, running queries; audited when it ends
//! ```
//!
//! Every door of the server asks here and carries out the answer; nothing here knows of gRPC, HTTP or SQL.

mod access;
mod audit;
mod bucket;
mod call;
mod error;
mod identity;
mod jwt;
mod keys;
mod pattern;
mod policy;
mod quotas;
mod refusal;
mod reloads;
mod rights;
mod settings;
mod spans;
#[cfg(test)]
mod tests;
mod time;
pub mod tokens;
mod verb;

pub use access::{Access, basic};
pub use audit::{Audit, AuditEntry, AuditSettings, Outcome};
pub use call::{Call, Door};
pub use error::{Error, Result};
pub use identity::{Credentials, Identity, Proof};
pub use jwt::{JwtAlgorithm, JwtSettings};
pub use keys::{KeyRange, KeyRanges};
pub use pattern::TablePattern;
pub use quotas::Limits;
pub use refusal::{Refusal, RefusalKind};
pub use reloads::{Reload, Reloads};
pub use rights::{Allowed, Decision, Grant, Rights, RowRule, Rows};
pub use settings::{ADMIN, AccessSettings, RoleSettings};
pub use spans::{CALL, SPANS};
pub use time::Time;
pub use verb::Verb;

/// What the other crates of Barograph share with this one. It may change with any version.
#[doc(hidden)]
pub mod internal {
    use crate::{Grant, Rights};

    /// The rights that grants give.
    pub fn rights(grants: Vec<Grant>) -> Rights {
        Rights::new(grants, None)
    }
}

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: barograph_fuzz::Allocator<std::alloc::System> =
    barograph_fuzz::Allocator(std::alloc::System);
