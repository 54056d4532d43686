//! Tests of time travel: earlier versions are as they were, a restored version is seen, and rows that it removed stay
//! away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use barograph_engine::Clock;
use barograph_lake::{LakeTable, TableVersion};

use super::*;

/// Queries with a table in the place of `{}`, whose filters, windows and counts are pushed down.
const QUESTIONS: [&str; 6] = [
    "SELECT * FROM {} ORDER BY city_id, reading_at",
    "SELECT count(*), min(reading_at), max(city_id) FROM {}",
    "SELECT reading_at, temperature FROM {} WHERE city_id IN (3, 7) AND temperature > 0 ORDER BY 1, 2",
    "SELECT city_id, date_bin(INTERVAL '1 hour', reading_at) AS hour, avg(temperature), count(*) \
     FROM {} GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT name, count(*) FROM {} JOIN cities USING (city_id) GROUP BY name ORDER BY name",
    "SELECT max(humidity) FROM {} WHERE reading_at < TIMESTAMP '2026-01-01T01:00:00'",
];

impl Fixture {
    async fn answers(&self, table: &str) -> Vec<Vec<String>> {
        let mut answers = Vec::new();
        for question in QUESTIONS {
            answers.push(self.lines(&question.replace("{}", table)).await);
        }
        answers
    }

    /// Two versions, an hour apart: four hours, and at the second version also late rows for them. Returns the answers
    /// at the first.
    async fn two_versions() -> (Self, Vec<Vec<String>>) {
        let mut fixture = Self::empty(SqlSettings { threads: 2, ..SqlSettings::default() }).await;
        let mut rng = SmallRng::seed_from_u64(3);
        for hour in 0..LANDED_HOURS {
            fixture.put(hour_of(&mut rng, hour, 10)).await;
        }
        fixture.engine.flush().await.unwrap();
        let first = fixture.answers("readings").await;
        fixture.clock.set(fixture.clock.now() + Span::HOUR);
        let late = hour_of(&mut rng, 1, 3).into_iter().chain(hour_of(&mut rng, LANDED_HOURS, 10));
        fixture.put(late.collect()).await;
        fixture.engine.flush().await.unwrap();
        (fixture, first)
    }

    pub(super) async fn lake(&self) -> LakeTable {
        let store = LakeStore::local(&self.folder.path().join("lake")).unwrap().child("readings");
        LakeTable::open_existing(store).await.unwrap().0
    }

    /// Restores a version as another process does, and lets the engine notice it.
    async fn restore(&self, version: u64) {
        let lake = self.lake().await;
        let plan =
            lake.plan_restore(&lake.refresh().await.unwrap(), TableVersion::new(version)).await;
        let restored = lake.restore(&plan.unwrap(), self.clock.now()).await;
        restored.unwrap().committed().unwrap();
        self.engine.land_due().await.unwrap();
    }

    /// Ends as a crash does, without landing, and reopens the folder.
    pub(super) async fn reopen(&mut self) {
        self.engine.shutdown().await.unwrap();
        let (engine, sql) = open(&self.folder, &self.clock, self.sql.settings().clone()).await;
        (self.engine, self.sql) = (engine, sql);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_answers_as_it_did_when_it_was_the_newest() {
    let (mut fixture, first) = Fixture::two_versions().await;
    let second = fixture.answers("readings").await;
    assert!(first[..5].iter().zip(&second).all(|(first, second)| first != second));
    let mut rng = SmallRng::seed_from_u64(5);
    fixture.put(hour_of(&mut rng, LANDED_HOURS + 1, 10)).await;
    let between = "TIMESTAMP '2026-01-01T06:30:00Z'";
    for (moment, expected) in [
        ("1", &first),
        (between, &first),
        ("'2026-01-01T06:30:00Z'", &first),
        ("2", &second),
        ("'2026-01-01T07:00:00Z'", &second),
    ] {
        let table = format!("as_of('readings', {moment})");
        assert_eq!(fixture.answers(&table).await, *expected, "{moment}");
    }
    let gained = fixture
        .lines("SELECT count(*) FROM as_of('readings', 2) b JOIN as_of('readings', 1) a USING (city_id, reading_at)")
        .await;
    assert_eq!(gained, [first[1][0].split('|').next().unwrap()]);
    let plan = |table: &str| {
        let text = format!("SELECT * FROM {table} WHERE city_id = 7 AND temperature > 3");
        let fixture = &fixture;
        async move { fixture.plan(&text).await }
    };
    assert!(plan("as_of('readings', 1)").await.contains("keys=[7]"));
    assert!(plan("readings").await.contains("keys=[7]"));

    for (moment, words) in [
        ("3", "versions 0 to 2 are kept"),
        ("'2026-01-01T07:00:00.000001Z'", "is in the future"),
        ("'1980-01-01'", "there is no version of 1980-01-01"),
    ] {
        let error = fixture.refused(&format!("SELECT * FROM as_of('readings', {moment})")).await;
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_whose_files_are_gone_is_refused_where_they_are_needed() {
    let (fixture, first) = Fixture::two_versions().await;
    let lake = fixture.lake().await;
    let past = lake.snapshot_at(TableVersion::new(1)).await.unwrap();
    let replaced = past.without(&lake.refresh().await.unwrap());
    assert_eq!(replaced.len(), 1, "late rows came for one hour");
    std::fs::remove_file(lake.store().local_path(&replaced[0].path.to_string()).unwrap()).unwrap();
    let error = fixture.refused("SELECT * FROM as_of('readings', 1)").await;
    assert!(error.contains("scheduler.removed_files_kept"), "{error}");
    assert!(error.contains(&replaced[0].path.to_string()), "{error}");
    let question = QUESTIONS[5].replace("{}", "as_of('readings', 1)");
    assert_eq!(fixture.lines(&question).await, first[5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_version_is_seen_and_what_it_took_away_stays_away() {
    let (mut fixture, first) = Fixture::two_versions().await;
    let newest = "SELECT city_id, reading_at FROM latest('readings') ORDER BY 1";
    let before = fixture.lines(newest).await;
    fixture.restore(1).await;
    assert_eq!(fixture.answers("readings").await, first);
    let expected = "SELECT city_id, max(reading_at) FROM readings GROUP BY 1 ORDER BY 1";
    assert_eq!(fixture.lines(newest).await, fixture.lines(expected).await);
    assert_ne!(fixture.lines(newest).await, before);

    // The log holds the rows that were taken away, and some that have not landed.
    let mut rng = SmallRng::seed_from_u64(9);
    fixture.put(hour_of(&mut rng, 1, 7)).await;
    let all = fixture.answers("readings").await;
    assert_ne!(all, first);
    fixture.reopen().await;
    assert!(fixture.engine.recovery().rows > 0 && fixture.engine.recovery().landed_rows > 0);
    assert_eq!(fixture.answers("readings").await, all);
    fixture.engine.flush().await.unwrap();
    assert_eq!(fixture.answers("readings").await, all);
    fixture.reopen().await;
    assert_eq!(fixture.engine.recovery().rows, 0);
    assert_eq!(fixture.answers("readings").await, all);

    // Hours that have no file left come back no more than others.
    fixture.restore(0).await;
    let none = fixture.answers("readings").await;
    assert!(none[0].is_empty());
    fixture.reopen().await;
    assert_eq!(fixture.answers("readings").await, none);
    fixture.put(hour_of(&mut rng, 1, 10)).await;
    let some = fixture.answers("readings").await;
    fixture.reopen().await;
    assert_eq!(fixture.answers("readings").await, some);
}
