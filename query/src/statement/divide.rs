//! Division of an answer into partitions, each of which is fetched separately.
//!
//! Where a plan works range by range of the keys, from its only scan of a declared table up to its last node, the
//! statement over the rows of one range gives that range's partition of the answer:
//!
//! ```text
//! keys …1999   scan ─► filter ─► mean by key ─┐ partition 0
//! keys 2000…   scan ─► filter ─► mean by key ─┘ partition 1, whose rows follow
//! ```
//!
//! All partitions see one view and one clock, whenever they are fetched.

use std::sync::Arc;

use barograph_engine::View;
use barograph_lake::{Key, Timestamp};
use datafusion::common::JoinType;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::table::exec::ScanExec;

/// What the partitions of an answer have in common, and where they begin.
#[derive(Debug, Clone)]
pub struct Division {
    /// The table that is scanned.
    pub table: String,
    /// The rows of the table that all partitions see.
    pub view: Arc<View>,
    /// The value of `now()` in all partitions.
    pub now: Timestamp,
    /// First keys of all partitions but the first, ascending.
    pub starts: Vec<Key>,
}

/// One partition of a divided answer.
#[derive(Debug, Clone)]
pub struct AnswerPartition {
    /// The table that is scanned.
    pub table: String,
    /// The rows of the table that the partition sees.
    pub view: Arc<View>,
    /// The value of `now()`.
    pub now: Timestamp,
    /// First and last key of the partition.
    pub keys: (Key, Key),
}

/// First and last key of every partition.
pub fn key_ranges(starts: &[Key]) -> impl Iterator<Item = (Key, Key)> {
    let from = std::iter::once(Key::MIN).chain(starts.iter().copied());
    let to = starts.iter().map(|start| start.previous()).chain([Key::MAX]);
    from.zip(to)
}

/// The scan whose partitions divide the answer of `plan`, if they do.
pub(crate) fn divided(plan: &Arc<dyn ExecutionPlan>) -> Option<&ScanExec> {
    let mut node = match plan.downcast_ref::<SortPreservingMergeExec>() {
        Some(merge) if in_turn(merge) => merge.input(),
        _ => plan,
    };
    loop {
        if let Some(scan) = node.downcast_ref::<ScanExec>() {
            return (scan.plan.partitions().len() > 1).then_some(scan);
        }
        if node.fetch().is_some() || node.is::<RepartitionExec>() {
            return None;
        }
        let child = match node.downcast_ref::<HashJoinExec>() {
            Some(join) if is_lookup(join) => join.right(),
            _ => only(node.children())?,
        };
        if count(child) != count(node) {
            return None;
        }
        node = child;
    }
}

/// Whether a merge of ranges returns one range after the other.
fn in_turn(merge: &SortPreservingMergeExec) -> bool {
    let first = merge.expr().first();
    match merge.input().output_partitioning() {
        Partitioning::Range(ranges) => {
            merge.fetch().is_none() && ranges.ordering().first() == first
        }
        _ => false,
    }
}

/// Whether a join looks up what belongs to each row of its right side, and its left side is no part of a declared
/// table.
fn is_lookup(join: &HashJoinExec) -> bool {
    let by_row = [JoinType::Inner, JoinType::Right, JoinType::RightSemi, JoinType::RightAnti];
    *join.partition_mode() == PartitionMode::CollectLeft
        && by_row.contains(join.join_type())
        && !scans(join.left())
}

fn scans(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ScanExec>() || plan.children().into_iter().any(scans)
}

fn only(children: Vec<&Arc<dyn ExecutionPlan>>) -> Option<&Arc<dyn ExecutionPlan>> {
    match children[..] {
        [child] => Some(child),
        _ => None,
    }
}

fn count(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_and_cover_everything() {
        let ranges: Vec<_> = key_ranges(&[5, 9].map(Key::new)).collect();
        let [four, five, eight, nine] = [4, 5, 8, 9].map(Key::new);
        assert_eq!(ranges, [(Key::MIN, four), (five, eight), (nine, Key::MAX)]);
        assert_eq!(key_ranges(&[]).collect::<Vec<_>>(), [(Key::MIN, Key::MAX)]);
    }
}
