//! Tables of the server about itself: SQL shows them in the schema `system`, with rows that are made when they are
//! queried.

use std::fmt::Debug;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::BoxFuture;

use crate::Result;

/// A table of the schema `system` whose rows are made each time it is queried.
///
/// 1. `name`, `primary_key` and `schema` never change.
/// 2. Every batch that `rows` gives has that schema.
pub trait SystemRows: Debug + Send + Sync {
    /// Its name without the schema.
    fn name(&self) -> &'static str;
    /// The columns of its primary key.
    fn primary_key(&self) -> &'static [&'static str];
    /// Its columns.
    fn schema(&self) -> SchemaRef;
    /// Its rows at this moment.
    fn rows(&self) -> BoxFuture<'_, Result<RecordBatch>>;
}
