//! The memory of the whole process, and its limit. Budgets count the memory they know of; this asks the operating
//! system, and refuses work before the system ends the process.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Error, Result, retry};

/// The setting that sets the limit.
pub const SETTING: &str = "sql.server_bytes_max";

/// What the process held when it was last looked at.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The limit on the memory of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemoryLimit(Option<usize>);

impl ProcessMemoryLimit {
    /// A limit of `bytes`, or else nine tenths of what the machine and its control groups allow.
    pub fn new(bytes: Option<usize>) -> Self {
        Self(bytes.or_else(|| allowed().map(|bytes| bytes / 10 * 9)))
    }

    /// Refuses `bytes` more if the process would exceed the limit with them.
    pub fn check(self, bytes: usize) -> Result<()> {
        look();
        let held = HELD.load(Ordering::Relaxed);
        match self.0 {
            Some(most) if held.saturating_add(bytes) > most => Err(self.refused()),
            _ => Ok(()),
        }
    }

    fn refused(self) -> Error {
        let (held, most) = (HELD.load(Ordering::Relaxed), self.0.unwrap_or(usize::MAX));
        let what = format!(
            "the server holds {held} bytes, and may hold {most}: ask for less, or raise it"
        );
        Error::resources(SETTING, what, retry::MEMORY_FREED)
    }
}

/// Asks the system how much the process holds.
fn look() {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    if let Some(pages) = pages {
        HELD.store(pages.saturating_mul(page()), Ordering::Relaxed);
    }
}

/// Bytes of a page of memory.
fn page() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    *PAGE.get_or_init(|| auxiliary(PAGE_BYTES).unwrap_or(4096))
}

/// Number of the size of a page among what the system tells a process when it starts (`AT_PAGESZ`).
pub const PAGE_BYTES: usize = 6;
/// The same of the ticks a second in which it tells times (`AT_CLKTCK`).
pub const CLOCK_TICKS: usize = 17;

/// What the system told the process under `number` when it started.
pub fn auxiliary(number: usize) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    let told = fs::read("/proc/self/auxv").ok()?;
    let words = told.chunks_exact(WORD).filter_map(|word| word.try_into().ok());
    let words: Vec<_> = words.map(usize::from_ne_bytes).collect();
    let value = words.chunks_exact(2).find(|pair| pair.first() == Some(&number));
    value.and_then(|pair| pair.last().copied())
}

/// What the machine has, or the smallest bound of a control group that the process is in.
fn allowed() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| kibibytes(&text, "MemTotal:"));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().flat_map(bounds_of_group).chain(machine).min()
}

/// The bounds of a control group and of those that it is in, given a line of `/proc/self/cgroup`.
fn bounds_of_group(line: &str) -> Vec<usize> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let mut bounds = Vec::new();
    let mut path = path.trim_end_matches('/');
    loop {
        let text = fs::read_to_string(format!("{root}{path}/{file}")).unwrap_or_default();
        bounds.extend(text.trim().parse::<usize>().ok());
        match path.rsplit_once('/') {
            Some((parent, _)) => path = parent,
            None => return bounds,
        }
    }
}

fn kibibytes(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse::<usize>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_holds_is_known_where_the_system_tells() {
        if !std::path::Path::new("/proc/self/status").exists() {
            return;
        }
        assert!(ProcessMemoryLimit::new(Some(usize::MAX)).check(1 << 20).is_ok());
        let error = ProcessMemoryLimit::new(Some(1 << 20)).check(0).unwrap_err().to_string();
        assert!(
            error.contains("sql.server_bytes_max") && error.contains("may hold 1048576"),
            "{error}"
        );
        assert!(ProcessMemoryLimit::new(None).check(0).is_ok());
    }

    #[test]
    fn groups_within_groups_are_looked_at() {
        assert!(bounds_of_group("4:cpu:/a/b").is_empty());
        assert!(bounds_of_group("nonsense").is_empty());
        assert!(bounds_of_group("0::/no/such/group").iter().all(|&bytes| bytes > 0));
    }
}
