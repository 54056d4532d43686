//! Deferred planning: parts of a statement that are planned once its values are bound. The rows and columns of table
//! functions and `unnest` depend on the values that they are given:
//!
//! ```text
//! FROM generate_series(1, $1)  ──►  FROM generate_series(1, "(value)"(0))
//! unnest($2)                   ──►  unnest("(value)"(1))
//! ```
//!
//! `"(value)"(n)` is the nth of the values that a statement is planned with: of placeholders when it is prepared, and
//! of the bound values when it is executed.

mod place;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use barograph_engine::{Error, Result};
use datafusion::common::ScalarValue;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::sql::parser::Statement as Parsed;

use self::place::{Marks, Place, STAND_INS};
use self::value::Values;
use crate::errors::engine_error;
use crate::limits::stack::DeepPlan;
use crate::opaque::Opaque;
use crate::statement::bind::untyped;
use crate::statement::prepare;
use crate::tree::Tree;

/// A statement with marks where its plan needs values.
pub(crate) struct Deferred {
    state: Opaque<SessionState>,
    parsed: DeepPlan<Option<Parsed>>,
    /// The marked places, by number.
    places: Vec<Place>,
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Deferred {
    /// Marks the places of a statement whose values its plan needs; `None` if there are none.
    ///
    /// # Errors
    /// `Request` where a table function that names a table takes a parameter.
    pub(crate) fn mark(
        state: &Opaque<SessionState>,
        parsed: &mut Parsed,
        depth: usize,
    ) -> Result<Option<Self>> {
        let mut inner = &mut *parsed;
        while let Parsed::Explain(explain) = inner {
            inner = &mut explain.statement;
        }
        let mut marks = Marks::default();
        if let Parsed::Statement(ast) = inner {
            ast.walk(&mut marks)?;
        }
        let (state, places) = (state.clone(), marks.places);
        Ok((!places.is_empty()).then(|| {
            let parsed = DeepPlan::new(Some(parsed.clone()), depth);
            Self { state, parsed, places }
        }))
    }

    /// A plan that shows parameters and columns, and the parameters whose values it takes.
    ///
    /// # Errors
    /// Those of the statement, whatever the values are.
    pub(crate) async fn sketch(&self) -> Result<(LogicalPlan, BTreeMap<usize, Field>)> {
        let mut first = None;
        for round in 0..STAND_INS {
            let values = self.places.iter().map(|place| place.stand_in(round));
            let values: Vec<_> = values.collect::<Result<_>>()?;
            match self.planned(&values).await {
                Ok(plan) => return Ok((plan, self.fields(&values))),
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::internal("there is nothing that stands in for a value")))
    }

    /// The plan with its parameters bound.
    ///
    /// # Errors
    /// `Request` if a value does not fit its place.
    pub(crate) async fn bound(&self, values: &[ScalarValue]) -> Result<LogicalPlan> {
        let of = |place: &Place| {
            let value = values.get(place.parameter.saturating_sub(1));
            let missing = || Error::internal(format!("${} has no value", place.parameter));
            place.fit(value.ok_or_else(missing)?)
        };
        let values: Vec<_> = self.places.iter().map(of).collect::<Result<_>>()?;
        self.planned(&values).await
    }

    async fn planned(&self, values: &[ScalarValue]) -> Result<LogicalPlan> {
        let mut state = SessionState::clone(&self.state);
        let names = self.places.iter().map(|place| format!("${}", place.parameter)).collect();
        let function = Values::new(values.to_vec(), names);
        state.register_udf(Arc::new(ScalarUDF::from(function))).map_err(engine_error)?;
        let named = || {
            let mut named = self.parsed()?;
            prepare::name_columns(&mut named)?;
            Ok(named)
        };
        let plan = prepare::planned(&state, self.parsed()?, named).await?;
        value::settled(plan).map_err(engine_error)
    }

    fn parsed(&self) -> Result<Parsed> {
        Option::clone(&self.parsed).ok_or_else(|| Error::internal("the statement is gone"))
    }

    fn fields(&self, values: &[ScalarValue]) -> BTreeMap<usize, Field> {
        let mut fields = BTreeMap::new();
        for (place, value) in self.places.iter().zip(values) {
            let of = match value.data_type() {
                DataType::List(item) if item.data_type().is_null() => {
                    DataType::new_list(DataType::Utf8, true)
                }
                of => of,
            };
            fields
                .entry(place.parameter)
                .or_insert_with(|| untyped(Field::new(format!("${}", place.parameter), of, true)));
        }
        fields
    }
}
