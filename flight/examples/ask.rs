//! The time that a Rust program waits for an answer.
//!
//! Reads tickets, one JSON object a line, or statements of SQL as JSON strings, asks a server for each and prints the
//! seconds from asking to the whole answer, and its rows:
//!
//! ```sh
//! cargo build --release --workspace --examples
//! echo '{"v":1,"table":"readings","latest":{"keys":[2988507]}}' |
//!     target/release/examples/ask grpc://127.0.0.1:8815
//! ```
#![allow(clippy::disallowed_methods, reason = "how long things take is what is asked")]

use std::io::{BufRead, Write};
use std::time::Instant;

use arrow::array::RecordBatch;
use barograph_flight::{Client, Ticket};
use futures::TryStreamExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Largest ticket read.
const TICKET_BYTES_MAX: usize = 1 << 20;

enum Question {
    Ticket(Box<Ticket>),
    Sql(String),
}

impl Question {
    fn parse(line: &str) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(match serde_json::from_str(line) {
            Ok(text) => Self::Sql(text),
            Err(_) => Self::Ticket(Box::new(Ticket::parse(line.as_bytes(), TICKET_BYTES_MAX)?)),
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("usage: ask grpc://HOST:PORT < TICKETS")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(Client::connect(&url))?;
    for line in std::io::stdin().lock().lines() {
        let question = Question::parse(&line?)?;
        let begun = Instant::now();
        let batches: Vec<RecordBatch> = runtime.block_on(async {
            let answer = match &question {
                Question::Ticket(ticket) => client.get(ticket).await?,
                Question::Sql(text) => client.sql(text).await?,
            };
            answer.try_collect().await
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let mut out = std::io::stdout().lock();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        writeln!(out, "{seconds} {rows}")?;
        out.flush()?;
    }
    Ok(())
}
