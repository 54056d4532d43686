//! Tests of clock steps in both directions: every job goes on.

use super::*;

const YEARS: Span = Span::seconds(10 * 31_557_600);

fn fixture() -> (Arc<Schedule>, Arc<ManualClock>, Arc<Steps>, Arc<dyn ObjectStore>) {
    let (object, steps) = (memory(), Steps::new());
    let clock = Arc::new(ManualClock::new(at("2026-11-22T10:20:00Z")));
    (schedule(&object, &clock, &steps), clock, steps, object)
}

#[tokio::test]
async fn a_clock_that_is_ahead_for_three_seconds_holds_no_job_up() {
    let (schedule, clock, _, object) = fixture();
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)));
    clock.step(YEARS);
    assert!(ran(&schedule).await.slot.unwrap() > at("2036-01-01"));
    clock.set(clock.now() + 3 * Span::SECOND);
    clock.step(-1 * YEARS);
    // In another process, too, as after a restart.
    let other = super::schedule(&object, &clock, &Steps::new());
    assert_eq!(other.jobs().await.unwrap()[0].next_at, Some(clock.now()));
    assert_eq!(ran(&other).await.slot, Some(at("2026-11-22T10:00:00Z")));
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)), "once");
    for hour in [11, 12] {
        let due = at(&format!("2026-11-22T{hour}:00:00Z"));
        clock.set(due + Span::MICROSECOND);
        assert_eq!(ran(&schedule).await.slot, Some(due));
    }
    let runs = schedule.history("steps").await.unwrap().runs;
    let numbers: Vec<_> = runs.iter().map(|run| run.run.number).collect();
    assert!(numbers.is_sorted() && runs.len() == 4, "{numbers:?}");
}

#[tokio::test]
async fn a_clock_that_is_behind_for_a_while_holds_no_job_up() {
    let (schedule, clock, ..) = fixture();
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)));
    clock.set(at("2026-11-22T11:00:01Z"));
    ran(&schedule).await;
    let back = (clock.now() - 1_000 * Span::SECOND).since(Timestamp::UNIX_EPOCH);
    clock.step(-1 * back);
    assert!(ran(&schedule).await.slot.unwrap() < at("1970-01-02"));
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)));
    clock.step(back);
    assert_eq!(ran(&schedule).await.slot, Some(at("2026-11-22T11:00:00Z")));
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)));
}

#[tokio::test]
async fn a_run_that_the_clock_steps_under_is_continued() {
    for step in [YEARS, -1 * YEARS] {
        let (schedule, clock, steps, _) = fixture();
        steps.waits_at.store(3, Ordering::SeqCst);
        let stepped = async {
            while steps.halts.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            clock.step(step);
            schedule.history("steps").await.unwrap().runs[0].run.clone()
        };
        let stop = Stop::default();
        let run =
            schedule.run("steps", RunRequest::default(), stop.clone(), watch::Sender::default());
        let (ended, run) = tokio::join!(run, async {
            let run = stepped.await;
            stop.stop(StopReason::ShuttingDown);
            run
        });
        // Its lease is over by the clock as it stands, or it gave it back.
        assert!(ended.is_err() || ended.is_ok_and(|record| record.state == RunState::Interrupted));
        steps.waits_at.store(u64::MAX, Ordering::SeqCst);
        let record = ran(&schedule).await;
        assert_eq!(record.continues, Some(run));
        assert_eq!((record.state, record.figures.files), (RunState::Done, STEPS));
        assert_eq!(*steps.done.lock(), [0, 1, 2, 3, 4]);
    }
}
