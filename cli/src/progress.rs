//! The progress of long work: a bar where stderr is a terminal, a line now and then where it is not.
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::figures::grouped;

/// How often a line is written where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one piece of work.
#[derive(Debug)]
pub(crate) struct Progress {
    label: String,
    unit: &'static str,
    bar: Option<ProgressBar>,
    total: u64,
    shown_at: Instant,
}

impl Progress {
    /// Work of `total` units; 0 if that is not known.
    pub(crate) fn new(label: impl Into<String>, unit: &'static str, total: u64) -> Self {
        let label = label.into();
        let bar = io::stderr().is_terminal().then(|| {
            let template = match total {
                0 => "{msg} {spinner} {human_pos} {unit}, {rate}/s",
                _ => "{msg} {wide_bar} {human_pos} of {human_len} {unit}, {rate}/s, {eta} left",
            };
            let template = template.replace("{unit}", unit);
            let style = ProgressStyle::with_template(&template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .with_key("rate", |state: &ProgressState, to: &mut dyn fmt::Write| {
                    let _ = to.write_str(&grouped(state.per_sec() as u64));
                });
            let bar = bars().add(ProgressBar::new(total).with_style(style));
            bar.set_message(label.clone());
            bar
        });
        Self { label, unit, bar, total, shown_at: Instant::now() }
    }

    /// Sets the number of units that are done.
    pub(crate) fn set(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        } else if self.shown_at.elapsed() >= LINE_EVERY {
            self.shown_at = Instant::now();
            let of =
                if self.total > 0 { format!(" of {}", grouped(self.total)) } else { String::new() };
            line(&format!("{}: {}{of} {}", self.label, grouped(done), self.unit));
        }
    }

    /// Ends the progress and clears its bar.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line to stderr without tearing a bar.
pub(crate) fn line(text: &str) {
    bars().suspend(|| {
        // Nobody reads stderr any more: nothing can be said about that.
        let _ = writeln!(io::stderr(), "{text}");
    });
}

/// Removes the bars that unfinished work has left.
pub(crate) fn clear() {
    let _ = bars().clear();
}

/// A writer of messages to stderr that does not tear a bar.
#[derive(Debug, Default)]
pub(crate) struct MessageWriter;

impl Write for MessageWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}
