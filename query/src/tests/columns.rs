//! Tests of changing columns: a table that holds rows gains and widens columns, in the log, the tail and the lake
//! alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use barograph_engine::ErrorKind;

use super::*;

/// Queries over the existing columns, in every place that statistics and filters reach.
const BEFORE: [&str; 5] = [
    "SELECT city_id, reading_at, temperature, CAST(humidity AS FLOAT), pressure, wind_direction, flashes, note, seen_at \
     FROM readings ORDER BY 1, 2",
    "SELECT count(*), count(note), min(temperature), max(flashes), max(reading_at) FROM readings",
    "SELECT city_id, reading_at FROM readings WHERE wind_direction > 180 AND pressure < 950 ORDER BY 1, 2",
    "SELECT min(humidity) < 1, sum(wind_direction), min(wind_direction), max(CAST(humidity AS FLOAT)) FROM readings",
    "SELECT city_id, max(reading_at), last_value(note ORDER BY reading_at) FROM readings GROUP BY 1 ORDER BY 1",
];

/// The table with wider numbers, a number before the existing columns, and a text among them.
fn grown() -> TableSchema {
    let column = ValueColumn::new;
    let mut declaration = table().declaration().clone();
    declaration.columns[1].value_type = ValueType::Float64;
    declaration.columns[3].value_type = ValueType::Int64;
    declaration.columns.insert(0, column("visibility", ValueType::Float64));
    declaration.columns.insert(3, column("observer", ValueType::Utf8));
    TableSchema::new("readings", declaration).unwrap()
}

impl Fixture {
    /// Ends as a crash does, without landing, and reopens the folder with readings declared as `table`.
    async fn reopen_as(&mut self, table: TableSchema) -> Result<()> {
        self.engine.shutdown().await.unwrap();
        let lake = LakeStore::local(&self.folder.path().join("lake")).unwrap();
        let settings = self.sql.settings().clone();
        let opened = open_as(table, lake, &self.folder, &self.clock, settings).await?;
        (self.engine, self.sql) = opened;
        Ok(())
    }

    async fn answers_before(&self) -> Vec<Vec<String>> {
        let mut answers = Vec::new();
        for question in BEFORE {
            answers.push(self.lines(question).await);
        }
        answers
    }

    /// Statistics of the new columns: rows, values of each, nulls of each.
    async fn columns_of(&self) -> Vec<String> {
        let ask = |condition: &'static str| async move {
            self.lines(&format!("SELECT count(*) FROM readings WHERE {condition}")).await.remove(0)
        };
        let counts = "SELECT count(*), count(visibility), count(observer), min(visibility), max(observer) \
                      FROM readings";
        let mut told = self.lines(counts).await;
        for condition in [
            "visibility IS NULL",
            "observer IS NULL",
            "visibility > 0",
            "observer = 'Ada'",
            "NOT (visibility > 0)",
            "visibility IS NULL OR visibility > 0",
            "wind_direction > 99999",
        ] {
            told.push(ask(condition).await);
        }
        told
    }

    /// Puts one row an hour for the first cities, with the new columns.
    async fn put_grown(&self, hour: i64, rows: i32) {
        let times = (0..rows).map(|_| START + hour * 60 * MINUTE);
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 5] = [
            ("wind_direction", Arc::new(Int64Array::from_value(100_000, rows as usize))),
            ("observer", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "Ada")))),
            ("city_id", Arc::new((0..rows).collect::<Int32Array>())),
            (
                "visibility",
                Arc::new((0..rows).map(|n| Some(f64::from(n) + 1.0)).collect::<Float64Array>()),
            ),
            ("reading_at", Arc::new(times)),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let ack = self.engine.put("readings", rows, "test", Durability::Disk).await.unwrap();
        assert_eq!(ack.rejected, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_gains_columns_which_old_rows_do_not_have() {
    // Hours in the lake, late rows and open hours in the log.
    let mut fixture = Fixture::new().await;
    let before = fixture.answers_before().await;
    let rows = fixture.model.len();
    fixture.reopen_as(grown()).await.unwrap();
    assert_eq!(fixture.answers_before().await, before);
    let count = rows.to_string();
    let none = [format!("{count}|0|0|null|null")];
    let none = none.into_iter().chain([count.clone(), count.clone()]);
    let none: Vec<_> =
        none.chain(["0", "0", "0"].map(str::to_owned)).chain([count, "0".to_owned()]).collect();
    assert_eq!(fixture.columns_of().await, none);
    fixture.engine.flush().await.unwrap();
    assert_eq!(
        (fixture.answers_before().await, fixture.columns_of().await),
        (before.clone(), none)
    );

    // Late rows for a file without the columns, and an hour of its own.
    fixture.put_grown(1, 40).await;
    fixture.put_grown(HOURS - 1, 40).await;
    let with: Vec<_> = [fixture.columns_of().await, fixture.lines(BEFORE[0]).await].concat();
    assert!(with[0].contains("|80|80|1.0|Ada"), "{}", with[0]);
    assert_eq!(with[7], "80");
    fixture.reopen_as(grown()).await.unwrap();
    assert_eq!([fixture.columns_of().await, fixture.lines(BEFORE[0]).await].concat(), with);
    fixture.engine.flush().await.unwrap();
    fixture.reopen_as(grown()).await.unwrap();
    assert_eq!([fixture.columns_of().await, fixture.lines(BEFORE[0]).await].concat(), with);
    assert_eq!(fixture.engine.recovery().rows, 0);

    // An earlier version, which has no such columns.
    let past = "SELECT count(*), count(visibility) FROM as_of('readings', 1)";
    let landed = fixture.lines(past).await.remove(0);
    assert!(landed.ends_with("|0") && !landed.starts_with("0|"), "{landed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_no_longer_declared_stops_the_start() {
    let mut fixture = Fixture::new().await;
    fixture.reopen_as(grown()).await.unwrap();
    let told = fixture.columns_of().await;
    let refused = fixture.reopen_as(table()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Request);
    assert!(refused.to_string().contains("column visibility Float64"), "{refused}");
    fixture.reopen_as(grown()).await.unwrap();
    assert_eq!(fixture.columns_of().await, told);
}
