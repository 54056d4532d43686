//! The cut of an answer (LIMIT), above the windows and the groups that it shows.
//!
//! DataFusion 55.2 drops a sort that keeps some rows where its input is sorted already, and cuts the rows off below it: a
//! window does not see all of its rows. And it refuses `SELECT DISTINCT x, sum(x) OVER (ORDER BY x) FROM t LIMIT 2` as an
//! internal error. So the cut is taken out of such sorts before; where the sort stays, it is put into it again.
//!
//! ```text
//! sort, keep 10              limit 10
//!   window            ──►      sort           dropped if the window gives this order
//!     scan                       window
//!                                  scan
//! ```

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, LimitOptions};
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};

use crate::tree;

/// Takes the cut out of sorts of windows.
#[derive(Debug)]
pub(crate) struct LimitsAboveWindows;

impl PhysicalOptimizerRule for LimitsAboveWindows {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_up(plan, &mut |node| {
            let Some(sort) = node.downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(node));
            };
            let (Some(fetch), true) =
                (sort.fetch(), tree::exists(&node, &mut |below| Ok(is_window(below)))?)
            else {
                return Ok(Transformed::no(node));
            };
            let whole = Arc::new(sort.with_fetch(None));
            Ok(Transformed::yes(Arc::new(GlobalLimitExec::new(whole, 0, Some(fetch))) as _))
        })
        .data()
    }

    fn name(&self) -> &str {
        "limits_above_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn is_window(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>()
}

/// Takes the limit out of groupings that cannot stop at it. It is put into one whose input comes in no order; where
/// it comes in one at last, as from a window, the grouping would need to know in which order its groups are wanted.
#[derive(Debug)]
pub(crate) struct LimitsOfGroups;

impl PhysicalOptimizerRule for LimitsOfGroups {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        tree::transform_up(plan, &mut |node| {
            let Some(groups) = node.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(node));
            };
            let directed = |limit: LimitOptions| limit.descending.is_some();
            let stops = groups.is_unordered_unfiltered_group_by_distinct()
                || groups.get_minmax_desc().is_some();
            match groups.limit_options() {
                Some(limit) if !stops && !directed(limit) => {
                    Ok(Transformed::yes(Arc::new(groups.with_new_limit_options(None)) as _))
                }
                _ => Ok(Transformed::no(node)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "limits_of_groups"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
