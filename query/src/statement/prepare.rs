//! Preparation of a statement: its text is parsed, checked and planned. Only reading is allowed, and an error about an
//! unknown name suggests the one that was probably meant.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use barograph_engine::{Error, Result};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility, cast};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::sql::parser::{DFParserBuilder, Statement as Parsed};
use datafusion::sql::sqlparser::ast::Statement as Ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::corrections::constant_arguments::FoldedConstants;
use crate::corrections::dialect;
use crate::corrections::distinct_order;
use crate::corrections::ignored_clauses;
use crate::corrections::intervals::IntervalOrder;
use crate::corrections::named_windows;
use crate::corrections::precedence;
use crate::corrections::single_precision::SinglePrecision;
use crate::corrections::spelling;
use crate::corrections::subqueries::Subqueries;
use crate::corrections::time_zones::ColumnTimeZones;
use crate::corrections::using_joins;
use crate::corrections::volatile_between::VolatileBetween;
use crate::errors::{engine_error, nearest, needs_names};
use crate::limits::bounds::{Bounds, Extent};
use crate::limits::planning::{PlanningSlots, sizes};
use crate::limits::stack::DeepPlan;
use crate::opaque::Opaque;
use crate::statement::bind;
use crate::statement::deferred::Deferred;
use crate::statement::prepared::Statement;
use crate::statement::session::columns;
use crate::table::catalog::{CATALOG, Catalog, PUBLIC_SCHEMA, SYSTEM_SCHEMA, TableEntry};
use crate::tree;

/// Longest text of a statement, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Prepares `text` as one statement.
pub(crate) async fn statement(
    state: &Opaque<SessionState>,
    bounds: &Bounds,
    planning_slots: &PlanningSlots,
    catalog: &Catalog,
    text: &str,
) -> Result<Statement> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::request(format!(
            "the statement has {} bytes: at most {TEXT_BYTES_MAX} are read; pass long lists as parameters or join with a table",
            text.len()
        )));
    }
    if text.trim().trim_end_matches(';').trim().is_empty() {
        return Err(Error::request("the statement is empty: write one, like SELECT 1"));
    }
    let mut parsed = parsed(bounds, text)?;
    refuse_writing(&parsed)?;
    let extent = understand(&mut parsed, bounds)?;
    let _turn = planning_slots.take(extent).await?;
    let mut calls_tables = false;
    for reference in state.resolve_table_references(&parsed).map_err(engine_error)? {
        if state.table_functions().contains_key(reference.table()) {
            calls_tables = true;
        } else {
            check_table(&reference, catalog)?;
        }
    }
    let deferred = Deferred::mark(state, &mut parsed, extent.depth)?.map(Opaque::new);
    let (plan, late) = match &deferred {
        Some(deferred) => deferred.sketch().await?,
        None => (planned(state, parsed, || named(bounds, text)).await?, BTreeMap::new()),
    };
    let reading =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(&plan).map_err(|error| only_reading(&engine_error(error).to_string()))?;
    let declared = declared(&plan)?;
    // What parameters are is known when they are bound.
    let plan = if declared.is_empty() { typed(plan)? } else { plan };
    let parameters = parameters(late, declared)?;
    let plan = without_views(plan)?;
    let schema = answered(&plan);
    // Arguments of a table function are values by now, and may be of now.
    let lasting = !calls_tables && deferred.is_none() && lasts(&plan).map_err(engine_error)?;
    let optimized = lasting.then(Arc::default);
    let (text, plan) = (text.into(), Opaque::new(DeepPlan::new(plan, extent.depth)));
    Ok(Statement { text, plan, schema, parameters, deferred, optimized, partition: None, extent })
}

/// The plan of a statement. Where the planner needs names of computed columns, they are given first.
pub(crate) async fn planned(
    state: &SessionState,
    parsed: Parsed,
    named: impl FnOnce() -> Result<Parsed>,
) -> Result<LogicalPlan> {
    let plan = match state.statement_to_plan(parsed).await {
        Err(error) if needs_names(&error) => state.statement_to_plan(named()?).await.or(Err(error)),
        plan => plan,
    };
    let plan = plan.and_then(using_joins::without_marks).map_err(engine_error)?;
    sizes::check_grouping(&plan)?;
    Ok(plan)
}

/// The one statement of a text.
fn parsed(bounds: &Bounds, text: &str) -> Result<Parsed> {
    let tokens = bounds.tokens(text)?;
    let parser = DFParserBuilder::new(tokens)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(bounds.recursion());
    let statements = parser.build().and_then(|mut parser| parser.parse_statements());
    let mut statements = statements.map_err(engine_error)?;
    match (statements.pop_front(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (Some(_), more) => Err(Error::request(format!(
            "the text has {} statements: send a single statement",
            more + 1
        ))),
        (None, _) => Err(Error::request("the statement is empty: write one, like SELECT 1")),
    }
}

/// Depth of a text.
#[cfg(test)]
pub(crate) fn measured(bounds: &Bounds, text: &str) -> Result<usize> {
    crate::limits::stack::within(bounds, || {
        Ok(understand(&mut parsed(bounds, text)?, bounds)?.depth)
    })
}

/// Whether a plan is the same in every execution: nothing in it depends on when it runs.
fn lasts(plan: &LogicalPlan) -> datafusion::common::Result<bool> {
    let mut lasting = !matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
    tree::apply_with_subqueries(plan, &mut |node| {
        tree::apply_expressions(node, &mut |expr| {
            tree::apply(expr, &mut |expr| {
                if let Expr::ScalarFunction(call) = expr {
                    lasting &= call.func.signature().volatility == Volatility::Immutable;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(lasting)
}

fn only_reading(what: &str) -> Error {
    Error::request(format!(
        "{what}: SQL only reads here. Rows are appended by Flight DoPut, by a driver's bulk ingest \
         (CommandStatementIngest) or by `barograph import`; tables are declared in the settings"
    ))
}

fn refuse_writing(parsed: &Parsed) -> Result<()> {
    let ast = match parsed {
        Parsed::Statement(ast) => ast.as_ref(),
        Parsed::Explain(explain) => return refuse_writing(&explain.statement),
        Parsed::CreateExternalTable(_) => return Err(only_reading("CREATE EXTERNAL TABLE")),
        Parsed::CopyTo(_) => return Err(only_reading("COPY")),
        Parsed::Reset(_) => return Err(no_variables("RESET")),
    };
    match ast {
        Ast::Query(_)
        | Ast::Explain { .. }
        | Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowVariables { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowCreate { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowDatabases { .. } => Ok(()),
        Ast::Set(_) => Err(no_variables("SET")),
        Ast::StartTransaction { .. }
        | Ast::Commit { .. }
        | Ast::Rollback { .. }
        | Ast::Savepoint { .. } => Err(Error::request(
            "there are no transactions: every query sees one instant of all tables by itself",
        )),
        Ast::Prepare { .. } | Ast::Execute { .. } | Ast::Deallocate { .. } => Err(Error::request(
            "PREPARE, EXECUTE and DEALLOCATE are not supported: prepare statements through the driver",
        )),
        other => {
            let text = other.to_string();
            let words: Vec<_> = text.split_whitespace().take(2).collect();
            Err(only_reading(&words.join(" ")))
        }
    }
}

/// Applies the corrections of dialect and numbers the parameters; returns depth and size.
fn understand(parsed: &mut Parsed, bounds: &Bounds) -> Result<Extent> {
    match parsed {
        Parsed::Statement(ast) => {
            let extent = bounds.check_tree(ast.as_mut())?;
            spelling::limit(ast)?;
            distinct_order::by_place(ast)?;
            ignored_clauses::refuse(ast)?;
            precedence::restore(ast.as_mut())?;
            named_windows::write_out(ast)?;
            dialect::translate(ast)?;
            using_joins::nest(ast)?;
            bind::number(ast)?;
            Ok(extent)
        }
        Parsed::Explain(explain) => understand(&mut explain.statement, bounds),
        _ => Ok(Extent::default()),
    }
}

/// The statement of a text, with a name for each computed column.
fn named(bounds: &Bounds, text: &str) -> Result<Parsed> {
    let mut parsed = parsed(bounds, text)?;
    understand(&mut parsed, bounds)?;
    name_columns(&mut parsed)?;
    Ok(parsed)
}

/// Gives each computed column a name.
pub(crate) fn name_columns(parsed: &mut Parsed) -> Result<()> {
    let mut inner = parsed;
    while let Parsed::Explain(explain) = inner {
        inner = &mut explain.statement;
    }
    match inner {
        Parsed::Statement(ast) => spelling::name(ast),
        _ => Ok(()),
    }
}

fn no_variables(word: &str) -> Error {
    Error::request(format!(
        "{word} is not supported: set timeout and time zone as options of the Flight SQL session"
    ))
}

/// Checks that a table exists; otherwise suggests the name that was probably meant.
fn check_table(reference: &TableReference, of: &Catalog) -> Result<()> {
    let tables = of.entries();
    let catalog = reference.catalog().unwrap_or(CATALOG);
    let schema = reference.schema().unwrap_or(PUBLIC_SCHEMA);
    if schema == "information_schema" {
        return Ok(());
    }
    let name = reference.table();
    if let Some(hidden) = of.hidden().iter().find(|hidden| hidden.name == schema) {
        let names = hidden.names();
        return match names.iter().any(|of| of == name) {
            true => Ok(()),
            false => Err(Error::request(format!(
                "there is no table {reference}: in {schema} there are {}",
                names.join(", ")
            ))),
        };
    }
    let is = |entry: &&TableEntry| entry.name == name && entry.schema == schema;
    if catalog == CATALOG && tables.iter().any(|entry| is(&entry)) {
        return Ok(());
    }
    let full = |entry: &TableEntry| match entry.schema.as_str() {
        PUBLIC_SCHEMA => entry.name.clone(),
        _ => format!("{}.{}", entry.schema, entry.name),
    };
    let here: Vec<_> = tables.iter().filter(|entry| entry.schema == schema).collect();
    let names: Vec<_> = here.iter().map(|entry| entry.name.as_str()).collect();
    let elsewhere = tables.iter().find(|entry| entry.name == name && entry.schema != schema);
    let near = nearest(name, &names).and_then(|near| here.iter().find(|entry| entry.name == near));
    let hint = match near.copied().or(elsewhere) {
        Some(entry) => format!("did you mean {}?", full(entry)),
        None => {
            let all: Vec<_> =
                tables.iter().filter(|e| e.schema != SYSTEM_SCHEMA).map(full).collect();
            format!("there are {}, and the schemas system and information_schema", all.join(", "))
        }
    };
    Err(Error::request(format!("there is no table {reference}: {hint}")))
}

/// The parameters of a plan by number.
pub(crate) fn declared(plan: &LogicalPlan) -> Result<BTreeMap<usize, Field>> {
    let named = plan.get_parameter_fields().map_err(engine_error)?;
    let declare = |(name, field): (String, Option<FieldRef>)| {
        let number: usize = name.trim_start_matches('$').parse().map_err(|_| {
            Error::request(format!("parameter {name}: parameters are numbered, $1, $2 … or ?"))
        })?;
        let name = format!("${number}");
        Ok(match field.filter(|field| *field.data_type() != DataType::Null) {
            Some(field) => (number, Field::new(name, plain(field.data_type()), true)),
            None => (number, bind::untyped(Field::new(name, DataType::Utf8, true))),
        })
    };
    named.into_iter().map(declare).collect()
}

/// The parameters as a schema, `$1` first; of several types for one, the last holds.
fn parameters(
    mut numbered: BTreeMap<usize, Field>,
    declared: BTreeMap<usize, Field>,
) -> Result<SchemaRef> {
    numbered.extend(declared);
    for (at, number) in numbered.keys().enumerate() {
        if *number != at + 1 {
            return Err(Error::request(format!(
                "parameter ${number} stands without ${}: number them from 1 without gaps",
                at + 1
            )));
        }
    }
    Ok(columns(numbered.into_values().collect()))
}

/// The plan with the types that its columns will have. The planner gives CASE and UNION the type of their first part,
/// and finds the type common to all parts only when the plan is to be run.
pub(crate) fn typed(plan: LogicalPlan) -> Result<LogicalPlan> {
    static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(ConfigOptions::default);
    let meant: [&dyn AnalyzerRule; 5] =
        [&VolatileBetween, &Subqueries, &IntervalOrder, &SinglePrecision, &ColumnTimeZones];
    let plan = meant.into_iter().try_fold(plan, |plan, rule| rule.analyze(plan, &OPTIONS));
    let plan = plan.map_err(engine_error)?;
    let plan = TypeCoercion::new().analyze(plan, &OPTIONS);
    plan.and_then(|plan| FoldedConstants.analyze(plan, &OPTIONS)).map_err(engine_error)
}

/// The columns of a plan's answer. Any of them may be null: a window without rows has nothing to count, and
/// another execution has other values.
pub(crate) fn answered(plan: &LogicalPlan) -> SchemaRef {
    let nullable = |field: &FieldRef| Field::clone(field).with_nullable(true);
    columns(plan.schema().fields().iter().map(nullable).collect())
}

/// The plan with an answer that old drivers can read: text and bytes as themselves, not as views.
pub(crate) fn without_views(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let has_views =
        schema.fields().iter().any(|field| plain(field.data_type()) != *field.data_type());
    if !has_views || matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match plain(field.data_type()) {
            same if same == *field.data_type() => column,
            other => cast(column, other).alias_qualified(qualifier.cloned(), field.name()),
        }
    });
    LogicalPlanBuilder::from(plan)
        .project(columns.collect::<Vec<_>>())
        .and_then(LogicalPlanBuilder::build)
        .map_err(engine_error)
}

/// The type without views.
fn plain(of: &DataType) -> DataType {
    let field = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())))
    };
    match of {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) => DataType::List(field(item)),
        DataType::LargeList(item) => DataType::LargeList(field(item)),
        DataType::ListView(item) => DataType::List(field(item)),
        DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect::<Fields>()),
        other => other.clone(),
    }
}
