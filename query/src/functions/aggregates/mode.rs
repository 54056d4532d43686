//! `mode(value)`: the most frequent value of a group; of several equally frequent ones, the smallest.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::functions::reference::{Entry, Section};

static ENTRY: Entry = Entry {
    name: "mode",
    section: Section::Aggregates,
    syntax: "mode(value)",
    what: "The most frequent value; of several equally frequent ones, the smallest.",
    arguments: &[("value", "any type that can be ordered; nulls are ignored")],
    returns: "the value, in the type of `value`; null if there are no values",
    source: None,
    example: "SELECT mode(round(temperature)) FROM readings",
};

pub(super) fn mode() -> Result<(&'static Entry, AggregateUDF)> {
    let signature = Signature::any(1, Volatility::Immutable);
    let documentation = ENTRY.documentation();
    Ok((&ENTRY, AggregateUDF::new_from_impl(Mode { signature, documentation })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mode {
    signature: Signature,
    documentation: Documentation,
}

impl AggregateUDFImpl for Mode {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, data_type: DataType| -> FieldRef {
            let list = DataType::List(Arc::new(Field::new_list_field(data_type, true)));
            Arc::new(Field::new(format!("{}[{name}]", args.name), list, true))
        };
        let data_type = args.return_field.data_type().clone();
        Ok(vec![list("values", data_type), list("counts", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(Counts { data_type, counts: HashMap::new(), bytes: 0 }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Number of occurrences of each value.
#[derive(Debug)]
struct Counts {
    data_type: DataType,
    counts: HashMap<ScalarValue, i64>,
    bytes: usize,
}

impl Counts {
    fn add(&mut self, value: ScalarValue, count: i64) {
        if value.is_null() {
            return;
        }
        let value = plain(value);
        let bytes = value.size();
        let counted = self.counts.entry(value).or_insert_with(|| {
            self.bytes += bytes;
            0
        });
        *counted += count;
    }
}

/// One form for equal values: −0.0 as 0.0, and every NaN as the same NaN.
fn plain(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Float32(Some(of)) if of.is_nan() => ScalarValue::Float32(Some(f32::NAN)),
        ScalarValue::Float64(Some(of)) if of.is_nan() => ScalarValue::Float64(Some(f64::NAN)),
        // −0.0 and 0.0 make 0.0.
        ScalarValue::Float32(Some(of)) => ScalarValue::Float32(Some(of + 0.0)),
        ScalarValue::Float64(Some(of)) => ScalarValue::Float64(Some(of + 0.0)),
        other => other,
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else {
            return internal_err!("mode got {} columns instead of 1", values.len());
        };
        for row in 0..values.len() {
            self.add(ScalarValue::try_from_array(values, row)?, 1);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = values else {
            return internal_err!("mode got {} columns instead of 1", values.len());
        };
        for row in 0..values.len() {
            self.add(ScalarValue::try_from_array(values, row)?, -1);
        }
        self.counts.retain(|_, count| *count > 0);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut most: Option<(&ScalarValue, i64)> = None;
        for (value, &count) in &self.counts {
            let better = most.is_none_or(|(best, highest)| {
                count > highest
                    || count == highest && value.partial_cmp(best).is_some_and(|of| of.is_lt())
            });
            if better {
                most = Some((value, count));
            }
        }
        match most {
            Some((value, _)) => Ok(value.clone()),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes + self.counts.capacity() * size_of::<(ScalarValue, i64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, counts): (Vec<_>, Vec<_>) =
            self.counts.iter().map(|(value, count)| (value.clone(), *count)).unzip();
        let values = ScalarValue::new_list(&values, &self.data_type, true);
        let counts: ArrayRef = Arc::new(Int64Array::from(counts));
        let field = Arc::new(Field::new_list_field(DataType::Int64, true));
        let offsets = OffsetBuffer::from_lengths([counts.len()]);
        let counts = ListArray::try_new(field, offsets, counts, None)?;
        Ok(vec![ScalarValue::List(values), ScalarValue::List(Arc::new(counts))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, counts] = states else {
            return internal_err!("mode got {} states instead of 2", states.len());
        };
        let (Some(values), Some(counts)) =
            (values.as_list_opt::<i32>(), counts.as_list_opt::<i32>())
        else {
            return internal_err!("mode got states of other types than its own");
        };
        for (values, counts) in values.iter().zip(counts.iter()) {
            let (Some(values), Some(counts)) = (values, counts) else { continue };
            let Some(counts) = counts.as_primitive_opt::<Int64Type>() else {
                return internal_err!("mode got counts that are no whole numbers");
            };
            for (row, count) in counts.iter().enumerate() {
                self.add(ScalarValue::try_from_array(&values, row)?, count.unwrap_or_default());
            }
        }
        Ok(())
    }
}
