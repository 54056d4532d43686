//! The messages on stderr, and the spans beside them.

use std::io;

use barograph_access::SPANS;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Result;
use crate::progress::MessageWriter;
use crate::settings::{LoggingFormat, Settings};
use crate::traces::Recorder;

/// Sends messages to stderr as the settings say, or at `level` where they say nothing; and spans to `recorder`.
pub(crate) fn start(settings: &Settings, level: &str, recorder: Option<Recorder>) -> Result<()> {
    let filter = settings.logging.filter.as_deref().unwrap_or(level);
    let filter = crate::settings::filter(filter)?;
    let messages = tracing_subscriber::fmt::layer()
        .with_writer(MessageWriter::default)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let messages = match settings.logging.format {
        LoggingFormat::Text => messages.boxed(),
        LoggingFormat::Json => messages.json().boxed(),
    };
    // An error here says that logging was started before, as tests do.
    let _ = match recorder {
        None => tracing_subscriber::registry().with(messages).with(filter).try_init(),
        Some(recorder) => {
            let spans = filter_fn(|of| of.target() == SPANS);
            let messages = messages.with_filter(filter);
            let recorder = recorder.with_filter(spans);
            tracing_subscriber::registry().with(messages).with(recorder).try_init()
        }
    };
    Ok(())
}
