//! System tables: the server's report about itself, as tables like any other, produced when they are queried.
//!
//! | table | a row is |
//! |---|---|
//! | `system.files` | an active file of the lake |
//! | `system.hours` | an hour of a table, in the lake, the tail or both |
//! | `system.tail` | an hour of a table in the tail |
//! | `system.log` | the log; there is one |
//! | `system.faults` | an hour, day, month or table that cannot land |
//! | `system.settings` | a setting with its value |
//! | `system.queries` | a running query, or one that ended recently |
//! | `system.deletions` | a deletion of rows: which, when, by whom, why |
//! | `system.requests` | requests to the object store: who asked, verb, kind of object |
//! | `system.members` | a process that shares the log |
//! | `system.completeness` | a key in an hour: what was due, what came, what came late |
//!
//! The caller that opens SQL may add more of them ([`SystemRows`]).

mod completeness;
mod deletions;
mod faults;
mod members;
mod provided;
mod queries;
mod requests;
mod settings;
mod storage;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use async_trait::async_trait;
use barograph_engine::SystemRows;
use barograph_engine::{Engine, Result};
use barograph_lake::Timestamp;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as QueryResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::errors::external;
use crate::limits::queries::Queries;
use crate::settings::SqlSettings;
use crate::statement::session::columns;
use crate::table::provider::Pinned;

pub(crate) use provided::table as provided;

/// A table's name, provider and primary key.
pub(crate) type Named = (String, Arc<dyn TableProvider>, Vec<String>);

/// All system tables.
pub(crate) fn tables(
    engine: &Arc<Engine>,
    queries: &Arc<Queries>,
    settings: &SqlSettings,
) -> Result<Vec<Named>> {
    let source = Arc::new(ServerState {
        engine: Arc::clone(engine),
        queries: Arc::clone(queries),
        settings: settings.clone(),
    });
    let table = |name: &str, primary: &[&str], columns: &[ColumnSpec], rows: Rows| -> Named {
        let schema = declared(columns);
        let table = SystemTable { source: Arc::clone(&source), schema, rows };
        let primary = primary.iter().map(|&name| name.to_owned()).collect();
        (name.to_owned(), Arc::new(table), primary)
    };
    let mut tables = vec![
        table("files", &["table_name", "path"], storage::FILES, storage::files),
        table("hours", &["table_name", "hour"], storage::HOURS, storage::hours),
        table("tail", &["table_name", "hour"], storage::TAIL, storage::tail),
        table("log", &[], storage::LOG, storage::log),
        table("faults", &["table_name", "period_start"], faults::COLUMNS, faults::rows),
        table("settings", &["name"], settings::COLUMNS, settings::rows),
        table("queries", &["id"], queries::COLUMNS, queries::rows),
        table("requests", &["asked_by", "verb", "object"], requests::COLUMNS, requests::rows),
    ];
    let completeness = completeness::CompletenessTable::new(engine, settings.reading_every)?;
    let primary = ["table_name", "key", "hour"].map(str::to_owned).to_vec();
    tables.push(provided(Arc::new(deletions::Deletions(Arc::clone(engine)))));
    tables.push(provided(Arc::new(members::Members(Arc::clone(engine)))));
    tables.push(("completeness".to_owned(), Arc::new(completeness), primary));
    Ok(tables)
}

/// The parts of the server that the tables report on.
#[derive(Debug)]
struct ServerState {
    engine: Arc<Engine>,
    queries: Arc<Queries>,
    settings: SqlSettings,
}

/// Produces the columns of a table.
type Rows = fn(&ServerState, &Pinned) -> Result<Vec<ArrayRef>>;

/// Name and type of a column, and whether it can be null.
type ColumnSpec = (&'static str, ColumnKind, bool);

/// Types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    Text,
    Whole,
    Number,
    Flag,
    Time,
}

fn declared(list: &[ColumnSpec]) -> SchemaRef {
    let field = |&(name, of, nullable): &ColumnSpec| {
        let of = match of {
            ColumnKind::Text => DataType::Utf8,
            ColumnKind::Whole => DataType::Int64,
            ColumnKind::Number => DataType::Float64,
            ColumnKind::Flag => DataType::Boolean,
            ColumnKind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        Field::new(name, of, nullable)
    };
    columns(list.iter().map(field).collect())
}

/// A column of instants.
fn times(times: impl Iterator<Item = Option<Timestamp>>) -> ArrayRef {
    let times = times.map(|time| time.map(Timestamp::as_micros));
    Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

/// A count in the integer type of SQL.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A table of few rows.
#[derive(Debug)]
struct SystemTable {
    source: Arc<ServerState>,
    schema: SchemaRef,
    rows: Rows,
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> QueryResult<Arc<dyn ExecutionPlan>> {
        let pinned = Pinned::of(session, &self.source.engine);
        let rows = (self.rows)(&self.source, &pinned).map_err(external)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), rows)?;
        let schema = Arc::clone(&self.schema);
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?)
    }
}
