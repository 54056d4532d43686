//! What is the newest row of every key? `latest('readings')` in FROM, answered by the tables themselves.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;

use super::Tables;
use super::reference::{Entry, Section};

pub(super) static LATEST: Entry = Entry {
    name: "latest",
    section: Section::Tables,
    syntax: "latest('table')",
    what: "The newest row of every key of a declared table, by its time column. It reads the last state \
           that the engine keeps, not the history.",
    arguments: &[("table", "name of a declared table, as a text constant")],
    returns: "a table with the columns of `table`, one row a key",
    source: None,
    example: "SELECT c.name, l.reading_at, l.temperature\n\
              FROM latest('readings') l JOIN cities c USING (city_id)",
};

/// `latest` over `tables`.
pub(super) struct Latest {
    tables: Arc<dyn Tables>,
}

impl Latest {
    pub(super) fn new(tables: Arc<dyn Tables>) -> Self {
        Self { tables }
    }
}

impl fmt::Debug for Latest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("latest")
    }
}

impl TableFunctionImpl for Latest {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(name, _)] = args.exprs() else {
            return plan_err!("latest takes the name of a table: latest('readings')");
        };
        let name = table_name("latest", name)?;
        self.tables.latest(name).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

/// The name of a table that `function` was given.
pub(super) fn table_name<'a>(function: &str, name: &'a ScalarValue) -> Result<&'a str> {
    match name.try_as_str() {
        Some(Some(name)) => Ok(name),
        _ => plan_err!("{function} takes the name of a table as text, not {name}"),
    }
}
