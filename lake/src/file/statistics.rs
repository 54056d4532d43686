//! The statistics of columns: page index and chunk statistics for Parquet readers, and the entry for the Delta log, all
//! from the same exact minima, maxima and null counts.

use arrow::datatypes::DataType;
use chrono::{DateTime, SecondsFormat, Utc};
use parquet::basic::{BoundaryOrder, Compression, Encoding, Type as PhysicalType};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;
use serde_json::Value;

use super::chunk::WrittenChunk;
use super::value::{Number, Store};
use crate::Result;
use crate::snapshot::ColumnStats;

/// The metadata of a written column chunk.
pub(super) struct ChunkMetadata {
    pub(super) chunk: ColumnChunkMetaData,
    pub(super) column_index: ColumnIndexMetaData,
    pub(super) offset_index: OffsetIndexMetaData,
    pub(super) known: Known,
}

/// What is known of the values of a column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// Smallest and largest value of those that are not null.
    bounds: Option<(Number, Number)>,
    nulls: u64,
    /// Whether `bounds` covers every value.
    bounded: bool,
}

/// A written column chunk, wherever in the file it will stand.
pub(super) struct Described {
    descriptor: ColumnDescPtr,
    compression: Compression,
    encodings: Vec<Encoding>,
    statistics: Statistics,
    column_index: ColumnIndexMetaData,
    known: Known,
    dictionary_offset: Option<u64>,
    first_page_offset: u64,
    uncompressed_bytes: u64,
    stored_bytes: u64,
    /// Offset, bytes and rows of each page.
    places: Vec<(u64, usize, usize)>,
    /// Bytes of the texts of each page; of a column of texts alone.
    texts: Option<Vec<i64>>,
}

/// What is known of `written`; `ascending` if its pages stand in order of their values.
pub(super) fn describe<V: Store>(
    written: WrittenChunk<V>,
    descriptor: ColumnDescPtr,
    ascending: bool,
) -> Result<Described> {
    let nulls: usize = written.pages.iter().map(|page| page.nulls).sum();
    let bounds = written.pages.iter().filter_map(|page| page.bounds).reduce(|a, b| {
        let min = if b.0.order(a.0).is_lt() { b.0 } else { a.0 };
        let max = if b.1.order(a.1).is_gt() { b.1 } else { a.1 };
        (min, max)
    });
    let mut index = ColumnIndexBuilder::new(descriptor.physical_type());
    if ascending {
        index.set_boundary_order(BoundaryOrder::ASCENDING);
    }
    for page in &written.pages {
        let (min, max) = page
            .bounds
            .map(|(min, max)| (min.index_bytes(), max.index_bytes()))
            .unwrap_or_default();
        index.append(page.nulls == page.rows, min, max, page.nulls as i64);
    }
    let places = written.pages.iter().map(|page| (page.offset, page.bytes, page.rows));
    let is_text = descriptor.physical_type() == PhysicalType::BYTE_ARRAY;
    let texts = written.pages.iter().map(|page| page.text_bytes as i64);
    Ok(Described {
        texts: is_text.then(|| texts.collect()),
        descriptor,
        statistics: V::statistics(bounds, nulls as u64),
        // The page index has no place for a page whose bounds are not known.
        column_index: if written.bounded { index.build()? } else { ColumnIndexMetaData::NONE },
        known: Known {
            bounds: bounds.and_then(|(min, max)| min.number().zip(max.number())),
            nulls: nulls as u64,
            bounded: written.bounded,
        },
        places: places.collect(),
        compression: written.compression,
        encodings: written.encodings,
        dictionary_offset: written.dictionary_offset,
        first_page_offset: written.first_page_offset,
        uncompressed_bytes: written.uncompressed_bytes,
        stored_bytes: written.stored_bytes,
    })
}

impl Described {
    /// The metadata of the chunk if `before` bytes of the file stand before it.
    pub(super) fn at(self, before: u64) -> Result<ChunkMetadata> {
        let mut offsets = OffsetIndexBuilder::new();
        for (page, &(offset, bytes, rows)) in self.places.iter().enumerate() {
            let text = self.texts.as_ref().and_then(|texts| texts.get(page)).copied();
            offsets.append_unencoded_byte_array_data_bytes(text);
            offsets.append_row_count(rows as i64);
            offsets.append_offset_and_size(
                (before + offset) as i64,
                i32::try_from(bytes).unwrap_or(i32::MAX),
            );
        }
        let rows: usize = self.places.iter().map(|(.., rows)| rows).sum();
        let dictionary = self.dictionary_offset.map(|offset| (before + offset) as i64);
        let chunk = ColumnChunkMetaData::builder(self.descriptor)
            .set_compression(self.compression)
            .set_encodings(self.encodings)
            .set_num_values(rows as i64)
            .set_total_compressed_size(self.stored_bytes as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_data_page_offset((before + self.first_page_offset) as i64)
            .set_dictionary_page_offset(dictionary)
            .set_statistics(self.statistics)
            .set_unencoded_byte_array_data_bytes(self.texts.map(|texts| texts.iter().sum()))
            .build()?;
        Ok(ChunkMetadata {
            chunk,
            column_index: self.column_index,
            offset_index: offsets.build(),
            known: self.known,
        })
    }
}

impl Known {
    /// What is known of the rows of both.
    pub(super) fn and(self, other: Self) -> Self {
        let bounds = match (self.bounds, other.bounds) {
            (Some(a), Some(b)) => {
                Some((if b.0 < a.0 { b.0 } else { a.0 }, if b.1 > a.1 { b.1 } else { a.1 }))
            }
            (a, b) => a.or(b),
        };
        Self { bounds, nulls: self.nulls + other.nulls, bounded: self.bounded && other.bounded }
    }

    /// As the Delta entry has it.
    pub(super) fn entry(&self, data_type: &DataType) -> ColumnStats {
        let bounds = self.bounds.filter(|_| self.bounded);
        ColumnStats {
            min: bounds.and_then(|(min, _)| json(min, data_type)),
            max: bounds.and_then(|(_, max)| json(max, data_type)),
            nulls: self.nulls,
        }
    }
}

/// `number` in the Delta log's form. Single precision is written as the double of the same value, so that
/// it means the same to a reader of either precision. `None` for infinities, which JSON cannot say.
pub(super) fn json(number: Number, data_type: &DataType) -> Option<Value> {
    match number {
        Number::Int(value) if matches!(data_type, DataType::Timestamp(..)) => {
            let time = DateTime::<Utc>::from_timestamp_micros(value)?;
            Some(time.to_rfc3339_opts(SecondsFormat::Micros, true).into())
        }
        Number::Int(value) => Some(value.into()),
        Number::Float(value) => serde_json::Number::from_f64(value).map(Value::Number),
    }
}
