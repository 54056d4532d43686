//! Dynamic filters: conditions that a query finds while it runs, and that spare a scan from reading on.
//!
//! A join knows the keys of its smaller side, a top-k the worst row that it still wants. Both hand down a filter that
//! changes while the query runs: it is checked before each slice, its part that a scan understands narrows what is
//! read, and all of it is evaluated on the rows.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use barograph_engine::filter::Node;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CastExpr, Column, DynamicFilterPhysicalExpr, DynamicFilterTracking, InListExpr,
    IsNotNullExpr, IsNullExpr, Literal,
};

use crate::pushdown::translate::{Operand, Translated, Translator, and, comparison, or};
use crate::tree;

/// Longer lists narrow by their smallest and largest value alone, which come with them.
const LIST_MAX: usize = 65_536;

/// The dynamic filters of one partition of a scan.
#[derive(Debug)]
pub(crate) struct Dynamic {
    filters: Vec<(Arc<dyn PhysicalExpr>, DynamicFilterTracking)>,
    /// Whether the filters were read since they last changed.
    seen: bool,
}

impl Dynamic {
    pub(crate) fn new(filters: &[Arc<dyn PhysicalExpr>]) -> Self {
        let filters = filters
            .iter()
            .map(|filter| (Arc::clone(filter), DynamicFilterTracking::classify(filter)))
            .collect();
        Self { filters, seen: false }
    }

    /// Whether there are no filters.
    pub(crate) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// The current conditions of the filters, if they changed since the last call.
    pub(crate) fn changed(&mut self, translator: Translator<'_>) -> Option<Vec<Node>> {
        let mut changed = !std::mem::replace(&mut self.seen, true);
        for (_, tracking) in &mut self.filters {
            changed |= tracking.watcher().is_some_and(|watcher| watcher.changed());
        }
        (changed && !self.filters.is_empty()).then(|| {
            let known = self.filters.iter().filter_map(|(filter, _)| read(translator, filter));
            known.map(|translated| translated.node).collect()
        })
    }

    /// The rows that pass all filters in their current state.
    pub(crate) fn apply(&self, mut rows: RecordBatch) -> Result<RecordBatch> {
        for (filter, _) in &self.filters {
            let current = match filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
                Some(dynamic) => dynamic.current()?,
                None => Arc::clone(filter),
            };
            if is_true(&current) || looks_up_floats(&current, &rows)? || rows.num_rows() == 0 {
                continue;
            }
            let selected = filter.evaluate(&rows)?.into_array(rows.num_rows())?;
            if let Some(selected) = selected.as_boolean_opt() {
                rows = filter_record_batch(&rows, selected)?;
            }
        }
        Ok(rows)
    }
}

/// Whether floats are looked up by their bits: zeros of the other sign belong to the answer, too, and the join above
/// finds them.
fn looks_up_floats(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<bool> {
    let schema = rows.schema();
    let mut found = false;
    tree::apply(expr, &mut |expr| {
        if let Some(list) = expr.downcast_ref::<InListExpr>() {
            found |= list.expr().data_type(&schema)?.is_floating();
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn is_true(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>()
        .is_some_and(|literal| *literal.value() == ScalarValue::Boolean(Some(true)))
}

/// The condition of the scan that is equal to `expr` or bounds it.
fn read(translator: Translator<'_>, expr: &Arc<dyn PhysicalExpr>) -> Option<Translated> {
    if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return read(translator, &dynamic.current().ok()?);
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::And => and(read(translator, left), read(translator, right)),
            Operator::Or => or(read(translator, left)?, read(translator, right)?),
            op => {
                let op = comparison(*op)?;
                match (operand(translator, left), value(right)) {
                    (Some(operand), Some(value)) => translator.compare(&operand, op, value),
                    _ => {
                        let operand = operand(translator, right)?;
                        translator.compare(&operand, op.mirrored(), value(left)?)
                    }
                }
            }
        };
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        if list.negated() || list.len() > LIST_MAX {
            return None;
        }
        let operand = operand(translator, list.expr())?;
        let values = list.list().iter().map(value).collect::<Option<Vec<_>>>()?;
        return translator.among(&operand, values.into_iter());
    }
    if let Some(null) = expr.downcast_ref::<IsNullExpr>() {
        return translator.null(operand(translator, null.arg())?.column);
    }
    if let Some(null) = expr.downcast_ref::<IsNotNullExpr>() {
        let column = operand(translator, null.arg())?.column;
        let Translated { node, exact } = translator.null(column)?;
        return Some(Translated { node: Node::Not(Box::new(node)), exact });
    }
    value(expr).and_then(|value| match value {
        ScalarValue::Boolean(answer) => {
            Some(Translated { node: Node::Constant(*answer), exact: true })
        }
        _ => None,
    })
}

fn operand<'e>(translator: Translator<'_>, expr: &'e Arc<dyn PhysicalExpr>) -> Option<Operand<'e>> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some(Operand { column: translator.column(column.name())?, cast: None });
    }
    let cast = expr.downcast_ref::<CastExpr>()?;
    let column = cast.expr().downcast_ref::<Column>()?;
    Some(Operand { column: translator.column(column.name())?, cast: Some(cast.cast_type()) })
}

fn value(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}
