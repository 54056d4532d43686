//! The figures of the process, as the operating system tells them; none where it does not.

use std::fs;

use barograph_engine::internal::{CLOCK_TICKS, PAGE_BYTES, auxiliary};

use super::encode::Samples;
use super::families as family;

/// Adds what the system tells about the process.
pub(super) fn collect(samples: &mut Samples) {
    if let Some(stat) = Stat::read() {
        samples.add(&family::CPU, &[], stat.cpu_seconds);
        samples.add(&family::VIRTUAL, &[], stat.virtual_bytes);
        samples.add(&family::RESIDENT, &[], stat.resident_bytes);
        samples.add(&family::THREADS, &[], stat.threads);
        if let Some(booted) = booted_at() {
            samples.add(&family::START, &[], booted as f64 + stat.started_after);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is that of the listing.
        samples.add(&family::OPEN_FDS, &[], (open.count() as u64).saturating_sub(1));
    }
    if let Some(most) = fds_max() {
        samples.add(&family::MAX_FDS, &[], most);
    }
}

/// What `/proc/self/stat` tells.
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    /// Seconds from the start of the system to that of the process.
    started_after: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// The name, in brackets, may hold anything; behind it the fields are numbers (proc(5), from the third on).
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = auxiliary(CLOCK_TICKS).unwrap_or(100).max(1) as f64;
        let page = auxiliary(PAGE_BYTES).unwrap_or(4096) as u64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
            threads: field(20)?,
            started_after: field(22)? as f64 / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)?.saturating_mul(page),
        })
    }
}

/// When the system started, in seconds since the Unix epoch.
fn booted_at() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn fds_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_moves_no_field() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 250 150 0 0 20 0 9 0 1000 4096 3 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.threads, stat.virtual_bytes), (9, 4096));
        assert_eq!(stat.resident_bytes % 3, 0);
        assert!(stat.cpu_seconds > 0.0 && stat.started_after > stat.cpu_seconds);
        assert!(Stat::parse("7 (a) S 1").is_none());
    }
}
