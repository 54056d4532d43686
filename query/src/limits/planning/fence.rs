//! Fences: nodes at which conditions stop where columns are computed from columns that are themselves computed.
//!
//! A condition on a computed column moves below the computation with the expression in place of the column, again at
//! every query of a chain of them. Where each uses the previous column several times, `WITH a AS (SELECT f(x, x) AS x
//! …), b AS (SELECT f(x, x) AS x FROM a) …`, the condition grows by that factor at each step: twelve steps of four uses
//! are sixteen million expressions. A [`Fence`] below such a step stops conditions on columns that are large by then;
//! conditions on others, keys and times in particular, still move on to the tables.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef, Result, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::TaskContext;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, FilterDescription, FilterPushdownPhase,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    SendableRecordBatchStream,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use crate::functions::NodePlanner;
use crate::opaque::{Planned, Value};
use crate::tree;

/// Size from which an expression is large, in parts, with its columns written out.
const LARGE: u64 = 1_000;
/// Factor by which it must be larger than it is with a fence.
const FACTOR: u64 = 2;

/// Puts fences below steps whose conditions would become large.
#[derive(Debug, Default)]
pub(crate) struct Fences;

impl OptimizerRule for Fences {
    fn name(&self) -> &'static str {
        "fences"
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        Ok(fenced(plan)?.0)
    }
}

/// Size of each column of a plan when written out over the columns of tables, in parts of its expression.
type Sizes = Vec<u64>;

/// The plan with the fences that it needs, and the sizes of its columns.
fn fenced(plan: LogicalPlan) -> Result<(Transformed<LogicalPlan>, Sizes)> {
    let mut inputs = Vec::new();
    let mut plan =
        tree::map_subqueries(plan, &mut |query| Ok(fenced(query)?.0))?.transform_data(|plan| {
            tree::map_children(plan, &mut |input| {
                let (input, sizes) = fenced(input)?;
                inputs.push(sizes);
                Ok(input)
            })
        })?;
    let mut written = Written::of(&plan.data, &inputs)?;
    if written.grows {
        plan = plan.transform_data(|plan| {
            let mut sizes = inputs.iter_mut();
            tree::map_children(plan, &mut |input| {
                Ok(match sizes.next() {
                    Some(sizes) if sizes.iter().any(|size| *size > 1) => {
                        Transformed::yes(Fence::below(input, sizes))
                    }
                    _ => Transformed::no(input),
                })
            })
        })?;
        written = Written::of(&plan.data, &inputs)?;
    }
    let sizes = written.columns(&inputs);
    Ok((plan, sizes))
}

/// The expressions of one node, written out.
struct Written<'a> {
    node: &'a LogicalPlan,
    /// Sizes of the expressions, in their order.
    sizes: Vec<u64>,
    /// Whether one of them is large and would not be with a fence below.
    grows: bool,
}

impl<'a> Written<'a> {
    fn of(node: &'a LogicalPlan, inputs: &[Sizes]) -> Result<Self> {
        let plain = inputs.iter().flatten().all(|size| *size == 1);
        let (mut sizes, mut grows) = (Vec::new(), false);
        let below = node.inputs();
        tree::apply_expressions(node, &mut |expr| {
            let (mut own, mut full) = (0_u64, 0_u64);
            tree::apply(expr, &mut |part| {
                own += 1;
                full = full.saturating_add(match part {
                    Expr::Column(column) if !plain => of_column(column, &below, inputs),
                    _ => 1,
                });
                Ok(TreeNodeRecursion::Continue)
            })?;
            grows |= full > LARGE && full > own.saturating_mul(FACTOR);
            sizes.push(full);
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self { node, sizes, grows })
    }

    /// The sizes of the node's own columns.
    fn columns(&self, inputs: &[Sizes]) -> Sizes {
        let count = self.node.schema().fields().len();
        match (self.node, inputs) {
            (LogicalPlan::Projection(_), _) if self.sizes.len() == count => self.sizes.clone(),
            (LogicalPlan::Aggregate(aggregate), _) if self.sizes.len() == count => {
                let groups = aggregate.group_expr.len();
                let size = |(at, size): (usize, &u64)| if at < groups { *size } else { 1 };
                self.sizes.iter().enumerate().map(size).collect()
            }
            (LogicalPlan::Union(_), _) => {
                let largest = |at| inputs.iter().filter_map(|sizes| sizes.get(at)).max();
                (0..count).map(|at| largest(at).copied().unwrap_or(1)).collect()
            }
            (LogicalPlan::Extension(node), _) if node.node.as_any().is::<Fence>() => {
                let large = node.node.prevent_predicate_push_down_columns();
                let sizes = inputs.first().into_iter().flatten();
                let fields = self.node.schema().fields().iter();
                let size = |(field, size): (&Arc<_>, &u64)| {
                    let field: &arrow::datatypes::Field = field;
                    if large.contains(field.name()) { 1 } else { *size }
                };
                fields.zip(sizes).map(size).collect()
            }
            (_, inputs) if inputs.iter().flatten().all(|size| *size == 1) => vec![1; count],
            (_, [only]) if only.len() == count => only.clone(),
            _ => self.by_name(inputs),
        }
    }

    /// The sizes of columns that the node passes on, which are those below it.
    fn by_name(&self, inputs: &[Sizes]) -> Sizes {
        let below = self.node.inputs();
        let below = below.iter().zip(inputs).flat_map(|(input, sizes)| {
            input.schema().iter().map(Column::from).zip(sizes.iter().copied())
        });
        let below: HashMap<Column, u64> = below.collect();
        let columns = self.node.schema().iter().map(Column::from);
        columns.map(|column| below.get(&column).copied().unwrap_or(1)).collect()
    }
}

fn of_column(column: &Column, below: &[&LogicalPlan], inputs: &[Sizes]) -> u64 {
    let mut found = below.iter().zip(inputs).filter_map(|(input, sizes)| {
        sizes.get(input.schema().maybe_index_of_column(column)?).copied()
    });
    found.next().unwrap_or(1)
}

/// Passes its input on; conditions on columns that are large there stay above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
struct Fence {
    input: LogicalPlan,
    large: BTreeSet<String>,
}

impl Fence {
    /// A fence over `input`, whose columns have `sizes`; they are small above it.
    fn below(input: LogicalPlan, sizes: &mut Sizes) -> LogicalPlan {
        let fields = input.schema().fields().iter().zip(&*sizes);
        let large = fields.filter(|(_, size)| **size > 1).map(|(field, _)| field.name().clone());
        let large = large.collect();
        sizes.fill(1);
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input, large }) })
    }
}

impl UserDefinedLogicalNodeCore for Fence {
    fn name(&self) -> &'static str {
        "Fence"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.large.iter().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fence: {}", self.large.iter().cloned().collect::<Vec<_>>().join(", "))
    }

    fn with_exprs_and_inputs(
        &self,
        _exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Self { input, large: self.large.clone() }),
            _ => internal_err!("Fence has one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

/// Makes physical plans of all nodes that a statement may have.
#[derive(Debug, Default)]
pub(crate) struct Planner;

impl QueryPlanner for Planner {
    fn create_physical_plan<'s, 'p, 'n, 'a>(
        &'s self,
        plan: &'p LogicalPlan,
        session: &'n dyn Session,
    ) -> Planned<'a>
    where
        Self: 'a,
        's: 'a,
        'p: 'a,
        'n: 'a,
    {
        let plan: &dyn Value<_> = plan;
        Box::pin(async move {
            let nodes: Vec<Arc<dyn ExtensionPlanner + Send + Sync>> =
                vec![Arc::new(NodePlanner), Arc::new(FencePlanner)];
            DefaultPhysicalPlanner::with_extension_planners(nodes)
                .create_physical_plan(plan.value(), session)
                .await
        })
    }
}

struct FencePlanner;

#[async_trait]
impl ExtensionPlanner for FencePlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(fence) = node.as_any().downcast_ref::<Fence>() else { return Ok(None) };
        let [input] = physical_inputs else { return internal_err!("Fence has one input") };
        let fields = fence.input.schema().fields().iter().enumerate();
        let small = fields.filter(|(_, field)| !fence.large.contains(field.name()));
        let small = small.map(|(at, _)| at).collect();
        Ok(Some(Arc::new(FenceExec { input: Arc::clone(input), small })))
    }
}

/// Passes its input on. Dynamic filters stop here, too: those on columns that are not `small`.
#[derive(Debug)]
struct FenceExec {
    input: Arc<dyn ExecutionPlan>,
    small: HashSet<usize>,
}

impl FenceExec {
    fn over(&self, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, small: self.small.clone() })),
            _ => internal_err!("FenceExec has one input"),
        }
    }
}

impl DisplayAs for FenceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FenceExec")
    }
}

impl ExecutionPlan for FenceExec {
    fn name(&self) -> &'static str {
        "FenceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        self.over(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.over(children)
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let allowed = ChildFilterDescription::from_child_with_allowed_indices(
            &parent_filters,
            self.small.clone(),
            &self.input,
        )?;
        Ok(FilterDescription::new().with_child(allowed))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
