//! Batches cut into pieces. A leaf gives fewer rows at a time where rows are large; a list that is to be unnested comes
//! in parts, so that its row is not repeated for all of it at once; and rows that would be repeated many times are
//! checked before they are.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef};
use barograph_engine::Error;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use super::extent::{Argument, extent};
use super::width::Width;
use crate::errors::external;
use crate::tree;

/// Share of the memory that the values of a window may take.
const WINDOW_PART: usize = 4;

/// A plan that gives as many rows at a time as `width` has where they are fewer than `usual`, and, if it grows, repeats no
/// row into rows that take more than `bytes` together.
///
/// # Errors
/// Those of the plan's nodes when they are put together anew.
pub(super) fn cut(
    plan: Arc<dyn ExecutionPlan>,
    width: Width,
    usual: usize,
    bytes: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Width { rows, grows } = width;
    let row_bytes = (bytes / rows.max(1)) as u64;
    let narrow = rows < usual;
    let plan = tree::transform_up(plan, &mut |node| {
        if node.children().is_empty() {
            return Ok(match narrow {
                true => Transformed::yes(Pieces::of_rows(node, rows)),
                false => Transformed::no(node),
            });
        }
        let lists = node.downcast_ref::<UnnestExec>().map(|unnest| {
            let lists = unnest.list_column_indices();
            let flat = lists.iter().all(|list| list.depth == 1);
            let columns: Vec<_> = lists.iter().map(|list| list.index_in_input_schema).collect();
            (columns, flat)
        });
        let joins = node.is::<CrossJoinExec>()
            || node.is::<NestedLoopJoinExec>()
            || node.is::<HashJoinExec>()
            || node.is::<SortMergeJoinExec>();
        let repeats = grows && (joins || repeats_in_windows(node.as_ref()));
        if lists.is_none() && !repeats {
            return Ok(Transformed::no(node));
        }
        let all = (!joins && lists.is_none()).then_some(bytes / WINDOW_PART);
        let (lists, flat) = lists.unwrap_or_default();
        let children = node.children().into_iter().map(|child| {
            Arc::new(Pieces {
                input: Arc::clone(child),
                rows: None,
                lists: lists.clone(),
                items: if flat { rows } else { usize::MAX },
                widest: grows.then_some(Widest { bytes: row_bytes, all }),
                narrow: None,
            }) as Arc<dyn ExecutionPlan>
        });
        let children = children.collect();
        let anew = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        node.replace_children(children, anew).map(Transformed::yes)
    });
    let plan = plan.data()?;
    Ok(if narrow { Pieces::of_plan(plan, rows) } else { plan })
}

/// Whether a node repeats values without a fixed size for the rows of a window.
fn repeats_in_windows(node: &dyn ExecutionPlan) -> bool {
    let made = node.downcast_ref::<WindowAggExec>().map(|of| of.window_expr());
    let made =
        made.or_else(|| node.downcast_ref::<BoundedWindowAggExec>().map(|of| of.window_expr()));
    made.unwrap_or_default().iter().any(|expr| {
        expr.field().is_ok_and(|field| {
            let data_type = field.data_type();
            data_type.primitive_width().is_none() && *data_type != DataType::Boolean
        })
    })
}

/// Largest rows that may be repeated.
#[derive(Debug, Clone, Copy)]
struct Widest {
    bytes: u64,
    /// Bytes that all rows together may take, where one may be repeated for all of them.
    all: Option<usize>,
}

/// Gives out the rows of its input in smaller batches.
#[derive(Debug)]
struct Pieces {
    input: Arc<dyn ExecutionPlan>,
    rows: Option<usize>,
    /// Columns that are unnested.
    lists: Vec<usize>,
    /// Most elements of a list.
    items: usize,
    widest: Option<Widest>,
    /// Rows of the batches that its input works with.
    narrow: Option<usize>,
}

impl Pieces {
    fn of_rows(input: Arc<dyn ExecutionPlan>, rows: usize) -> Arc<dyn ExecutionPlan> {
        let (lists, items) = (Vec::new(), usize::MAX);
        Arc::new(Self { input, rows: Some(rows), lists, items, widest: None, narrow: None })
    }

    fn of_plan(input: Arc<dyn ExecutionPlan>, rows: usize) -> Arc<dyn ExecutionPlan> {
        let (lists, items) = (Vec::new(), usize::MAX);
        Arc::new(Self { input, rows: None, lists, items, widest: None, narrow: Some(rows) })
    }

    fn over(&self, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("PiecesExec has one input") };
        let (lists, items) = (self.lists.clone(), self.items);
        let Self { rows, widest, narrow, .. } = *self;
        Ok(Arc::new(Self { input, rows, lists, items, widest, narrow }))
    }
}

impl DisplayAs for Pieces {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PiecesExec")
    }
}

impl ExecutionPlan for Pieces {
    fn name(&self) -> &str {
        "PiecesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(narrow) = self.narrow else {
            return self.pieces(self.input.execute(partition, context)?);
        };
        let config = context.session_config().clone().with_batch_size(narrow);
        let context = TaskContext::new(
            context.task_id(),
            context.session_id(),
            config,
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            context.runtime_env(),
        );
        self.input.execute(partition, Arc::new(context))
    }
}

impl Pieces {
    fn pieces(&self, input: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let schema = input.schema();
        let (rows, lists, items) = (self.rows, self.lists.clone(), self.items);
        let (widest, mut seen) = (self.widest, 0_u64);
        let pieces = input.flat_map(move |batch| {
            let pieces = batch.and_then(|batch| {
                if let Some(widest) = widest {
                    seen += batch.num_rows() as u64;
                    widest.check(&batch, &lists, seen)?;
                }
                match rows {
                    Some(rows) => Ok(in_rows(&batch, rows)),
                    None => in_lists(batch, &lists, items),
                }
            });
            stream::iter(match pieces {
                Ok(pieces) => pieces.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, pieces)))
    }
}

impl Widest {
    /// Refuses a batch that has too large a row, without counting the columns `but`; `seen` rows came before it.
    fn check(&self, batch: &RecordBatch, but: &[usize], seen: u64) -> Result<()> {
        let rows = batch.num_rows();
        let mut bytes = 0_u64;
        for (at, column) in batch.columns().iter().enumerate() {
            if column.data_type().is_primitive() || but.contains(&at) {
                continue;
            }
            let value = Argument::Column(column);
            let all = value.bytes(rows);
            bytes += if all <= self.bytes / 16 { all } else { value.largest(rows).bytes };
        }
        let fits = match self.all {
            Some(all) => bytes <= self.bytes || bytes.saturating_mul(seen) <= all as u64,
            None => bytes <= self.bytes,
        };
        if fits {
            return Ok(());
        }
        Err(external(Error::request(format!(
            "rows of {bytes} bytes would be repeated, and rows of up to {} bytes may be: ask for fewer columns, \
             make their values shorter, or raise sql.memory_bytes_max",
            self.bytes
        ))))
    }
}

fn in_rows(batch: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    let starts = (0..batch.num_rows()).step_by(rows.max(1));
    starts.map(|from| batch.slice(from, rows.min(batch.num_rows() - from))).collect()
}

/// The batch with every row whose lists are longer than `items` repeated, each time with a part of them.
fn in_lists(batch: RecordBatch, lists: &[usize], items: usize) -> Result<Vec<RecordBatch>> {
    let longest = |row: usize| {
        lists.iter().map(|&at| extent(batch.column(at), row).items).max().unwrap_or_default()
    };
    let rows = if items == usize::MAX { 0 } else { batch.num_rows() };
    let long: Vec<_> = (0..rows).filter(|&row| longest(row) > items as u64).collect();
    if long.is_empty() {
        return Ok(vec![batch]);
    }
    let (mut pieces, mut from) = (Vec::new(), 0);
    for row in long {
        if row > from {
            pieces.push(batch.slice(from, row - from));
        }
        let alone = batch.slice(row, 1);
        let length = usize::try_from(longest(row)).unwrap_or(usize::MAX);
        for start in (0..length).step_by(items.max(1)) {
            let mut columns = alone.columns().to_vec();
            for &at in lists {
                if let Some(column) = columns.get_mut(at) {
                    *column = part(column, start, items);
                }
            }
            pieces.push(RecordBatch::try_new(alone.schema(), columns)?);
        }
        from = row + 1;
    }
    if from < batch.num_rows() {
        pieces.push(batch.slice(from, batch.num_rows() - from));
    }
    Ok(pieces)
}

/// At most `items` elements of the only list of a column, from the one at `start`.
fn part(column: &ArrayRef, start: usize, items: usize) -> ArrayRef {
    match column.data_type() {
        DataType::List(field) => part_of(column.as_list::<i32>(), field, start, items),
        DataType::LargeList(field) => part_of(column.as_list::<i64>(), field, start, items),
        _ => Arc::clone(column),
    }
}

fn part_of<O: OffsetSizeTrait>(
    list: &GenericListArray<O>,
    field: &FieldRef,
    start: usize,
    items: usize,
) -> ArrayRef {
    let all = list.value(0);
    let from = start.min(all.len());
    let values = all.slice(from, items.min(all.len() - from));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Arc::new(GenericListArray::<O>::new(Arc::clone(field), offsets, values, list.nulls().cloned()))
}
