//! `barograph lake check-store`: whether the store of the data keeps the promises that the lake relies on.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use barograph_lake::store::check::{Finding, Verdict, check};

use super::lake::{print, text};
use crate::arguments::CheckStoreArguments;
use crate::output::check_terminal;
use crate::settings::Settings;
use crate::{Error, Result, progress, wiring};

/// The folder in that of the data in which everything is tried.
const FOLDER: &str = "check-store";

pub(super) async fn run(arguments: &CheckStoreArguments, settings: &Settings) -> Result<()> {
    check_terminal(arguments.format)?;
    let store = wiring::folder(settings, FOLDER, "check-store")?;
    let mut told = |finding: &Finding| {
        progress::line(&format!("{}: {}", finding.promise, finding.verdict));
    };
    let findings = check(&store, &mut told).await;
    if let Some(folder) = store.local_path("") {
        // Empty, as everything in it was removed.
        let _ = std::fs::remove_dir(folder);
    }
    let seconds = findings.iter().map(|finding| finding.took.as_secs_f64());
    let rows = RecordBatch::try_from_iter([
        ("promise", text(findings.iter().map(|finding| finding.promise.to_owned()))),
        ("verdict", text(findings.iter().map(|finding| finding.verdict.to_string()))),
        ("detail", text(findings.iter().map(|finding| finding.detail.clone()))),
        ("seconds", Arc::new(Float64Array::from_iter_values(seconds)) as ArrayRef),
    ])?;
    print(&rows, arguments.format)?;
    let of = |verdict: Verdict| {
        let found = findings.iter().filter(|finding| finding.verdict == verdict);
        found.map(|finding| finding.promise).collect::<Vec<_>>().join(", ")
    };
    let (broken, unknown) = (of(Verdict::Broken), of(Verdict::Unknown));
    match (broken.is_empty(), unknown.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err(Error::failed(format!(
            "{} does not keep what a lake needs: {broken}. Data there would be lost or wrong",
            settings.data
        ))),
        (true, false) => Err(Error::failed(format!(
            "{} did not answer, so that it is not known whether it keeps: {unknown}",
            settings.data
        ))),
    }
}
