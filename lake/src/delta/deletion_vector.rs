//! Deletion vectors: the rows of a file that another program deleted without rewriting the file. The entry of the log
//! says where the numbers of these rows are stored.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use delta_kernel::Engine;
use delta_kernel::actions::deletion_vector::DeletionVectorDescriptor;
use serde::{Deserialize, Serialize};

use super::kernel::{kernel_error, with_engine};
use crate::store::LakeStore;
use crate::{Error, Result};

/// Where the numbers of the rows stand that are deleted, as an entry of the log says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionVector {
    storage_type: String,
    path_or_inline_dv: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<i32>,
    size_in_bytes: i32,
    cardinality: i64,
}

impl DeletionVector {
    /// That of a row of the kernel's scan rows, whose column of them is `vectors`; `None` if it has none.
    pub(super) fn at(vectors: &ArrayRef, row: usize) -> Result<Option<Self>> {
        if vectors.is_null(row) {
            return Ok(None);
        }
        let read = || {
            let vectors = vectors.as_struct_opt()?;
            let text = |name: &str| {
                let column = vectors.column_by_name(name)?.as_string_opt::<i32>()?;
                column.is_valid(row).then(|| column.value(row).to_owned())
            };
            let number = |name: &str| {
                let column = vectors.column_by_name(name)?.as_primitive_opt::<Int32Type>()?;
                column.is_valid(row).then(|| column.value(row))
            };
            Some(Self {
                storage_type: text("storageType")?,
                path_or_inline_dv: text("pathOrInlineDv")?,
                offset: number("offset"),
                size_in_bytes: number("sizeInBytes")?,
                cardinality: vectors
                    .column_by_name("cardinality")?
                    .as_primitive_opt::<Int64Type>()?
                    .value(row),
            })
        };
        let read = read().ok_or_else(|| Error::damage("an entry's deletion vector is incomplete"));
        read.map(Some)
    }

    /// The numbers of the rows in the file, ascending.
    pub(crate) async fn rows(&self, store: &LakeStore) -> Result<Vec<u64>> {
        let (vector, table) = (self.clone(), store.clone());
        with_engine(store, move |engine| {
            let failed = |e| kernel_error(&table, e);
            let storage_type = vector.storage_type.parse().map_err(failed)?;
            let described = DeletionVectorDescriptor::try_new(
                storage_type,
                vector.path_or_inline_dv,
                vector.offset,
                vector.size_in_bytes,
                vector.cardinality,
            );
            let described = described.map_err(failed)?;
            described.row_indexes(engine.storage_handler(), table.url()).map_err(failed)
        })
        .await
    }
}
