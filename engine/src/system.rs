//! Tables that a part of the server tells of itself: SQL shows them in the schema `system`, with rows that are made when they are asked.

use std::fmt::Debug;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;

use crate::Result;

/// A table of the schema `system` whose rows are made each time it is asked.
///
/// 1. `name`, `primary_key` and `schema` are the same for ever.
/// 2. Every batch that `rows` gives has that schema.
pub trait SystemRows: Debug + Send + Sync {
    /// Its name without the schema.
    fn name(&self) -> &'static str;
    /// The columns that tell its rows apart.
    fn primary_key(&self) -> &'static [&'static str];
    /// Its columns.
    fn schema(&self) -> SchemaRef;
    /// Its rows at this moment.
    fn rows(&self) -> BoxFuture<'_, Result<RecordBatch>>;
}
