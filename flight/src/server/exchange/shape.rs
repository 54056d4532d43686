//! The shape of an exchange, common to all its requests: one table, one list of columns, and the defaults of a request
//! that says less.

use std::sync::Arc;

use arrow::array::RecordBatch;
use barograph_access::Allowed;
use barograph_engine::{ErrorKind, Point, PointQuery, Restriction};
use barograph_lake::{Key, LogPosition, TableSchema};
use bytes::Bytes;

use super::answer::BoundRequest;
use crate::call::{State, restriction};
use crate::ticket::{PointRequest, Query, Read, Refused, Ticket, bind_columns, check_keys};
use crate::wire::Shape;
use crate::{Error, Result};

/// The shape of an exchange.
#[derive(Debug)]
pub(super) struct ExchangeShape {
    table: Arc<TableSchema>,
    /// What of the table is given, and as what it was allowed.
    given: Option<Arc<Restriction>>,
    allowed: Allowed,
    columns: Vec<usize>,
    shape: Arc<Shape>,
    /// What a request without a point read of its own asks for.
    point: Point,
    /// The keys of a request without any.
    keys: Option<Vec<Key>>,
    /// Every answer shows what was acknowledged at this position.
    after: Option<LogPosition>,
    /// The answer without rows.
    pub(super) nothing: RecordBatch,
}

impl ExchangeShape {
    /// The shape that a stream's ticket fixes; `after` is what its headers say.
    pub(super) fn new(
        state: &State,
        ticket: &Ticket,
        after: Option<LogPosition>,
        allowed: Allowed,
    ) -> Result<Self> {
        let table = state.engine.schema(&ticket.table)?;
        let given = restriction(&table, &allowed)?;
        let bounds = state.settings.ticket_bounds();
        let bound = ticket.bind_within(&table, given.as_deref(), bounds)?;
        let Query::Point(PointQuery { keys, point, columns }) = bound.query else {
            return Err(Error::request(
                "an exchange answers \"latest\" and \"at\": ask for a range with DoGet",
            ));
        };
        let shape = state.shapes.get(&ticket.table, &columns, &bound.schema);
        let nothing = RecordBatch::new_empty(Arc::clone(&shape.schema));
        let after = ticket.after.max(after);
        Ok(Self { table, given, allowed, columns, shape, point, keys, after, nothing })
    }

    /// The same as the table is now.
    ///
    /// # Errors
    /// `Unavailable` if the answers would be others.
    pub(super) fn again(&self, state: &State) -> Result<Self> {
        let changed = |error: Option<Error>| {
            let changed = Error::new(
                ErrorKind::Unavailable,
                format!(
                    "columns of table {:?} that this exchange gives have changed: open another exchange",
                    self.table.name()
                ),
            );
            match error {
                Some(error) => changed.with_source(error),
                None => changed,
            }
        };
        let fields = self.table.arrow().fields();
        let names = self.columns.iter().filter_map(|&at| Some(fields.get(at)?.name().clone()));
        let read = Read::Point { keys: self.keys.clone(), point: self.point };
        let table = self.table.name().to_owned();
        let columns = Some(names.collect());
        let ticket = Ticket { table, read, columns, after: None, view: None };
        let again = Self::new(state, &ticket, self.after, self.allowed.clone());
        let again = again.map_err(|error| changed(Some(error)))?;
        let (was, is) = (self.shape.schema.fields(), again.shape.schema.fields());
        match was.iter().zip(is).all(|(was, is)| was.data_type() == is.data_type()) {
            true => Ok(again),
            false => Err(changed(None)),
        }
    }

    /// The schema message.
    pub(super) fn message(&self) -> &Bytes {
        &self.shape.message
    }

    pub(super) fn table(&self) -> &str {
        self.table.name()
    }

    /// The engine's question for some keys.
    pub(super) fn query(&self, keys: Option<Vec<Key>>, point: Point) -> PointQuery {
        PointQuery { keys, point, columns: self.columns.clone() }
    }

    /// A request with the defaults of its stream filled in.
    pub(super) fn bind(
        &self,
        state: &State,
        request: PointRequest,
    ) -> Result<BoundRequest, Box<Refused>> {
        if let Err(error) = self.check(state, &request) {
            return Err(Box::new(Refused { id: request.id, error }));
        }
        let keys = match (request.keys, request.point) {
            (None, None) => self.keys.clone(),
            (keys, _) => keys,
        };
        Ok(BoundRequest {
            id: request.id,
            keys,
            point: request.point.unwrap_or(self.point),
            after: request.after.max(self.after),
        })
    }

    /// Whether a request fits the stream.
    fn check(&self, state: &State, request: &PointRequest) -> Result<()> {
        if let Some(table) = request.table.as_deref().filter(|&table| table != self.table.name()) {
            return Err(self.other("table", table));
        }
        if let Some(names) = &request.columns
            && self.columns_of(names)? != self.columns
        {
            return Err(self.other("columns", &names.join(", ")));
        }
        match &request.keys {
            Some(keys) => check_keys(&self.table, keys, state.settings.ticket_keys_max),
            None => Ok(()),
        }
    }

    /// The columns of the table that `names` mean, of those that are given.
    fn columns_of(&self, names: &[String]) -> Result<Vec<usize>> {
        let Some(given) = &self.given else { return bind_columns(&self.table, Some(names)) };
        let columns = bind_columns(given.visible(), Some(names))?;
        Ok(columns.into_iter().map(|column| given.column(column)).collect())
    }

    /// What of the table is given, if not all.
    pub(super) fn given(&self) -> Option<&Restriction> {
        self.given.as_deref()
    }

    fn other(&self, what: &str, value: &str) -> Error {
        Error::request(format!(
            "request for the {what} {value}: this exchange began with others, and one exchange has one \
             table and one list of columns; open another exchange"
        ))
    }
}
