//! Barograph inside of a program: a table, some readings, and two ways to ask for them.
//!
//! ```text
//! cargo run --release --example embedded
//! ```

use std::error::Error;
use std::sync::Arc;

use arrow::array::{Float32Array, Int32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::util::pretty::print_batches;
use barograph_engine::{Durability, Engine, LogSource, Point, PointQuery};
use barograph_lake::{Key, LakeStore, TableDeclaration, TableSchema, ValueColumn, ValueType};
use barograph_query::{Sql, SqlSession, SqlSettings};
use futures::TryStreamExt;

#[tokio::main]
pub async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let temperature =
        ValueColumn::new("temperature", ValueType::Float32).unit("°C").range(-90.0, 60.0);
    let readings = TableDeclaration::new("city_id", "reading_at").column(temperature);
    let engine = Engine::builder(LakeStore::local(&folder.path().join("lake"))?)
        .log(LogSource::folder(folder.path().join("log")))
        .table(TableSchema::new("readings", readings)?)
        .open()
        .await?;

    // Acknowledged: on the disk of the log, and seen by every question from now on.
    let now = engine.now().as_micros();
    let times = TimestampMicrosecondArray::from_value(now, 3).with_timezone("UTC");
    let batch = RecordBatch::try_from_iter([
        ("city_id", Arc::new(Int32Array::from(vec![1, 2, 3])) as _),
        ("reading_at", Arc::new(times) as _),
        ("temperature", Arc::new(Float32Array::from(vec![21.5, 18.0, 99.0])) as _),
    ])?;
    let ack = engine.put("readings", batch, "example", Durability::Disk).await?;
    println!("{} accepted, {} rejected: 99 °C is out of range", ack.accepted, ack.rejected);

    let newest =
        PointQuery { keys: Some(vec![Key::new(2)]), point: Point::Latest, columns: vec![2] };
    print_batches(&[engine.point(&engine.view("readings")?, &newest).await?])?;

    let (sql, session) =
        (Sql::new(Arc::clone(&engine), SqlSettings::default())?, SqlSession::default());
    let text = "SELECT max(temperature) AS highest, (SELECT reason FROM dead_letters) AS rejected FROM readings";
    let answer = sql.execute(&session, &sql.prepare(&session, text).await?, &[]).await?;
    print_batches(&answer.batches.try_collect::<Vec<_>>().await?)?;

    engine.shutdown().await?;
    Ok(())
}
