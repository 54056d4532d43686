//! Tests of sources that gain columns: a rollup follows, in windows that were computed before, too.

use super::*;

const OF_OLD: &str = "SELECT id, window_start, rows, temperature_count, temperature_sum, temperature_min, \
                      wind_direction_count, wind_direction_first FROM readings_1d ORDER BY 1, 2";
const OF_NEW: &str =
    "SELECT id, window_start, salinity_count, salinity_sum FROM readings_1d ORDER BY 1, 2";

/// Readings with a wider direction, and a column that was not measured before.
fn grown() -> TableSchema {
    let mut declaration = source().declaration().clone();
    declaration.columns[2].value_type = ValueType::Int32;
    declaration.columns.push(ValueColumn::new("salinity", ValueType::Float32));
    TableSchema::new("readings", declaration).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_from_before_a_column_are_computed_with_it() {
    let mut fixture = Fixture::new().await;
    let mut draw = Draw(18);
    for _ in 0..6 {
        fixture.put_some(&mut draw).await;
    }
    fixture.engine.flush().await.unwrap();
    assert_eq!(fixture.run(RunRequest::default()).await.state, RunState::Done);
    fixture.engine.flush().await.unwrap();
    let before = fixture.lines(OF_OLD).await;
    let unknown: Vec<_> = before
        .iter()
        .map(|line| line.split('|').take(2).collect::<Vec<_>>().join("|") + "|0|null")
        .collect();

    let Fixture { engine, clock, store, model, folder, .. } = fixture;
    engine.shutdown().await.unwrap();
    drop(engine);
    let mut fixture = Fixture::open_as(grown(), folder, clock, store).await;
    fixture.model = model;
    assert_eq!(fixture.lines(OF_OLD).await, before);
    for rollup in declared(&grown()) {
        assert!(!fixture.due(&rollup).await.is_empty(), "{rollup}");
    }
    assert_eq!(fixture.run(RunRequest::default()).await.state, RunState::Done);
    assert_eq!(fixture.lines(OF_OLD).await, before);
    assert_eq!(fixture.lines(OF_NEW).await, unknown);
    for rollup in declared(&grown()) {
        assert!(fixture.due(&rollup).await.is_empty(), "{rollup}");
    }
}
