//! Limits of a role: who asks too often, or for too much at one time, is told which limit it is and when to come back.

use std::sync::Arc;

use barograph_engine::{Durability, ErrorKind, ManualClock};
use barograph_lake::{Key, Size, Span, Timestamp};
use futures::StreamExt;

use super::super::batch;
use super::{START, guarded_with};
use crate::{Error, Ticket};

/// A clock that stands, a day after the readings.
fn standing() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_micros(START) + Span::DAY))
}

fn is_limit(error: &Error, bound: &str) -> bool {
    error.kind() == ErrorKind::Resources
        && error.to_string().starts_with(bound)
        && error.retry_after().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let served = guarded_with(standing(), |settings| {
        let limits = &mut settings.roles.get_mut("slow").unwrap().limits;
        limits.requests_per_second = Some(1);
    })
    .await;
    let slow = served.client("slow");
    let mut refused = None;
    for _ in 0..3 {
        if let Err(error) = slow.latest("readings", Some(&[Key::new(1)]), None).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(is_limit(&refused, "access.limits.requests_per_second"), "{refused}");
    // Others are not held up by that.
    served.client("reader").latest("readings", Some(&[Key::new(1)]), None).await.unwrap();
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_requests_run_at_one_time_and_no_more() {
    let served = guarded_with(standing(), |_| {}).await;
    let slow = served.client("slow");
    let first = slow.exchange(&Ticket::latest("readings", None)).await.unwrap();
    let second = slow.exchange(&Ticket::latest("readings", None)).await.unwrap();
    let refused = slow.exchange(&Ticket::latest("readings", None)).await.unwrap_err();
    assert!(is_limit(&refused, "access.limits.running_max"), "{refused}");
    drop((first, second));
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_has_put_too_much_waits() {
    let served = guarded_with(standing(), |settings| {
        let limits = &mut settings.roles.get_mut("writer").unwrap().limits;
        limits.bytes_in_per_second = Some(Size::bytes(1));
    })
    .await;
    let writer = served.client("writer");
    writer
        .put_batch("readings", batch((0..1_000).map(|city| (city, 0, 1.0))), Durability::Memory)
        .await
        .unwrap();
    let refused = writer
        .put_batch("readings", batch((0..1_000).map(|city| (city, 0, 1.0))), Durability::Memory)
        .await;
    let refused = refused.unwrap_err();
    assert!(is_limit(&refused, "access.limits.bytes_in_per_second"), "{refused}");
    served.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_an_exchange_are_counted_one_by_one() {
    let served = guarded_with(standing(), |settings| {
        let limits = &mut settings.roles.get_mut("slow").unwrap().limits;
        limits.requests_per_second = Some(1);
    })
    .await;
    let slow = served.client("slow");
    let (sender, mut answers) = slow.exchange(&Ticket::latest("readings", None)).await.unwrap();
    let mut refused = None;
    for _ in 0..3 {
        sender.keys(&[Key::new(1)], None).await.unwrap();
        if let Err(error) = answers.next().await.unwrap().unwrap().rows {
            refused = Some(error);
            break;
        }
    }
    assert!(refused.unwrap().to_string().contains("access.limits.requests_per_second"));
    served.server.stop().await.unwrap();
}
