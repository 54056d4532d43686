//! The input that a thread runs: where it is kept if it ends the process, or takes suspiciously long.

use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So long an input may run before it is reported. Nothing fails by it: machines differ.
const SUSPICIOUS: Duration = Duration::from_secs(120);

/// An input with its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current {
    pub(crate) target: &'static str,
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) input: Vec<u8>,
}

/// The current input, which the watchdog sees too.
pub(crate) type Shared = Arc<Mutex<Current>>;

thread_local! {
    static HERE: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Makes `current` that of the calling thread.
pub(crate) fn enter(current: Option<Shared>) {
    HERE.with(|here| *here.borrow_mut() = current);
}

/// Keeps the thread's input as a file and says so past the capture of the test's output.
pub(crate) fn keep(why: &str) {
    let current = HERE.try_with(|here| here.try_borrow().ok().and_then(|here| here.clone()));
    if let Ok(Some(current)) = current {
        let current = current.try_lock().map(|current| current.clone());
        if let Ok(current) = current {
            let _ = writeln!(std::io::stderr(), "{}", current.report(why));
        }
    }
}

impl Current {
    /// Writes the input into a file and says what is wrong with it, and how it is run again.
    pub(crate) fn report(&self, why: &str) -> String {
        let Self { target, seed, number, input } = self;
        let path = self.path();
        let folder = path.parent().unwrap_or(Path::new("."));
        let kept = match std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, input))
        {
            Ok(()) => format!("it is kept as {}", path.display()),
            Err(error) => format!("it could not be kept as {} ({error})", path.display()),
        };
        let to = crate::target::seeds_folder(target);
        format!(
            "fuzz target {target}, seed {seed}, input {number} of {} bytes: {why}; {kept}: copy it into {} to run it \
             again, now and for good",
            input.len(),
            to.display()
        )
    }

    fn path(&self) -> PathBuf {
        let folder = std::env::var_os("BAROGRAPH_FUZZ_KEEP").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| std::env::temp_dir().join("barograph-fuzz"));
        folder.join(format!("{}-{}-{}", self.target, self.seed, self.number))
    }
}

/// A thread that reports an input that runs for minutes.
#[derive(Debug)]
pub(crate) struct Watchdog {
    end: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn over(current: &Shared) -> Self {
        let (end, ended) = channel();
        let current = Arc::clone(current);
        let thread = std::thread::spawn(move || watch(&current, &ended));
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(current: &Shared, ended: &Receiver<()>) {
    let mut seen = None;
    while ended.recv_timeout(SUSPICIOUS) == Err(RecvTimeoutError::Timeout) {
        let current = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if seen.replace(current.number) == Some(current.number) {
            let _ = writeln!(std::io::stderr(), "{}", current.report("it has run for minutes"));
        }
    }
}
