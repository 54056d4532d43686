//! Tests of the ends of runs: however a run ends, it is recorded, and the next one begins where it should.

use super::*;

const TEN: &str = "2026-11-22T10:20:00Z";

fn fixture() -> (Arc<Schedule>, Arc<ManualClock>, Arc<Steps>, Arc<dyn ObjectStore>) {
    let (object, steps) = (memory(), Steps::new());
    let clock = Arc::new(ManualClock::new(at(TEN)));
    (schedule(&object, &clock, &steps), clock, steps, object)
}

/// Lets a run go where it stands, as a killed process does, once it is there.
async fn killed<T: std::fmt::Debug>(run: impl Future<Output = T>, there: impl Fn() -> bool) {
    tokio::select! {
        biased;
        ended = run => panic!("it ended: {ended:?}"),
        () = until(there) => {}
    }
}

async fn until(there: impl Fn() -> bool) {
    while !there() {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass beside a run.
async fn with_time<T>(clock: &ManualClock, run: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            clock.set(clock.now() + Span::millis(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        ended = run => ended,
        () = passing => unreachable!("time passes for ever"),
    }
}

#[tokio::test]
async fn what_can_be_helped_is_tried_again_from_where_it_was() {
    let (schedule, clock, steps, _) = fixture();
    *steps.faults.lock() = vec![(4, ErrorKind::Resources), (2, ErrorKind::Unavailable)];
    let record = with_time(&clock, by_hand(&schedule)).await.unwrap();
    assert_eq!((record.state, record.attempts, record.error), (RunState::Done, 3, None));
    assert_eq!(*steps.done.lock(), [0, 1, 2, 3, 4]);

    *steps.faults.lock() = vec![(1, ErrorKind::Unavailable); 9];
    let record = with_time(&clock, by_hand(&schedule)).await.unwrap();
    assert_eq!((record.state, record.attempts), (RunState::Failed, 4));
    assert_eq!(record.error.as_deref(), Some("step 1"));
    assert_eq!(steps.faults.lock().len(), 5);

    *steps.faults.lock() = vec![(3, ErrorKind::Damage)];
    let record = by_hand(&schedule).await.unwrap();
    assert_eq!((record.state, record.attempts), (RunState::Failed, 1));
    assert_eq!(record.figures.files, 3, "a failed run is not continued");
}

#[tokio::test]
async fn a_run_whose_process_died_is_continued_once_its_lease_is_over() {
    let (schedule, clock, steps, object) = fixture();
    steps.stuck_at.store(3, Ordering::SeqCst);
    killed(by_hand(&schedule), || steps.halts.load(Ordering::SeqCst) == 1).await;
    steps.stuck_at.store(u64::MAX, Ordering::SeqCst);
    let other = super::schedule(&object, &clock, &steps);
    assert!(matches!(look(&other).await, DueOutcome::Wait(_)), "its lease is not over");
    let error = by_hand(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("barograph jobs cancel steps-2"), "{error}");
    let running = other.history("steps").await.unwrap().runs;
    assert_eq!((running[0].state, running[0].figures.files), (RunState::Running, 3));

    clock.set(at(TEN) + LEASE);
    let shown = other.history("steps").await.unwrap().runs;
    assert_eq!(shown[0].state, RunState::Interrupted);
    let record = ran(&other).await;
    assert_eq!(record.continues, Some(shown[0].run.clone()));
    assert_eq!((record.state, record.figures.files), (RunState::Done, STEPS));
    assert_eq!(*steps.done.lock(), [0, 1, 2, 3, 4]);
    let runs = other.history("steps").await.unwrap().runs;
    assert_eq!(runs[0].state, RunState::Interrupted);
    assert!(matches!(look(&other).await, DueOutcome::Wait(_)));
}

#[tokio::test]
async fn a_job_that_kills_its_process_is_not_tried_for_ever() {
    let (schedule, clock, steps, _) = fixture();
    steps.stuck_at.store(0, Ordering::SeqCst);
    assert!(matches!(look(&schedule).await, DueOutcome::Wait(_)));
    clock.set(at("2026-11-22T11:00:01Z"));
    let mut deaths = 0;
    while deaths < 20 {
        let halts = steps.halts.load(Ordering::SeqCst);
        tokio::select! {
            biased;
            looked = schedule.run_if_due("steps", Stop::default()) => match looked {
                Ok(DueOutcome::Wait(next)) if next > clock.now() + LEASE => break,
                _ => {}
            },
            () = until(|| steps.halts.load(Ordering::SeqCst) > halts) => deaths += 1,
        }
        clock.set(clock.now() + LEASE);
    }
    // The first time, and each of the three retries.
    assert_eq!(deaths, 4);
}

#[tokio::test]
async fn a_shutdown_is_continued_and_a_cancellation_is_not() {
    let (schedule, _, steps, object) = fixture();
    steps.waits_at.store(2, Ordering::SeqCst);
    let stop = Stop::default();
    let run = schedule.run("steps", RunRequest::default(), stop.clone(), watch::Sender::default());
    let ask = async {
        until(|| steps.halts.load(Ordering::SeqCst) == 1).await;
        stop.stop(StopReason::ShuttingDown);
    };
    let (record, ()) = tokio::join!(run, ask);
    let first = record.unwrap();
    assert_eq!((first.state, first.figures.files), (RunState::Interrupted, 2));
    let clock = Arc::new(ManualClock::new(at(TEN)));
    let other = super::schedule(&object, &clock, &steps);

    // At once, as the lease was given back; this time somebody cancels it through the store.
    let cancel = async {
        until(|| steps.halts.load(Ordering::SeqCst) == 2).await;
        let runs = schedule.history("steps").await.unwrap().runs;
        let run = &runs.last().unwrap().run;
        assert_ne!(*run, first.run);
        schedule.cancel(run).await.unwrap();
        // The run looks for it once a second.
        clock.set(clock.now() + Span::SECOND);
    };
    let (record, ()) = tokio::join!(ran(&other), cancel);
    assert_eq!((record.state, record.figures.files), (RunState::Cancelled, 2));
    assert_eq!(record.continues, Some(first.run));
    let error = other.cancel(&record.run).await.unwrap_err();
    assert!(error.to_string().contains("is cancelled: there is nothing to stop"), "{error}");
    let absent = RunId { job: "steps".to_owned(), number: 999 };
    assert!(other.cancel(&absent).await.unwrap_err().to_string().contains("no run steps-999"));

    steps.waits_at.store(u64::MAX, Ordering::SeqCst);
    assert!(matches!(look(&other).await, DueOutcome::Wait(_)), "nothing is to be continued");
    let record = by_hand(&other).await.unwrap();
    assert_eq!((record.state, record.continues), (RunState::Done, None));
    assert_eq!(*steps.done.lock(), [0, 1, 0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn an_interrupted_run_can_be_cancelled_before_anybody_continues_it() {
    let (schedule, clock, steps, _) = fixture();
    steps.stuck_at.store(3, Ordering::SeqCst);
    killed(by_hand(&schedule), || steps.halts.load(Ordering::SeqCst) == 1).await;
    steps.stuck_at.store(u64::MAX, Ordering::SeqCst);
    clock.set(at(TEN) + LEASE);
    let run = schedule.history("steps").await.unwrap().runs[0].run.clone();
    schedule.cancel(&run).await.unwrap();
    let record = by_hand(&schedule).await.unwrap();
    assert_eq!((record.continues, record.figures.files), (None, STEPS));
    assert_eq!(schedule.history("steps").await.unwrap().runs[0].state, RunState::Cancelled);
}

#[tokio::test]
async fn a_panic_fails_the_run_and_nothing_else() {
    let (schedule, _, steps, _) = fixture();
    steps.panics_at.store(1, Ordering::SeqCst);
    let record = by_hand(&schedule).await.unwrap();
    assert_eq!(record.state, RunState::Failed);
    assert!(record.error.unwrap().contains("panicked"));
    steps.panics_at.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(by_hand(&schedule).await.unwrap().state, RunState::Done);
}

#[tokio::test]
async fn bytes_are_read_at_the_pace_of_the_budget() {
    let (schedule, clock, _, object) = fixture();
    let rate = barograph_lake::Size::bytes(1_000_000);
    let spec = JobSpec { bytes_per_second: Some(rate), ..spec() };
    let run = RunId { job: "steps".to_owned(), number: 1 };
    let record =
        RunRecord::new(run, String::new(), spec, RunRequest::default(), Timestamp::UNIX_EPOCH);
    let store = LakeStore::with_store(object, "memory:///jobs".parse().unwrap());
    let context = Context {
        stop: Stop::default(),
        record: Mutex::new(record),
        lease: Mutex::new(schedule.leases.read("steps").await.unwrap()),
        store: JobStore::new(store),
        clock: clock.clone(),
        progress: watch::Sender::default(),
        failures: Mutex::default(),
        paced: Mutex::default(),
    };
    context.pace(50_000).await.unwrap();
    for _ in 0..3 {
        let mut paced = std::pin::pin!(context.pace(50_000));
        assert!(futures::poll!(&mut paced).is_pending());
        clock.set(clock.now() + Span::from_micros(49_999));
        assert!(futures::poll!(&mut paced).is_pending(), "a microsecond too early");
        clock.set(clock.now() + Span::MICROSECOND);
        paced.await.unwrap();
    }
    context.stop.stop(StopReason::Cancelled);
    assert_eq!(context.pace(50_000_000).await.unwrap_err().kind(), ErrorKind::Stopped);
}
