//! Tests of clock steps in both directions: the last put wins, hours land, views of the past stay, letters stay in
//! order.

use barograph_lake::{AsOf, Span};

use super::*;

const YEARS: i64 = 10 * 31_557_600_000_000;
const SECOND: i64 = 1_000_000;

fn settings() -> EngineSettings {
    EngineSettings {
        late_merge_every: Span::seconds(60),
        compacted_merge_every: Span::seconds(60),
        poll_commits_every: Span::seconds(60),
        ..EngineSettings::default()
    }
}

async fn restart(bed: &Bed, engine: Arc<Engine>) -> Arc<Engine> {
    engine.shutdown().await.unwrap();
    drop(engine);
    bed.open().await
}

#[tokio::test]
async fn the_last_put_wins_whatever_the_clock_is_set_to() {
    for step in [YEARS, -YEARS] {
        let bed = Bed::new(settings());
        bed.set(START + 9 * HOUR);
        let mut engine = bed.open().await;
        let mut last = i64::MIN;
        let (mut value, row) = (0.0, |value| (1, START, value));
        for (n, by) in [0, step, 0, -step, 0].into_iter().enumerate() {
            bed.step(by);
            for flushed in [false, true] {
                value += 1.0;
                // A reading of the time that was before, whatever the clock says.
                let ack = put(&engine, "readings", &[row(value)]).await.unwrap();
                let future = bed.clock_now() < START;
                assert_eq!(ack.accepted, u64::from(!future));
                if future {
                    value -= 1.0;
                }
                if flushed {
                    engine.flush().await.unwrap();
                }
                let all = rows_with_arrival(&engine, "readings").await.unwrap();
                assert_eq!(all[0].0, row(value), "step {n} of {step}");
                assert!(future || all[0].1 > last, "{} after {last}", all[0].1);
                last = all[0].1;
            }
            // A log that begins anew knows of no earlier rows.
            (engine, last) = (restart(&bed, engine).await, i64::MIN);
            assert_eq!(rows(&engine, "readings").await.unwrap(), [row(value)]);
            bed.set(bed.clock_now() + SECOND);
        }
    }
}

#[tokio::test]
async fn hours_land_and_late_rows_merge_after_the_clock_was_ahead() {
    let bed = Bed::new(settings());
    bed.set(START + 2 * HOUR + 10 * MINUTE);
    let engine = bed.open().await;
    let landed = || engine.view("readings").unwrap().tail.rows() == 0;
    put(&engine, "readings", &[(1, START, 1.0)]).await.unwrap();
    engine.flush().await.unwrap();
    bed.step(YEARS);
    engine.land_due().await.unwrap();
    bed.set(bed.clock_now() + 3 * SECOND);
    engine.land_due().await.unwrap();
    bed.step(-YEARS);

    // A late row is merged when it is time to, and an hour lands when it is over.
    put(&engine, "readings", &[(2, START + MINUTE, 2.0)]).await.unwrap();
    bed.set(bed.clock_now() + 6 * MINUTE);
    engine.land_due().await.unwrap();
    assert!(landed(), "late rows");
    put(&engine, "readings", &[(1, START + 2 * HOUR, 3.0)]).await.unwrap();
    engine.land_due().await.unwrap();
    assert!(!landed(), "the hour is not over");
    bed.set(START + 3 * HOUR + 6 * MINUTE);
    engine.land_due().await.unwrap();
    assert!(landed(), "the hour is over");
    let held = rows(&engine, "readings").await.unwrap();
    assert_eq!(held, [(1, START, 1.0), (1, START + 2 * HOUR, 3.0), (2, START + MINUTE, 2.0)]);
}

#[tokio::test]
async fn a_letter_of_a_clock_that_was_ahead_gives_way_to_a_row() {
    let bed = Bed::new(settings());
    let engine = bed.open().await;
    let future = (1, START + YEARS + HOUR, 1.0);
    bed.step(YEARS);
    assert_eq!(put(&engine, "readings", &[future]).await.unwrap().rejected, 1);
    engine.flush().await.unwrap();
    bed.step(-YEARS);
    engine.shutdown().await.unwrap();
    // Accepted later, by a clock that knows better, in a log that begins anew.
    let settings = EngineSettings { future_max: Span::seconds(20 * 31_557_600), ..settings() };
    let bed = Bed { settings, disk: MemoryDisk::default(), ..bed };
    let engine = bed.open().await;
    let accepted = (1, future.1, 2.0);
    put(&engine, "readings", &[accepted]).await.unwrap();
    engine.redrive("readings", TimeRange::ALL).await.unwrap();
    assert_eq!(rows(&engine, "readings").await.unwrap(), [accepted]);
}

#[tokio::test]
async fn a_view_of_the_past_stays_what_it_was() {
    let bed = Bed::new(settings());
    let engine = bed.open().await;
    let land = async |value: f32| {
        put(&engine, "readings", &[(1, START, value)]).await.unwrap();
        engine.flush().await.unwrap();
        engine.view("readings").unwrap().snapshot.version()
    };
    let first = land(1.0).await;
    bed.step(YEARS);
    land(2.0).await;
    bed.step(-YEARS);
    bed.set(bed.clock_now() + HOUR);
    land(3.0).await;
    let (as_of, keys) = (AsOf::Version(first), KeySelection::All);
    let view = engine.view_as_of("readings", as_of, &keys, TimeRange::ALL).await.unwrap();
    assert_eq!(view.rows(), 1);
}
