//! Derived schemas: tables that are made from the list of tables, as another database would have them in its own catalog.
//! They are found by their names, and stand in no list.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use barograph_engine::Result;
use datafusion::catalog::{
    CatalogProvider, MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
    TableProvider,
};
use datafusion::common::Result as QueryResult;

use crate::errors::engine_error;
use crate::table::catalog::TableEntry;

/// A schema whose tables are made from the list of tables. What a caller is not shown is not in that list.
pub trait DerivedSchema: fmt::Debug + Send + Sync {
    /// Name of the schema.
    fn name(&self) -> &'static str;

    /// Its tables with their rows.
    ///
    /// # Errors
    /// If columns and rows do not fit.
    fn tables(&self, entries: &[TableEntry]) -> Result<Vec<(&'static str, RecordBatch)>>;
}

/// A schema that is there, and in no list.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    pub(crate) name: &'static str,
    tables: Arc<MemorySchemaProvider>,
}

impl Hidden {
    pub(crate) fn new(schema: &dyn DerivedSchema, entries: &[TableEntry]) -> Result<Self> {
        let tables = MemorySchemaProvider::new();
        for (name, rows) in schema.tables(entries)? {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).map_err(engine_error)?;
            tables.register_table(name.to_owned(), Arc::new(table)).map_err(engine_error)?;
        }
        Ok(Self { name: schema.name(), tables: Arc::new(tables) })
    }

    /// The names of its tables, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.tables.table_names();
        names.sort_unstable();
        names
    }
}

#[async_trait]
impl SchemaProvider for Hidden {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> QueryResult<Option<Arc<dyn TableProvider>>> {
        self.tables.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.table_exist(name)
    }
}

/// A catalog with schemas that are in no list.
#[derive(Debug)]
pub(crate) struct WithHidden {
    pub(crate) listed: MemoryCatalogProvider,
    pub(crate) hidden: Vec<Hidden>,
}

impl CatalogProvider for WithHidden {
    fn schema_names(&self) -> Vec<String> {
        self.listed.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        let hidden = self.hidden.iter().find(|hidden| hidden.name == name);
        match hidden {
            Some(hidden) => Some(Arc::new(hidden.clone())),
            None => self.listed.schema(name),
        }
    }
}
