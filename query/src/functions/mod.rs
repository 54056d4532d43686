//! SQL functions beyond DataFusion's own: weather formulas, aggregates, gap filling, as-of joins, `latest`, `live` and
//! `as_of`.
//!
//! - `weather`: a number from numbers, row by row.
//! - `aggregates`: wind direction, first and last by time, growth of a counter.
//! - `gap_fill`: windows without rows. `asof`: the row that held at a time. A rule turns the functions of both into
//!   plan nodes, which `printed` compares; `planner` turns the nodes into physical plans.
//! - `frames`: aggregates over the frames of a window. `rolling`: windows that end at the current row, run column
//!   by column.
//! - `numbers`: whole numbers that overflow their type are errors; exact percentiles; extremes of floats. `delegate`:
//!   aggregates that differ from another one only in their accumulators.
//! - `float_equality`: −0.0 equals 0.0, and NaN equals NaN, where values are looked up.
//! - `tables`, `time_travel`: functions of FROM, answered through [`Tables`]; `time_travel` is `as_of`, the rows of
//!   an earlier version.
//! - `reference`: the documentation of each function, and the page made of it.

mod aggregates;
mod asof;
mod delegate;
mod float_equality;
mod frames;
mod gap_fill;
mod numbers;
mod planner;
mod printed;
mod reference;
pub(crate) mod rolling;
mod tables;
mod time_travel;
mod weather;

use std::sync::Arc;

use barograph_engine::{Error, Result};
use barograph_lake::AsOf;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

pub(crate) use planner::NodePlanner;
use planner::Planner;

use reference::Entry;

/// Source of the tables that table functions give.
pub trait Tables: Send + Sync {
    /// The newest row of every key of `table`, as a table of the same columns. A name that is not a
    /// declared table is an error of kind `NotFound` that names it.
    fn latest(&self, table: &str) -> Result<Arc<dyn TableProvider>>;
    /// The windows of `rollup`, up to date with its source, as a table of the same columns. A name that is not a
    /// declared rollup is an error that names it.
    fn live(&self, rollup: &str) -> Result<Arc<dyn TableProvider>>;

    /// The rows of `table` at an earlier version, as a table of the same columns. Names are treated as in
    /// [`Tables::latest`]; a version that cannot be read is an error when it is read.
    fn as_of(&self, table: &str, as_of: AsOf) -> Result<Arc<dyn TableProvider>>;
}

/// Registers in `context` every function but those that need tables, a `date_bin` that keeps the type of its time, the
/// rules that gap filling, as-of joins and rolling windows need, and a query planner that knows the plan nodes of those.
pub fn register(context: &SessionContext) -> Result<()> {
    let scalars = [weather::functions(), gap_fill::functions(), asof::functions()];
    for functions in scalars {
        for (_, function) in functions.map_err(failed)? {
            context.register_udf(function);
        }
    }
    context.register_udf(gap_fill::date_bin().as_ref().clone());
    for (_, function) in aggregates::functions().map_err(failed)? {
        context.register_udaf(function);
    }
    for function in numbers::aggregates() {
        context.register_udaf(function);
    }
    context.add_analyzer_rule(Arc::new(asof::AsOfRule));
    context.add_analyzer_rule(Arc::new(gap_fill::GapFillRule));
    context.add_analyzer_rule(Arc::new(frames::FramesRule));
    context.add_analyzer_rule(Arc::new(numbers::ArithmeticRule::default()));
    context.add_analyzer_rule(Arc::new(float_equality::FloatEqualityRule));
    let state = context.state_ref();
    let mut state = state.write();
    let mut rules = state.optimizers().to_vec();
    // At once after conditions come down to an as-of join: a later rule puts a projection between.
    let after = rules.iter().position(|rule| rule.name() == "push_down_filter");
    rules.insert(after.map_or(rules.len(), |at| at + 1), Arc::new(asof::AsOfPushdown));
    let mut physical = state.physical_optimizers().to_vec();
    // After all that looks for window operators, and before their input is told to yield.
    let before = physical.iter().position(|rule| rule.name() == "EnsureCooperative");
    physical.insert(before.unwrap_or(physical.len()), Arc::new(rolling::RollingRule));
    *state = SessionStateBuilder::new_from_existing(state.clone())
        .with_session_id(state.session_id().to_owned())
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(physical)
        .with_query_planner(Arc::new(Planner))
        .build();
    Ok(())
}

/// Registers in `context` the table functions, which read `tables`.
pub fn register_tables(context: &SessionContext, tables: Arc<dyn Tables>) {
    for (name, function) in tables::functions(&tables) {
        context.register_udtf(name, function);
    }
    context.register_udtf(time_travel::AS_OF.name, Arc::new(time_travel::TimeTravel::new(tables)));
}

/// Functions of one row that need nothing else.
pub(crate) fn scalars() -> Result<Vec<ScalarUDF>> {
    let functions = weather::functions().map_err(failed)?;
    Ok(functions.into_iter().map(|(_, function)| function).collect())
}

/// The reference page, `docs/sql.md`.
pub fn page() -> Result<String> {
    Ok(reference::page(&entries()?))
}

/// The reference of every function.
fn entries() -> Result<Vec<&'static Entry>> {
    let scalars = [weather::functions(), gap_fill::functions(), asof::functions()];
    let mut entries = Vec::new();
    for functions in scalars {
        entries.extend(functions.map_err(failed)?.into_iter().map(|(entry, _)| entry));
    }
    entries.extend(aggregates::functions().map_err(failed)?.into_iter().map(|(entry, _)| entry));
    entries.extend([&tables::LATEST, &tables::LIVE, &time_travel::AS_OF]);
    Ok(entries)
}

fn failed(error: datafusion::error::DataFusionError) -> Error {
    Error::internal("SQL functions").with_source(error)
}
