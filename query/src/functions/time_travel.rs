//! Time travel: `as_of('readings', 42)` in FROM, the rows of a table at an earlier version.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use barograph_lake::{AsOf, TableVersion, Timestamp};
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;

use super::Tables;
use super::reference::{Entry, Section};
use super::tables::table_name;

const SYNTAX: &str = "as_of('table', version | time)";

pub(super) static AS_OF: Entry = Entry {
    name: "as_of",
    section: Section::Tables,
    syntax: SYNTAX,
    what: "Time travel: the rows that a declared table had in the lake at a version, or at the newest version \
           committed at or before a time; rows that had not landed are not included. `barograph lake history` \
           lists the versions. Versions of at least the last seven days are known; their files stay for \
           `scheduler.removed_files_kept`.",
    arguments: &[
        ("table", "name of a declared table, as a text constant"),
        ("version | time", "an integer, or a time that is not in the future"),
    ],
    returns: "a table with the columns of `table`; where columns were dropped or renamed since, with those that \
              it had",
    source: None,
    example: "SELECT count(*) FROM as_of('readings', now() - INTERVAL '1 hour')",
};

/// `as_of` over `tables`.
pub(super) struct TimeTravel {
    tables: Arc<dyn Tables>,
}

impl TimeTravel {
    pub(super) fn new(tables: Arc<dyn Tables>) -> Self {
        Self { tables }
    }
}

impl fmt::Debug for TimeTravel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as_of")
    }
}

impl TableFunctionImpl for TimeTravel {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(name, _), Expr::Literal(moment, _)] = args.exprs() else {
            return plan_err!("as_of takes a table and a version or time, both constant: {SYNTAX}");
        };
        let name = table_name("as_of", name)?;
        let as_of = moment_of(moment)?;
        self.tables.as_of(name, as_of).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

fn moment_of(moment: &ScalarValue) -> Result<AsOf> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let of_type = moment.data_type();
    if let Some(Some(text)) = moment.try_as_str() {
        let time =
            text.parse::<Timestamp>().map_err(|e| DataFusionError::Plan(format!("as_of: {e}")))?;
        return Ok(AsOf::Time(time));
    }
    match of_type {
        _ if moment.is_null() => plan_err!("as_of takes a version or time, not NULL: {SYNTAX}"),
        _ if of_type.is_integer() => match moment.to_string().parse() {
            Ok(version) => Ok(AsOf::Version(TableVersion::new(version))),
            Err(_) => plan_err!("as_of: there is no version {moment}"),
        },
        DataType::Timestamp(..) | DataType::Date32 => match moment.cast_to(&instant)? {
            ScalarValue::TimestampMicrosecond(Some(time), _) => {
                Ok(AsOf::Time(Timestamp::from_micros(time)))
            }
            _ => plan_err!("as_of: {moment} is no time that a version can have"),
        },
        _ => plan_err!("as_of takes a version or time, not {moment}: {SYNTAX}"),
    }
}
