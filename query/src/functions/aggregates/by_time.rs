//! `first(value, time)` and `last(value, time)`: the value with the earliest or the latest time. A group keeps one
//! value and its time, so that nothing is sorted and memory does not grow with the rows.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int64Array, PrimitiveArray,
    downcast_primitive,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, internal_err, not_impl_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::functions::frames::{Fold, Sliding};
use crate::functions::reference::{Entry, Section};

const ARGUMENTS: &[(&str, &str)] = &[
    ("value", "any type; rows whose value or time is null are ignored"),
    ("time", "timestamp, date or integer"),
];

static FIRST: Entry = Entry {
    name: "first",
    section: Section::Aggregates,
    syntax: "first(value, time)",
    what: "The non-null value with the earliest time. Short for `first_value(value ORDER BY time) IGNORE NULLS`.",
    arguments: ARGUMENTS,
    returns: "the value, in its own type and unit; null if there are no rows; either value if two have the same \
              time",
    source: None,
    example: "SELECT city_id, first(temperature, reading_at) FROM readings GROUP BY city_id",
};

static LAST: Entry = Entry {
    name: "last",
    section: Section::Aggregates,
    syntax: "last(value, time)",
    what: "The non-null value with the latest time. Short for `last_value(value ORDER BY time) IGNORE NULLS`. For \
           the newest row of every key, `latest` is faster.",
    arguments: ARGUMENTS,
    returns: "the value, in its own type and unit; null if there are no rows; either value if two have the same \
              time",
    source: None,
    example: "SELECT date_bin(INTERVAL '1 hour', reading_at) AS hour, last(temperature, reading_at)\n\
              FROM readings WHERE city_id = 5128581 GROUP BY hour",
};

pub(super) fn first() -> Result<(&'static Entry, AggregateUDF)> {
    udaf(&FIRST, false)
}

pub(super) fn last() -> Result<(&'static Entry, AggregateUDF)> {
    udaf(&LAST, true)
}

fn udaf(entry: &'static Entry, last: bool) -> Result<(&'static Entry, AggregateUDF)> {
    let signature = Signature::user_defined(Volatility::Immutable)
        .with_parameter_names(vec!["value", "time"])?;
    let documentation = entry.documentation();
    Ok((entry, AggregateUDF::new_from_impl(ByTime { last, signature, documentation })))
}

/// The types of the two arguments of `name`, the second being one that orders rows.
pub(super) fn value_and_time<'a>(
    name: &str,
    types: &'a [DataType],
) -> Result<(&'a DataType, &'a DataType)> {
    let [value, time] = types else {
        return plan_err!("{name} takes 2 arguments, a value and a time, not {}", types.len());
    };
    let ordered = matches!(time, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
        || (time.is_integer() && *time != DataType::UInt64);
    if !ordered {
        return plan_err!("{name}: time is a timestamp, date or whole number, not {time}: cast it");
    }
    Ok((value, time))
}

/// Refuses a value that is not a number.
pub(super) fn check_number(name: &str, value: &DataType) -> Result<()> {
    if !value.is_numeric() && !value.is_null() {
        return plan_err!("{name}: value is a number, not {value}: cast it");
    }
    Ok(())
}

/// Times as whole numbers of their own unit.
pub(super) fn instants(times: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(times, &DataType::Int64)?)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ByTime {
    last: bool,
    signature: Signature,
    documentation: Documentation,
}

impl AggregateUDFImpl for ByTime {
    fn name(&self) -> &str {
        if self.last { LAST.name } else { FIRST.name }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        value_and_time(self.name(), types)?;
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(value_and_time(self.name(), types)?.0.clone())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new(
                format!("{}[value]", args.name),
                args.return_field.data_type().clone(),
                true,
            )),
            Arc::new(Field::new(format!("{}[time]", args.name), DataType::Int64, true)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.return_type())?;
        Ok(Box::new(One { last: self.last, time: None, value }))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        let null = ScalarValue::try_from(args.return_type())?;
        Ok(Box::new(Sliding::new(Ends { last: self.last, null })))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        args.return_type().is_primitive()
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        macro_rules! groups {
            ($t:ty) => {
                Ok(Box::new(Groups::<$t>::new(self.last, args.return_type().clone())))
            };
        }
        let data_type = args.return_type();
        downcast_primitive! {
            data_type => (groups),
            other => not_impl_err!("{} over groups of {other}", self.name())
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Whether a row at `time` replaces the one at `held`.
fn wins(last: bool, time: i64, held: i64) -> bool {
    if last { time > held } else { time < held }
}

#[derive(Debug)]
struct One {
    last: bool,
    time: Option<i64>,
    value: ScalarValue,
}

impl One {
    fn take(&mut self, values: &ArrayRef, times: &ArrayRef) -> Result<()> {
        let times = instants(times)?;
        let times = times.as_primitive::<Int64Type>();
        let both = NullBuffer::union(values.logical_nulls().as_ref(), times.nulls());
        let mut best: Option<usize> = None;
        for (row, time) in times.values().iter().enumerate() {
            if both.as_ref().is_some_and(|n| n.is_null(row)) {
                continue;
            }
            if self.time.is_none_or(|held| wins(self.last, *time, held)) {
                self.time = Some(*time);
                best = Some(row);
            }
        }
        if let Some(row) = best {
            self.value = ScalarValue::try_from_array(values, row)?;
            self.value.compact();
        }
        Ok(())
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, times] = values else {
            return internal_err!("first and last got {} columns instead of 2", values.len());
        };
        self.take(values, times)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) - size_of_val(&self.value) + self.value.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::Int64(self.time)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// `first` and `last` over frames whose rows leave again.
#[derive(Debug)]
struct Ends {
    last: bool,
    /// The null of the value's type.
    null: ScalarValue,
}

impl Fold for Ends {
    type State = Option<(i64, ScalarValue)>;

    fn nothing(&self) -> Self::State {
        None
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Self::State)) -> Result<()> {
        let [values, times] = columns else {
            return internal_err!("first and last got {} columns instead of 2", columns.len());
        };
        let times = instants(times)?;
        for (row, time) in times.as_primitive::<Int64Type>().iter().enumerate() {
            let value = ScalarValue::try_from_array(values, row)?;
            take(time.filter(|_| !value.is_null()).map(|time| (time, value)));
        }
        Ok(())
    }

    fn join(&self, earlier: &Self::State, later: &Self::State) -> Self::State {
        match (earlier, later) {
            (Some((held, _)), Some((time, _))) if !wins(self.last, *time, *held) => earlier.clone(),
            (_, Some(_)) => later.clone(),
            _ => earlier.clone(),
        }
    }

    fn value(&self, state: &Self::State) -> Result<ScalarValue> {
        Ok(state.as_ref().map_or_else(|| self.null.clone(), |(_, value)| value.clone()))
    }
}

struct Groups<T: ArrowPrimitiveType> {
    last: bool,
    data_type: DataType,
    values: Vec<T::Native>,
    /// Times of the values; the losing extreme where a group has no value.
    times: Vec<i64>,
    known: Vec<bool>,
}

impl<T: ArrowPrimitiveType> std::fmt::Debug for Groups<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Groups of {} by time, {}", self.data_type, self.times.len())
    }
}

impl<T: ArrowPrimitiveType> Groups<T> {
    fn new(last: bool, data_type: DataType) -> Self {
        Self { last, data_type, values: Vec::new(), times: Vec::new(), known: Vec::new() }
    }

    fn take(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.values.resize(total, T::Native::default());
        self.times.resize(total, 0);
        self.known.resize(total, false);
        let (values, times, counts) = columns::<T>(values, filter)?;
        let rows = values.values().iter().zip(times.values()).zip(groups).enumerate();
        for (row, ((value, time), group)) in rows {
            if counts.as_ref().is_some_and(|n| n.is_null(row)) {
                continue;
            }
            let (Some(known), Some(held), Some(place)) = (
                self.known.get_mut(*group),
                self.times.get_mut(*group),
                self.values.get_mut(*group),
            ) else {
                continue;
            };
            if !*known || wins(self.last, *time, *held) {
                *known = true;
                *held = *time;
                *place = *value;
            }
        }
        Ok(())
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<(ArrayRef, ArrayRef)> {
        let values = emit_to.take_needed(&mut self.values);
        let times = emit_to.take_needed(&mut self.times);
        let known = emit_to.take_needed(&mut self.known);
        let nulls = Some(NullBuffer::from(known));
        let values = PrimitiveArray::<T>::try_new(values.into(), nulls.clone())?
            .with_data_type(self.data_type.clone());
        Ok((Arc::new(values), Arc::new(Int64Array::try_new(times.into(), nulls)?)))
    }
}

/// Values, times, and the rows that count as the valid ones.
fn columns<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<(PrimitiveArray<T>, Int64Array, Option<NullBuffer>)> {
    let [values, times] = columns else {
        return internal_err!("first and last got {} columns instead of 2", columns.len());
    };
    let times = instants(times)?;
    let (Some(values), Some(times)) =
        (values.as_primitive_opt::<T>(), times.as_primitive_opt::<Int64Type>())
    else {
        return internal_err!("first and last got columns of other types than they asked for");
    };
    let mut counts = NullBuffer::union(values.nulls(), times.nulls());
    if let Some(filter) = filter {
        let passed = NullBuffer::new(filter.values().clone());
        counts = NullBuffer::union(counts.as_ref(), Some(&passed));
        counts = NullBuffer::union(counts.as_ref(), filter.nulls());
    }
    Ok((values.clone(), times.clone(), counts))
}

impl<T: ArrowPrimitiveType + Send> GroupsAccumulator for Groups<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.take(values, group_indices, filter, total)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> Result<()> {
        self.take(values, group_indices, None, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit_to)?.0)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (values, times) = self.emit(emit_to)?;
        Ok(vec![values, times])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let (values, times, counts) = columns::<T>(values, filter)?;
        let values = PrimitiveArray::<T>::try_new(values.values().clone(), counts.clone())?
            .with_data_type(self.data_type.clone());
        let times = Int64Array::try_new(times.values().clone(), counts)?;
        Ok(vec![Arc::new(values), Arc::new(times)])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<T::Native>()
            + self.times.capacity() * size_of::<i64>()
            + self.known.capacity()
    }
}
