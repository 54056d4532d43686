//! The execution of a scan inside a query plan.
//!
//! A [`ScanExec`] is a leaf of the plan over one pinned view. Its partitions are consecutive ranges of keys; each reads
//! its slices, the same that answer tickets, in order of (key, time):
//!
//! ```text
//! partition 0: keys …1999     slice, slice, slice ─┐ each: narrowed by dynamic filters, read,
//! partition 1: keys 2000…     slice, slice, slice ─┘ projected, given in batches
//! ```

use std::fmt;
use std::sync::Arc;

use barograph_engine::Engine;
use barograph_engine::View;
use barograph_engine::filter::{Builder, Node, Wanted};
use barograph_engine::scan::{Aggregation, Plan, Scan};
use barograph_lake::{KeySelection, TableSchema, Timestamp};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions, StatisticsArgs,
};

use crate::errors::external;
use crate::table::partition::{Partition, PartitionMetrics, Projection};

/// What a scan reads, the same for all partitions.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) engine: Arc<Engine>,
    pub(crate) view: Arc<View>,
    pub(crate) wanted: Wanted,
    /// Columns after key and time, as [`Scan::columns`].
    pub(crate) columns: Vec<usize>,
    pub(crate) aggregation: Option<Aggregation>,
    /// Whether `wanted` has the keys and conditions of a restriction, which may name columns that the caller is not shown.
    pub(crate) is_restricted: bool,
}

impl Read {
    pub(crate) fn table(&self) -> &Arc<TableSchema> {
        &self.view.schema
    }

    /// The plan of the whole scan.
    pub(crate) fn plan(&self, limit: Option<usize>) -> Result<Plan> {
        let whole = self.scan(&self.wanted.keys, Vec::new(), limit);
        self.engine.plan(&self.view, whole).map_err(external)
    }

    /// The plan of a partition, narrowed further by `more`.
    pub(crate) fn narrowed(&self, plan: &Plan, more: Vec<Node>) -> Result<Plan> {
        let narrowed = self.scan(&plan.request().keys, more, plan.request().limit);
        self.engine.plan(&self.view, narrowed).map_err(external)
    }

    /// The scan of some of the keys, narrowed further by `more`.
    fn scan(&self, keys: &KeySelection, more: Vec<Node>, limit: Option<usize>) -> Scan {
        let mut wanted = self.wanted.clone();
        wanted.keys = keys.clone();
        more.into_iter().for_each(|node| wanted.and(node));
        Scan {
            keys: wanted.keys,
            time: wanted.time,
            columns: self.columns.clone(),
            filter: Builder { schema: self.table() }.predicate(wanted.rest),
            aggregation: self.aggregation.clone(),
            limit,
        }
    }

    /// Describes in a plan what is read, with `between` between the words.
    pub(crate) fn describe(&self, between: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { view, wanted, .. } = self;
        write!(f, "table={}", view.schema.name())?;
        if self.is_restricted {
            write!(f, "{between}restricted")?;
            return self.describe_windows(between, f);
        }
        match &wanted.keys {
            KeySelection::All => {}
            KeySelection::Range { from, to } => write!(f, "{between}keys={from}..={to}")?,
            KeySelection::List(keys) if keys.len() <= 8 => write!(f, "{between}keys={keys:?}")?,
            KeySelection::List(keys) => write!(f, "{between}keys={} of them", keys.len())?,
        }
        if wanted.time.from > Timestamp::MIN {
            write!(f, "{between}from={}", wanted.time.from)?;
        }
        if wanted.time.to < Timestamp::MAX {
            write!(f, "{between}to={}", wanted.time.to)?;
        }
        if let Some(filter) = self.scan(&wanted.keys, Vec::new(), None).filter {
            write!(f, "{between}filter={filter}")?;
        }
        self.describe_windows(between, f)
    }

    fn describe_windows(&self, between: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.aggregation {
            Some(aggregation) => write!(f, "{between}windows={aggregation}"),
            None => Ok(()),
        }
    }

    /// Describes in a plan what `plan` costs.
    pub(crate) fn describe_cost(
        &self,
        plan: &Plan,
        between: &str,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let (files, cost) = (self.view.snapshot.files().len(), plan.cost());
        write!(f, "{between}{} of {files} files{between}", cost.files)?;
        write!(f, "at most {} rows{between}{} bytes", cost.rows, cost.bytes)
    }
}

/// A scan as a leaf of a query plan.
#[derive(Debug, Clone)]
pub(crate) struct ScanExec {
    pub(crate) read: Arc<Read>,
    /// For each output column its position among the columns of a slice.
    pub(crate) projection: Arc<[usize]>,
    /// What runs, partition by partition.
    pub(crate) plan: Plan,
    pub(crate) statistics: Arc<Statistics>,
    /// Whether the plan is printed in full.
    pub(crate) explain: bool,
    properties: Arc<PlanProperties>,
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    pub(crate) fn new(
        read: Arc<Read>,
        projection: Arc<[usize]>,
        plan: Plan,
        equivalences: EquivalenceProperties,
        partitioning: Partitioning,
    ) -> Self {
        let statistics = Arc::new(Statistics::new_unknown(equivalences.schema()));
        let properties = PlanProperties::new(
            equivalences,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            read,
            projection,
            plan,
            statistics,
            explain: false,
            properties: Arc::new(properties),
            dynamic: Vec::new(),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Whether the output is all rows of the scan as they are, so that the scan may aggregate them.
    pub(crate) fn is_plain(&self) -> bool {
        self.dynamic.is_empty() && self.limit().is_none() && self.read.aggregation.is_none()
    }

    fn limit(&self) -> Option<usize> {
        self.plan.request().limit
    }
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = matches!(format, DisplayFormatType::TreeRender);
        let between = if tree { "\n" } else { ", " };
        if !tree {
            write!(f, "ScanExec: ")?;
        }
        self.read.describe(between, f)?;
        let names: Vec<_> = self.schema().fields().iter().map(|f| f.name().clone()).collect();
        write!(f, "{between}columns=[{}]", names.join(", "))?;
        if let Some(limit) = self.limit() {
            write!(f, "{between}limit={limit}")?;
        }
        for filter in &self.dynamic {
            write!(f, "{between}dynamic={filter}")?;
        }
        self.read.describe_cost(&self.plan, between, f)?;
        if self.plan.partitions().len() > 1 {
            write!(f, "{between}partitions={}", self.plan.partitions().len())?;
        }
        if let (DisplayFormatType::Verbose, true) = (format, self.explain) {
            write!(f, "\n{}", self.plan)?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.dynamic {
            if visit(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a scan has no children") }
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
        let Some(plan) = self.plan.partition(partition) else {
            let count = self.plan.partitions().len();
            return internal_err!("a scan of {count} partitions has no {partition}");
        };
        let partition = Partition::new(
            Arc::clone(&self.read),
            plan,
            Projection { places: Arc::clone(&self.projection), schema: self.schema() },
            &self.dynamic,
            &context,
            PartitionMetrics::new(&self.metrics, partition),
        )?;
        let batches = futures::stream::try_unfold(partition, |mut partition| async move {
            Ok(partition.next().await?.map(|batch| (batch, partition)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        if args.partition().is_some() && self.plan.partitions().len() > 1 {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema())));
        }
        if self.limit().is_some() || !self.dynamic.is_empty() {
            return Ok(Arc::new((*self.statistics).clone().to_inexact()));
        }
        Ok(Arc::clone(&self.statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let limit = match (self.limit(), limit) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Some(Arc::new(Self { plan: self.plan.limited(limit), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.limit()
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        child: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let filters: Vec<_> = child.parent_filters.into_iter().map(|f| f.filter).collect();
        // What is static the logical plan has pushed down already, or nobody can. Whoever made a dynamic
        // filter checks again what it gets, so that it need not be told that the scan does.
        let answers = vec![PushedDown::No; filters.len()];
        let answer = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        if !matches!(phase, FilterPushdownPhase::Post)
            || filters.is_empty()
            || self.read.aggregation.is_some()
        {
            return Ok(answer);
        }
        let dynamic = self.dynamic.iter().cloned().chain(filters).collect();
        Ok(answer.with_updated_node(Arc::new(Self { dynamic, ..self.clone() })))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self {
            metrics: ExecutionPlanMetricsSet::new(),
            dynamic: Vec::new(),
            ..(*self).clone()
        }))
    }
}
