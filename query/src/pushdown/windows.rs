//! Groupings that a scan computes by itself, before its rows are ever put in one order.
//!
//! A grouping by key, or by key and a window of time, is computed by a scan hour by hour, without merging rows and
//! without hashing. This rule replaces both steps of such an aggregation by the scan:
//!
//! ```text
//! SELECT city_id, date_bin('1 hour', reading_at), avg(temperature), count(*) … GROUP BY 1, 2
//!
//! Aggregate final                     ScanExec: windows=every 3600 s
//!   Aggregate partial        ──►
//!     ScanExec
//! ```
//!
//! Only groupings that give the same answer are taken: no minimum of floats that may be NaN, no integer sum that could
//! exceed 64 bits, no window that is not aligned to the Unix epoch.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use barograph_engine::scan::{Aggregate, Aggregation};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, KEY_COLUMN, TIME_COLUMN};
use barograph_lake::{Span, TableSchema, Timestamp};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::udaf::AggregateFunctionExpr;

use crate::pushdown::values::{is_fine, may_be_nan, window_length};
use crate::table::exec::{Read, ScanExec};
use crate::table::provider::Layout;
use crate::tree;

/// A window so long that all instants since 1970 lie in it.
const ALL_TIME: Span = Span::MAX;

/// Replaces groupings by key and window by scans that compute them.
#[derive(Debug)]
pub(crate) struct AggregateWindows;

impl PhysicalOptimizerRule for AggregateWindows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_down(plan, &mut |node| match windows(&node)? {
            Some(scan) => Ok(Transformed::yes(scan)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &str {
        "aggregate_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan that computes the aggregation `node`, if there is one.
fn windows(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(last) = node.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let first = match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => last,
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            match last.input().downcast_ref::<AggregateExec>() {
                Some(first) if *first.mode() == AggregateMode::Partial => first,
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    let unlimited = last.limit_options().is_none() && first.limit_options().is_none();
    if !unlimited || first.filter_expr().iter().any(Option::is_some) {
        return Ok(None);
    }
    let Some(input) = Input::of(first.input()) else { return Ok(None) };
    match input.shape(first) {
        Some(shape) => input.replaced(shape, last.schema()),
        None => Ok(None),
    }
}

/// A scan, perhaps with a projection over it.
pub(crate) struct Input<'a> {
    pub(crate) scan: &'a ScanExec,
    projection: Option<&'a ProjectionExec>,
}

/// A grouping as a request to a scan.
struct Shape {
    aggregation: Aggregation,
    /// For each output column its position among the columns of windows.
    places: Vec<usize>,
}

impl<'a> Input<'a> {
    pub(crate) fn of(plan: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        let (projection, below) = match plan.downcast_ref::<ProjectionExec>() {
            Some(projection) => (Some(projection), projection.input()),
            None => (None, plan),
        };
        let scan = below.downcast_ref::<ScanExec>()?;
        scan.is_plain().then_some(Self { scan, projection })
    }

    pub(crate) fn table(&self) -> &TableSchema {
        self.scan.read.table()
    }

    /// The expression over columns of the scan that a column of the projection stands for; without a projection, `expr`
    /// itself.
    fn below(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        let Some(projection) = self.projection else { return Some(Arc::clone(expr)) };
        let column = expr.downcast_ref::<Column>()?;
        projection.expr().get(column.index()).map(|column| Arc::clone(&column.expr))
    }

    /// The column of the table that `expr`, over columns of the scan, stands for, and its cast.
    fn scanned(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(usize, Option<DataType>)> {
        let (expr, cast) = uncast(expr);
        let column = expr.downcast_ref::<Column>()?;
        let schema = self.scan.schema();
        let name = schema.fields().get(column.index())?.name();
        Some((self.table().arrow().index_of(name).ok()?, cast))
    }

    /// The column of the table that `expr` stands for, and its cast.
    fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<(usize, Option<DataType>)> {
        let (inner, outer_cast) = uncast(expr);
        let (column, inner_cast) = self.scanned(&self.below(&inner)?)?;
        match (outer_cast, inner_cast) {
            (Some(_), Some(_)) => None,
            (outer, inner) => Some((column, outer.or(inner))),
        }
    }

    fn shape(&self, grouping: &AggregateExec) -> Option<Shape> {
        let by = grouping.group_expr();
        if by.has_grouping_set() || !by.is_single() || by.is_empty() {
            return None;
        }
        let (mut every, mut places) = (None, Vec::new());
        for (expr, _) in by.expr() {
            if let Some((KEY_COLUMN, None)) = self.column(expr) {
                places.push(KEY_COLUMN);
            } else if every.is_none() {
                every = Some(self.window(expr)?);
                places.push(TIME_COLUMN);
            } else {
                return None;
            }
        }
        if places.iter().filter(|&&place| place == KEY_COLUMN).count() != 1 {
            return None;
        }
        let every = match every {
            Some(every) => every,
            None => self.is_since_1970().then_some(ALL_TIME)?,
        };
        let mut aggregates: Vec<(usize, Vec<Aggregate>)> = Vec::new();
        let mut wanted = Vec::new();
        for expr in grouping.aggr_expr() {
            let (column, aggregate) = self.aggregate(expr)?;
            wanted.push((column, aggregate));
            match aggregates.iter_mut().find(|(known, _)| *known == column) {
                Some((_, list)) if list.contains(&aggregate) => {}
                Some((_, list)) => list.push(aggregate),
                None => aggregates.push((column, vec![aggregate])),
            }
        }
        let flat: Vec<_> = aggregates
            .iter()
            .flat_map(|(column, list)| list.iter().map(move |aggregate| (*column, *aggregate)))
            .collect();
        for one in &wanted {
            places.push(FIRST_VALUE_COLUMN + flat.iter().position(|other| other == one)?);
        }
        (!wanted.is_empty())
            .then_some(Shape { aggregation: Aggregation { every, aggregates }, places })
    }

    /// Length of the windows that `expr` divides time into.
    pub(crate) fn window(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Span> {
        // The function may stand in the projection or over it.
        let below = self.below(expr).filter(|below| below.is::<ScalarFunctionExpr>());
        let is_below = below.is_some();
        let expr = below.unwrap_or_else(|| Arc::clone(expr));
        let function = expr.downcast_ref::<ScalarFunctionExpr>()?;
        let [what, time] = function.args() else { return None };
        let what = what.downcast_ref::<Literal>()?.value();
        // The planner widens instants to ns for some functions; the windows are the same.
        match if is_below { self.scanned(time)? } else { self.column(time)? } {
            (TIME_COLUMN, cast) if is_fine(cast.as_ref()) => {}
            _ => return None,
        }
        window_length(function.fun().name(), what)
    }

    fn is_since_1970(&self) -> bool {
        let Read { view, wanted, .. } = &*self.scan.read;
        let lake = view.snapshot.files().first().map(|file| file.path.period().start());
        let tail = view.tail.hours().first().map(|hour| hour.hour().start());
        let first = lake.into_iter().chain(tail).min();
        let epoch = Timestamp::UNIX_EPOCH;
        wanted.time.from >= epoch || first.is_none_or(|first| first >= epoch)
    }

    /// The column and the aggregate that `expr` stands for.
    pub(crate) fn aggregate(&self, expr: &AggregateFunctionExpr) -> Option<(usize, Aggregate)> {
        if expr.is_distinct() || !expr.order_bys().is_empty() {
            return None;
        }
        let arguments = expr.expressions();
        let [argument] = arguments.as_slice() else { return None };
        let name = expr.fun().name();
        if let Some(literal) = argument.downcast_ref::<Literal>() {
            return (name == "count" && !literal.value().is_null())
                .then_some((KEY_COLUMN, Aggregate::Count));
        }
        let (column, cast) = self.column(argument)?;
        let of = self.table().arrow().fields().get(column)?.data_type().clone();
        let is_float = matches!(of, DataType::Float32 | DataType::Float64);
        let small = matches!(of, DataType::Int16 | DataType::Int32);
        let widened = match &cast {
            None => of == DataType::Float64 || (is_float && name == "avg"),
            Some(to) => *to == DataType::Float64,
        };
        let aggregate = match name {
            "count" if cast.is_none() => Aggregate::Count,
            "avg" if (is_float || small) && widened => Aggregate::Mean,
            "sum" if is_float && widened => Aggregate::Sum,
            "sum" if small && cast == Some(DataType::Int64) => Aggregate::Sum,
            "min" | "max"
                if cast.is_none() && of != DataType::Utf8 && !may_be_nan(self.table(), column) =>
            {
                if name == "min" {
                    Aggregate::Min
                } else {
                    Aggregate::Max
                }
            }
            _ => return None,
        };
        Some((column, aggregate))
    }

    /// The scan with windows whose columns are those of `schema`.
    fn replaced(&self, shape: Shape, schema: SchemaRef) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Shape { aggregation, places } = shape;
        let given = aggregation.output_schema(self.table());
        let fits = places.len() == schema.fields().len()
            && places.iter().zip(schema.fields()).all(|(&place, field)| {
                let widened = place == TIME_COLUMN
                    && matches!(field.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _));
                widened
                    || given.fields().get(place).is_some_and(|g| g.data_type() == field.data_type())
            });
        if !fits || aggregation.check(self.table()).is_err() {
            return Ok(None);
        }
        let read = &self.scan.read;
        let layout = Layout {
            schema,
            key_at: places.iter().position(|&place| place == KEY_COLUMN),
            time_at: places.iter().position(|&place| place == TIME_COLUMN),
            keys: &read.wanted.keys,
            key_type: self.table().key_type(),
        };
        let plan = self.scan.plan.giving(Vec::new(), Some(aggregation.clone()));
        let starts = plan.partition_starts();
        let mut exec = ScanExec::new(
            Arc::new(Read {
                engine: Arc::clone(&read.engine),
                view: Arc::clone(&read.view),
                wanted: read.wanted.clone(),
                columns: Vec::new(),
                aggregation: Some(aggregation),
                is_restricted: read.is_restricted,
            }),
            places.into(),
            plan,
            layout.equivalences()?,
            layout.partitioning(&starts)?,
        );
        exec.explain = self.scan.explain;
        Ok(Some(Arc::new(exec)))
    }
}

/// An expression without its cast.
fn uncast(expr: &Arc<dyn PhysicalExpr>) -> (Arc<dyn PhysicalExpr>, Option<DataType>) {
    match expr.downcast_ref::<CastExpr>() {
        Some(cast) => (Arc::clone(cast.expr()), Some(cast.cast_type().clone())),
        None => (Arc::clone(expr), None),
    }
}
