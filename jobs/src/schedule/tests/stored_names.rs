//! Tests of the names in stored records: those that older programs wrote and read.

use super::*;
use crate::schedule::lease::Lease;

#[test]
fn stored_objects_keep_their_names() {
    let request = RunRequest { from: Some(Timestamp::UNIX_EPOCH), to: None };
    let run: RunId = "steps-7".parse().unwrap();
    let mut record =
        RunRecord::new(run, "a".to_owned(), JobSpec::default(), request, Timestamp::UNIX_EPOCH);
    let mut plan = Plan::default();
    plan.add("readings", "count", Figures { files: 1, rows: 2, bytes: 3 });
    record.plan = Some(plan);
    let stored = serde_json::to_value(&record).unwrap();
    assert_eq!(stored["asked"]["from"], "1970-01-01T00:00:00Z");
    assert_eq!(stored["plan"]["price"]["files"], 1);
    assert_eq!(stored["plan"]["steps"][0]["price"]["rows"], 2);
    let lease = r#"{"by":"c","until":null,"lease":"30s","run":7,"slot":"1970-01-01T00:00:00Z","ended":true,"deaths":0}"#;
    let lease: Lease = serde_json::from_str(lease).unwrap();
    assert_eq!(lease.duration, Some(Span::seconds(30)));
    assert_eq!(serde_json::to_value(&lease).unwrap()["lease"], "30s");
}
