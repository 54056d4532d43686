//! The opened ticket of a protocol of another crate, and the rows of an answer, batch by batch.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use barograph_engine::View;
use barograph_lake::{KeySelection, Span, TimeRange};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

use super::get::{Opened, kind_of, observed};
use crate::call::{Deadline, Part, Running};
use crate::ticket::Query;
use crate::{Error, Result};

/// A ticket that was understood, and the view that it is answered from.
pub struct OpenedTicket {
    opened: Opened,
    deadline: Deadline,
    begun: Span,
    part: Part,
    /// None of an answer that has its place already.
    permit: Option<OwnedSemaphorePermit>,
}

/// The rows of an answer, batch by batch. Dropped, with all its work, when the client goes away.
pub struct Rows {
    schema: SchemaRef,
    running: Running,
    /// So long the next batch waits, as who asks may not read faster.
    wait: Span,
}

impl fmt::Debug for OpenedTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedTicket").field("ticket", &self.opened.ticket).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl OpenedTicket {
    pub(super) fn new(
        opened: Opened,
        deadline: Deadline,
        begun: Span,
        part: Part,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { opened, deadline, begun, part, permit }
    }

    /// The view that it is answered from.
    pub fn view(&self) -> &Arc<View> {
        &self.opened.view
    }

    /// Columns of its rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.opened.bound.schema
    }

    /// Whether not all of the table is shown to who asks.
    pub fn is_restricted(&self) -> bool {
        self.opened.given.is_some()
    }

    /// The keys and times of a range; none of a point read.
    pub fn range(&self) -> Option<(&KeySelection, TimeRange)> {
        match &self.opened.bound.query {
            Query::Point(_) => None,
            Query::Scan(scan) => Some((&scan.keys, scan.time)),
        }
    }

    /// Ends it without rows, which are not needed.
    pub fn end(self) {
        self.part.done();
    }

    /// Runs it.
    ///
    /// # Errors
    /// Those that a DoGet of the ticket has. Later ones are among the rows.
    pub async fn rows(self) -> Result<Rows> {
        let span = self.part.span().clone();
        self.run().instrument(span).await
    }

    async fn run(self) -> Result<Rows> {
        let Self { opened, deadline, begun, part, permit } = self;
        let Opened { state, ticket, bound, view, given, .. } = opened;
        let schema = bound.schema;
        let (batches, observed) = match bound.query {
            Query::Point(query) => {
                let observed = state.observe(begun, kind_of(query.point), &ticket.table);
                let point = state.engine.point_within(&view, &query, given.as_deref());
                let rows = deadline.bound(point).await?;
                (stream::iter([Ok(rows)]).boxed(), observed)
            }
            Query::Scan(scan) => {
                let observed = observed(&state, begun, &ticket.table, &view, &scan);
                let answer = deadline.bound(state.engine.scan(view, scan)).await?;
                (answer.batches.map_err(Error::from).boxed(), observed)
            }
        };
        let running = Running::new(&state, batches, deadline, permit, part).observed(observed);
        Ok(Rows::new(schema, running))
    }
}

impl Rows {
    pub(super) fn new(schema: SchemaRef, running: Running) -> Self {
        Self { schema, running, wait: Span::ZERO }
    }

    /// Columns of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch; none when the answer is complete. An answer that is cut short ends with an error.
    pub async fn next(&mut self) -> Option<Result<RecordBatch>> {
        let wait = std::mem::replace(&mut self.wait, Span::ZERO);
        if let Err(error) = self.running.pause(wait).await {
            return Some(Err(error));
        }
        self.running.next().await
    }

    /// Counts rows and bytes that are sent. Who may not read so fast waits for the next.
    pub fn sends(&mut self, rows: usize, bytes: usize) {
        self.wait = self.wait.saturating_add(self.running.sends(rows, bytes));
    }
}
