//! The rows that a deletion vector names, read by the kernel.

use delta_kernel::Engine;
use delta_kernel::actions::deletion_vector::DeletionVectorDescriptor;

use super::kernel::{kernel_error, with_engine};
use crate::Result;
use crate::snapshot::DeletionVector;
use crate::store::LakeStore;

/// The numbers of the rows in the file, ascending.
pub(crate) async fn deleted_rows(store: &LakeStore, vector: &DeletionVector) -> Result<Vec<u64>> {
    let (vector, table) = (vector.clone(), store.clone());
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
