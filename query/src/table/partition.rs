//! One partition of a scan, read slice by slice. Each slice is requested only when the one before it is used up, so
//! that reading stops when the query stops.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, SchemaRef};
use barograph_engine::filter::Node;
use barograph_engine::scan::head;
use barograph_engine::scan::{Plan, Slices};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder,
};

use crate::errors::external;
use crate::limits::queries::Meter;
use crate::pushdown::dynamic::Dynamic;
use crate::pushdown::translate::Translator;
use crate::table::exec::Read;

/// Bytes reserved for a partition that reads little.
const SMALL_BYTES: usize = 64 << 10;
/// Rows of several slices that are put together, so that small results are not returned one by one.
const GATHERED_ROWS: usize = 2_048;
/// Bytes of gathered rows from which they are not few.
const GATHERED_BYTES: usize = 1 << 20;

/// A partition being read.
pub(crate) struct Partition {
    read: Arc<Read>,
    plan: Plan,
    projection: Projection,
    dynamic: Dynamic,
    left: usize,
    batch_rows: usize,
    /// The run of the plan, once it has begun.
    slices: Option<Slices<()>>,
    ready: Option<RecordBatch>,
    memory: MemoryReservation,
    meter: Option<Arc<Meter>>,
    metrics: PartitionMetrics,
}

/// The columns that are given of a slice, and their types.
pub(crate) struct Projection {
    /// Where each stands in the slice.
    pub(crate) places: Arc<[usize]>,
    pub(crate) schema: SchemaRef,
}

/// The metrics of a partition, as EXPLAIN ANALYZE shows them.
pub(crate) struct PartitionMetrics {
    baseline: BaselineMetrics,
    slices: Count,
    slice_rows: Count,
}

impl PartitionMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            slices: MetricBuilder::new(metrics).counter("slices", partition),
            slice_rows: MetricBuilder::new(metrics).counter("slice_rows", partition),
        }
    }
}

impl Partition {
    pub(crate) fn new(
        read: Arc<Read>,
        plan: Plan,
        projection: Projection,
        dynamic: &[Arc<dyn PhysicalExpr>],
        context: &TaskContext,
        metrics: PartitionMetrics,
    ) -> Result<Self> {
        let config = context.session_config();
        let memory = MemoryConsumer::new(format!("scan of {}", read.table().name()))
            .register(context.memory_pool());
        memory.try_grow(SMALL_BYTES)?;
        Ok(Self {
            left: plan.request().limit.unwrap_or(usize::MAX),
            read,
            plan,
            projection,
            dynamic: Dynamic::new(dynamic),
            batch_rows: config.batch_size().max(1),
            slices: None,
            ready: None,
            memory,
            meter: config.get_extension::<Meter>(),
            metrics,
        })
    }

    /// The next batch; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            if let Some(rows) = self.ready.take() {
                let batch = head(rows.clone(), self.batch_rows.min(self.left));
                let given = batch.num_rows();
                if given < rows.num_rows() {
                    self.ready = Some(rows.slice(given, rows.num_rows() - given));
                }
                self.left -= given;
                self.metrics.baseline.record_output(given);
                return Ok(Some(batch));
            }
            self.ready = self.gather().await?;
            if self.ready.is_none() {
                return Ok(None);
            }
        }
    }

    /// The rows of the next slices, of several if a filter leaves little of each; `None` at the end.
    async fn gather(&mut self) -> Result<Option<RecordBatch>> {
        // Whoever filters while rows come has to see them soon.
        let least = if self.dynamic.is_empty() { GATHERED_ROWS.min(self.left) } else { 1 };
        let (mut gathered, mut count, mut bytes) = (Vec::new(), 0, 0);
        while count < least && bytes < GATHERED_BYTES {
            let Some(rows) = self.slice().await? else { break };
            let rows = self.dynamic.apply(self.projection.of(rows)?)?;
            count += rows.num_rows();
            bytes += rows.get_array_memory_size();
            if rows.num_rows() > 0 {
                gathered.push(rows);
            }
        }
        match gathered.len() {
            0 | 1 => Ok(gathered.pop()),
            _ => Ok(Some(concat_batches(&self.projection.schema, &gathered)?)),
        }
    }

    /// The rows of the next slice.
    async fn slice(&mut self) -> Result<Option<RecordBatch>> {
        let changed = self.dynamic.changed(Translator::new(&self.read.view.schema));
        if self.slices.is_none() {
            self.slices = Some(self.begin(changed.unwrap_or_default()).await?);
        } else if let (Some(slices), Some(nodes)) = (&mut self.slices, changed) {
            slices.narrow(self.read.narrowed(&self.plan, nodes)?);
        }
        let Some(slices) = &mut self.slices else { return Ok(None) };
        if !slices.ready().await.map_err(external)? {
            return Ok(None);
        }
        let rows = {
            let _timed = self.metrics.baseline.elapsed_compute().timer();
            slices.next().await.map_err(external)?
        };
        let Some(rows) = rows else { return Ok(None) };
        self.metrics.slices.add(1);
        self.metrics.slice_rows.add(rows.num_rows());
        if let Some(meter) = &self.meter {
            meter.read(rows.num_rows());
        }
        Ok(Some(rows))
    }

    /// Begins the run, narrowed further by `more`. Of several slices it reserves the memory of one while it is read and
    /// returned.
    async fn begin(&self, more: Vec<Node>) -> Result<Slices<()>> {
        let plan = match more.is_empty() {
            true => self.plan.clone(),
            false => self.read.narrowed(&self.plan, more)?,
        };
        let plan = if plan.is_sliced() { plan } else { plan.sliced().await.map_err(external)? };
        let several = plan.slices_count() > 1;
        plan.run(self.read.engine.caller(), |bytes| match several {
            true => self.memory.try_resize(bytes),
            false => Ok(()),
        })
    }
}

impl Projection {
    fn of(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let column = |(&place, field): (&usize, &FieldRef)| {
            let column = rows.columns().get(place).ok_or_else(|| {
                DataFusionError::Internal(format!("a slice has no column {place}"))
            })?;
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            Ok(arrow::compute::cast(column, field.data_type())?)
        };
        let columns = self.places.iter().zip(self.schema.fields()).map(column);
        let columns = columns.collect::<Result<_>>()?;
        let schema = Arc::clone(&self.schema);
        Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
    }
}
