//! One partition of a scan, read slice by slice. Each slice is requested only when the one before it is used up, so
//! that reading stops when the query stops.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, SchemaRef};
use barograph_engine::filter::Node;
use barograph_engine::scan::execute::{Execution, head};
use barograph_engine::scan::plan::Slice;
use barograph_lake::KeySelection;
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
pub(crate) struct Part {
    read: Arc<Read>,
    keys: KeySelection,
    projection: Projection,
    dynamic: Dynamic,
    limit: Option<usize>,
    left: usize,
    batch_rows: usize,
    execution: Option<Execution>,
    slices: VecDeque<Slice>,
    ready: Option<RecordBatch>,
    memory: MemoryReservation,
    meter: Option<Arc<Meter>>,
    metrics: PartMetrics,
}

/// The columns that are given of a slice, and their types.
pub(crate) struct Projection {
    /// Where each stands in the slice.
    pub(crate) places: Arc<[usize]>,
    pub(crate) schema: SchemaRef,
}

/// The metrics of a partition, as EXPLAIN ANALYZE shows them.
pub(crate) struct PartMetrics {
    baseline: BaselineMetrics,
    slices: Count,
    slice_rows: Count,
}

impl PartMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            slices: MetricBuilder::new(metrics).counter("slices", partition),
            slice_rows: MetricBuilder::new(metrics).counter("slice_rows", partition),
        }
    }
}

impl Part {
    pub(crate) fn new(
        read: Arc<Read>,
        keys: KeySelection,
        projection: Projection,
        dynamic: &[Arc<dyn PhysicalExpr>],
        limit: Option<usize>,
        context: &TaskContext,
        metrics: PartMetrics,
    ) -> Result<Self> {
        let config = context.session_config();
        let memory = MemoryConsumer::new(format!("scan of {}", read.table().name()))
            .register(context.memory_pool());
        memory.try_grow(SMALL_BYTES)?;
        Ok(Self {
            read,
            keys,
            projection,
            dynamic: Dynamic::new(dynamic),
            limit,
            left: limit.unwrap_or(usize::MAX),
            batch_rows: config.batch_size().max(1),
            execution: None,
            slices: VecDeque::new(),
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
        if self.execution.is_none() {
            let execution = self.begin(changed.unwrap_or_default())?;
            self.slices = self.read.engine.slices_of(&execution).await.map_err(external)?.into();
            self.reserve(&execution)?;
            self.execution = Some(execution);
        } else if let Some(nodes) = changed {
            self.execution = Some(self.begin(nodes)?);
        }
        let Some(execution) = &self.execution else { return Ok(None) };
        if execution.sources.is_empty() {
            return Ok(None);
        }
        let Some(Slice { keys, time }) = self.slices.pop_front() else { return Ok(None) };
        let time = time.within(execution.scan.time);
        let slice = Slice { keys: both(&keys, &execution.scan.keys), time };
        let rows = {
            let threads = Arc::clone(self.read.engine.slice_threads());
            let _held = threads.acquire_owned().await.map_err(|e| external_closed(e.into()))?;
            let _timed = self.metrics.baseline.elapsed_compute().timer();
            execution.slice(&slice).await.map_err(external)?
        };
        self.metrics.slices.add(1);
        self.metrics.slice_rows.add(rows.num_rows());
        if let Some(meter) = &self.meter {
            meter.read(rows.num_rows());
        }
        Ok(Some(rows))
    }

    fn begin(&self, more: Vec<Node>) -> Result<Execution> {
        let scan = self.read.scan(&self.keys, more, self.limit);
        self.read.engine.execution(&self.read.view, scan).map_err(external)
    }

    /// Reserves the memory of a slice while it is read and returned.
    fn reserve(&self, execution: &Execution) -> Result<()> {
        if self.slices.len() > 1 {
            let rows = self.read.engine.slice_rows(execution) as usize;
            self.memory.try_resize(rows * execution.row_bytes() * 2)?;
        }
        Ok(())
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

fn external_closed(error: Box<dyn std::error::Error + Send + Sync>) -> DataFusionError {
    external(
        barograph_engine::Error::internal("the threads of scans are closed").with_source(error),
    )
}

/// The keys of a slice that are still wanted.
fn both(slice: &KeySelection, wanted: &KeySelection) -> KeySelection {
    match (slice, wanted) {
        (slice, KeySelection::All) => slice.clone(),
        (slice, KeySelection::Range { from, to }) => slice.within(*from, *to),
        (KeySelection::Range { from, to }, wanted) => wanted.within(*from, *to),
        (KeySelection::All, wanted) => wanted.clone(),
        (KeySelection::List(keys), wanted) => {
            KeySelection::list(keys.iter().copied().filter(|&key| wanted.contains(key)).collect())
        }
    }
}
