//! How does a file become pieces of rows? In a thread of its own, a few pieces ahead.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use barograph_lake::TableSchema;
use futures::Stream;
use tokio::sync::mpsc;

use super::apply::{Applied, apply};
use super::input::{FileForm, Input};
use super::mapping::{Mapping, Plan};
use super::replaced::Replaced;
use super::run::{FileSummary, Options, Stop};
use super::time::Found;
use crate::{Error, Result};

/// Pieces that wait between the reading thread and whoever takes them.
const QUEUE: usize = 2;

/// A file that is open, and fits the table.
#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    input: Input,
    plan: Plan,
}

impl Reading {
    /// Opens a file.
    ///
    /// # Errors
    /// `Request` if file, mapping and table do not fit.
    pub(super) fn open(
        path: &Path,
        table: &TableSchema,
        mapping: &Mapping,
        options: &Options,
    ) -> Result<Self> {
        let form = options.form.map_or_else(|| FileForm::of(path), Ok)?;
        let input = Input::open(path, form, mapping)?;
        let plan = Plan::new(table, mapping, &input.columns())?;
        Ok(Self { path: path.to_owned(), input, plan })
    }

    /// What is known before a row is read; `earlier` rows are not read again.
    pub(super) fn summary(&self, path: &Path, earlier: u64) -> FileSummary {
        FileSummary {
            path: path.to_owned(),
            earlier,
            read: 0,
            accepted: 0,
            unreadable: 0,
            implausible: 0,
            replaced: Replaced::default(),
            local: Found::default(),
            ignored: self.plan.ignored.clone(),
            absent: self.plan.absent.clone(),
            took: Duration::ZERO,
            stopped: false,
        }
    }

    /// The pieces from row `skip` on, in order, until the file's end or `stop`.
    pub(super) fn pieces(
        self,
        skip: u64,
        options: &Options,
        stop: &Stop,
    ) -> impl Stream<Item = Result<Applied>> + use<> {
        let Self { path, input, plan } = self;
        let (send, receive) = mpsc::channel(QUEUE);
        let (rows, stop) = (options.batch_rows.max(1), stop.clone());
        let read = move || {
            let chunks = match input.chunks(&plan.needed, rows, skip) {
                Ok(chunks) => chunks,
                Err(e) => return drop(send.blocking_send(Err(e))),
            };
            let mut first = skip == 0;
            for chunk in chunks {
                let applied = |chunk| {
                    apply(&plan, chunk, first).map_err(|error| error.during(path.display()))
                };
                let piece = chunk.and_then(applied);
                first = false;
                let failed = piece.is_err();
                // Nobody receives any more: the import has failed elsewhere.
                if stop.is_stopped() || send.blocking_send(piece).is_err() || failed {
                    return;
                }
            }
        };
        let reader = tokio::task::spawn_blocking(read);
        futures::stream::unfold((receive, Some(reader)), |(mut receive, mut reader)| async move {
            if let Some(piece) = receive.recv().await {
                return Some((piece, (receive, reader)));
            }
            // The end of the queue is the end of the file only if the thread came to its end.
            let failed = reader.take()?.await.err()?;
            let error = Error::internal("reading the file").with_source(failed);
            Some((Err(error), (receive, None)))
        })
    }
}

/// Bytes that the rows of a batch take, without what else their buffers may hold.
pub(super) fn batch_bytes(rows: &RecordBatch) -> usize {
    let of = |column: &arrow::array::ArrayRef| {
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    rows.columns().iter().map(of).sum()
}
