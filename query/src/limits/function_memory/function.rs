//! The bounded function. The size of its result is predicted from its arguments: a small result is computed at once, a
//! large one in pieces of a few rows, between which the statement can be stopped, and one that is too large is refused
//! before it is computed.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{ExprSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::udf_eq::UdfEq;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, StructFieldMapping,
};

use super::call::is_wide;
use super::extent::{Argument, bytes_of};
use super::formula;
use super::function_limits::FunctionLimits;
use super::pace::Pace;
use super::rule;
use crate::errors::external;
use crate::limits::planning::sizes;

/// A function whose result is bounded and counted.
#[derive(Debug)]
pub(super) struct Bounded {
    pub(super) inner: UdfEq<Arc<dyn ScalarUDFImpl>>,
    pub(super) pace: Pace,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Bounded {
    pub(super) fn new(inner: Arc<dyn ScalarUDFImpl>) -> Self {
        Self { inner: inner.into(), pace: Pace::default() }
    }
}

/// Functions whose values are the columns that they are given.
const SHARING: [&str; 2] = ["named_struct", "struct"];

#[warn(clippy::missing_trait_methods)]
impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        #[expect(deprecated)]
        self.inner.display_name(args)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        self.inner.with_updated_config(config).map(|updated| rule::bounded(&updated))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        sizes::check_type(self.name(), field.data_type()).map_err(external)?;
        Ok(field)
    }

    fn is_nullable(&self, args: &[Expr], schema: &dyn ExprSchema) -> bool {
        #[expect(deprecated)]
        self.inner.is_nullable(args, schema)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        static OTHERWISE: LazyLock<FunctionLimits> = LazyLock::new(FunctionLimits::default);
        if SHARING.contains(&self.name()) {
            return self.inner.invoke_with_args(args);
        }
        let options = Arc::clone(&args.config_options);
        let function_limits = FunctionLimits::of(&options).unwrap_or(&OTHERWISE);
        let rows = args.number_rows;
        let is_wide = is_wide(args.return_field.data_type());
        let arguments: Vec<_> = args.args.iter().map(Argument::new).collect();
        if arguments.iter().all(|of| matches!(of, Argument::Shared(_))) {
            if !is_wide && formula::of(self.name()).is_none() {
                drop(arguments);
                return self.inner.invoke_with_args(args);
            }
            let values = args.args.clone();
            let arguments: Vec<_> = values.iter().map(Argument::new).collect();
            return self.of_values(function_limits, &arguments, args);
        }
        function_limits.go_on()?;
        let given = args.args.iter().map(|value| match value {
            ColumnarValue::Array(column) => bytes_of(column),
            ColumnarValue::Scalar(_) => 0,
        });
        let given: u64 = given.sum();
        let row_bytes = given / rows.max(1) as u64;
        let is_little = self.is_little(&arguments, rows);
        if rows == 0 || is_little && rows <= self.pace.rows(row_bytes) {
            drop(arguments);
            return match self.pace.call(rows, row_bytes, || self.inner.invoke_with_args(args))? {
                ColumnarValue::Array(column) if is_wide => {
                    function_limits.counted(self.name(), column).map(ColumnarValue::Array)
                }
                made => Ok(made),
            };
        }
        let pieces = if is_little {
            vec![(0..rows, 0)]
        } else {
            self.pieces(function_limits, &arguments, &args, rows)?
        };
        drop(arguments);
        self.in_pieces(function_limits, &args, pieces, given).map(ColumnarValue::Array)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(args, info)? {
            ExprSimplifyResult::Simplified(expr) => {
                ExprSimplifyResult::Simplified(rule::functions(expr)?.data)
            }
            original => original,
        })
    }

    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.inner.preimage(args, literal, info)
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(input)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn struct_field_mapping(&self, args: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.inner.struct_field_mapping(args)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        // `sqrt`, `ln` and others know their order where they have values, and give an error for a column that may
        // have others: the planner then takes no column for sorted by them, not even one that it sorted so.
        Ok(self.inner.output_ordering(inputs).unwrap_or(SortProperties::Unordered))
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{Field, Int64Type};
    use datafusion::logical_expr::{ColumnarValue, Volatility};
    use parking_lot::Mutex;

    use super::*;

    /// Doubles numbers, sleeping a while for each.
    #[derive(Debug)]
    struct Doubled {
        signature: Signature,
        each: Duration,
        calls: Mutex<Vec<usize>>,
    }

    impl PartialEq for Doubled {
        fn eq(&self, other: &Self) -> bool {
            self.each == other.each
        }
    }

    impl Eq for Doubled {}

    impl Hash for Doubled {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.each.hash(state);
        }
    }

    impl ScalarUDFImpl for Doubled {
        fn name(&self) -> &str {
            "doubled"
        }

        fn signature(&self) -> &Signature {
            &self.signature
        }

        fn return_type(&self, _: &[DataType]) -> Result<DataType> {
            Ok(DataType::Int64)
        }

        fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
            self.calls.lock().push(args.number_rows);
            thread::sleep(self.each * args.number_rows as u32);
            let numbers = args.args[0].to_array(args.number_rows)?;
            let doubled = numbers.as_primitive::<Int64Type>().unary::<_, Int64Type>(|n| 2 * n);
            Ok(ColumnarValue::Array(Arc::new(doubled)))
        }
    }

    /// The sizes of calls for 100 rows.
    fn calls(each: Duration) -> Vec<usize> {
        let signature = Signature::exact(vec![DataType::Int64], Volatility::Immutable);
        let doubled = Arc::new(Doubled { signature, each, calls: Mutex::default() });
        let bounded = Bounded::new(Arc::clone(&doubled) as _);
        let field = Arc::new(Field::new("n", DataType::Int64, true));
        let made = bounded.invoke_with_args(ScalarFunctionArgs {
            args: vec![ColumnarValue::Array(Arc::new(Int64Array::from_iter_values(0..100)))],
            arg_fields: vec![Arc::clone(&field)],
            number_rows: 100,
            return_field: field,
            config_options: Arc::default(),
        });
        let made = made.unwrap().into_array(100).unwrap();
        assert_eq!(*made.as_primitive(), Int64Array::from_iter_values((0..100).map(|n| 2 * n)));
        doubled.calls.lock().clone()
    }

    #[test]
    fn a_slow_function_takes_few_rows_at_a_time() {
        let calls = calls(Duration::from_millis(1));
        assert_eq!(calls.len(), 1 + 68, "{calls:?}");
        assert_eq!(calls[1..], [1; 68]);
    }
}
