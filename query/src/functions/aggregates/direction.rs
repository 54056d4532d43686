//! `mean_direction`: the mean wind direction on a circle, each direction weighted by its speed.
//!
//! ```text
//! 350° and 10°, equally strong          0°   (the plain mean would say 180°)
//! 90° at 3 m/s and 180° at 4 m/s      143°
//! 0° and 180°, equally strong         null   (no direction)
//! ```

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator,
    Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use barograph_engine::scan::WindSum;

use crate::functions::frames::{Fold, Sliding};
use crate::functions::reference::{Entry, Section};

static ENTRY: Entry = Entry {
    name: "mean_direction",
    section: Section::Aggregates,
    syntax: "mean_direction(direction [, speed])",
    what: "Mean wind direction: the direction of the sum of the wind vectors, so that 350° and 10° give 0°. \
           Without a speed, all rows have the same weight.",
    arguments: &[
        ("direction", "where the wind comes from, degrees from north"),
        ("speed", "wind speed, any unit; rows whose direction or speed is null are ignored"),
    ],
    returns: "degrees from north, at least 0 and below 360; null if there are no rows or the winds cancel out",
    source: Some(
        "EPA-454/R-99-005, Meteorological Monitoring Guidance for Regulatory Modeling Applications, \
         section 6.2.2 (vector mean)",
    ),
    example: "SELECT city_id, mean_direction(wind_direction, wind_speed) FROM readings GROUP BY city_id",
};

pub(super) fn mean_direction() -> Result<(&'static Entry, AggregateUDF)> {
    let signature = Signature::user_defined(Volatility::Immutable)
        .with_parameter_names(vec!["direction", "speed"])?;
    let documentation = ENTRY.documentation();
    Ok((&ENTRY, AggregateUDF::new_from_impl(MeanDirection { signature, documentation })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MeanDirection {
    signature: Signature,
    documentation: Documentation,
}

impl AggregateUDFImpl for MeanDirection {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !(1..=2).contains(&types.len()) {
            return plan_err!("mean_direction takes 1 or 2 arguments, not {}", types.len());
        }
        if let Some(other) = types.iter().find(|t| !t.is_numeric() && !t.is_null()) {
            return plan_err!("mean_direction takes numbers, not {other}: cast it");
        }
        Ok(vec![DataType::Float64; types.len()])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type| {
            Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true))
        };
        Ok(vec![
            field("east", DataType::Float64),
            field("north", DataType::Float64),
            field("way", DataType::Float64),
        ])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One::default()))
    }

    fn create_sliding_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding::new(Mean)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Calls `f` with the row, direction and speed of every row that counts.
fn winds(values: &[ArrayRef], mut f: impl FnMut(usize, f64, f64)) -> Result<()> {
    let Some(direction) = values.first().and_then(|a| a.as_primitive_opt::<Float64Type>()) else {
        return internal_err!("mean_direction got a direction of another type");
    };
    let speed = values.get(1).and_then(|a| a.as_primitive_opt::<Float64Type>());
    for (row, direction) in direction.iter().enumerate() {
        let speed = match speed {
            Some(speed) if speed.is_null(row) => continue,
            Some(speed) => speed.value(row),
            None => 1.0,
        };
        if let Some(direction) = direction {
            f(row, direction, speed);
        }
    }
    Ok(())
}

/// The sums that `states` holds, row by row.
fn sums(states: &[ArrayRef]) -> Result<impl Iterator<Item = WindSum> + '_> {
    let [east, north, way] = states else {
        return internal_err!("mean_direction got {} states instead of 3", states.len());
    };
    let east = east.as_primitive::<Float64Type>().values();
    let north = north.as_primitive::<Float64Type>().values();
    let way = way.as_primitive::<Float64Type>().values();
    let sums = east.iter().zip(north).zip(way);
    Ok(sums.map(|((&east, &north), &way)| WindSum { east, north, way }))
}

#[derive(Debug, Default)]
struct One(WindSum);

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        winds(values, |_, direction, speed| self.0.add(direction, speed))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.0.direction()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Float64(Some(self.0.east)),
            ScalarValue::Float64(Some(self.0.north)),
            ScalarValue::Float64(Some(self.0.way)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        sums(states)?.for_each(|sum| self.0.merge(sum));
        Ok(())
    }
}

/// The mean direction over frames whose rows leave again.
#[derive(Debug)]
struct Mean;

impl Fold for Mean {
    type State = WindSum;

    fn nothing(&self) -> WindSum {
        WindSum::default()
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(WindSum)) -> Result<()> {
        let mut sums = vec![WindSum::default(); columns.first().map_or(0, |column| column.len())];
        winds(columns, |row, direction, speed| {
            if let Some(sum) = sums.get_mut(row) {
                sum.add(direction, speed);
            }
        })?;
        sums.into_iter().for_each(take);
        Ok(())
    }

    fn join(&self, earlier: &WindSum, later: &WindSum) -> WindSum {
        let mut sum = *earlier;
        sum.merge(*later);
        sum
    }

    fn value(&self, sum: &WindSum) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(sum.direction()))
    }
}

fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|f| f.is_valid(row) && f.value(row))
}

/// `sums` as columns.
fn states(sums: &[WindSum]) -> Vec<ArrayRef> {
    let floats = |f: fn(&WindSum) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(sums.iter().map(f)))
    };
    vec![floats(|s| s.east), floats(|s| s.north), floats(|s| s.way)]
}

#[derive(Debug, Default)]
struct Groups(Vec<WindSum>);

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.0.resize(total, WindSum::default());
        winds(values, |row, direction, speed| {
            if !passes(filter, row) {
                return;
            }
            if let Some(sum) = group_indices.get(row).and_then(|group| self.0.get_mut(*group)) {
                sum.add(direction, speed);
            }
        })
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total: usize,
    ) -> Result<()> {
        self.0.resize(total, WindSum::default());
        for (sum, group) in sums(values)?.zip(group_indices) {
            if let Some(into) = self.0.get_mut(*group) {
                into.merge(sum);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.0);
        Ok(Arc::new(sums.iter().map(|sum| sum.direction()).collect::<Float64Array>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(states(&emit_to.take_needed(&mut self.0)))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut sums = vec![WindSum::default(); values.first().map_or(0, |v| v.len())];
        winds(values, |row, direction, speed| {
            if let (true, Some(sum)) = (passes(filter, row), sums.get_mut(row)) {
                sum.add(direction, speed);
            }
        })?;
        Ok(states(&sums))
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<WindSum>()
    }
}
