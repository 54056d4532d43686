//! Execution of a grouping hour by hour: each hour in slices of keys, folded one after the other, a batch an hour. Of a
//! day or month that hours were compacted into, it is a batch a day if only some windows are wanted, else one for all
//! of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use barograph_engine::scan::execute::Execution;
use barograph_engine::scan::plan::{Slice, Source};
use barograph_lake::schema::{FIRST_VALUE_COLUMN, TIME_COLUMN};
use barograph_lake::{Micros, Period, Tier, TimeRange};
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
use crate::table::exec::Read;
use crate::table::price::Price;

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
    every: Option<Micros>,
    outs: Arc<[Out]>,
    price: Price,
    order: Order,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl HoursExec {
    /// A grouping in `parts` partitions; windows come in an order if they are complete.
    pub(super) fn new(
        read: Read,
        every: Option<Micros>,
        outs: Vec<Out>,
        schema: SchemaRef,
        parts: usize,
        price: Price,
        order: Order,
    ) -> Self {
        let sorted = order.options.map(|options| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(schema.field(0).name(), 0));
            vec![PhysicalSortExpr::new(column, options)]
        });
        let equivalences = EquivalenceProperties::new_with_orderings(Arc::clone(&schema), sorted);
        let properties = PlanProperties::new(
            equivalences,
            Partitioning::UnknownPartitioning(parts),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            read: Arc::new(read),
            every,
            outs: outs.into(),
            price,
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
            write!(f, "{between}every {} s", every / 1_000_000)?;
        }
        let names: Vec<_> = self.schema().fields().iter().map(|f| f.name().clone()).collect();
        write!(f, "{between}columns=[{}]", names.join(", "))?;
        if self.order.descending() {
            write!(f, "{between}newest first")?;
        }
        self.read.priced(self.price, between, f)
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
        let read = &self.read;
        let execution = read.engine.execution(&read.view, read.whole(None)).map_err(external)?;
        let parts = self.properties.partitioning.partition_count();
        let stretches = stretches(&execution, self.order.limited);
        let of_part = stretches.chunks(stretches.len().div_ceil(parts).max(1));
        let mut stretches: VecDeque<_> =
            of_part.skip(partition).take(1).flatten().cloned().collect();
        if self.order.descending() {
            stretches.make_contiguous().reverse();
        }
        let run = Run {
            read: Arc::clone(read),
            memory: MemoryConsumer::new(format!("hours of {}", read.table().name()))
                .register(context.memory_pool()),
            execution,
            stretches,
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

/// The sources of a read, each with the stretch of time that is read of it at once.
fn stretches(execution: &Execution, limited: bool) -> Vec<(Source, TimeRange)> {
    let asked = execution.scan.time;
    let mut stretches = Vec::new();
    for source in &execution.sources {
        let of = |period: Period| TimeRange {
            from: period.start().max(asked.from),
            to: period.end().min(asked.to),
        };
        let days = std::iter::successors(Period::of(Tier::Day, source.period.start()), |day| {
            Period::of(Tier::Day, day.end())
        });
        if limited && source.period.tier() > Tier::Day {
            let days = days.take_while(|day| source.period.covers(*day)).map(of);
            let days = days.filter(|day| !day.is_empty());
            stretches.extend(days.map(|day| (source.clone(), day)));
        } else {
            stretches.push((source.clone(), of(source.period)));
        }
    }
    stretches
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
    execution: Execution,
    stretches: VecDeque<(Source, TimeRange)>,
    every: Option<Micros>,
    outs: Arc<[Out]>,
    descending: bool,
    schema: SchemaRef,
    memory: MemoryReservation,
    meter: Option<Arc<Meter>>,
    metrics: BaselineMetrics,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while let Some((source, time)) = self.stretches.pop_front() {
            let batch = self.stretch(&source, time).await?;
            if batch.num_rows() > 0 {
                self.metrics.record_output(batch.num_rows());
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// The windows of a stretch of time that have rows.
    async fn stretch(&mut self, source: &Source, time: TimeRange) -> Result<RecordBatch> {
        let places = Places::new(time, self.every);
        let folded = (self.outs.len() + 1) * places.count * FOLD_BYTES;
        let row_bytes = self.execution.row_bytes() * 3;
        let slice_rows = SLICES * self.read.engine.settings().scan_slice_rows;
        self.memory.try_resize(folded + slice_rows.min(source.rows() as usize) * row_bytes)?;
        let mut folds = Folds::new(&self.outs, places.count);
        let engine = Arc::clone(&self.read.engine);
        let slices = engine.slices_of_source(&self.execution, source, slice_rows);
        for keys in slices.await.map_err(external)? {
            self.slice(source, &Slice { keys, time }, &places, &mut folds).await?;
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
    async fn slice(
        &self,
        source: &Source,
        slice: &Slice,
        places: &Places,
        folds: &mut Folds,
    ) -> Result<()> {
        let threads = Arc::clone(self.read.engine.slice_threads());
        let closed =
            |e| external(barograph_engine::Error::internal("the threads of scans").with_source(e));
        let _held = threads.acquire_owned().await.map_err(closed)?;
        let _timed = self.metrics.elapsed_compute().timer();
        let rows =
            self.execution.source(source, &slice.keys, slice.time).await.map_err(external)?;
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
            let read = self.read.columns.iter().position(|&read| read == column);
            let place = read.map_or(column, |at| FIRST_VALUE_COLUMN + at);
            fold.add(rows.column(place), &windows)?;
        }
        Ok(())
    }
}
