//! Expressions over the columns of one row, for the columns of an import's mapping. Their language is that of the
//! implementation of [`Expressions`].

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::Result;

/// A compiler of expressions.
pub trait Expressions: Debug + Send + Sync {
    /// Compiles an expression over columns whose types `column` knows; names are matched exactly.
    ///
    /// # Errors
    /// `Request` that says what is wrong with the expression.
    fn compile(
        &self,
        text: &str,
        column: &dyn Fn(&str) -> Option<DataType>,
    ) -> Result<Arc<dyn RowExpression>>;

    /// The column names in an expression, in order; none if it cannot be parsed.
    fn names(&self, text: &str) -> Vec<String>;
}

/// A compiled expression.
pub trait RowExpression: Debug + Send + Sync {
    /// Its input columns, in the order in which they are handed over.
    fn inputs(&self) -> &[Input];

    /// The type of its values.
    fn data_type(&self) -> &DataType;

    /// Its values for `rows` rows of its inputs; null where a row has no value, the reason of which `refused` is
    /// told.
    ///
    /// # Errors
    /// `Internal` if the columns are not its inputs.
    fn evaluate(
        &self,
        inputs: Vec<ArrayRef>,
        rows: usize,
        refused: &mut dyn FnMut(usize, String),
    ) -> Result<ArrayRef>;
}

/// An input column of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type as an input: text is `Utf8`, or `Float64` where numbers are wanted.
    pub data_type: DataType,
}
