//! The buffers of a column, as Arrow IPC has them and in its order: a column before its children, validity bits before
//! values.
//!
//! | type | buffers | children |
//! |---|---|---|
//! | numbers, times, decimals, fixed binary | bits, values | |
//! | booleans | bits, bits | |
//! | text, binary | bits, offsets, bytes | |
//! | list, map | bits, offsets | the rows between the first and the last offset |
//! | fixed list | bits | `size` rows for each row |
//! | struct | bits | the same rows |
//! | union | type ids, offsets if dense | the rows that the ids and offsets name |
//! | null | none | |
//!
//! Format: "Columnar Format" of Apache Arrow, "Recordbatch message", version 1.0 (metadata V5).
//! Dictionaries, runs and views are made plain before ([`super::plain`]).

use arrow::array::{
    Array, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait, StructArray, UnionArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::downcast_primitive_array;
use barograph_engine::ErrorKind;

use super::header::Node;
use crate::{Error, Result};

/// One buffer of the body.
pub(super) enum Source<'a> {
    /// A part of a column's buffer, `offset` and `length` in bytes.
    Part { buffer: &'a Buffer, offset: usize, length: usize },
    /// Made for the message: bits or offsets that did not begin where the rows begin.
    Made(Buffer),
    /// A few bytes made for the message.
    Few([u8; 8], usize),
}

impl Source<'_> {
    const NONE: Self = Source::Few([0; 8], 0);

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Part { length, .. } => *length,
            Self::Made(buffer) => buffer.len(),
            Self::Few(_, length) => *length,
        }
    }
}

/// What the header and the body of a record batch are made of.
pub(super) struct Columns<'a> {
    pub(super) nodes: Vec<Node>,
    pub(super) sources: Vec<Source<'a>>,
}

impl<'a> Columns<'a> {
    pub(super) fn with_capacity(columns: usize) -> Self {
        Self { nodes: Vec::with_capacity(columns), sources: Vec::with_capacity(columns * 3) }
    }

    /// Adds rows `offset..offset + length` of a column and of what lies below it.
    pub(super) fn add(&mut self, array: &'a dyn Array, offset: usize, length: usize) -> Result<()> {
        match array.data_type() {
            DataType::Null => {
                self.nodes.push(Node { rows: length, nulls: length });
                return Ok(());
            }
            DataType::Union(..) => return self.union(array.as_union(), offset, length),
            _ => self.validity(array.nulls(), offset, length),
        }
        downcast_primitive_array!(
            array => {
                let width = array.data_type().primitive_width().unwrap_or_default();
                self.part(array.values().inner(), offset * width, length * width);
            },
            DataType::Boolean => {
                let rows = array.as_boolean().values().slice(offset, length);
                self.sources.push(made_bits(&rows));
            }
            DataType::Utf8 => {
                let text = array.as_string::<i32>();
                self.bytes(text.offsets(), text.values(), offset, length);
            }
            DataType::LargeUtf8 => {
                let text = array.as_string::<i64>();
                self.bytes(text.offsets(), text.values(), offset, length);
            }
            DataType::Binary => {
                let bytes = array.as_binary::<i32>();
                self.bytes(bytes.offsets(), bytes.values(), offset, length);
            }
            DataType::LargeBinary => {
                let bytes = array.as_binary::<i64>();
                self.bytes(bytes.offsets(), bytes.values(), offset, length);
            }
            DataType::FixedSizeBinary(_) => {
                let bytes = array.as_fixed_size_binary();
                let width = bytes.value_length().as_usize();
                self.part(bytes.values(), offset * width, length * width);
            }
            DataType::List(_) => self.list(array.as_list::<i32>(), offset, length)?,
            DataType::LargeList(_) => self.list(array.as_list::<i64>(), offset, length)?,
            DataType::FixedSizeList(..) => self.fixed(array.as_fixed_size_list(), offset, length)?,
            DataType::Struct(_) => self.structure(array.as_struct(), offset, length)?,
            DataType::Map(..) => {
                let map = array.as_map();
                let (first, count) = self.offsets(map.offsets(), offset, length);
                let entries = map.entries();
                self.validity(entries.nulls(), first, count);
                self.structure(entries, first, count)?;
            }
            other => return Err(unsent(other)),
        );
        Ok(())
    }

    fn part(&mut self, buffer: &'a Buffer, offset: usize, length: usize) {
        self.sources.push(Source::Part { buffer, offset, length });
    }

    /// Adds the node of a column and its validity bits, none where no row is null.
    fn validity(&mut self, nulls: Option<&NullBuffer>, offset: usize, length: usize) {
        let rows = nulls.filter(|nulls| nulls.null_count() > 0).map(|nulls| {
            if offset == 0 && length == nulls.len() {
                nulls.clone()
            } else {
                nulls.slice(offset, length)
            }
        });
        let (nulls, bits) = match rows {
            Some(rows) if rows.null_count() > 0 => (rows.null_count(), made_bits(rows.inner())),
            _ => (0, Source::NONE),
        };
        self.nodes.push(Node { rows: length, nulls });
        self.sources.push(bits);
    }

    /// Adds offsets counted from the first row; gives where in the values the rows begin and how much
    /// of them they take.
    fn offsets<O: OffsetSizeTrait>(
        &mut self,
        offsets: &'a OffsetBuffer<O>,
        offset: usize,
        length: usize,
    ) -> (usize, usize) {
        let (first, count) = extent(offsets, offset, length);
        let rows = offsets.get(offset..=offset + length).unwrap_or_default();
        let width = size_of::<O>();
        if first == 0 && !rows.is_empty() {
            self.part(offsets.inner().inner(), offset * width, size_of_val(rows));
        } else {
            let base = rows.first().copied().unwrap_or_default();
            let counted: Vec<O> = rows.iter().map(|end| *end - base).collect();
            self.sources.push(Source::Made(Buffer::from_vec(counted)));
        }
        (first, count)
    }

    fn bytes<O: OffsetSizeTrait>(
        &mut self,
        offsets: &'a OffsetBuffer<O>,
        values: &'a Buffer,
        offset: usize,
        length: usize,
    ) {
        let (first, count) = self.offsets(offsets, offset, length);
        self.part(values, first, count);
    }

    fn list<O: OffsetSizeTrait>(
        &mut self,
        list: &'a GenericListArray<O>,
        offset: usize,
        length: usize,
    ) -> Result<()> {
        let (first, count) = self.offsets(list.offsets(), offset, length);
        self.add(list.values().as_ref(), first, count)
    }

    fn fixed(&mut self, list: &'a FixedSizeListArray, offset: usize, length: usize) -> Result<()> {
        let size = list.value_length().as_usize();
        self.add(list.values().as_ref(), offset * size, length * size)
    }

    fn structure(&mut self, rows: &'a StructArray, offset: usize, length: usize) -> Result<()> {
        rows.columns().iter().try_for_each(|column| self.add(column.as_ref(), offset, length))
    }

    fn union(&mut self, union: &'a UnionArray, offset: usize, length: usize) -> Result<()> {
        let DataType::Union(fields, _) = union.data_type() else {
            return Err(unsent(union.data_type()));
        };
        self.nodes.push(Node { rows: length, nulls: 0 });
        self.part(union.type_ids().inner(), offset, length);
        let Some(offsets) = union.offsets() else {
            return fields
                .iter()
                .try_for_each(|(id, _)| self.add(union.child(id).as_ref(), offset, length));
        };
        let ids = union.type_ids().get(offset..offset + length).unwrap_or_default();
        let rows = offsets.get(offset..offset + length).unwrap_or_default();
        let mut counted = rows.to_vec();
        let mut children = Vec::with_capacity(fields.len());
        for (id, _) in fields.iter() {
            let of_child =
                || ids.iter().zip(rows).filter(|(of, _)| **of == id).map(|(_, row)| *row);
            let first = of_child().min().unwrap_or(0);
            let count = of_child().max().map_or(0, |last| last - first + 1);
            for (row, _) in counted.iter_mut().zip(ids).filter(|(_, of)| **of == id) {
                *row -= first;
            }
            children.push((union.child(id), first.as_usize(), count.as_usize()));
        }
        self.sources.push(Source::Made(Buffer::from_vec(counted)));
        children
            .into_iter()
            .try_for_each(|(child, first, count)| self.add(child.as_ref(), first, count))
    }
}

fn made_bits(bits: &BooleanBuffer) -> Source<'static> {
    if bits.len() <= 8 {
        let byte = bits.iter().enumerate().fold(0, |byte, (i, set)| byte | (u8::from(set) << i));
        return Source::Few([byte, 0, 0, 0, 0, 0, 0, 0], bits.len().div_ceil(8));
    }
    let buffer = bits.sliced();
    let length = bits.len().div_ceil(8);
    Source::Made(buffer.slice_with_length(0, length))
}

/// Where the values of some rows begin and how many there are.
fn extent<O: OffsetSizeTrait>(offsets: &[O], offset: usize, length: usize) -> (usize, usize) {
    match offsets.get(offset..=offset + length) {
        Some([first, .., last]) => (first.as_usize(), last.as_usize() - first.as_usize()),
        Some([only]) => (only.as_usize(), 0),
        _ => (0, 0),
    }
}

/// Bytes that the values and validity bits of some rows take in a body, within a few bytes a column.
pub(super) fn estimate(array: &dyn Array, offset: usize, length: usize) -> Result<usize> {
    let below = |child: &dyn Array, (first, count)| estimate(child, first, count);
    let values = match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => length.div_ceil(8),
        DataType::Utf8 => {
            4 * (length + 1) + extent(array.as_string::<i32>().offsets(), offset, length).1
        }
        DataType::LargeUtf8 => {
            8 * (length + 1) + extent(array.as_string::<i64>().offsets(), offset, length).1
        }
        DataType::Binary => {
            4 * (length + 1) + extent(array.as_binary::<i32>().offsets(), offset, length).1
        }
        DataType::LargeBinary => {
            8 * (length + 1) + extent(array.as_binary::<i64>().offsets(), offset, length).1
        }
        DataType::FixedSizeBinary(width) => length * width.as_usize(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            4 * (length + 1) + below(list.values(), extent(list.offsets(), offset, length))?
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            8 * (length + 1) + below(list.values(), extent(list.offsets(), offset, length))?
        }
        DataType::FixedSizeList(_, size) => {
            let size = size.as_usize();
            below(array.as_fixed_size_list().values(), (offset * size, length * size))?
        }
        DataType::Map(..) => {
            let map = array.as_map();
            4 * (length + 1) + below(map.entries(), extent(map.offsets(), offset, length))?
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|column| below(column, (offset, length))).sum::<Result<usize>>()?
        }
        // Rows of a union lie in one child each: the share of all rows is near enough.
        DataType::Union(..) => {
            5 * length + array.get_array_memory_size() * length / array.len().max(1)
        }
        other => length * other.primitive_width().ok_or_else(|| unsent(other))?,
    };
    Ok(values + if array.null_count() > 0 { length.div_ceil(8) } else { 0 })
}

fn unsent(data_type: &DataType) -> Error {
    Error::new(ErrorKind::Internal, format!("a column of type {data_type} cannot be sent"))
}
