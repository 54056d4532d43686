//! Tests of two schedules at once, and of stores that fail: a time that is due is run once, and to its end.

use barograph_lake::store::faults::{Fault, FaultPlan, FaultStore, Operation};

use super::*;

/// Each operation takes another time with each seed, so that the two meet in another order.
fn slow(seed: u64) -> FaultPlan {
    let mut plan = FaultPlan::none();
    for n in 0..400_u64 {
        for operation in [Operation::Put, Operation::Get, Operation::List] {
            let draw =
                decide::share(&[&seed.to_string(), &n.to_string(), &format!("{operation:?}")]);
            let delay = Duration::from_secs_f64(draw * 0.003);
            plan = plan.on(operation, n, Fault::Delay(delay));
        }
    }
    plan
}

#[tokio::test]
async fn of_two_schedules_one_runs_what_is_due() {
    for seed in 0..12 {
        let object: Arc<dyn ObjectStore> = FaultStore::new(memory(), slow(seed));
        let steps = Steps::new();
        let clock = Arc::new(ManualClock::new(at("2026-11-22T10:20:00Z")));
        let [a, b] = [(); 2].map(|()| schedule(&object, &clock, &steps));
        look(&a).await;
        for hour in 1..=4 {
            clock.set(at("2026-11-22T10:20:00Z") + hour * Span::HOUR);
            let (first, second) = tokio::join!(look(&a), look(&b));
            let ran = [&first, &second].map(|looked| matches!(looked, DueOutcome::Ran(_)));
            assert_eq!(ran.iter().filter(|ran| **ran).count(), 1, "{first:?} {second:?}");
        }
        assert_eq!(steps.done.lock().len() as u64, 4 * STEPS, "seed {seed}");
        assert_eq!(a.history("steps").await.unwrap().runs.len(), 4);
    }
}

#[tokio::test]
async fn on_a_store_that_fails_every_run_comes_to_its_end() {
    let mut faults = 0;
    for seed in 0..40 {
        let plan = FaultPlan::seeded(seed, 40, Duration::from_micros(200));
        let store = FaultStore::new(memory(), plan);
        let object: Arc<dyn ObjectStore> = store.clone();
        let steps = Steps::new();
        let clock = Arc::new(ManualClock::new(at("2026-11-22T10:20:00Z")));
        let schedules = [(); 2].map(|()| schedule(&object, &clock, &steps));
        while schedules[0].run_if_due("steps", Stop::default()).await.is_err() {}
        clock.set(at("2026-11-22T11:00:01Z"));
        let mut looks = 0;
        let done = loop {
            for schedule in &schedules {
                // A failed look leaves a lease behind that runs out.
                if schedule.run_if_due("steps", Stop::default()).await.is_err() {
                    clock.set(clock.now() + LEASE);
                }
            }
            looks += 1;
            assert!(looks < 200, "seed {seed}: it comes to no end");
            let Ok(history) = schedules[0].history("steps").await else { continue };
            let done = history.runs.into_iter().find(|run| run.state == RunState::Done);
            if let Some(done) = done {
                break done;
            }
            clock.set(clock.now() + LEASE);
        };
        let counted = steps.done.lock().clone();
        for step in 0..STEPS {
            assert!(counted.contains(&step), "seed {seed}: {counted:?}");
        }
        assert!(done.figures.files >= STEPS, "seed {seed}");
        faults += store.faults();
    }
    assert!(faults > 100, "too few faults to prove anything: {faults}");
}
