//! A function under bounds. What it makes is foretold from its arguments: little is made at once, much in pieces of
//! a few rows, between which the statement can be stopped, and too much is refused before it is made.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ExprSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::functions::regex::regexp_count;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::udf_eq::UdfEq;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, StructFieldMapping,
};

use super::super::errors::external;
use super::super::planning::sizes;
use super::allowance::Allowance;
use super::extent::{Argument, Extent, bytes_of};
use super::formula::{self, Formula};
use super::pace::Pace;
use super::rule;

/// Bytes that a function with a formula makes at a time.
const PIECE: u64 = 8 << 20;
/// Bytes that any other function makes at a time.
const LINEAR_PIECE: u64 = 32 << 20;

/// A function, its result bounded and counted.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: UdfEq<Arc<dyn ScalarUDFImpl>>,
    pace: Pace,
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

    /// Whether what the whole column takes is known to be little.
    fn is_little(&self, arguments: &[Argument<'_>], rows: usize) -> bool {
        match formula::of(self.name()) {
            Some(formula) => {
                if matches!(self.name(), "range" | "generate_series") {
                    return false;
                }
                let largest: Vec<_> = arguments.iter().map(|of| of.largest(rows)).collect();
                (formula.bytes)(&largest).saturating_mul(rows as u64) <= PIECE
            }
            None => {
                let bytes = arguments.iter().map(|of| of.bytes(rows)).fold(0, u64::saturating_add);
                formula::linear_of(bytes) <= LINEAR_PIECE
            }
        }
    }

    /// Which rows are made together.
    fn pieces(
        &self,
        allowance: &Allowance,
        arguments: &[Argument<'_>],
        args: &ScalarFunctionArgs,
        rows: usize,
    ) -> Result<Vec<(Range<usize>, u64)>> {
        let formula = formula::of(self.name());
        let piece = if formula.is_some() { PIECE } else { LINEAR_PIECE };
        let is_wide = is_wide(args.return_field.data_type());
        let (mut pieces, mut from, mut bytes) = (Vec::new(), 0, 0_u64);
        let mut row_extents = vec![Extent::default(); arguments.len()];
        for row in 0..rows {
            for (extent, argument) in row_extents.iter_mut().zip(arguments) {
                *extent = argument.row(row);
            }
            let mut more = formula.map_or_else(
                || formula::linear(&row_extents),
                |formula| (formula.bytes)(&row_extents),
            );
            if let Some(formula) = formula.filter(|_| is_wide && more > allowance.value_bytes()) {
                more = self.exact(formula, &row_extents, args, row)?.unwrap_or(more);
                if more > allowance.value_bytes() {
                    return Err(external(allowance.refused(self.name(), more)));
                }
            }
            if row > from && bytes.saturating_add(more) > piece {
                pieces.push((from..row, bytes));
                (from, bytes) = (row, 0);
            }
            bytes = bytes.saturating_add(more);
        }
        pieces.push((from..rows, bytes));
        Ok(pieces)
    }

    /// The bytes of a row, where they are not to be had from the extents of its arguments.
    fn exact(
        &self,
        formula: &Formula,
        extents: &[Extent],
        args: &ScalarFunctionArgs,
        row: usize,
    ) -> Result<Option<u64>> {
        if formula.close {
            return Ok(None);
        }
        let value = |at: usize| -> Result<Option<ScalarValue>> {
            match args.args.get(at) {
                Some(ColumnarValue::Scalar(value)) => Ok(Some(value.clone())),
                Some(ColumnarValue::Array(column)) => {
                    ScalarValue::try_from_array(column, row).map(Some)
                }
                None => Ok(None),
            }
        };
        let (Some(text), Some(pattern)) = (value(0)?, value(1)?) else { return Ok(None) };
        let by = extents.get(2).map_or(0, |by| by.bytes);
        let length = extents.first().map_or(0, |text| text.bytes);
        let (places, groups) = match self.name() {
            "replace" => {
                let (Some(Some(text)), Some(Some(pattern))) =
                    (text.try_as_str(), pattern.try_as_str())
                else {
                    return Ok(None);
                };
                (text.matches(pattern).count() as u64, 0)
            }
            "regexp_replace" => {
                let flags = value(3)?;
                let flags = flags.as_ref().and_then(ScalarValue::try_as_str).flatten();
                let flags = flags.unwrap_or_default();
                let groups = value(2)?
                    .and_then(|by| {
                        by.try_as_str().flatten().map(|by| by.matches(['\\', '$']).count())
                    })
                    .unwrap_or_default() as u64;
                let places =
                    if flags.contains('g') { places(text, pattern, flags)? } else { Some(1) };
                let Some(places) = places else { return Ok(None) };
                (places, groups)
            }
            _ => return Ok(None),
        };
        let made = places.saturating_mul(by).saturating_add(groups.saturating_mul(length));
        Ok(Some(made.saturating_add(length)))
    }

    fn in_pieces(
        &self,
        allowance: &Allowance,
        args: &ScalarFunctionArgs,
        pieces: Vec<(Range<usize>, u64)>,
        given: u64,
    ) -> Result<ArrayRef> {
        let rows = args.number_rows;
        let row_bytes = given / rows.max(1) as u64;
        let most = allowance.column_bytes(given);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(pieces.len());
        let mut bytes = 0_u64;
        for (range, foretold) in pieces {
            let _making = allowance.reserve(self.name(), foretold)?;
            let mut from = range.start;
            while from < range.end {
                allowance.go_on()?;
                let count = self.pace.rows(row_bytes).min(range.end - from);
                let made = self.pace.call(count, row_bytes, || self.of_rows(args, from, count))?;
                bytes = bytes.saturating_add(bytes_of(&made));
                if bytes > most {
                    return Err(external(allowance.refused_column(self.name(), bytes, rows)));
                }
                let largest = largest(&made);
                if largest > allowance.value_bytes().max(given) {
                    return Err(external(allowance.refused(self.name(), largest)));
                }
                columns.push(allowance.counted(self.name(), made)?);
                from += count;
            }
        }
        if let [column] = columns.as_slice() {
            return Ok(Arc::clone(column));
        }
        let _making = allowance.reserve(self.name(), bytes)?;
        let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        allowance.counted(self.name(), concat(&columns)?)
    }

    /// The result for `count` rows from one on.
    fn of_rows(&self, args: &ScalarFunctionArgs, from: usize, count: usize) -> Result<ArrayRef> {
        let part = args.args.iter().map(|value| match value {
            ColumnarValue::Array(column) => ColumnarValue::Array(column.slice(from, count)),
            scalar => scalar.clone(),
        });
        let part = ScalarFunctionArgs {
            args: part.collect(),
            arg_fields: args.arg_fields.clone(),
            number_rows: count,
            return_field: Arc::clone(&args.return_field),
            config_options: Arc::clone(&args.config_options),
        };
        self.inner.invoke_with_args(part)?.into_array(count)
    }

    /// The result for a single row of values, or for rows without values.
    fn of_values(
        &self,
        allowance: &Allowance,
        arguments: &[Argument<'_>],
        args: ScalarFunctionArgs,
    ) -> Result<ColumnarValue> {
        let mut making = None;
        if let Some((_, bytes)) = self.pieces(allowance, arguments, &args, 1)?.first() {
            allowance.go_on()?;
            making = allowance.reserve(self.name(), *bytes)?;
        }
        let rows = args.number_rows;
        let made = self.inner.invoke_with_args(args)?;
        drop(making);
        match made {
            ColumnarValue::Scalar(value) => {
                let bytes = Argument::new(&ColumnarValue::Scalar(value.clone())).row(0).bytes;
                if bytes > allowance.value_bytes() {
                    return Err(external(allowance.refused(self.name(), bytes)));
                }
                let all = bytes.saturating_mul(rows as u64);
                if all > allowance.column_bytes(0) {
                    return Err(external(allowance.refused_column(self.name(), all, rows)));
                }
                Ok(ColumnarValue::Scalar(value))
            }
            ColumnarValue::Array(column) => {
                let largest = largest(&column);
                if is_wide(column.data_type()) && largest > allowance.value_bytes() {
                    return Err(external(allowance.refused(self.name(), largest)));
                }
                allowance.counted(self.name(), column).map(ColumnarValue::Array)
            }
        }
    }
}

/// The bytes of the largest value of a column.
fn largest(column: &ArrayRef) -> u64 {
    Argument::Column(column).largest(column.len()).bytes
}

/// How often a pattern is found in a text.
fn places(text: ScalarValue, pattern: ScalarValue, flags: &str) -> Result<Option<u64>> {
    let flags: String = flags.chars().filter(|flag| *flag != 'g').collect();
    let text_type = text.data_type();
    let values = [text, pattern.cast_to(&text_type)?, ScalarValue::Int64(Some(1))];
    let flags = (!flags.is_empty()).then(|| ScalarValue::from(flags.as_str()).cast_to(&text_type));
    let values: Vec<_> = values.into_iter().map(Ok).chain(flags).collect::<Result<_>>()?;
    let fields = values.iter().map(|of| Arc::new(Field::new("", of.data_type(), true)));
    let counted = regexp_count().invoke_with_args(ScalarFunctionArgs {
        arg_fields: fields.collect(),
        args: values.into_iter().map(ColumnarValue::Scalar).collect(),
        number_rows: 1,
        return_field: Arc::new(Field::new("", DataType::Int64, true)),
        config_options: Arc::default(),
    })?;
    let counted = counted.into_array(1)?;
    Ok(match ScalarValue::try_from_array(&counted, 0)? {
        ScalarValue::Int64(Some(count)) => u64::try_from(count).ok(),
        _ => None,
    })
}

/// Functions whose values are the columns that they are given.
const SHARING: [&str; 2] = ["named_struct", "struct"];

/// Whether values of a type have no fixed size.
fn is_wide(data_type: &DataType) -> bool {
    data_type.primitive_width().is_none()
        && !matches!(data_type, DataType::Null | DataType::Boolean)
}

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
        static OTHERWISE: LazyLock<Allowance> = LazyLock::new(Allowance::default);
        if SHARING.contains(&self.name()) {
            return self.inner.invoke_with_args(args);
        }
        let options = Arc::clone(&args.config_options);
        let allowance = Allowance::of(&options).unwrap_or(&OTHERWISE);
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
            return self.of_values(allowance, &arguments, args);
        }
        allowance.go_on()?;
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
                    allowance.counted(self.name(), column).map(ColumnarValue::Array)
                }
                made => Ok(made),
            };
        }
        let pieces = if is_little {
            vec![(0..rows, 0)]
        } else {
            self.pieces(allowance, &arguments, &args, rows)?
        };
        drop(arguments);
        self.in_pieces(allowance, &args, pieces, given).map(ColumnarValue::Array)
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
        self.inner.output_ordering(inputs)
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
    use arrow::datatypes::Int64Type;
    use datafusion::logical_expr::{ColumnarValue, Volatility};
    use parking_lot::Mutex;

    use super::*;

    /// Doubles numbers, and sleeps a while for each.
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
