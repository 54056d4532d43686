//! The spans of what is traced: their target, and the span of a call, below which all others of it stand.
//!
//! ```text
//! call ─┬► put ─► validate, log, tail, ack            one put a batch
//!       └► plan, point, query ─► plan, slice, wire    reads
//! ```
//!
//! Nobody listens to the target unless traces are exported, and then a span costs next to nothing. A span holds no text and no
//! value of a request.

use tracing::Span;
use tracing::field::Empty;

use crate::{Door, Identity};

/// The target of all spans.
pub const SPANS: &str = "barograph_spans";
/// The name of the span of a call.
pub const CALL: &str = "call";

/// The span of a call that goes on with the trace of its caller, as the header `traceparent` names it (W3C Trace Context).
pub(crate) fn of_call(identity: &Identity, door: Door, traceparent: Option<&str>) -> Span {
    tracing::trace_span!(
        target: SPANS,
        parent: None,
        CALL,
        traceparent,
        identity = identity.name(),
        door = door.name(),
        action = Empty,
        tables = Empty,
        outcome = Empty,
        rows = Empty,
        bytes = Empty,
    )
}
