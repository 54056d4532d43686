//! Columns of a table whose servers share a log: added and widened at one server after the other, each of which goes on.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Float32Array, Int32Array};
use barograph_engine::Durability;
use barograph_flight::Client;

use super::{
    Bed, FIRST, HOURS, KEYS, OF_FIRST, PATIENCE, POLL, SETTINGS, WIDER, asking, early, flush,
    lines, put, rows, said,
};
use crate::server::{Server, command};

const SERVERS: usize = 2;
/// A column of the wider declaration.
const NOTE: &str = r#"{ name = "note", type = "utf8" }, "#;

fn serve(bed: &Bed, settings: &str) -> Server {
    let args = [&SETTINGS[..], &["--set", "log=store", "--config", settings]].concat();
    Server::start(&args, &bed.data())
}

fn altered(servers: &[&Server], args: &[&str]) -> std::process::Output {
    let all: Vec<_> = servers.iter().map(|server| server.url()).collect();
    let alter = ["lake", "alter", "buoys", "--endpoint", &all.join(",")];
    command(&alter).args(args).output().unwrap()
}

/// Rows of a day with values that the first declaration has no place for.
fn wide(day: i64) -> arrow::array::RecordBatch {
    rows(day * 24..day * 24 + 1, 0, |count| -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("salinity", Arc::new(Float32Array::from_value(35.0, count))),
            ("level", Arc::new(Int32Array::from_value(100_000, count))),
        ]
    })
}

/// What a server answers that has seen all that is acknowledged elsewhere.
fn seen(put_at: &Server, rows: arrow::array::RecordBatch, read_at: &Server, sql: &str) -> i64 {
    let position = asking(put_at, async |client| {
        let ack = client.put_batch("buoys", rows, Durability::Disk).await.unwrap();
        assert_eq!((ack.accepted, ack.rejected), (KEYS as u64, 0));
        ack.position
    });
    asking(read_at, async |client: Client| {
        let answer = client.after(position).sql(sql).await.unwrap().collect().await.unwrap();
        arrow::array::cast::as_primitive_array::<arrow::datatypes::Int64Type>(answer.column(0))
            .value(0)
    })
}

const SALTY: &str = "SELECT count(salinity) FROM buoys WHERE level = 100000";

#[test]
fn columns_are_added_and_widened_at_servers_that_share_a_log() {
    let bed = Bed::new();
    let settings = bed.declare(FIRST);
    let servers: [Server; SERVERS] = std::array::from_fn(|_| serve(&bed, &settings));
    let [a, b] = &servers;
    assert_eq!(put(a, early(0..HOURS, 0)).1, 0);
    flush(a);
    put(b, early(3..6, 7));
    put(a, early(HOURS..HOURS + 1, 0));
    let before = OF_FIRST.map(|sql| lines(a, sql));

    bed.declare(WIDER);
    let both = altered(&[a, b], &[]);
    assert!(both.status.success(), "{}", said(&both));
    assert_eq!(
        said(&both).matches("note, salinity, temperature, level").count(),
        1,
        "{}",
        said(&both)
    );
    let keys = i64::from(KEYS);
    assert_eq!(seen(a, wide(40), b, SALTY), keys);
    assert_eq!(seen(b, wide(41), a, SALTY), 2 * keys);
    for server in &servers {
        assert_eq!(OF_FIRST.map(|sql| lines(server, sql)), before);
    }
    flush(b);
    assert_eq!(lines(a, SALTY), [(2 * keys).to_string()]);

    // Rows with the columns before may be in the log of any server.
    bed.declare(&WIDER.replace(NOTE, ""));
    let refused = altered(&[a, b], &["--drop", "note"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("stop all servers"), "{}", said(&refused));
    for server in servers {
        let (status, printed) = server.terminate();
        assert!(status.success(), "{printed}");
    }
    bed.check();
}

#[test]
fn a_server_that_met_columns_too_early_goes_on_once_it_declares_them() {
    let bed = Bed::new();
    let settings = bed.declare(FIRST);
    let servers: [Server; SERVERS] = std::array::from_fn(|_| serve(&bed, &settings));
    let [a, b] = &servers;
    assert_eq!(put(a, early(0..2, 0)).1, 0);
    bed.declare(WIDER);
    let one = altered(&[a], &[]);
    assert!(one.status.success(), "{}", said(&one));
    assert_eq!(put(a, wide(40)), (KEYS as u64, 0));
    // It makes nothing null that it cannot hold, and stops instead.
    let begun = Instant::now();
    asking(b, async |client| {
        for micros in 1.. {
            assert!(begun.elapsed() < PATIENCE, "it goes on without the columns");
            let rows = early(2..3, micros);
            match client.put_batch("buoys", rows, Durability::Disk).await {
                Ok(_) => tokio::time::sleep(POLL).await,
                Err(error) => {
                    assert!(error.to_string().contains("declare"), "{error}");
                    break;
                }
            }
        }
    });
    let other = altered(&[a, b], &[]);
    assert!(other.status.success(), "{}", said(&other));
    assert_eq!(seen(b, wide(41), a, SALTY), 2 * i64::from(KEYS));
    assert_eq!(lines(b, SALTY), [(2 * KEYS).to_string()]);
    for server in servers {
        let (status, printed) = server.terminate();
        assert!(status.success(), "{printed}");
    }
}
