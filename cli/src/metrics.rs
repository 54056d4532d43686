//! The metrics of the jobs, which the server reports beside its own.

use std::sync::Arc;
use std::time::Duration;

use barograph_engine::{Clock, SystemClock};
use barograph_flight::metrics::{FAMILIES, Family, Figures, Samples, page};
use barograph_jobs::schedule::Schedule;
use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::traces::TRACES;

/// The records of earlier runs are read once, from the store; a scrape does not wait longer for it.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

static JOBS: [Family; 3] = [
    Family::counter("barograph_job_runs", "Runs of the job that ended in this process, by state.")
        .labels(&["job", "state"]),
    Family::counter("barograph_job_seconds", "Time that runs of the job took.")
        .unit("seconds")
        .labels(&["job"]),
    Family::gauge(
        "barograph_job_last_success_timestamp_seconds",
        "When a run of the job last did all of its work, since the Unix epoch; absent if it never did.",
    )
    .unit("seconds")
    .labels(&["job"]),
];

/// All families that `barograph serve` reports.
pub(crate) fn families() -> impl Iterator<Item = &'static Family> {
    FAMILIES.iter().chain(&barograph_http::FAMILIES).chain(&JOBS).chain(&TRACES)
}

/// The reference page.
pub(crate) fn reference() -> String {
    page(families())
}

/// The figures of the jobs that run at present.
#[derive(Debug)]
pub(crate) struct JobFigures(Mutex<Arc<Schedule>>);

impl JobFigures {
    pub(crate) fn new(schedule: &Arc<Schedule>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Arc::clone(schedule))))
    }

    /// Reports another schedule from here on.
    pub(crate) fn set(&self, schedule: &Arc<Schedule>) {
        *self.0.lock() = Arc::clone(schedule);
    }
}

impl Figures for JobFigures {
    fn families(&self) -> &'static [Family] {
        &JOBS
    }

    fn collect<'a>(&'a self, samples: &'a mut Samples) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let schedule = Arc::clone(&self.0.lock());
            let statistics = tokio::select! {
                statistics = schedule.statistics() => statistics,
                () = SystemClock.sleep(STORE_TIMEOUT) => return,
            };
            let [runs, seconds, success] = &JOBS;
            for (job, of) in statistics {
                for (state, count) in of.runs {
                    samples.add(runs, &[job, state], count);
                }
                samples.add(seconds, &[job], of.time.as_secs_f64());
                if let Some(at) = of.last_success {
                    samples.add(success, &[job], at.as_micros() as f64 / 1e6);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use barograph_flight::metrics::golden;

    use super::*;

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

    fn committed(path: &str) -> String {
        std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
    }

    #[test]
    fn the_committed_reference_is_the_generated_one() {
        assert!(
            committed("docs/metrics.md") == reference(),
            "docs/metrics.md is stale: cargo run --release -- config --metrics > docs/metrics.md"
        );
    }

    #[test]
    fn names_types_labels_and_help_are_those_that_dashboards_rely_on() {
        let (committed, declared) = (committed("tests/data/metrics.tsv"), golden(families()));
        for (committed, declared) in committed.lines().zip(declared.lines()) {
            assert_eq!(committed, declared, "tests/data/metrics.tsv");
        }
        assert_eq!(committed.lines().count(), declared.lines().count());
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names = std::collections::BTreeSet::new();
        for family in families() {
            let name = family.query_name();
            let plain = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.chars().all(plain), "{name}");
            assert!(name.starts_with("barograph_") || name.starts_with("process_"), "{name}");
            assert!(names.insert(name));
        }
    }

    #[test]
    fn rules_and_dashboard_name_metrics_that_exist() {
        let known: Vec<String> = families()
            .flat_map(|family| {
                let name = family.query_name();
                let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}"));
                parts.into_iter().chain([name])
            })
            .collect();
        for path in ["ops/alerts.yml", "ops/dashboard.json"] {
            let text = committed(path);
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let named: Vec<_> = words
                .filter(|word| word.starts_with("barograph_") || word.starts_with("process_"))
                .collect();
            assert!(named.len() > 10, "{path}");
            for name in named {
                assert!(known.iter().any(|known| known == name), "{path}: {name}");
            }
        }
    }

    #[test]
    fn each_alert_has_its_runbook() {
        let (rules, page) = (committed("ops/alerts.yml"), committed("docs/operations.md"));
        let alerts: Vec<_> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 10);
        for alert in alerts {
            assert!(page.contains(&format!("#### {alert}\n")), "docs/operations.md: {alert}");
            let anchor = format!("docs/operations.md#{}", alert.to_lowercase());
            assert!(rules.contains(&anchor), "ops/alerts.yml: {anchor}");
        }
    }
}
