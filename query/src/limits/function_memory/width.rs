//! Width of batches: how many rows a batch has. A value that all rows share, or a large one that a function makes of a
//! small one, may be so large that a batch of the usual size takes gigabytes.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan};

use super::extent::Argument;
use super::formula;
use crate::tree;

/// Rows per batch where a function makes large values of small ones.
const AMPLIFIED_ROWS: usize = 256;
/// Longest literal that makes nothing large of a usual text.
const SHORT_TEXT: u64 = 64;
const SMALL_COUNT: i128 = 256;
/// Aggregates whose value is as large as all their rows.
const GATHERING: [&str; 2] = ["array_agg", "string_agg"];

/// Rows per batch that the values of a plan allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    /// The most rows of a batch.
    pub(super) rows: usize,
    /// Whether values may arise that are larger than those of tables.
    pub(super) grows: bool,
}

impl Width {
    /// At most `usual` rows, and fewer where the values of a plan would take more than `bytes`.
    pub(super) fn of(plan: &LogicalPlan, usual: usize, bytes: usize) -> Result<Self> {
        let (mut rows, mut grows) = (usual, false);
        tree::apply_with_subqueries(plan, &mut |node| {
            grows |= matches!(node, LogicalPlan::RecursiveQuery(_));
            tree::apply_expressions(node, &mut |expr| {
                tree::apply(expr, &mut |expr| {
                    match expr {
                        Expr::Literal(value, _) if !value.data_type().is_numeric() => {
                            let value = ColumnarValue::Scalar(value.clone());
                            let bytes_each = Argument::new(&value).row(0).bytes.max(1);
                            let fit = bytes / usize::try_from(bytes_each).unwrap_or(usize::MAX);
                            rows = rows.min(fit.max(1));
                        }
                        Expr::ScalarFunction(call) if amplifies(call) => {
                            rows = rows.min(AMPLIFIED_ROWS);
                        }
                        Expr::AggregateFunction(call) => {
                            grows |= GATHERING.contains(&call.func.name());
                        }
                        _ => {}
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })?;
        Ok(Self { rows, grows: grows || rows < usual })
    }
}

/// Whether a call may make large values of a usual text or a number.
fn amplifies(call: &ScalarFunction) -> bool {
    let name = call.func.name();
    if formula::of(name).is_none() {
        return false;
    }
    let small = |at: usize, absent: bool| match call.args.get(at) {
        Some(Expr::Literal(value, _)) => {
            let extent = Argument::new(&ColumnarValue::Scalar(value.clone())).row(0);
            extent.bytes <= SHORT_TEXT && extent.number <= SMALL_COUNT
        }
        Some(_) => false,
        None => absent,
    };
    let is_small = match name {
        "repeat" | "array_repeat" | "lpad" | "rpad" => small(1, false),
        "array_resize" => small(1, false) && small(2, true),
        "replace" | "regexp_replace" | "array_replace" | "array_replace_n"
        | "array_replace_all" => small(2, false),
        "array_to_string" => small(1, false) && small(2, true),
        "concat_ws" => small(0, false),
        "to_char" => small(1, false),
        "range" | "generate_series" => false,
        _ => true,
    };
    !is_small
}
