//! Calls of a bounded function: the ranges of rows that are computed together, and the accounting of their results.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::regex::regexp_count;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl};

use super::extent::{Argument, Extent, bytes_of};
use super::formula::{self, Formula};
use super::function::Bounded;
use super::function_limits::FunctionLimits;
use crate::errors::external;

/// Bytes that a function with a formula produces at a time.
const PIECE: u64 = 8 << 20;
/// Bytes that any other function produces at a time.
const LINEAR_PIECE: u64 = 32 << 20;

impl Bounded {
    /// Whether the whole column is known to take little memory.
    pub(super) fn is_little(&self, arguments: &[Argument<'_>], rows: usize) -> bool {
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

    /// The ranges of rows that are computed together.
    pub(super) fn pieces(
        &self,
        function_limits: &FunctionLimits,
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
            if let Some(formula) =
                formula.filter(|_| is_wide && more > function_limits.value_bytes())
            {
                more = self.exact(formula, &row_extents, args, row)?.unwrap_or(more);
                if more > function_limits.value_bytes() {
                    return Err(external(function_limits.refused(self.name(), more)));
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

    /// Bytes of a row that do not follow from the sizes of its arguments.
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

    pub(super) fn in_pieces(
        &self,
        function_limits: &FunctionLimits,
        args: &ScalarFunctionArgs,
        pieces: Vec<(Range<usize>, u64)>,
        given: u64,
    ) -> Result<ArrayRef> {
        let rows = args.number_rows;
        let row_bytes = given / rows.max(1) as u64;
        let most = function_limits.column_bytes(given);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(pieces.len());
        let mut bytes = 0_u64;
        for (range, foretold) in pieces {
            let _making = function_limits.reserve(self.name(), foretold)?;
            let mut from = range.start;
            while from < range.end {
                function_limits.go_on()?;
                let count = self.pace.rows(row_bytes).min(range.end - from);
                let made = self.pace.call(count, row_bytes, || self.of_rows(args, from, count))?;
                bytes = bytes.saturating_add(bytes_of(&made));
                if bytes > most {
                    return Err(external(function_limits.refused_column(self.name(), bytes, rows)));
                }
                let largest = largest(&made);
                if largest > function_limits.value_bytes().max(given) {
                    return Err(external(function_limits.refused(self.name(), largest)));
                }
                columns.push(function_limits.counted(self.name(), made)?);
                from += count;
            }
        }
        if let [column] = columns.as_slice() {
            return Ok(Arc::clone(column));
        }
        let _making = function_limits.reserve(self.name(), bytes)?;
        let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
        function_limits.counted(self.name(), concat(&columns)?)
    }

    /// The result for `count` rows beginning with row `from`.
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
    pub(super) fn of_values(
        &self,
        function_limits: &FunctionLimits,
        arguments: &[Argument<'_>],
        args: ScalarFunctionArgs,
    ) -> Result<ColumnarValue> {
        let mut making = None;
        if let Some((_, bytes)) = self.pieces(function_limits, arguments, &args, 1)?.first() {
            function_limits.go_on()?;
            making = function_limits.reserve(self.name(), *bytes)?;
        }
        let rows = args.number_rows;
        let made = self.inner.invoke_with_args(args)?;
        drop(making);
        match made {
            ColumnarValue::Scalar(value) => {
                let bytes = Argument::new(&ColumnarValue::Scalar(value.clone())).row(0).bytes;
                if bytes > function_limits.value_bytes() {
                    return Err(external(function_limits.refused(self.name(), bytes)));
                }
                let all = bytes.saturating_mul(rows as u64);
                if all > function_limits.column_bytes(0) {
                    return Err(external(function_limits.refused_column(self.name(), all, rows)));
                }
                Ok(ColumnarValue::Scalar(value))
            }
            ColumnarValue::Array(column) => {
                let largest = largest(&column);
                if is_wide(column.data_type()) && largest > function_limits.value_bytes() {
                    return Err(external(function_limits.refused(self.name(), largest)));
                }
                function_limits.counted(self.name(), column).map(ColumnarValue::Array)
            }
        }
    }
}

/// The bytes of the largest value of a column.
fn largest(column: &ArrayRef) -> u64 {
    Argument::Column(column).largest(column.len()).bytes
}

/// Number of matches of a pattern in a text.
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

/// Whether values of a type have no fixed size.
pub(super) fn is_wide(data_type: &DataType) -> bool {
    data_type.primitive_width().is_none()
        && !matches!(data_type, DataType::Null | DataType::Boolean)
}
