//! The storing of rows that come as text: they are parsed on a thread of their own, and put batch by batch while the rest is
//! parsed, so that never more than a few batches are held.

use arrow::array::RecordBatch;
use barograph_engine::ErrorKind;
use barograph_engine::validate::Rejected;
use barograph_flight::door::{Asked, Stored};
use barograph_flight::{Error, Result};
use tokio::sync::mpsc;

use super::{BadRows, TableRows};

/// Batches that wait to be put.
const WAITING: usize = 2;

/// What was parsed.
pub(crate) enum Parsed {
    /// Rows of a table, with the numbers that they were sent with.
    Rows { table: String, rows: RecordBatch, numbers: Vec<usize> },
    /// What can be no rows of a table; without a table, of none.
    Bad { table: Option<String>, letters: Vec<Rejected> },
}

/// Where a parser leaves what it has parsed.
#[derive(Debug)]
pub(crate) struct Outbox(Option<mpsc::Sender<Parsed>>);

/// What became of the rows of a request.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stored: Stored,
    pub(crate) bad: BadRows,
}

impl Outbox {
    /// An outbox of which nothing is stored.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    fn leave(&self, parsed: Parsed) -> Result<()> {
        let Some(sender) = &self.0 else { return Ok(()) };
        // Who does not take it has an error of its own.
        let stopped = |_| Error::new(ErrorKind::Cancelled, "rows could not be stored");
        sender.blocking_send(parsed).map_err(stopped)
    }

    /// Leaves the rows so far.
    pub(crate) fn leave_rows(&self, rows: &mut TableRows) -> Result<()> {
        let table = rows.schema().name().to_owned();
        match rows.take()? {
            Some((rows, numbers)) => self.leave(Parsed::Rows { table, rows, numbers }),
            None => Ok(()),
        }
    }

    /// Leaves the bad rows so far.
    pub(crate) fn leave_bad(&self, table: Option<&str>, bad: &mut BadRows) -> Result<()> {
        let letters = bad.take_letters();
        match letters.is_empty() {
            true => Ok(()),
            false => self.leave(Parsed::Bad { table: table.map(str::to_owned), letters }),
        }
    }
}

/// Stores what `parse` leaves in its outbox.
pub(crate) async fn store(
    asked: &mut Asked,
    parse: impl FnOnce(&Outbox) -> Result<BadRows> + Send + 'static,
) -> Result<Outcome> {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let parsing = tokio::task::spawn_blocking(move || parse(&Outbox(Some(sender))));
    let (mut stored, mut rejected) = (Stored::default(), BadRows::default());
    let mut failed = None;
    while let Some(parsed) = receiver.recv().await {
        if let Err(error) = put(asked, parsed, &mut stored, &mut rejected).await {
            failed = Some(error);
            break;
        }
    }
    drop(receiver);
    let ended = |e| Error::new(ErrorKind::Internal, "a parser ended early").with_source(e);
    let parsed = parsing.await.map_err(ended)?;
    let error = match (failed, parsed) {
        (None, Ok(mut bad)) => {
            bad.join(rejected);
            return Ok(Outcome { stored, bad });
        }
        (Some(error), _) | (None, Err(error)) => error,
    };
    Err(match stored.accepted {
        0 => error,
        count => error.with_note(format_args!(
            "{count} rows were stored before this, and sending them again changes nothing"
        )),
    })
}

async fn put(
    asked: &mut Asked,
    parsed: Parsed,
    stored: &mut Stored,
    rejected: &mut BadRows,
) -> Result<()> {
    match parsed {
        Parsed::Rows { table, rows, numbers } => {
            let done = asked.put(&table, vec![rows.clone()]).await?;
            stored.accepted += done.accepted;
            stored.rejected += done.rejected;
            stored.position = stored.position.max(done.position);
            if done.rejected > 0 {
                let rejections = asked.rejections(&table, &rows)?;
                let held: Vec<_> =
                    (0..rows.num_rows()).filter(|row| rejections.holds(*row)).collect();
                for (row, why) in held.into_iter().zip(rejections) {
                    let number = numbers.get(row).copied().unwrap_or_default();
                    rejected.tell(number, &why.row, &why.reason);
                }
            }
        }
        Parsed::Bad { table, letters } => {
            let ack = asked.reject(table.as_deref(), &letters).await?;
            stored.rejected += ack.rejected;
            stored.position = stored.position.max(ack.position);
        }
    }
    Ok(())
}
