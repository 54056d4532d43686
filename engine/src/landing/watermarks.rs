//! The forgetting of landed watermarks below the floor of a shared log.
//!
//! No start reads records below the floor, but a process that runs may hold their rows, and learns from a watermark that
//! they were landed and deleted elsewhere. So each process drops whatever lies below a floor that it knew before it read
//! a snapshot, since all of that has landed in it; and a watermark is forgotten once every process that may swap a
//! snapshot knows such a floor above it:
//!
//! ```text
//! floor at F, known ──── FORGOTTEN_AFTER ────► watermarks below F are forgotten
//!                     └ a swap rests on a floor that was read at most FLOOR_AGE_MAX ago: on F, or a later one
//! ```

use std::time::Duration;

use barograph_lake::{LogPosition, Span};

use super::{LanderParts, Memory};

/// A floor on which a swap rests was read at most so long ago.
pub(crate) const FLOOR_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// For so long a floor has to have been known.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10 * 60);

/// A floor, since when it has been known, by elapsed time, and whether what lies below is forgotten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stood {
    floor: LogPosition,
    since: Span,
    is_done: bool,
}

/// Forgets watermarks below a floor that has stood for long; the process that leads does.
pub(super) async fn forget(parts: &LanderParts, memory: &mut Memory) {
    let Some(known) = parts.gauge.floor() else { return };
    let (floor, now) = (known.position(), parts.clock.elapsed());
    let fresh = Stood { floor, since: now, is_done: false };
    let stood = memory.floor.get_or_insert(fresh);
    if stood.is_done && stood.floor != floor {
        *stood = fresh;
    }
    let is_due = now.saturating_sub(stood.since) >= Span::from_duration(FORGOTTEN_AFTER);
    if stood.is_done || !is_due || !parts.gauge.leads() {
        return;
    }
    stood.is_done = true;
    let below = stood.floor;
    for table in &parts.tables {
        if let Err(error) = table.lake.forget_landed(below).await {
            let table = table.schema.name();
            tracing::warn!(%error, table, "landed watermarks that are not needed stay until the floor of the log moves again");
        }
    }
}
