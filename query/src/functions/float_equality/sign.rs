//! The function that removes the signs of zeros and NaN. No statement calls it by name.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, GenericListArray,
    OffsetSizeTrait, StructArray,
};
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type};
use barograph_engine::scan::kernel::Number;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

static UNSIGNED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(ScalarUDF::new_from_impl(Unsigned(Signature::user_defined(Volatility::Immutable))))
});

/// `expr` without the signs that do not count.
pub(in crate::functions) fn unsigned(expr: Expr) -> Expr {
    match is_unsigned(&expr) {
        true => expr,
        false => Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(&UNSIGNED), vec![expr])),
    }
}

fn is_unsigned(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => function.func.inner().is::<Unsigned>(),
        _ => false,
    }
}

/// Whether values of the type contain floats.
pub(super) fn has_floats(of: &DataType) -> bool {
    match of {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            has_floats(item.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Unsigned(Signature);

impl ScalarUDFImpl for Unsigned {
    fn name(&self) -> &str {
        "unsigned_zero"
    }

    /// The name of the argument, so that what is compared keeps its name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [of] => Ok(of.schema_name().to_string()),
            _ => internal_err!("{} has one argument", self.name()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [of] => Ok(of.clone()),
            _ => internal_err!("{} has one argument", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields {
            [of] => Ok(Arc::new(of.as_ref().clone().with_name(self.name()))),
            _ => internal_err!("{} has one argument", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Array(array)] => Ok(ColumnarValue::Array(plain(array)?)),
            [ColumnarValue::Scalar(value)] => {
                let array = plain(&value.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            _ => internal_err!("{} has one argument", self.name()),
        }
    }
}

fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 => floats::<Float32Type>(array),
        DataType::Float64 => floats::<Float64Type>(array),
        DataType::List(item) if has_floats(item.data_type()) => list::<i32>(array, item)?,
        DataType::LargeList(item) if has_floats(item.data_type()) => list::<i64>(array, item)?,
        DataType::FixedSizeList(item, size) if has_floats(item.data_type()) => {
            let of = array.as_fixed_size_list();
            let (values, nulls) = (plain(of.values())?, of.nulls().cloned());
            Arc::new(FixedSizeListArray::try_new(Arc::clone(item), *size, values, nulls)?)
        }
        DataType::Struct(fields) if has_floats(array.data_type()) => {
            let of = array.as_struct();
            let columns = of.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, of.nulls().cloned())?)
        }
        _ => Arc::clone(array),
    })
}

fn floats<T: ArrowPrimitiveType<Native: Number>>(array: &ArrayRef) -> ArrayRef {
    Arc::new(array.as_primitive::<T>().unary::<_, T>(Number::plain))
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef> {
    let of = array.as_list::<O>();
    let (values, nulls) = (plain(of.values())?, of.nulls().cloned());
    let offsets = of.offsets().clone();
    Ok(Arc::new(GenericListArray::<O>::try_new(Arc::clone(item), offsets, values, nulls)?))
}
