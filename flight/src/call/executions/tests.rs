//! Tests of executions: plans that are given once, cancellation before, during and after a run, and bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use barograph_engine::ManualClock;
use barograph_lake::Timestamp;

use super::*;

/// When the process of the tests started: names of another begin with another instant.
const STARTED: Timestamp = Timestamp::from_micros(1);

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(STARTED))
}

#[tokio::test]
async fn a_plan_is_given_once() {
    let executions = Executions::new(clock());
    let (first, second) = (executions.name(), executions.name());
    assert_ne!(first, second);
    executions.plan(&first, "SELECT 1");
    assert_eq!(executions.take_plan(&second), None);
    assert_eq!(executions.take_plan(&first), Some("SELECT 1"));
    assert_eq!(executions.take_plan(&first), None);
}

#[tokio::test]
async fn plans_are_few_and_let_go() {
    let clock = Arc::new(ManualClock::new(STARTED));
    let executions = Executions::new(Arc::clone(&clock) as _);
    let names: Vec<_> = (0..=PLANNED_MAX).map(|_| executions.name()).collect();
    names.iter().for_each(|name| executions.plan(name, ()));
    assert_eq!(executions.take_plan(&names[0]), None);
    assert_eq!(executions.take_plan(&names[1]), Some(()));
    clock.set(STARTED + PLANNED_FOR);
    executions.forget_old_plans();
    assert_eq!(lock(&executions.state).planned.len(), PLANNED_MAX - 1);
    clock.set(STARTED + PLANNED_FOR + Span::MICROSECOND);
    executions.forget_old_plans();
    assert_eq!(lock(&executions.state).planned.len(), 0);
}

#[tokio::test]
async fn a_running_execution_is_told_to_stop() {
    let executions = Arc::new(Executions::<()>::new(clock()));
    let name = executions.name();
    let execution = executions.begin(&name).unwrap();
    let canceller = tokio::spawn({
        let (executions, name) = (Arc::clone(&executions), name.clone());
        async move { executions.cancel(&name).await }
    });
    assert_eq!(execution.cancellation().reached().await.kind(), ErrorKind::Cancelled);
    drop(execution);
    assert_eq!(canceller.await.unwrap(), Cancelled::Done);
    assert_eq!(executions.begin(&name).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(executions.cancel(&name).await, Cancelled::Done);
}

#[tokio::test]
async fn one_that_does_not_let_go_is_cancelled_soon() {
    let clock = Arc::new(ManualClock::new(STARTED));
    let executions = Executions::<()>::new(Arc::clone(&clock) as _);
    let name = executions.name();
    let _execution = executions.begin(&name).unwrap();
    let mut cancelling = std::pin::pin!(executions.cancel(&name));
    assert!(futures::poll!(&mut cancelling).is_pending(), "it is waited for");
    clock.set(STARTED + Span::from_duration(CANCEL_WAIT));
    assert_eq!(cancelling.await, Cancelled::Soon);
}

#[tokio::test]
async fn cancelling_before_the_beginning_and_after_the_end() {
    let executions = Executions::<()>::new(clock());
    let (early, late) = (executions.name(), executions.name());
    assert_eq!(executions.cancel(&early).await, Cancelled::Done);
    assert!(executions.begin(&early).is_err());
    let twice = (executions.begin(&late).unwrap(), executions.begin(&late).unwrap());
    drop(twice.0);
    assert!(lock(&executions.state).running.contains_key(&late));
    drop(twice.1);
    assert_eq!(executions.cancel(&late).await, Cancelled::TooLate);
    // What has finished may be asked for again.
    assert!(executions.begin(&late).is_ok());
}

#[tokio::test]
async fn what_has_ended_is_remembered_within_bounds() {
    let executions = Executions::<()>::new(clock());
    for _ in 0..CANCELLED_MAX + 10 {
        executions.cancel(&executions.name()).await;
    }
    for _ in 0..FINISHED_MAX + 10 {
        drop(executions.begin(&executions.name()).unwrap());
    }
    let state = lock(&executions.state);
    assert_eq!((state.finished.len(), state.order.len()), (FINISHED_MAX, FINISHED_MAX));
    assert_eq!(state.cancelled.len(), CANCELLED_MAX);
}

#[tokio::test]
async fn what_was_cancelled_never_begins_again_however_many_end_after_it() {
    let executions = Executions::<()>::new(clock());
    let before = executions.name();
    let running = executions.begin(&before).unwrap();
    let (first, stranger) = (executions.name(), "0-7f");
    for name in [&first, stranger, "no name of a process"] {
        assert_eq!(executions.cancel(name).await, Cancelled::Done);
    }
    for _ in 0..2 * FINISHED_MAX {
        drop(executions.begin(&executions.name()).unwrap());
    }
    let refused = |name: &str| executions.begin(name).unwrap_err();
    assert!(refused(&first).to_string().contains("was cancelled"));
    let late = executions.name();
    for _ in 0..2 * CANCELLED_MAX {
        assert_eq!(executions.cancel(&executions.name()).await, Cancelled::Done);
    }
    for name in [&first, stranger, "no name of a process"] {
        assert_eq!(refused(name).kind(), ErrorKind::Cancelled);
        assert_eq!(executions.cancel(name).await, Cancelled::Done);
    }
    // Not cancelled, but older than others that are not known one by one any more.
    assert!(refused(&late).to_string().contains("may have been cancelled"));
    assert!(executions.begin(&executions.name()).is_ok());
    // What runs is told to stop however old it is.
    let mut cancelling = std::pin::pin!(executions.cancel(&before));
    assert!(futures::poll!(&mut cancelling).is_pending());
    assert_eq!(running.cancellation().reached().await.kind(), ErrorKind::Cancelled);
    drop(running);
    assert_eq!(cancelling.await, Cancelled::Done);
    assert!(executions.begin(&before).is_err());
}
