//! The settings of jobs: when each runs, what it may take, and what happens when it fails.

use barograph_lake::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use crate::Result;

/// The scheduler of background jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerSettings {
    /// Whether this server runs jobs when they are due. `barograph jobs run` works in either case.
    pub enabled: bool,
    /// Duration of the lease of a running job. When a process dies, another one takes its job over once the lease has
    /// expired. The holder renews it three times as often. The clocks of the processes must agree much more closely
    /// than this.
    pub lease: Span,
    /// Number of finished runs whose records are kept, per job.
    pub runs_kept: usize,
    /// How long files that were replaced, or left behind by an interrupted landing, stay in the lake for readers that
    /// may still use them, before the job `sweep` deletes them. At most seven days, which is how far back the Delta log
    /// of a table reaches.
    pub removed_files_kept: Span,
}

/// The jobs by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobSettings {
    /// Compacts hours into days, and days into months.
    pub compact: JobSpec,
    /// Removes files from the tables whose rows are older than `retention` allows, once their rollups are computed.
    pub expire: JobSpec,
    /// Deletes files that no version of a table needs.
    pub sweep: JobSpec,
    /// Reads every active file in full and compares it with the Delta log of its table.
    pub verify: JobSpec,
    /// Keeps rollups up to date with their source tables: when it is due, and within a second of a commit that changed
    /// rows. It uses the threads and memory of range reads (`engine.scan_threads`, `engine.scan_bytes_max`) in place of
    /// `threads` and `memory`; `bytes_per_second` slows it down.
    pub rollup: JobSpec,
    /// Flags doubtful readings: when it is due, and within a second of a commit that changed rows. It reads in the same
    /// way as `rollup`.
    pub quality: JobSpec,
}

/// When a job runs and what it may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobSpec {
    /// Whether the scheduler runs it. `barograph jobs run` works in either case.
    pub enabled: bool,
    /// When it is due, in UTC: minute, hour, day of month, month and day of week, each `*`, a number, a range, a list,
    /// or a step such as `*/15`.
    pub cron: Cron,
    /// Longest random delay of its start, drawn by each process, so that not everything starts at once.
    pub jitter: Span,
    /// Most memory it may take. A single file that is larger is processed alone.
    pub memory: Size,
    /// Most threads it may use.
    pub threads: usize,
    /// Most bytes it may read per second. If absent, the rate is unlimited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<Size>,
    /// How often a failed run is retried from where it stopped, if a retry can help.
    pub retries: u32,
    /// Wait before the first retry; it doubles with each further retry, up to an hour.
    pub backoff: Span,
}

/// More threads than any machine has.
const THREADS_MAX: usize = 4_096;
const DAY: Span = Span::seconds(24 * 3600);
/// How long a table's log remembers what was removed.
pub(crate) const LOG_KEPT: Span = Span::seconds(7 * 24 * 3600);
const BACKOFF_MAX: Span = Span::seconds(3600);

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self { enabled: true, lease: Span::seconds(30), runs_kept: 100, removed_files_kept: DAY }
    }
}

impl Default for JobSettings {
    fn default() -> Self {
        let hourly = Span::seconds(5 * 60);
        Self {
            compact: JobSpec {
                cron: Cron::hourly(17),
                jitter: hourly,
                memory: Size::mebibytes(96),
                ..JobSpec::default()
            },
            expire: JobSpec { cron: Cron::hourly(37), jitter: hourly, ..JobSpec::default() },
            sweep: JobSpec { cron: Cron::hourly(7), jitter: hourly, ..JobSpec::default() },
            verify: JobSpec {
                jitter: Span::seconds(30 * 60),
                bytes_per_second: Some(Size::mebibytes(32)),
                ..JobSpec::default()
            },
            rollup: JobSpec { cron: Cron::hourly(11), jitter: hourly, ..JobSpec::default() },
            quality: JobSpec { cron: Cron::hourly(17), jitter: hourly, ..JobSpec::default() },
        }
    }
}

impl Default for JobSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            cron: Cron::daily(2, 30),
            jitter: Span::seconds(60),
            memory: Size::mebibytes(128),
            threads: 1,
            bytes_per_second: None,
            retries: 5,
            backoff: Span::seconds(30),
        }
    }
}

impl SchedulerSettings {
    /// Refuses settings that no scheduler can run with.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(crate::Error::request(what));
        if self.lease < Span::millis(100) {
            return wrong(format!("scheduler.lease {}: write 100ms or more", self.lease));
        }
        if self.runs_kept == 0 {
            return wrong("scheduler.runs_kept 0: write 1 or more".to_owned());
        }
        if self.removed_files_kept > LOG_KEPT {
            let kept = self.removed_files_kept;
            return wrong(format!("scheduler.removed_files_kept {kept}: write 7d or less"));
        }
        Ok(())
    }
}

impl JobSettings {
    /// The spec of a job; `None` if there is no such job.
    pub fn get(&self, job: &str) -> Option<&JobSpec> {
        match job {
            "compact" => Some(&self.compact),
            "expire" => Some(&self.expire),
            "sweep" => Some(&self.sweep),
            "verify" => Some(&self.verify),
            "rollup" => Some(&self.rollup),
            "quality" => Some(&self.quality),
            _ => None,
        }
    }

    /// Refuses settings that no job can run with.
    pub fn check(&self) -> Result<()> {
        let all = [
            ("compact", &self.compact),
            ("expire", &self.expire),
            ("sweep", &self.sweep),
            ("verify", &self.verify),
            ("rollup", &self.rollup),
            ("quality", &self.quality),
        ];
        for (name, spec) in all {
            if !(1..=THREADS_MAX).contains(&spec.threads) {
                let message =
                    format!("jobs.{name}.threads {}: write 1 to {THREADS_MAX}", spec.threads);
                return Err(crate::Error::request(message));
            }
            if spec.memory.get() == 0 {
                let message = format!("jobs.{name}.memory 0B: write a size, such as 64MiB");
                return Err(crate::Error::request(message));
            }
            if spec.bytes_per_second.is_some_and(|rate| rate.get() == 0) {
                return Err(crate::Error::request(format!(
                    "jobs.{name}.bytes_per_second 0B: write a size, or leave it out for no bound"
                )));
            }
        }
        Ok(())
    }
}

impl JobSpec {
    /// How long the retry after attempt `attempt` (from 1) waits.
    pub fn wait_after(&self, attempt: u32) -> Span {
        let doubled = 1_i64.checked_shl(attempt.saturating_sub(1).min(62)).unwrap_or(i64::MAX);
        Span::from_micros(self.backoff.micros().saturating_mul(doubled)).min(BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn each_retry_waits_twice_as_long_up_to_an_hour() {
        let spec = JobSpec::default();
        let waits: Vec<_> = (1..=9).map(|attempt| spec.wait_after(attempt).to_string()).collect();
        assert_eq!(waits, ["30s", "1m", "2m", "4m", "8m", "16m", "32m", "1h", "1h"]);
        assert_eq!(spec.wait_after(u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        SchedulerSettings::default().check().unwrap();
        JobSettings::default().check().unwrap();
        let scheduler = SchedulerSettings { lease: Span::millis(1), ..Default::default() };
        assert!(scheduler.check().unwrap_err().to_string().contains("scheduler.lease 1ms"));
        let scheduler =
            SchedulerSettings { removed_files_kept: "8d".parse().unwrap(), ..Default::default() };
        assert!(scheduler.check().unwrap_err().to_string().contains("7d or less"));
        let mut jobs = JobSettings::default();
        jobs.verify.threads = 0;
        assert!(jobs.check().unwrap_err().to_string().contains("jobs.verify.threads"));
        let mut jobs = JobSettings::default();
        jobs.expire.memory = Size::bytes(0);
        assert!(jobs.check().unwrap_err().to_string().contains("jobs.expire.memory 0B"));
    }
}
