//! The writer of one column of a row group: its values become encoded pages, with their statistics.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBufferBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use parquet::schema::types::SchemaDescPtr;
use zstd::bulk::Compressor;

use super::chunk::{self, ChunkRows};
use super::layout::Layout;
use super::rows::Rows;
use super::statistics::{Described, describe};
use super::value::Store;
use crate::Result;
use crate::priority::yield_if_background;
use crate::schema::KEY_COLUMN;

/// Writes one column of one row group.
pub(super) struct ColumnWriter<'a, 'z> {
    pub(super) rows: &'a Rows,
    pub(super) column: usize,
    /// Where its pages start, and where the last one ends.
    pub(super) pages: &'a [usize],
    pub(super) parquet: &'a SchemaDescPtr,
    pub(super) layout: &'a Layout,
    pub(super) zstd: &'a mut Compressor<'z>,
}

impl ColumnWriter<'_, '_> {
    /// Writes the column's pages, and what is known of them.
    pub(super) fn write(&mut self) -> Result<(Vec<u8>, Described)> {
        match self.rows.data_type(self.column) {
            DataType::Int16 => self.numbers::<Int16Type>(),
            DataType::Int32 => self.numbers::<Int32Type>(),
            DataType::Int64 => self.numbers::<Int64Type>(),
            DataType::Float32 => self.numbers::<Float32Type>(),
            DataType::Float64 => self.numbers::<Float64Type>(),
            DataType::Timestamp(..) => self.numbers::<TimestampMicrosecondType>(),
            _ => self.texts(),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the ranges of valid values lie in the slice")]
    fn numbers<T: ArrowPrimitiveType>(&mut self) -> Result<(Vec<u8>, Described)>
    where
        T::Native: Store,
    {
        let mut values = Vec::with_capacity(self.count());
        for slice in self.slices() {
            yield_if_background();
            let slice = slice.as_primitive::<T>();
            match slice.nulls() {
                Some(nulls) => {
                    for (from, to) in nulls.valid_slices() {
                        values.extend_from_slice(&slice.values()[from..to]);
                    }
                }
                None => values.extend_from_slice(slice.values()),
            }
        }
        self.chunk(values)
    }

    fn texts(&mut self) -> Result<(Vec<u8>, Described)> {
        let slices: Vec<_> = self.slices().collect();
        let values =
            slices.iter().flat_map(|slice| slice.as_string::<i32>().iter().flatten()).collect();
        self.chunk(values)
    }

    fn chunk<V: Store>(&mut self, values: Vec<V>) -> Result<(Vec<u8>, Described)> {
        let start = self.pages.first().copied().unwrap_or_default();
        let descriptor = self.parquet.column(self.column);
        let rows = ChunkRows {
            values,
            valid: (descriptor.max_def_level() > 0).then(|| self.valid()),
            page_ends: self.pages.iter().skip(1).map(|end| end - start).collect(),
        };
        let mut pages = Vec::new();
        let written = chunk::write(&rows, self.layout, self.zstd, &mut pages)?;
        Ok((pages, describe(written, descriptor, self.column == KEY_COLUMN)?))
    }

    fn valid(&self) -> BooleanBuffer {
        let mut valid = BooleanBufferBuilder::new(self.count());
        for slice in self.slices() {
            match slice.nulls() {
                Some(nulls) => valid.append_buffer(nulls.inner()),
                None => valid.append_n(slice.len(), true),
            }
        }
        valid.finish()
    }

    fn count(&self) -> usize {
        self.pages.last().zip(self.pages.first()).map_or(0, |(end, start)| end - start)
    }

    fn slices(&self) -> impl Iterator<Item = ArrayRef> {
        let range = self.pages.first().zip(self.pages.last());
        self.rows.slices(self.column, range.map_or(0..0, |(&from, &to)| from..to))
    }
}
