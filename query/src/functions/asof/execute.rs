//! Execution of an as-of join: partition by partition of the keys, as one merge of two sorted streams that holds only a
//! few batches of each side.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinSide, JoinType, Result, ScalarValue, internal_err, plan_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::UserDefinedLogicalNodeCore;
use datafusion::physical_expr::equivalence::join_equivalence_properties;
use datafusion::physical_expr::{
    Distribution, LexOrdering, OrderingRequirements, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions, apply_expression_roots,
};
use futures::{StreamExt, TryStreamExt};

use super::AsOf;
use super::merge::{Merge, Need, Reader};
use crate::functions::planner::{Physical, constant};

type Expr = Arc<dyn PhysicalExpr>;

/// The physical plan of `node` over its inputs.
pub(in crate::functions) fn plan(
    node: &AsOf,
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    physical: Physical<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let (left_schema, right_schema) = (node.left.schema(), node.right.schema());
    let on = node
        .on
        .iter()
        .map(|(l, r)| Ok((physical(l, left_schema)?, physical(r, right_schema)?)))
        .collect::<Result<Vec<_>>>()?;
    let time = (physical(&node.time.0, left_schema)?, physical(&node.time.1, right_schema)?);
    let tolerance = match &node.tolerance {
        Some(expr) => {
            let time_type = time.0.data_type(left_schema.as_arrow())?;
            Some(ticks(&constant(expr, physical)?, &time_type)?)
        }
        None => None,
    };
    let spec = Spec {
        on,
        time,
        tolerance,
        outer: node.outer,
        schema: Arc::new(node.schema().as_arrow().clone()),
    };
    Ok(Arc::new(AsOfExec::new(left, right, Arc::new(spec))?))
}

/// A tolerance in the unit of `time`.
fn ticks(tolerance: &ScalarValue, time: &DataType) -> Result<i64> {
    const DAY: i64 = 86_400_000_000_000;
    let tick = match time {
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1,
        DataType::Date32 => DAY,
        _ => 0,
    };
    match tolerance {
        ScalarValue::Int64(Some(whole)) if *whole >= 0 => Ok(*whole),
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 && tick > 0 => {
            let nanos =
                i64::from(i.days).checked_mul(DAY).and_then(|d| d.checked_add(i.nanoseconds));
            match nanos {
                Some(nanos) if nanos >= 0 => Ok(nanos / tick),
                _ => plan_err!("asof: the tolerance is at least zero and less than 292 years"),
            }
        }
        other => plan_err!(
            "asof: the tolerance is a constant interval of days or less, not below zero, not {other}"
        ),
    }
}

/// Keys, times and options of a join.
#[derive(Debug)]
struct Spec {
    on: Vec<(Expr, Expr)>,
    time: (Expr, Expr),
    tolerance: Option<i64>,
    outer: bool,
    schema: SchemaRef,
}

impl Spec {
    /// Keys, then time, on the left and on the right.
    fn orders(&self) -> Result<(LexOrdering, LexOrdering)> {
        let options = SortOptions { descending: false, nulls_first: true };
        let sort = |expr: &Expr| PhysicalSortExpr { expr: Arc::clone(expr), options };
        let pairs = || self.on.iter().chain([&self.time]);
        let left = LexOrdering::new(pairs().map(|(left, _)| sort(left)));
        let right = LexOrdering::new(pairs().map(|(_, right)| sort(right)));
        match (left, right) {
            (Some(left), Some(right)) => Ok((left, right)),
            _ => internal_err!("as-of join has no order"),
        }
    }

    /// Readers of both sides.
    fn readers(&self, left: &SchemaRef) -> Result<(Reader, Reader)> {
        let types = self
            .on
            .iter()
            .map(|(key, _)| key.data_type(left))
            .collect::<Result<Vec<DataType>>>()?;
        let rows = match types.as_slice() {
            [] => None,
            [one] if one.is_integer() && *one != DataType::UInt64 => None,
            _ => {
                let fields = types.into_iter().map(SortField::new).collect();
                Some(Arc::new(RowConverter::new(fields)?))
            }
        };
        let (lefts, rights): (Vec<Expr>, Vec<Expr>) = self.on.iter().cloned().unzip();
        Ok((
            Reader::new(lefts, Arc::clone(&self.time.0), rows.clone()),
            Reader::new(rights, Arc::clone(&self.time.1), rows),
        ))
    }
}

/// An as-of join of two inputs that are sorted by keys and time.
#[derive(Debug)]
struct AsOfExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    spec: Arc<Spec>,
    orders: (LexOrdering, LexOrdering),
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsOfExec {
    fn new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        spec: Arc<Spec>,
    ) -> Result<Self> {
        let kind = if spec.outer { JoinType::Left } else { JoinType::Inner };
        let equivalence = join_equivalence_properties(
            left.equivalence_properties().clone(),
            right.equivalence_properties().clone(),
            &kind,
            Arc::clone(&spec.schema),
            &[true, false],
            Some(JoinSide::Left),
            &spec.on,
        )?;
        // Left columns keep their places, so the left partitioning holds for the output.
        let properties = PlanProperties::new(
            equivalence,
            left.output_partitioning().clone(),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            left,
            right,
            orders: spec.orders()?,
            spec,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for AsOfExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { on, time, tolerance, outer, .. } = self.spec.as_ref();
        let kind = if *outer { "Left" } else { "Inner" };
        write!(f, "AsOfExec: {kind}, {} >= {}", time.0, time.1)?;
        for (left, right) in on {
            write!(f, ", {left} = {right}")?;
        }
        if let Some(tolerance) = tolerance {
            write!(f, ", tolerance={tolerance}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for AsOfExec {
    fn name(&self) -> &str {
        "AsOfExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let (left, right): (Vec<Expr>, Vec<Expr>) = self.spec.on.iter().cloned().unzip();
        if left.is_empty() {
            let single = vec![Distribution::SinglePartition, Distribution::SinglePartition];
            return InputDistributionRequirements::new(single);
        }
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(left),
            Distribution::KeyPartitioned(right),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let (left, right) = self.orders.clone();
        vec![Some(OrderingRequirements::from(left)), Some(OrderingRequirements::from(right))]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let pairs = self.spec.on.iter().chain([&self.spec.time]);
        apply_expression_roots(pairs.flat_map(|(left, right)| [left, right]), f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop(), children.is_empty()) {
            (Some(right), Some(left), true) => {
                Ok(Arc::new(Self::new(left, right, Arc::clone(&self.spec))?))
            }
            _ => internal_err!("AsOfExec has two inputs"),
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
        let counts = (
            self.left.output_partitioning().partition_count(),
            self.right.output_partitioning().partition_count(),
        );
        if counts.0 != counts.1 {
            return internal_err!("as-of join of {} with {} partitions", counts.0, counts.1);
        }
        let (left_reader, right_reader) = self.spec.readers(&self.left.schema())?;
        let run = Run {
            left: self.left.execute(partition, Arc::clone(&context))?,
            right: self.right.execute(partition, context)?,
            left_reader,
            right_reader,
            empty_right: RecordBatch::new_empty(self.right.schema()),
            schema: Arc::clone(&self.spec.schema),
            merge: Merge::new(self.spec.tolerance, self.spec.outer),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            Ok(run.next().await?.map(|batch| (batch, run)))
        });
        let schema = Arc::clone(&self.spec.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The state of one partition.
struct Run {
    left: SendableRecordBatchStream,
    right: SendableRecordBatchStream,
    left_reader: Reader,
    right_reader: Reader,
    empty_right: RecordBatch,
    schema: SchemaRef,
    merge: Merge,
    metrics: BaselineMetrics,
}

impl Run {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let timer = self.metrics.elapsed_compute().timer();
            let need = self.merge.advance()?;
            timer.done();
            match need {
                Need::Left => match self.left.try_next().await? {
                    Some(batch) => self.merge.put_left(self.left_reader.read(batch)?),
                    None => return Ok(None),
                },
                Need::Right => {
                    let batch = self.right.try_next().await?;
                    let side = batch.map(|b| self.right_reader.read_known(b)).transpose()?;
                    self.merge.put_right(side);
                }
                Need::Room => {
                    let timer = self.metrics.elapsed_compute().timer();
                    let batch = self.merge.output(&self.schema, &self.empty_right)?;
                    timer.done();
                    if let Some(batch) = batch {
                        self.metrics.record_output(batch.num_rows());
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }
}
