//! The model test: processes over a modelled store, led by a seed through late puts, lost replies, stalls, crashes,
//! clean-up and batches that are sent twice.
//!
//! Every batch that was acknowledged stands in the one order exactly once, and every process applies that order.

mod canon;
mod clients;
mod network;
mod process;
mod store;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// Histories in the gate; `BAROGRAPH_MODEL_SEEDS=100..20000` runs others.
const SEEDS: std::ops::Range<u64> = 0..400;

/// What happens in them.
const EVENTS: [&str; 14] = [
    "acknowledged",
    "lost race",
    "lost reply",
    "late put",
    "late put that created",
    "crash",
    "reopening",
    "duplicate",
    "stale batch",
    "floor",
    "deletion",
    "abandoned append",
    "put below the floor",
    "start from a checkpoint",
];

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("BAROGRAPH_MODEL_SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once("..").expect("FIRST..LAST");
    first.parse().unwrap()..last.parse().unwrap()
}

#[test]
fn no_history_loses_or_doubles_a_batch() {
    let mut seen = world::Seen::new();
    let mut failed = Vec::new();
    for seed in seeds() {
        match catch_unwind(AssertUnwindSafe(|| World::new(seed).run())) {
            Ok(found) => {
                found.into_iter().for_each(|(what, count)| *seen.entry(what).or_default() += count)
            }
            Err(_) => failed.push(seed),
        }
    }
    println!("{seen:?}");
    assert!(
        failed.is_empty(),
        "{} seeds fail: {:?}",
        failed.len(),
        &failed[..failed.len().min(20)]
    );
    // What the histories are about happens in them.
    for what in EVENTS {
        assert!(seen.get(what).is_some_and(|count| *count > 0), "{what} never happened");
    }
}
