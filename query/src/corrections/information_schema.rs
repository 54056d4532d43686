//! Names of where a session is, and the tables of `information_schema`, which count from 1 as the standard does.
//!
//! DataFusion 55.2 counts their columns from 0, and has no `current_schema()`.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::functions::math::signum;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;

use crate::table::catalog::{CATALOG, PUBLIC_SCHEMA};
use crate::tree;

/// Names of columns that count from 0 in the planner's own tables.
const COUNTING: &str = "ordinal_position";
const SCHEMA: &str = "information_schema";

/// Functions that other databases have under these names.
pub(crate) fn functions() -> Vec<ScalarUDF> {
    let place = |name, value| {
        ScalarUDF::from(Place { name, value, signature: Signature::nullary(Volatility::Immutable) })
    };
    vec![
        place("current_schema", PUBLIC_SCHEMA),
        place("current_database", CATALOG),
        place("current_catalog", CATALOG),
        signum().as_ref().clone().with_aliases(["sign"]),
    ]
}

/// A name that is the same for everybody.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Place {
    name: &'static str,
    value: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Place {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::from(self.value)))
    }
}

/// Counts columns and parameters from 1.
#[derive(Debug)]
pub(crate) struct OrdinalsFromOne;

impl AnalyzerRule for OrdinalsFromOne {
    fn name(&self) -> &str {
        "counted_from_one"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        tree::transform_up_with_subqueries(plan, &mut |plan| match plan {
            LogicalPlan::TableScan(scan) if counts(&scan) => {
                let columns: Vec<_> = scan.projected_schema.columns();
                let columns = columns.into_iter().map(counted);
                LogicalPlanBuilder::from(LogicalPlan::TableScan(scan))
                    .project(columns.collect::<Vec<_>>())?
                    .build()
                    .map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
    }
}

fn counts(scan: &datafusion::logical_expr::TableScan) -> bool {
    scan.table_name.schema() == Some(SCHEMA)
        && scan.table_name.table() == "columns"
        && scan.projected_schema.columns().iter().any(|column| column.name() == COUNTING)
}

fn counted(column: Column) -> Expr {
    if column.name() != COUNTING {
        return Expr::Column(column);
    }
    let (relation, name) = (column.relation.clone(), column.name.clone());
    (Expr::Column(column) + lit(1_u64)).alias_qualified(relation, name)
}
