//! Execution of gap filling, series by series over sorted rows. A series is held until its last row is there, since
//! interpolation needs the value after the gap; the output is written batch by batch, however many windows there are.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, concat_batches};
use arrow::datatypes::{DataType, IntervalUnit, Schema, SchemaRef, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
    PhysicalSortExpr, ScalarFunctionExpr,
};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions, apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt};

use super::bounds::Bound;
use super::chunk::{Chunk, Task, series_of};
use super::date_bin;
use super::node::GapFill;
use super::step::Step;
use crate::functions::planner::{Physical, constant, row};

/// The physical plan of `node` over `input`.
pub(in crate::functions) fn plan(
    node: &GapFill,
    input: Arc<dyn ExecutionPlan>,
    config: &Arc<ConfigOptions>,
    physical: Physical<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = node.input.schema();
    let place = |expr: &Expr| match expr {
        Expr::Column(column) => schema.index_of_column(column),
        other => internal_err!("gap filling groups by {other}, which is no column"),
    };
    let series = node.series.iter().map(place).collect::<Result<Vec<_>>>()?;
    let time = place(&node.time)?;
    let time_type = schema.field(time).data_type().clone();
    let DataType::Timestamp(unit, zone) = &time_type else {
        return plan_err!("date_bin_gapfill gives windows of timestamps, not of {time_type}");
    };
    let constant = |expr: &Expr| constant(expr, physical);
    let stride =
        constant(&node.stride)?.cast_to(&DataType::Interval(IntervalUnit::MonthDayNano))?;
    let origin = match &node.origin {
        Some(origin) => Some(constant(origin)?.cast_to(&time_type)?),
        None => None,
    };
    let ScalarValue::IntervalMonthDayNano(Some(length)) = stride else {
        return plan_err!("date_bin_gapfill: the stride is a constant interval, not {stride}");
    };
    let begin = origin.as_ref().and_then(instant);
    let step = Step::new(length, begin, *unit, zone.as_deref())?;
    let window = |bounds: &[Bound], shift: i64, later: fn(i64, i64) -> i64| {
        let mut found: Option<i64> = None;
        for bound in bounds {
            let Some(at) = instant(&constant(&bound.at)?.cast_to(&time_type)?) else { continue };
            let at = if bound.inclusive { at } else { at.saturating_add(shift) };
            found = Some(found.map_or(at, |found| later(found, at)));
        }
        match found {
            Some(at) => instant_of_window(at, &time_type, &stride, origin.as_ref(), config),
            None => Ok(None),
        }
    };
    let fills = node
        .fills
        .iter()
        .map(|filled| Ok((filled.fill, physical(&filled.expr, schema)?)))
        .collect::<Result<Vec<_>>>()?;
    let task = Task {
        series,
        time,
        step,
        first: window(&node.range.from, 1, i64::max)?,
        last: window(&node.range.to, -1, i64::min)?,
        fills,
        schema: Arc::new(node.schema().as_arrow().clone()),
    };
    Ok(Arc::new(GapFillExec::new(input, Arc::new(task))?))
}

fn instant(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(at, _)
        | ScalarValue::TimestampMillisecond(at, _)
        | ScalarValue::TimestampMicrosecond(at, _)
        | ScalarValue::TimestampNanosecond(at, _) => *at,
        _ => None,
    }
}

/// The start of the window that `at` lies in, by `date_bin` itself.
fn instant_of_window(
    at: i64,
    time_type: &DataType,
    stride: &ScalarValue,
    origin: Option<&ScalarValue>,
    config: &Arc<ConfigOptions>,
) -> Result<Option<i64>> {
    let DataType::Timestamp(unit, zone) = time_type else { return Ok(None) };
    let at = match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(at), zone.clone()),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(at), zone.clone()),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(at), zone.clone()),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(at), zone.clone()),
    };
    let literal =
        |value: &ScalarValue| -> Arc<dyn PhysicalExpr> { Arc::new(Literal::new(value.clone())) };
    let mut args = vec![literal(stride), literal(&at)];
    args.extend(origin.map(literal));
    let bin = ScalarFunctionExpr::try_new(date_bin(), args, &Schema::empty(), Arc::clone(config))?;
    let value = bin.evaluate(&row()?)?.into_array(1)?;
    Ok(instant(&ScalarValue::try_from_array(&value, 0)?))
}

/// Gap filling over rows that are sorted by series and time.
#[derive(Debug)]
struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    task: Arc<Task>,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GapFillExec {
    fn new(input: Arc<dyn ExecutionPlan>, task: Arc<Task>) -> Result<Self> {
        let column = |index: &usize| -> Result<Arc<dyn PhysicalExpr>> {
            Ok(Arc::new(Column::new(task.schema.field(*index).name(), *index)))
        };
        // Nulls first, so that rows without a time stand before the windows of their series.
        let options = SortOptions { descending: false, nulls_first: true };
        let order = task
            .series
            .iter()
            .chain([&task.time])
            .map(|index| Ok(PhysicalSortExpr { expr: column(index)?, options }))
            .collect::<Result<Vec<_>>>()?;
        let Some(order) = LexOrdering::new(order) else {
            return internal_err!("gap filling has no order");
        };
        let equivalence =
            EquivalenceProperties::new_with_orderings(Arc::clone(&task.schema), [order.clone()]);
        let properties = PlanProperties::new(
            equivalence,
            input.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Ok(Self {
            input,
            task,
            order,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Task { step, first, last, fills, .. } = self.task.as_ref();
        write!(f, "GapFillExec: step={step:?}, first={first:?}, last={last:?}")?;
        for (fill, expr) in fills {
            write!(f, ", {fill:?}({expr})")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let keys: Vec<Arc<dyn PhysicalExpr>> =
            self.order.iter().take(self.task.series.len()).map(|s| Arc::clone(&s.expr)).collect();
        InputDistributionRequirements::new(vec![if keys.is_empty() {
            Distribution::SinglePartition
        } else {
            Distribution::KeyPartitioned(keys)
        }])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.task.fills.iter().map(|(_, expr)| expr), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, Arc::clone(&self.task))?)),
            _ => internal_err!("GapFillExec has one input"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(Recompute))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let run = Run {
            input: self.input.execute(partition, Arc::clone(&context))?,
            input_schema: self.input.schema(),
            task: Arc::clone(&self.task),
            memory: MemoryConsumer::new(format!("GapFill[{partition}]"))
                .register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            rows_max: context.session_config().batch_size(),
            pending: Vec::new(),
            chunk: None,
            ended: false,
        };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            Ok(run.next().await?.map(|batch| (batch, run)))
        });
        let schema = Arc::clone(&self.task.schema);
        // A few rows in may be millions out: yield in between, so that the query can be stopped.
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(schema, stream.boxed()))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The state of one partition.
struct Run {
    input: SendableRecordBatchStream,
    input_schema: SchemaRef,
    task: Arc<Task>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
    rows_max: usize,
    /// Rows of the last series read, which may continue in the next batch.
    pending: Vec<RecordBatch>,
    /// Whole series that are being written out.
    chunk: Option<Chunk>,
    ended: bool,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(chunk) = &mut self.chunk {
                let timer = self.metrics.elapsed_compute().timer();
                let batch = chunk.next(&self.task, self.rows_max)?;
                timer.done();
                if let Some(batch) = batch {
                    self.metrics.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                self.chunk = None;
            }
            if self.ended {
                return Ok(None);
            }
            let whole = match self.input.try_next().await? {
                Some(batch) => self.take(batch)?,
                None => {
                    self.ended = true;
                    std::mem::take(&mut self.pending)
                }
            };
            if whole.is_empty() {
                continue;
            }
            let batch = concat_batches(&self.input_schema, &whole)?;
            self.chunk = Some(Chunk::new(batch, &self.task)?);
        }
    }

    /// Takes a batch in; returns the rows of the series that are complete with it.
    fn take(&mut self, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        let Some(last) = series_of(&batch, &self.task.series)?.pop() else {
            return Ok(Vec::new());
        };
        if last.start == 0 && self.goes_on(&batch)? {
            self.pending.push(batch);
            self.memory
                .try_resize(self.pending.iter().map(RecordBatch::get_array_memory_size).sum())?;
            return Ok(Vec::new());
        }
        let mut whole = std::mem::take(&mut self.pending);
        if last.start > 0 {
            whole.push(batch.slice(0, last.start));
        }
        let bytes = batch.get_array_memory_size();
        self.pending.push(batch.slice(last.start, last.len()));
        let held: usize = whole.iter().map(RecordBatch::get_array_memory_size).sum();
        self.memory.try_resize(bytes + held)?;
        Ok(whole)
    }

    /// Whether the first series of `batch` continues the pending one; any series does where nothing is pending.
    fn goes_on(&self, batch: &RecordBatch) -> Result<bool> {
        let Some(pending) = self.pending.last() else { return Ok(true) };
        let Some(end) = pending.num_rows().checked_sub(1) else { return Ok(true) };
        for index in &self.task.series {
            let (held, new): (&ArrayRef, &ArrayRef) =
                (pending.column(*index), batch.column(*index));
            let same = make_comparator(held, new, SortOptions::default())?;
            if same(end, 0).is_ne() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
