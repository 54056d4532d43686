//! Execution of rolling windows, batch by batch over sorted rows. A batch is given out when the results of all its rows
//! are known, which for RANGE takes the first row of the next.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, make_comparator};
use arrow::compute::{SortOptions, partition};
use arrow::datatypes::SchemaRef;
use barograph_engine::scan::rank::ranks;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
    ReplaceChildrenOptions, StatisticsArgs,
};
use futures::{StreamExt, TryStreamExt};

use super::column::{Aggregate, Column};
use super::partition::{Found, Frame, Partition};
use super::rule::rolling;
use crate::errors::external;

/// Partitions, frames and aggregates to compute.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) partition_by: Vec<Arc<dyn PhysicalExpr>>,
    /// Order by which frames of RANGE are found, without nulls.
    pub(super) order: Option<Arc<dyn PhysicalExpr>>,
    pub(super) frames: Vec<Frame>,
    pub(super) aggregates: Vec<Aggregate>,
}

/// Frames that end at the current row, in the place of DataFusion's operator.
#[derive(Debug)]
pub(super) struct RollingExec {
    /// The operator that it replaces, which knows what the plan has to know.
    window: Arc<dyn ExecutionPlan>,
    input: Arc<dyn ExecutionPlan>,
    task: Arc<Task>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RollingExec {
    pub(super) fn new(
        window: Arc<dyn ExecutionPlan>,
        input: Arc<dyn ExecutionPlan>,
        task: Task,
    ) -> Self {
        let properties = PlanProperties::clone(window.properties())
            .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { window, input, task: Arc::new(task), properties: Arc::new(properties), metrics }
    }
}

impl DisplayAs for RollingExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(format, DisplayFormatType::TreeRender) {
            write!(f, "RollingExec: ")?;
        }
        for (at, aggregate) in self.task.aggregates.iter().enumerate() {
            let Aggregate { function, argument, frame, .. } = aggregate;
            let comma = if at == 0 { "" } else { ", " };
            if let Some(frame) = self.task.frames.get(*frame) {
                write!(f, "{comma}{function:?}({argument}) over {frame:?}")?;
            }
        }
        Ok(())
    }
}

impl ExecutionPlan for RollingExec {
    fn name(&self) -> &str {
        "RollingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.window.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let window = Arc::clone(&self.window).replace_children(children, options)?;
        // What DataFusion's operator makes of another input need not be for this one.
        Ok(rolling(&window)?.unwrap_or(window))
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
        let columns = self.task.aggregates.iter().map(Column::new).collect();
        let schema = self.schema();
        let run = Run {
            input: self.input.execute(partition, Arc::clone(&context))?,
            schema: Arc::clone(&schema),
            partition: Partition::new(self.task.frames.clone()),
            task: Arc::clone(&self.task),
            columns,
            last: None,
            held: VecDeque::new(),
            computed: 0,
            found: Found::default(),
            memory: MemoryConsumer::new(format!("Rolling[{partition}]"))
                .register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            ended: false,
        };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            Ok(run.next().await?.map(|batch| (batch, run)))
        });
        Ok(Box::pin(cooperative(RecordBatchStreamAdapter::new(schema, stream.boxed()))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.window.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// The state of one partition of the plan.
struct Run {
    input: SendableRecordBatchStream,
    schema: SchemaRef,
    task: Arc<Task>,
    partition: Partition,
    columns: Vec<Column>,
    /// The partition keys of the last row.
    last: Option<Vec<ArrayRef>>,
    /// Batches whose results are not all known yet.
    held: VecDeque<RecordBatch>,
    /// Number of results that are known and not given out yet.
    computed: usize,
    found: Found,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
    ended: bool,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.held.pop_front_if(|held| held.num_rows() <= self.computed) {
                self.metrics.record_output(batch.num_rows());
                return self.give(batch).map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            let batch = self.input.try_next().await?;
            let compute = self.metrics.elapsed_compute().clone();
            let _timed = compute.timer();
            match batch {
                Some(batch) if batch.num_rows() > 0 => self.take(batch)?,
                Some(_) => {}
                None => {
                    self.compute(true)?;
                    self.ended = true;
                }
            }
        }
    }

    /// Takes a batch in and computes what is known with it.
    fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(rows);
        let task = Arc::clone(&self.task);
        let order = match &task.order {
            Some(order) => ranks(&evaluate(order)?).map_err(external)?,
            None => Int64Array::from(Vec::<i64>::new()),
        };
        let keys = task.partition_by.iter().map(evaluate).collect::<Result<Vec<_>>>()?;
        let values = task.aggregates.iter().map(|of| of.prepared(evaluate(&of.argument)?));
        let values = values.collect::<Result<Vec<_>>>()?;
        let mut parts = match keys.is_empty() {
            true => std::iter::once(0..rows).collect(),
            false => partition(&keys)?.ranges(),
        };
        let last = parts.pop();
        let mut goes_on = self.goes_on(&keys)?;
        let parts = parts.into_iter().map(|part| (part, true));
        for (part, over) in parts.chain(last.map(|part| (part, false))) {
            if !goes_on {
                self.compute(true)?;
                self.partition.clear();
                self.columns.iter_mut().for_each(Column::clear);
            }
            goes_on = false;
            #[expect(clippy::indexing_slicing, reason = "parts are ranges of the rows")]
            let order = if task.order.is_some() { &order.values()[part.clone()] } else { &[] };
            self.partition.append(part.len(), order);
            for (column, values) in self.columns.iter_mut().zip(&values) {
                column.append(values, part.clone());
            }
            self.compute(over)?;
        }
        self.forget();
        self.last = Some(keys.iter().map(|key| key.slice(rows - 1, 1)).collect());
        self.held.push_back(batch);
        self.reserve()
    }

    /// Computes the rows of the partition whose frames are known.
    fn compute(&mut self, over: bool) -> Result<()> {
        let (done, until) = (self.partition.done(), self.partition.until(over));
        if until == done {
            return Ok(());
        }
        for at in 0..self.task.frames.len() {
            self.partition.frames(at, until, &mut self.found);
            for (column, aggregate) in self.columns.iter_mut().zip(&self.task.aggregates) {
                if aggregate.frame == at {
                    column.compute(&self.found.starts, &self.found.ends)?;
                }
            }
        }
        self.partition.finish(until);
        self.computed += until - done;
        Ok(())
    }

    fn forget(&mut self) {
        for (column, aggregate) in self.columns.iter_mut().zip(&self.task.aggregates) {
            column.forget(self.partition.start(aggregate.frame), self.partition.done());
        }
        self.partition.forget();
    }

    /// Whether the first row of a batch belongs to the same partition as the last row before it.
    fn goes_on(&self, keys: &[ArrayRef]) -> Result<bool> {
        let Some(last) = &self.last else { return Ok(false) };
        for (last, key) in last.iter().zip(keys) {
            if make_comparator(last, key, SortOptions::default())?(0, 0).is_ne() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn give(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        self.computed -= rows;
        let (_, mut columns, _) = batch.into_parts();
        for (column, aggregate) in self.columns.iter_mut().zip(&self.task.aggregates) {
            columns.push(column.give(rows, &aggregate.output)?);
        }
        if columns.len() != self.schema.fields().len() {
            return internal_err!("a rolling aggregate has another schema than its plan");
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn reserve(&self) -> Result<()> {
        let held: usize = self.held.iter().map(RecordBatch::get_array_memory_size).sum();
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        let found =
            (self.found.starts.capacity() + self.found.ends.capacity()) * size_of::<usize>();
        self.memory.try_resize(held + columns + found + self.partition.bytes())
    }
}
