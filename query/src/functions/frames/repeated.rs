//! Aggregates without a small state, computed from the rows of each frame, which are kept.

use std::collections::VecDeque;
use std::fmt;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::scalar::ScalarValue;

/// Makes accumulators of one aggregate, as many as are needed.
pub(super) struct Maker {
    of: Arc<AggregateUDF>,
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Maker {
    pub(super) fn new(of: &Arc<AggregateUDF>, args: &AccumulatorArgs<'_>) -> Self {
        Self {
            of: Arc::clone(of),
            return_field: Arc::clone(&args.return_field),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys.to_vec(),
            is_reversed: args.is_reversed,
            name: args.name.to_owned(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    pub(super) fn make(&self) -> Result<Box<dyn Accumulator>> {
        self.of.accumulator(AccumulatorArgs {
            return_field: Arc::clone(&self.return_field),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })
    }
}

/// An accumulator that keeps the rows of its frame.
pub(super) struct Repeated {
    maker: Maker,
    /// The rows of the frame, in the runs in which they arrived.
    runs: VecDeque<Vec<ArrayRef>>,
}

impl fmt::Debug for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} runs of rows", self.maker.name, self.runs.len())
    }
}

impl Repeated {
    pub(super) fn new(maker: Maker) -> Self {
        Self { maker, runs: VecDeque::new() }
    }

    /// Merges all runs into one.
    fn gather(&mut self) -> Result<()> {
        if self.runs.len() > 1 {
            let columns = self.runs.front().map_or(0, Vec::len);
            let column = |at: usize| {
                let runs = self.runs.iter().filter_map(|run| run.get(at));
                Ok(concat(&runs.map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?)
            };
            let all = (0..columns).map(column).collect::<Result<Vec<_>>>()?;
            self.runs.clear();
            self.runs.push_back(all);
        }
        Ok(())
    }
}

fn rows(columns: &[ArrayRef]) -> usize {
    columns.first().map_or(0, |column| column.len())
}

impl Accumulator for Repeated {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        if rows(columns) > 0 {
            self.runs.push_back(columns.to_vec());
        }
        Ok(())
    }

    fn retract_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let mut leave = rows(columns);
        while leave > 0 {
            let Some(mut run) = self.runs.pop_front() else {
                return internal_err!("{leave} rows leave a frame that has none");
            };
            let has = rows(&run);
            if has > leave {
                run.iter_mut().for_each(|column| *column = column.slice(leave, has - leave));
                self.runs.push_front(run);
            }
            leave -= has.min(leave);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.gather()?;
        let mut accumulator = self.maker.make()?;
        if let Some(run) = self.runs.front() {
            accumulator.update_batch(run)?;
        }
        accumulator.evaluate()
    }

    fn size(&self) -> usize {
        let arrays = self.runs.iter().flatten().map(|column| column.get_array_memory_size());
        size_of_val(self) + arrays.sum::<usize>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        internal_err!("frames of a window have no state to send")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("frames of a window are not merged")
    }
}
