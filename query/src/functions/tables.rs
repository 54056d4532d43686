//! Table functions of FROM: `latest('readings')` and `live('readings_1h')`, answered by the source of the tables.

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
    what: "The newest row of every key of a declared table, by its time column. It reads the latest state that \
           the engine keeps, not the history.",
    arguments: &[("table", "name of a declared table, as a text constant")],
    returns: "a table with the columns of `table`, one row per key",
    source: None,
    example: "SELECT c.name, l.reading_at, l.temperature\n\
              FROM latest('readings') l JOIN cities c USING (city_id)",
};

pub(super) static LIVE: Entry = Entry {
    name: "live",
    section: Section::Tables,
    syntax: "live('rollup')",
    what: "The windows of a rollup, up to date with its source: rows of the rollup where nothing has changed \
           since they were computed, and windows computed for this query where readings have arrived, been merged \
           late or been deleted since. Windows without readings have no row.",
    arguments: &[("rollup", "name of a declared rollup, as a text constant")],
    returns: "a table with the columns of `rollup`; `ingested_at` is when a window was computed",
    source: None,
    example: "SELECT window_start, rows, temperature_mean, wind_direction_mean\n\
              FROM live('readings_1h') WHERE city_id = 5128581 ORDER BY window_start DESC LIMIT 24",
};

/// Looks a table up by its name.
type Of = fn(&dyn Tables, &str) -> barograph_engine::Result<Arc<dyn TableProvider>>;

/// A table function whose argument is the name of a table.
struct Named {
    name: &'static str,
    tables: Arc<dyn Tables>,
    of: Of,
}

/// The table functions over `tables`, by name.
pub(super) fn functions(
    tables: &Arc<dyn Tables>,
) -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    let all: [(&'static Entry, Of); 2] =
        [(&LATEST, |tables, name| tables.latest(name)), (&LIVE, |tables, name| tables.live(name))];
    all.into_iter()
        .map(|(entry, of)| {
            let function = Named { name: entry.name, tables: Arc::clone(tables), of };
            (entry.name, Arc::new(function) as Arc<dyn TableFunctionImpl>)
        })
        .collect()
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl TableFunctionImpl for Named {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let function = self.name;
        let [Expr::Literal(name, _)] = args.exprs() else {
            return plan_err!("{function} takes the name of a table: {function}('readings')");
        };
        let name = table_name(function, name)?;
        (self.of)(self.tables.as_ref(), name).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

/// The name of a table given to `function`.
pub(super) fn table_name<'a>(function: &str, name: &'a ScalarValue) -> Result<&'a str> {
    match name.try_as_str() {
        Some(Some(name)) => Ok(name),
        _ => plan_err!("{function} takes the name of a table as text, not {name}"),
    }
}
