//! `latest`: the newest row of every key, read by the engine's point read, as a table.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use barograph_engine::filter::Node;
use barograph_engine::{Engine, Point, PointQuery, Restriction};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Key, KeySelection, TableSchema};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};

use crate::errors::external;
use crate::opaque::Planned;
use crate::pushdown::translate::Translator;
use crate::table::provider::{Pinned, output, visible};

/// The newest row of every key of a declared table.
pub(crate) struct LatestProvider {
    pub(crate) engine: Arc<Engine>,
    pub(crate) table: Arc<TableSchema>,
    /// What of it is shown, if not all.
    pub(crate) restriction: Option<Arc<Restriction>>,
}

impl fmt::Debug for LatestProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatestProvider").field("table", &self.table.name()).finish_non_exhaustive()
    }
}

impl LatestProvider {
    /// The keys that all of `filters` list one by one; `None` if they do not.
    fn keys(&self, filters: &[Expr]) -> Option<Vec<Key>> {
        let (wanted, _) = Translator::new(&self.table).wanted(filters);
        match wanted.keys {
            KeySelection::List(keys) => Some(keys.to_vec()),
            _ => None,
        }
    }
}

impl TableProvider for LatestProvider {
    fn schema(&self) -> SchemaRef {
        visible(&self.table, self.restriction.as_ref())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    /// Only keys narrow what is read: any other condition applies to the newest row, not to older ones.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let translator = Translator::new(&self.table);
        let of_key = |node: &Node| {
            let mut only = true;
            node.visit_columns(&mut |column| only &= column == KEY_COLUMN);
            only
        };
        let answer = |filter: &&Expr| match translator.condition(filter) {
            Some(translated) if of_key(&translated.node) => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    fn scan<'s, 'n, 'p, 'f, 'a>(
        &'s self,
        session: &'n dyn Session,
        projection: Option<&'p Vec<usize>>,
        filters: &'f [Expr],
        _: Option<usize>,
    ) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'n: 'a,
        'p: 'a,
        'f: 'a,
    {
        let pinned = Pinned::of(session, &self.engine);
        let keys = self.keys(filters);
        Box::pin(async move {
            let view = pinned.view(self.table.name())?;
            let output = output(&self.table, self.restriction.as_ref(), projection);
            let mut columns = output.clone();
            columns.retain(|&column| column >= FIRST_VALUE_COLUMN);
            let query = PointQuery { keys, point: Point::Latest, columns: columns.clone() };
            let restriction = self.restriction.as_deref();
            let rows = self.engine.point_within(view, &query, restriction).await;
            let rows = rows.map_err(external)?;
            let places = output.iter().map(|&column| match column {
                KEY_COLUMN | TIME_COLUMN => column,
                _ => columns
                    .iter()
                    .position(|&given| given == column)
                    .map_or(usize::MAX, |at| at + FIRST_VALUE_COLUMN),
            });
            let rows: RecordBatch = rows.project(&places.collect::<Vec<_>>())?;
            let schema = rows.schema();
            Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], schema, None)? as _)
        })
    }
}
