//! The terminal: how large it is, whether it shows colours, and keys as they are pressed.

use std::fmt;
use std::io::{self, IsTerminal};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use crate::{Error, Result};

/// Keys that wait to be taken.
const WAITING: usize = 16;

/// Columns and rows of the terminal that stdout is; none if it is no terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = io::stdout().is_terminal().then(|| tcgetwinsize(io::stdout()).ok()).flatten()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Whether a person is there who sees what is shown and presses keys.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && size().is_some()
}

/// Whether stdout shows colours, and whoever reads it wants them (<https://no-color.org>).
pub(crate) fn is_coloured() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|of| of == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Keys, each when it is pressed and not shown. The terminal is as it was before once this is dropped.
pub(crate) struct Keys {
    before: Termios,
    pressed: mpsc::Receiver<u8>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of the terminal that stdin is.
    pub(crate) fn new() -> Result<Self> {
        let failed = |error: rustix::io::Errno| Error::failed(format!("the terminal: {error}"));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut at_once = before.clone();
        // Ctrl-C stays a signal.
        at_once.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &at_once).map_err(failed)?;
        let (sender, pressed) = mpsc::channel(WAITING);
        // A read that waits cannot be called off: its thread ends with the process.
        std::thread::spawn(move || {
            let mut key = [0_u8];
            while rustix::io::read(io::stdin(), &mut key).is_ok_and(|count| count > 0) {
                let [key] = key;
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Ok(Self { before, pressed })
    }

    /// The next key; none if the terminal went away.
    pub(crate) async fn next(&mut self) -> Option<u8> {
        self.pressed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
