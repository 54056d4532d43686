//! Execution of a grouping hour by hour: each hour in slices, folded one after the other, a batch an hour. Of a day or
//! month that hours were compacted into, it is a batch a day if only some windows are wanted, else one for all of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use barograph_engine::scan::Plan;
use barograph_lake::schema::{FIRST_VALUE_COLUMN, TIME_COLUMN};
use barograph_lake::{Period, Span, Tier, TimeRange};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

use super::fold::{Fold, Out, Places};
use crate::errors::external;
use crate::limits::queries::Meter;
use crate::table::exec::{Read, ScanExec};

/// Bytes of a window in a fold.
const FOLD_BYTES: usize = 24;
/// Slices that are read as one: fewer pages belong to two of them, and no other hour is read beside them.
const SLICES: usize = 4;

/// Order in which windows come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// The order of the windows, if they are complete.
    pub(super) options: Option<SortOptions>,
    /// Whether only the first windows may be wanted.
    pub(super) limited: bool,
}

impl Order {
    /// Whether the newest hour comes first.
    fn descending(self) -> bool {
        self.options.is_some_and(|options| options.descending)
    }
}

/// A grouping by time alone, or of everything, as a leaf of a plan.
#[derive(Debug)]
pub(super) struct HoursExec {
    read: Arc<Read>,
    /// What runs, period by period.
    plan: Plan,
    /// Whether the plan is printed in full.
    explain: bool,
    every: Option<Span>,
    outs: Arc<[Out]>,
    order: Order,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl HoursExec {
    /// A grouping of some columns of `scan`, in as many partitions; windows come in an order if they are complete.
    pub(super) fn new(
        scan: &ScanExec,
        columns: Vec<usize>,
        every: Option<Span>,
        outs: Vec<Out>,
        schema: SchemaRef,
        partitions: usize,
        order: Order,
    ) -> Self {
        let sorted = order.options.map(|options| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(0).name(), 0));
            vec![PhysicalSortExpr::new(column, options)]
        });
        let equivalences = EquivalenceProperties::new_with_orderings(Arc::clone(&schema), sorted);
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            read: Arc::clone(&scan.read),
            plan: scan.plan.giving(columns, None),
            explain: scan.explain,
            every,
            outs: outs.into(),
            order,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for HoursExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = matches!(format, DisplayFormatType::TreeRender);
        let between = if tree { "\n" } else { ", " };
        if !tree {
            write!(f, "HoursExec: ")?;
        }
        self.read.describe(between, f)?;
        if let Some(every) = self.every {
            write!(f, "{between}every {} s", every.micros() / 1_000_000)?;
        }
        let names: Vec<_> = self.schema().fields().iter().map(|f| f.name().clone()).collect();
        write!(f, "{between}columns=[{}]", names.join(", "))?;
        if self.order.descending() {
            write!(f, "{between}newest first")?;
        }
        self.read.describe_cost(&self.plan, between, f)?;
        if let (DisplayFormatType::Verbose, true) = (format, self.explain) {
            write!(f, "\n{}", self.plan)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for HoursExec {
    fn name(&self) -> &str {
        "HoursExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            Ok(self)
        } else {
            internal_err!("a scan of hours has no children")
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let partitions = self.properties.partitioning.partition_count();
        let periods = periods(&self.plan, self.order.limited);
        let of_partition = periods.chunks(periods.len().div_ceil(partitions).max(1));
        let mut periods: VecDeque<_> =
            of_partition.skip(partition).take(1).flatten().copied().collect();
        if self.order.descending() {
            periods.make_contiguous().reverse();
        }
        let name = format!("hours of {}", self.plan.table().name());
        let run = Run {
            read: Arc::clone(&self.read),
            memory: MemoryConsumer::new(name).register(context.memory_pool()),
            plan: self.plan.clone(),
            periods,
            every: self.every,
            outs: Arc::clone(&self.outs),
            descending: self.order.descending(),
            schema: self.schema(),
            meter: context.session_config().get_extension::<Meter>(),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let batches = futures::stream::try_unfold(run, |mut run| async move {
            Ok(run.next().await?.map(|batch| (batch, run)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The sources of a read by their index, each with the range of time that is folded at once: all of it, or of one
/// longer than a day, of which only some windows are wanted, each of its days.
fn periods(plan: &Plan, limited: bool) -> Vec<(usize, TimeRange)> {
    let mut periods = Vec::new();
    for (at, source) in plan.sources().iter().enumerate() {
        if limited && source.period.tier() > Tier::Day {
            let days = std::iter::successors(Period::of(Tier::Day, source.period.start()), |day| {
                Period::of(Tier::Day, day.end())
            });
            let days = days.take_while(|day| source.period.covers(*day));
            let days = days.map(|day| day.range().within(plan.request().time));
            periods.extend(days.filter(|day| !day.is_empty()).map(|day| (at, day)));
        } else {
            periods.push((at, source.period.range()));
        }
    }
    periods
}

/// What the rows of a range of time are aggregated into.
struct Folds {
    outs: Vec<Fold>,
    /// Rows of each window, of which only those that have some are given.
    rows: Fold,
}

impl Folds {
    fn new(outs: &[Out], windows: usize) -> Self {
        Self {
            outs: outs.iter().map(|&out| Fold::new(out, windows)).collect(),
            rows: Fold::new(Out::Count(TIME_COLUMN), windows),
        }
    }
}

/// The ranges of time of one partition.
struct Run {
    read: Arc<Read>,
    plan: Plan,
    /// Sources by their index, with a range of time.
    periods: VecDeque<(usize, TimeRange)>,
    every: Option<Span>,
    outs: Arc<[Out]>,
    descending: bool,
    schema: SchemaRef,
    memory: MemoryReservation,
    meter: Option<Arc<Meter>>,
    metrics: BaselineMetrics,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some((at, time)) = self.periods.pop_front() {
            let Some(source) = self.plan.sources().get(at) else { continue };
            let batch = self.windows(self.plan.of_source(source, time)).await?;
            if batch.num_rows() > 0 {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// The windows of a range of time that have rows.
    async fn windows(&self, plan: Plan) -> Result<RecordBatch> {
        let places = Places::new(plan.request().time, self.every);
        let folded = (self.outs.len() + 1) * places.count * FOLD_BYTES;
        let mut folds = Folds::new(&self.outs, places.count);
        let slice_rows = SLICES * self.read.engine.settings().scan_slice_rows;
        let plan = plan.sliced_by(slice_rows).await.map_err(external)?;
        let reserve = |bytes| self.memory.try_resize(folded + bytes);
        let mut slices = plan.run(self.read.engine.caller(), reserve)?;
        while slices.ready().await.map_err(external)? {
            let _timed = self.metrics.elapsed_compute().timer();
            let Some(rows) = slices.next().await.map_err(external)? else { break };
            self.fold(&rows, &places, &mut folds)?;
        }
        let mut windows = folds.rows.filled();
        if self.descending {
            windows.reverse();
        }
        let columns = self.outs.iter().zip(&folds.outs).zip(self.schema.fields());
        let columns = columns.map(|((out, fold), field)| match out {
            Out::Window => Ok(cast(&places.starts(&windows), field.data_type())?),
            _ => fold.finish(&windows, field.data_type()),
        });
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?)?)
    }

    /// Folds the rows of a slice.
    fn fold(&self, rows: &RecordBatch, places: &Places, folds: &mut Folds) -> Result<()> {
        if let Some(meter) = &self.meter {
            meter.read(rows.num_rows());
        }
        let Some(times) = rows.column(TIME_COLUMN).as_primitive_opt::<TimestampMicrosecondType>()
        else {
            return internal_err!("a slice has no times");
        };
        let windows = places.of(times.values());
        folds.rows.add(rows.column(TIME_COLUMN), &windows)?;
        for (fold, out) in folds.outs.iter_mut().zip(self.outs.iter()) {
            let Some(column) = out.column() else { continue };
            let read = self.plan.request().columns.iter().position(|&read| read == column);
            let place = read.map_or(column, |at| FIRST_VALUE_COLUMN + at);
            fold.add(rows.column(place), &windows)?;
        }
        Ok(())
    }
}
