//! Traces: the spans of sampled requests, sent to a collector by OTLP. Off unless `traces.endpoint` is set.
//!
//! ```text
//! spans ─► recorder: sampled? ─► bounded queue ─► exporter: up to 512 at a time ─► POST ENDPOINT/v1/traces
//!                                  └ full: dropped and counted
//! ```

mod export;
mod figures;
mod message;
mod recorder;
mod settings;
mod traceparent;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::Result;
pub(crate) use export::Exporter;
pub(crate) use figures::{TRACES, TraceFigures};
pub(crate) use recorder::Recorder;
pub use settings::TracesSettings;

/// The two ends of the way to the collector; `None` if traces are off.
pub(crate) fn open(settings: &TracesSettings) -> Result<Option<(Recorder, Exporter)>> {
    let Some(collector) = export::Collector::of(settings)? else { return Ok(None) };
    let (sender, receiver) = mpsc::channel(settings.queue_max);
    let figures: Arc<TraceFigures> = Arc::default();
    let recorder = Recorder::new(sender, settings.sampled, &figures);
    Ok(Some((recorder, Exporter::new(collector, receiver, figures))))
}
