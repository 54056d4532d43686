//! System tables of the parts beside the engine, such as those of the jobs. They produce their rows when they are
//! queried.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use barograph_engine::SystemRows;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as QueryResult;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::Named;
use crate::errors::external;

/// A table that `rows` fills.
pub(crate) fn table(rows: Arc<dyn SystemRows>) -> Named {
    let primary = rows.primary_key().iter().map(|&name| name.to_owned()).collect();
    (rows.name().to_owned(), Arc::new(ProvidedTable(rows)), primary)
}

#[derive(Debug)]
struct ProvidedTable(Arc<dyn SystemRows>);

#[async_trait]
impl TableProvider for ProvidedTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> QueryResult<Arc<dyn ExecutionPlan>> {
        let batch = self.0.rows().await.map_err(external)?;
        let schema = self.0.schema();
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, projection.cloned())?)
    }
}
