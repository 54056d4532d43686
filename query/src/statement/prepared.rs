//! A prepared statement: its text, its plan as far as it is known before values are bound, and the columns of its answer.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::limits::bounds::Extent;
use crate::limits::stack::DeepPlan;
use crate::opaque::Opaque;
use crate::statement::deferred::Deferred;
use crate::statement::divide::AnswerPartition;
use crate::tree;

/// A statement that was parsed and whose names were resolved. It is cheap to clone and can be executed any number of
/// times, each time over the rows of that moment.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(crate) text: Arc<str>,
    pub(crate) plan: Opaque<DeepPlan>,
    pub(crate) schema: SchemaRef,
    pub(crate) parameters: SchemaRef,
    /// The statement with marks, if its plan depends on the values of parameters.
    pub(crate) deferred: Option<Opaque<Deferred>>,
    /// The partition of the answer that is requested, if not all.
    pub(crate) partition: Option<Arc<AnswerPartition>>,
    /// The optimized plan, if it is the same in every execution; made by the first.
    pub(crate) optimized: Option<Arc<OnceLock<Opaque<DeepPlan>>>>,
    pub(crate) extent: Extent,
}

impl Statement {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Columns of the answer. Some of them may have another type once values are bound.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The parameters `$1`, `$2` … in order. One whose type does not follow from its position is text, or a list of
    /// texts where it is a list.
    pub fn parameters(&self) -> SchemaRef {
        Arc::clone(&self.parameters)
    }

    /// The same statement, for one partition of its answer.
    pub fn of_partition(&self, partition: AnswerPartition) -> Self {
        Self { partition: Some(Arc::new(partition)), ..self.clone() }
    }

    /// Whether its plan is so large that making it again is better than keeping it.
    pub fn is_large(&self) -> bool {
        self.extent.takes_much()
    }

    /// What kind of statement it is, for logs.
    pub fn kind(&self) -> &'static str {
        match **self.plan {
            LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => "explain",
            _ => "query",
        }
    }

    /// Names of the tables that it reads, as far as they are known before values are bound.
    pub fn tables(&self) -> Vec<String> {
        let mut tables = Vec::new();
        let walked = tree::apply_with_subqueries(&self.plan, &mut |node| {
            if let LogicalPlan::TableScan(scan) = node {
                let name = scan.table_name.to_string();
                if !tables.contains(&name) {
                    tables.push(name);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        // A walk that only looks does not fail.
        walked.map_or_else(|_| Vec::new(), |_| tables)
    }

    /// Whether it returns rows, as every statement does that is not refused.
    pub fn is_query(&self) -> bool {
        !matches!(**self.plan, LogicalPlan::Dml(_) | LogicalPlan::Ddl(_) | LogicalPlan::Copy(_))
    }
}
