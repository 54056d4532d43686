//! `counter_sum`: how much a counter grew, although it restarts. A rain gauge that counts up and falls back to zero
//! each morning, or when its battery is changed, has still collected all that it counted.
//!
//! ```text
//! time    1    2    3    4    5
//! value  10   12   15    1    4       restart before 4
//! grows       +2   +3   +1   +3  =  9
//! ```

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::by_time;
use crate::functions::frames::{Fold, Sliding};
use crate::functions::reference::{Entry, Section};

static ENTRY: Entry = Entry {
    name: "counter_sum",
    section: Section::Aggregates,
    syntax: "counter_sum(value, time)",
    what: "Growth of a counter, robust against restarts: the sum of its increases in order of time, where a \
           decrease means that the counter restarted at 0. The first value is the baseline and adds nothing. For \
           a column that holds the amount since the previous reading, such as `precipitation`, use plain `sum`.",
    arguments: &[
        ("value", "counter, any unit; rows whose value or time is null are ignored"),
        ("time", "timestamp, date or integer that orders the rows"),
    ],
    returns: "growth as `double`, in the unit of `value`; 0 for a single row, null if there are no rows",
    source: Some(
        "semantics of `increase` in Prometheus, without its extrapolation, \
         <https://prometheus.io/docs/prometheus/latest/querying/functions/#increase>",
    ),
    example: "SELECT counter_sum(gauge, at) FROM (VALUES (1, 10.0), (2, 12.0), (3, 1.5)) AS g(at, gauge)",
};

pub(super) fn counter_sum() -> Result<(&'static Entry, AggregateUDF)> {
    let signature = Signature::user_defined(Volatility::Immutable)
        .with_parameter_names(vec!["value", "time"])?;
    let documentation = ENTRY.documentation();
    Ok((&ENTRY, AggregateUDF::new_from_impl(CounterSum { signature, documentation })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CounterSum {
    signature: Signature,
    documentation: Documentation,
}

impl AggregateUDFImpl for CounterSum {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (value, time) = by_time::value_and_time(ENTRY.name, types)?;
        by_time::check_number(ENTRY.name, value)?;
        Ok(vec![DataType::Float64, time.clone()])
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, data_type| -> FieldRef {
            Arc::new(Field::new(format!("{}[{name}]", args.name), list_of(data_type), true))
        };
        Ok(vec![list("times", DataType::Int64), list("values", DataType::Float64)])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Points::default()))
    }

    fn create_sliding_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding::new(Growth)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(data_type, true)))
}

/// Growth of a counter from one point to the next.
fn step(before: f64, value: f64) -> f64 {
    if value < before { value } else { value - before }
}

/// All points of a counter. Its rows may come in any order and from any partition, and the growth between two points is
/// known only when all points are there.
#[derive(Debug, Default)]
struct Points {
    points: Vec<(i64, f64)>,
    /// Whether a point came out of order.
    unsorted: bool,
}

impl Points {
    fn extend(&mut self, times: &ArrayRef, values: &ArrayRef) -> Result<()> {
        let times = by_time::instants(times)?;
        let (Some(times), Some(values)) =
            (times.as_primitive_opt::<Int64Type>(), values.as_primitive_opt::<Float64Type>())
        else {
            return internal_err!("counter_sum got columns of other types than it asked for");
        };
        self.points.reserve(times.len());
        let mut newest = self.points.last().map_or(i64::MIN, |(time, _)| *time);
        for (time, value) in times.iter().zip(values) {
            let (Some(time), Some(value)) = (time, value) else { continue };
            self.unsorted |= time < newest;
            newest = time;
            self.points.push((time, value));
        }
        Ok(())
    }

    fn growth(&mut self) -> Option<f64> {
        if self.unsorted {
            self.points.sort_by_key(|(time, _)| *time);
            self.unsorted = false;
        }
        let (_, first) = self.points.first()?;
        let mut before = *first;
        let mut sum = 0.0;
        for (_, value) in &self.points {
            sum += step(before, *value);
            before = *value;
        }
        Some(sum)
    }
}

impl Accumulator for Points {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values, times] = values else {
            return internal_err!("counter_sum got {} columns instead of 2", values.len());
        };
        self.extend(times, values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.growth()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.points.capacity() * size_of::<(i64, f64)>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |array: ArrayRef| -> Result<ScalarValue> {
            let field = Arc::new(Field::new_list_field(array.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([array.len()]);
            let list = ListArray::try_new(field, offsets, array, None)?;
            Ok(ScalarValue::List(Arc::new(list)))
        };
        let (times, values): (Vec<i64>, Vec<f64>) = self.points.iter().copied().unzip();
        Ok(vec![
            list(Arc::new(arrow::array::Int64Array::from(times)))?,
            list(Arc::new(arrow::array::Float64Array::from(values)))?,
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [times, values] = states else {
            return internal_err!("counter_sum got {} states instead of 2", states.len());
        };
        let (times, values) = (times.as_list::<i32>(), values.as_list::<i32>());
        for (times, values) in times.iter().zip(values.iter()) {
            if let (Some(times), Some(values)) = (times, values) {
                self.extend(&times, &values)?;
            }
        }
        Ok(())
    }
}

/// Growth between neighbouring points, over frames whose rows leave again.
#[derive(Debug)]
struct Growth;

/// Points with no point of another run between them.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: (i64, f64),
    last: (i64, f64),
    grown: f64,
}

/// `Some(Err(()))` where the points of two runs interleave: the growth between neighbours is not known then.
type Runs = Option<std::result::Result<Run, ()>>;

impl Fold for Growth {
    type State = Runs;

    fn nothing(&self) -> Runs {
        None
    }

    fn each(&self, columns: &[ArrayRef], take: &mut dyn FnMut(Runs)) -> Result<()> {
        let [values, times] = columns else {
            return internal_err!("counter_sum got {} columns instead of 2", columns.len());
        };
        let times = by_time::instants(times)?;
        let (Some(times), Some(values)) =
            (times.as_primitive_opt::<Int64Type>(), values.as_primitive_opt::<Float64Type>())
        else {
            return internal_err!("counter_sum got columns of other types than it asked for");
        };
        for point in times.iter().zip(values) {
            take(match point {
                (Some(time), Some(value)) => {
                    let point = (time, value);
                    Some(Ok(Run { first: point, last: point, grown: 0.0 }))
                }
                _ => None,
            });
        }
        Ok(())
    }

    fn join(&self, earlier: &Runs, later: &Runs) -> Runs {
        let (Some(a), Some(b)) = (earlier, later) else { return earlier.or(*later) };
        let (Ok(a), Ok(b)) = (a, b) else { return Some(Err(())) };
        let (a, b) = if a.last.0 <= b.first.0 {
            (a, b)
        } else if b.last.0 < a.first.0 {
            (b, a)
        } else {
            return Some(Err(()));
        };
        let grown = a.grown + b.grown + step(a.last.1, b.first.1);
        Some(Ok(Run { first: a.first, last: b.last, grown }))
    }

    fn value(&self, runs: &Runs) -> Result<ScalarValue> {
        match runs {
            Some(Err(())) => plan_err!(
                "counter_sum over a frame follows the order of its time: write OVER (… ORDER BY time …)"
            ),
            runs => Ok(ScalarValue::Float64(runs.and_then(|run| run.ok()).map(|run| run.grown))),
        }
    }
}
