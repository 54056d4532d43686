//! Deletion vectors: the rows of a file that another program deleted without rewriting the file. The entry of the log
//! says where the numbers of these rows are stored.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where the numbers of the rows stand that are deleted, as an entry of the log says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionVector {
    pub(crate) storage_type: String,
    pub(crate) path_or_inline_dv: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<i32>,
    pub(crate) size_in_bytes: i32,
    pub(crate) cardinality: i64,
}

impl DeletionVector {
    /// That of a row of the kernel's scan rows, whose column of them is `vectors`; `None` if it has none.
    pub(crate) fn at(vectors: &ArrayRef, row: usize) -> Result<Option<Self>> {
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
}
