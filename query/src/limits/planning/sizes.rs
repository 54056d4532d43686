//! Sizes that a short text can make large: types of structs in structs, and the sets of CUBE.

use arrow::datatypes::DataType;
use barograph_engine::{Error, Result};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan};

use crate::errors::{engine_error, external};
use crate::tree;

/// Most fields in the type of one column. Each use of a struct in another repeats its type wherever it is sent,
/// compared or printed: 30 columns that each use the one before twice have a type of 2³⁰ fields.
const FIELDS_MAX: usize = 10_000;
/// Most sets of GROUP BY; DataFusion has the same limit for sets that are written side by side.
const SETS_MAX: u64 = 4_096;

/// Refuses a plan that groups by too many sets.
///
/// # Errors
/// `Request` with what to write instead.
pub(crate) fn check_grouping(plan: &LogicalPlan) -> Result<()> {
    let checked = tree::apply_with_subqueries(plan, &mut |node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            aggregate.group_expr.iter().try_for_each(check_sets).map_err(external)?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    checked.map(|_| ()).map_err(engine_error)
}

/// Refuses a function whose values would have too large a type.
///
/// # Errors
/// `Request` that names the function.
pub(crate) fn check_type(function: &str, of: &DataType) -> Result<()> {
    let mut left = FIELDS_MAX;
    if fits(of, &mut left) {
        return Ok(());
    }
    Err(Error::request(format!(
        "{function}: its type would have more than {FIELDS_MAX} fields, those of structs in structs counted: make it \
         of the fields that are needed"
    )))
}

/// Whether the type has no more than `left` fields.
fn fits(of: &DataType, left: &mut usize) -> bool {
    let Some(fewer) = left.checked_sub(1) else { return false };
    *left = fewer;
    match of {
        DataType::Struct(fields) => fields.iter().all(|field| fits(field.data_type(), left)),
        DataType::Union(fields, _) => fields.iter().all(|(_, field)| fits(field.data_type(), left)),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => fits(item.data_type(), left),
        DataType::Dictionary(_, values) => fits(values, left),
        DataType::RunEndEncoded(_, values) => fits(values.data_type(), left),
        _ => true,
    }
}

fn check_sets(group: &Expr) -> Result<()> {
    let Expr::GroupingSet(GroupingSet::Cube(columns)) = group else { return Ok(()) };
    let sets = u32::try_from(columns.len()).ok().and_then(|count| 1_u64.checked_shl(count));
    if sets.is_some_and(|sets| sets <= SETS_MAX) {
        return Ok(());
    }
    let sets = sets.map_or_else(|| "more than 2⁶³".to_owned(), |sets| sets.to_string());
    Err(Error::request(format!(
        "CUBE of {} columns would group by {sets} sets: at most {SETS_MAX} are possible; write those that are needed \
         as GROUPING SETS",
        columns.len()
    )))
}
