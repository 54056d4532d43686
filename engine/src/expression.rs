//! Expressions over the columns of one row. The language is that of whoever compiles them; imports take them for the columns of a
//! mapping.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::Result;

/// Compiles expressions.
pub trait Expressions: Debug + Send + Sync {
    /// Understands an expression over columns whose types `column` knows; names are found as they are written.
    ///
    /// # Errors
    /// `Request` that says what is wrong with it.
    fn compile(
        &self,
        text: &str,
        column: &dyn Fn(&str) -> Option<DataType>,
    ) -> Result<Arc<dyn RowExpression>>;

    /// The names of columns that an expression has, in order; none if it cannot be read.
    fn names(&self, text: &str) -> Vec<String>;
}

/// An expression that was understood.
pub trait RowExpression: Debug + Send + Sync {
    /// The columns that it takes in, in the order in which they are handed over.
    fn inputs(&self) -> &[Input];

    /// The type of its values.
    fn data_type(&self) -> &DataType;

    /// Its values for `rows` rows of its inputs; null where a row has none, of which `refused` is told why.
    ///
    /// # Errors
    /// `Internal` if the columns are not those that it takes in.
    fn evaluate(
        &self,
        inputs: Vec<ArrayRef>,
        rows: usize,
        refused: &mut dyn FnMut(usize, String),
    ) -> Result<ArrayRef>;
}

/// A column that an expression takes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its type as it is taken in: text is `Utf8`, or `Float64` where numbers are wanted.
    pub data_type: DataType,
}
