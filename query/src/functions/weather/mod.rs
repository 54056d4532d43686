//! Weather formulas as SQL functions. One struct serves them all: a formula, its kernel over columns and its reference.
//!
//! ```text
//! temperature  f32 │ 31.0 │ null │ 35.5        null where any argument is null,
//! humidity     f32 │ 60.0 │ 55.0 │ 40.0   ──►  f32 where all arguments are f32 or small integers,
//! heat_index   f32 │ 34.4 │ null │ 38.2        f64 otherwise
//! ```

mod entries;
mod formula;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

use super::reference::Entry;

/// A formula over whole columns of one float type: values, and where they are defined.
type Kernel<T> = fn(&[&[T]]) -> (Vec<T>, Option<BooleanBuffer>);

/// A weather function.
#[derive(Debug)]
struct Weather {
    entry: &'static Entry,
    documentation: Documentation,
    signature: Signature,
    single: Kernel<f32>,
    double: Kernel<f64>,
}

/// Every weather function of one row.
pub(super) fn functions() -> Result<Vec<(&'static Entry, ScalarUDF)>> {
    macro_rules! pair {
        ($entry:ident, $formula:ident) => {
            Weather::function(
                &entries::$entry,
                |c| (two(c, formula::$formula), None),
                |c| (two(c, formula::$formula), None),
            )
        };
        ($entry:ident, $formula:ident, $defined:ident) => {
            Weather::function(
                &entries::$entry,
                |c| (two(c, formula::$formula), Some(defined(c, formula::$defined))),
                |c| (two(c, formula::$formula), Some(defined(c, formula::$defined))),
            )
        };
    }
    macro_rules! triple {
        ($entry:ident, $formula:ident) => {
            Weather::function(
                &entries::$entry,
                |c| (three(c, formula::$formula), None),
                |c| (three(c, formula::$formula), None),
            )
        };
    }
    Ok(vec![
        pair!(HEAT_INDEX, heat_index)?,
        pair!(HEAT_INDEX_ROTHFUSZ, rothfusz)?,
        pair!(DEW_POINT, dew_point, dew_point_is_defined)?,
        pair!(WIND_CHILL, wind_chill, wind_chill_is_defined)?,
        triple!(APPARENT_TEMPERATURE, apparent_temperature)?,
        triple!(SEA_LEVEL_PRESSURE, sea_level_pressure)?,
        pair!(WIND_U, wind_u)?,
        pair!(WIND_V, wind_v)?,
    ])
}

/// A float that is computed as f64.
trait Float: Copy + Default {
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
}

impl Float for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value as f32
    }
}

impl Float for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(value: f64) -> Self {
        value
    }
}

#[inline(always)]
fn two<T: Float>(columns: &[&[T]], formula: impl Fn(f64, f64) -> f64) -> Vec<T> {
    let [a, b] = columns else { return Vec::new() };
    a.iter().zip(*b).map(|(a, b)| T::narrow(formula(a.wide(), b.wide()))).collect()
}

#[inline(always)]
fn three<T: Float>(columns: &[&[T]], formula: impl Fn(f64, f64, f64) -> f64) -> Vec<T> {
    let [a, b, c] = columns else { return Vec::new() };
    a.iter()
        .zip(*b)
        .zip(*c)
        .map(|((a, b), c)| T::narrow(formula(a.wide(), b.wide(), c.wide())))
        .collect()
}

#[inline(always)]
fn defined<T: Float>(columns: &[&[T]], test: impl Fn(f64, f64) -> bool) -> BooleanBuffer {
    let [a, b] = columns else { return BooleanBuffer::new_unset(0) };
    a.iter().zip(*b).map(|(a, b)| test(a.wide(), b.wide())).collect()
}

impl Weather {
    fn function(
        entry: &'static Entry,
        single: Kernel<f32>,
        double: Kernel<f64>,
    ) -> Result<(&'static Entry, ScalarUDF)> {
        let names: Vec<&str> = entry.arguments.iter().map(|(name, _)| *name).collect();
        let signature =
            Signature::user_defined(Volatility::Immutable).with_parameter_names(names)?;
        let documentation = entry.documentation();
        Ok((
            entry,
            ScalarUDF::new_from_impl(Self { entry, documentation, signature, single, double }),
        ))
    }

    fn evaluate<T>(&self, arrays: &[ArrayRef], kernel: Kernel<T::Native>) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
    {
        let columns: Vec<&PrimitiveArray<T>> =
            arrays.iter().filter_map(|a| a.as_primitive_opt()).collect();
        if columns.len() != self.entry.arguments.len() {
            return internal_err!("{} got columns of other types than it asked for", self.name());
        }
        let values: Vec<&[T::Native]> = columns.iter().map(|c| c.values().as_ref()).collect();
        let (values, defined) = kernel(&values);
        let nulls = columns.iter().fold(defined.map(NullBuffer::new), |nulls, column| {
            NullBuffer::union(nulls.as_ref(), column.nulls())
        });
        Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
    }
}

impl PartialEq for Weather {
    fn eq(&self, other: &Self) -> bool {
        self.entry.name == other.entry.name
    }
}

impl Eq for Weather {}

impl std::hash::Hash for Weather {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.entry.name.hash(state);
    }
}

impl ScalarUDFImpl for Weather {
    fn name(&self) -> &str {
        self.entry.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = self.entry.arguments;
        if types.len() != wanted.len() {
            return plan_err!(
                "{} takes {} arguments, not {}: {}",
                self.entry.name,
                wanted.len(),
                types.len(),
                self.entry.syntax
            );
        }
        for (data_type, (argument, _)) in types.iter().zip(wanted) {
            if !data_type.is_numeric() && !data_type.is_null() {
                return plan_err!(
                    "{}: {argument} is a number, not {data_type}: cast it",
                    self.entry.name
                );
            }
        }
        Ok(vec![common_float(types); types.len()])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(common_float(types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result = match args.return_field.data_type() {
            DataType::Float32 => self.evaluate::<Float32Type>(&arrays, self.single)?,
            _ => self.evaluate::<Float64Type>(&arrays, self.double)?,
        };
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// The float that holds every argument: f32 if one is f32 and the others are no wider.
fn common_float(types: &[DataType]) -> DataType {
    use DataType::{Float16, Float32, Float64, Int8, Int16, Null, UInt8, UInt16};
    let narrow =
        |t: &DataType| matches!(t, Float32 | Float16 | Int8 | Int16 | UInt8 | UInt16 | Null);
    let single = |t: &DataType| matches!(t, Float32 | Float16);
    if types.iter().all(narrow) && types.iter().any(single) { Float32 } else { Float64 }
}
