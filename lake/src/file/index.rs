//! The page index of a file, flat in memory: the place and the statistics of each page. Page `p` holds the same rows in
//! every column.

use std::ops::Range;
use std::sync::OnceLock;

use arrow::datatypes::{DataType, Field};
use bytes::Bytes;
use parquet::basic::{Compression, Type as PhysicalType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;

use super::dictionary::Dictionary;
use super::footer::{Footer, MAGIC};
use super::layout::SHORT_TEXT_BYTES;
use super::value::Kind;
use super::{PageColumn, PageKeys, PageValue};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::{Error, FileEntry, Key, Result, TableSchema, Timestamp};

/// The page index of a file.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) keys: Vec<PageKeys>,
    /// First page of each row group, and the number of pages.
    pub(super) groups: Vec<usize>,
    /// By column of the table; `None` for a column that was declared after the file was written.
    pub(super) columns: Vec<Option<ColumnPages>>,
}

/// The pages of one column.
#[derive(Debug)]
pub(super) struct ColumnPages {
    /// Its type where the file was written; the table's may have become wider since.
    pub(super) data_type: DataType,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
    pub(super) places: Vec<Place>,
    pub(super) chunks: Vec<Chunk>,
    bounds: Bounds,
    /// Bytes of the texts of each page, about where the file does not say; empty for numbers.
    texts: Vec<u64>,
    /// Whether it says so in every row group.
    is_stated: bool,
}

/// Where a page stands in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// With its header.
    pub(super) bytes: u32,
    pub(super) nulls: Option<u32>,
}

/// A column in one row group.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) compressed: bool,
    /// The dictionary page with its header, if there is one.
    pub(super) dictionary: Option<Range<u64>>,
    /// The decoded dictionary, once it was needed.
    pub(super) decoded: OnceLock<Dictionary>,
    /// Where its data pages stand.
    pub(super) pages: Range<u64>,
    /// Its data pages as stored, once they were read, if they are few bytes: a read of them costs more
    /// than a copy in memory is worth.
    pub(super) kept: OnceLock<Bytes>,
}

/// Smallest and largest value by page; `None` if not known.
#[derive(Debug)]
enum Bounds {
    Int(Vec<Option<(i64, i64)>>),
    Float(Vec<Option<(f64, f64)>>),
    Text(Vec<Option<(Box<str>, Box<str>)>>),
}

impl Index {
    /// Flattens the footer's indexes and checks that they fit together, the table and the file's entry.
    pub(super) fn new(footer: &Footer, schema: &TableSchema, entry: &FileEntry) -> Result<Self> {
        let mut columns = Vec::new();
        for field in schema.arrow().fields() {
            columns.push(ColumnPages::new(footer, field)?);
        }
        let metadata = &footer.metadata;
        let keys = Vec::with_capacity(pages(metadata, 0)?);
        let mut index = Self { keys, groups: vec![0], columns };
        let mut rows = 0;
        for group in 0..metadata.num_row_groups() {
            let locations = locations(metadata, group, 0)?;
            let group_rows = metadata.row_group(group).num_rows();
            for column in 1..metadata.row_group(group).num_columns() {
                let others =
                    self::locations(metadata, group, column)?.iter().map(|l| l.first_row_index);
                if !others.eq(locations.iter().map(|location| location.first_row_index)) {
                    return Err(bad("columns are cut into pages at different rows"));
                }
            }
            let ends = locations
                .iter()
                .skip(1)
                .map(|location| location.first_row_index)
                .chain([group_rows]);
            for (location, end) in locations.iter().zip(ends) {
                let page_rows = u32::try_from(end - location.first_row_index)
                    .ok()
                    .filter(|&rows| rows > 0)
                    .ok_or_else(|| bad("a page without rows"))?;
                let (first, last) = index
                    .integers(KEY_COLUMN, index.keys.len())
                    .map(|(first, last)| (Key::new(first), Key::new(last)))
                    .filter(|&(first, _)| {
                        index.keys.last().is_none_or(|before| before.last <= first)
                    })
                    .ok_or_else(|| bad("keys are not in order"))?;
                index.keys.push(PageKeys { first, last, rows: page_rows });
                rows += u64::from(page_rows);
            }
            index.groups.push(index.keys.len());
        }
        index.check(rows, entry)?;
        Ok(index)
    }

    fn check(&self, rows: u64, entry: &FileEntry) -> Result<()> {
        if self.columns.iter().flatten().any(|column| column.places.len() != self.keys.len()) {
            return Err(bad("a column has another number of pages"));
        }
        let keys =
            self.keys.first().zip(self.keys.last()).map(|(first, last)| (first.first, last.last));
        let mut times: Option<(Timestamp, Timestamp)> = None;
        for page in 0..self.keys.len() {
            let (from, to) = self.times(page);
            times = Some(times.map_or((from, to), |(min, max)| (min.min(from), max.max(to))));
        }
        if rows != entry.rows || keys != Some(entry.keys) || times != Some(entry.times) {
            return Err(bad("rows, keys or times differ from the file's entry in the Delta log"));
        }
        Ok(())
    }

    /// Smallest and largest instant of a page.
    pub(super) fn times(&self, page: usize) -> (Timestamp, Timestamp) {
        let times = self.integers(TIME_COLUMN, page).unwrap_or((i64::MIN, i64::MAX));
        (Timestamp::from_micros(times.0), Timestamp::from_micros(times.1))
    }

    fn integers(&self, column: usize, page: usize) -> Option<(i64, i64)> {
        match &self.columns.get(column)?.as_ref()?.bounds {
            Bounds::Int(bounds) => *bounds.get(page)?,
            _ => None,
        }
    }

    /// Statistics of a column in a page.
    pub(super) fn column(&self, page: usize, column: usize) -> PageColumn<'_> {
        let rows = self.keys.get(page).map_or(0, |keys| keys.rows);
        let Some(pages) = self.columns.get(column).and_then(|pages| pages.as_ref()) else {
            return PageColumn { bounds: None, nulls: Some(rows) };
        };
        let bounds = match &pages.bounds {
            Bounds::Int(bounds) => bounds
                .get(page)
                .copied()
                .flatten()
                .map(|(min, max)| (PageValue::Int(min), PageValue::Int(max))),
            Bounds::Float(bounds) => bounds
                .get(page)
                .copied()
                .flatten()
                .map(|(min, max)| (PageValue::Float(min), PageValue::Float(max))),
            Bounds::Text(bounds) => bounds
                .get(page)
                .and_then(|bounds| bounds.as_ref())
                .map(|(min, max)| (PageValue::Text(min), PageValue::Text(max))),
        };
        PageColumn { bounds, nulls: pages.places.get(page).and_then(|place| place.nulls) }
    }

    /// Bytes that texts of some columns take in a page, [`SHORT_TEXT_BYTES`] of each left out.
    pub(super) fn long_texts(&self, page: usize, columns: &[usize]) -> u64 {
        let rows = self.keys.get(page).map_or(0, |keys| u64::from(keys.rows));
        let texts = columns.iter().filter_map(|&column| self.columns.get(column)?.as_ref());
        let bytes = texts.filter_map(|column| column.texts.get(page));
        bytes.map(|bytes| bytes.saturating_sub(rows * SHORT_TEXT_BYTES as u64)).sum()
    }

    /// Bytes of the texts of a column in a page, where the file says so.
    pub(super) fn stated_text(&self, page: usize, column: usize) -> Option<u64> {
        let pages = self.columns.get(column)?.as_ref().filter(|pages| pages.is_stated)?;
        pages.texts.get(page).copied()
    }

    /// The row group of a page.
    pub(super) fn group(&self, page: usize) -> usize {
        self.groups.partition_point(|&first| first <= page).saturating_sub(1)
    }

    /// Size in memory, without decoded dictionaries and kept pages.
    pub(super) fn bytes(&self) -> usize {
        let columns = self.columns.iter().flatten().map(|column| {
            let bounds = match &column.bounds {
                Bounds::Int(bounds) => size_of_val(bounds.as_slice()),
                Bounds::Float(bounds) => size_of_val(bounds.as_slice()),
                Bounds::Text(bounds) => {
                    let texts = bounds.iter().flatten().map(|(min, max)| min.len() + max.len());
                    size_of_val(bounds.as_slice()) + texts.sum::<usize>()
                }
            };
            let pages = size_of_val(column.places.as_slice());
            let texts = size_of_val(column.texts.as_slice());
            bounds + pages + texts + size_of_val(column.chunks.as_slice())
        });
        size_of::<Self>() + size_of_val(self.keys.as_slice()) + columns.sum::<usize>()
    }
}

impl ColumnPages {
    fn new(footer: &Footer, field: &Field) -> Result<Option<Self>> {
        let schema = footer.metadata.file_metadata().schema_descr();
        let Some(leaf) = schema.columns().iter().position(|column| column.name() == field.name())
        else {
            return if field.is_nullable() {
                Ok(None)
            } else {
                Err(bad(&format!("it has no column {:?}", field.name())))
            };
        };
        let descriptor = schema.column(leaf);
        let data_type = stored_type(field, descriptor.physical_type());
        let kind = Kind::of(&data_type);
        if descriptor.physical_type() != kind.physical()
            || descriptor.max_def_level() != i16::from(field.is_nullable())
            || descriptor.max_rep_level() != 0
        {
            return Err(bad(&format!("column {:?} has another type than the table", field.name())));
        }
        let count = pages(&footer.metadata, leaf)?;
        let bounds = match kind {
            Kind::Int16 | Kind::Int32 | Kind::Int64 => Bounds::Int(Vec::with_capacity(count)),
            Kind::Float32 | Kind::Float64 => Bounds::Float(Vec::with_capacity(count)),
            Kind::Text => Bounds::Text(Vec::with_capacity(count)),
        };
        let mut pages = Self {
            data_type,
            kind,
            nullable: field.is_nullable(),
            places: Vec::with_capacity(count),
            chunks: Vec::with_capacity(footer.metadata.num_row_groups()),
            bounds,
            texts: Vec::new(),
            is_stated: true,
        };
        for group in 0..footer.metadata.num_row_groups() {
            pages.add_chunk(footer, group, leaf)?;
        }
        Ok(Some(pages))
    }

    fn add_chunk(&mut self, footer: &Footer, group: usize, leaf: usize) -> Result<()> {
        let metadata = &footer.metadata;
        let chunk = metadata
            .row_groups()
            .get(group)
            .and_then(|group| group.columns().get(leaf))
            .ok_or_else(|| bad("a row group lacks a column"))?;
        let statistics = metadata
            .column_index()
            .and_then(|index| index.get(group)?.get(leaf))
            .filter(|index| !matches!(index, ColumnIndexMetaData::NONE));
        let start = self.places.len();
        let start_offset = u64::try_from(chunk.data_page_offset()).unwrap_or_default();
        let mut end = start_offset;
        for (page, location) in locations(metadata, group, leaf)?.iter().enumerate() {
            let place = Place {
                offset: end,
                bytes: u32::try_from(location.compressed_page_size).unwrap_or_default(),
                nulls: statistics
                    .and_then(|index| index.null_count(page))
                    .and_then(|nulls| u32::try_from(nulls).ok()),
            };
            // Pages stand one after the other, so that neighbours are read as one range.
            if u64::try_from(location.offset) != Ok(end) || place.bytes == 0 {
                return Err(bad("pages do not follow one another"));
            }
            end += u64::from(place.bytes);
            self.places.push(place);
        }
        if end > footer.pages_end || chunk.data_page_offset() < MAGIC.len() as i64 {
            return Err(bad("pages reach into the footer"));
        }
        self.bounds.extend(statistics, self.places.len() - start);
        if self.kind == Kind::Text {
            let offsets = metadata.offset_index().and_then(|index| index.get(group)?.get(leaf));
            let stated = offsets.and_then(|offsets| offsets.unencoded_byte_array_data_bytes());
            self.is_stated &= stated.is_some();
            let decompressed =
                chunk.uncompressed_size() as f64 / chunk.compressed_size().max(1) as f64;
            for (page, place) in self.places.iter().skip(start).enumerate() {
                let bytes = stated.and_then(|pages| u64::try_from(*pages.get(page)?).ok());
                let about = (f64::from(place.bytes) * decompressed) as u64;
                self.texts.push(bytes.unwrap_or(about));
            }
        }
        self.chunks.push(Chunk {
            compressed: compressed(chunk)?,
            dictionary: dictionary(chunk)?,
            decoded: OnceLock::new(),
            pages: start_offset..end,
            kept: OnceLock::new(),
        });
        Ok(())
    }
}

impl Bounds {
    fn extend(&mut self, index: Option<&ColumnIndexMetaData>, pages: usize) {
        match (self, index) {
            (Self::Int(bounds), Some(ColumnIndexMetaData::INT32(index))) => {
                let widen = |value: Option<&i32>| value.copied().map(i64::from);
                bounds.extend(
                    (0..pages).map(|p| widen(index.min_value(p)).zip(widen(index.max_value(p)))),
                );
            }
            (Self::Int(bounds), Some(ColumnIndexMetaData::INT64(index))) => {
                let copy = |value: Option<&i64>| value.copied();
                bounds.extend(
                    (0..pages).map(|p| copy(index.min_value(p)).zip(copy(index.max_value(p)))),
                );
            }
            (Self::Float(bounds), Some(ColumnIndexMetaData::FLOAT(index))) => {
                let widen = |value: Option<&f32>| value.copied().map(f64::from);
                bounds.extend(
                    (0..pages).map(|p| widen(index.min_value(p)).zip(widen(index.max_value(p)))),
                );
            }
            (Self::Float(bounds), Some(ColumnIndexMetaData::DOUBLE(index))) => {
                let copy = |value: Option<&f64>| value.copied();
                bounds.extend(
                    (0..pages).map(|p| copy(index.min_value(p)).zip(copy(index.max_value(p)))),
                );
            }
            (Self::Text(bounds), Some(ColumnIndexMetaData::BYTE_ARRAY(index))) => {
                let text =
                    |value: Option<&[u8]>| Some(Box::from(std::str::from_utf8(value?).ok()?));
                bounds.extend(
                    (0..pages).map(|p| text(index.min_value(p)).zip(text(index.max_value(p)))),
                );
            }
            (Self::Int(bounds), _) => bounds.resize(bounds.len() + pages, None),
            (Self::Float(bounds), _) => bounds.resize(bounds.len() + pages, None),
            (Self::Text(bounds), _) => bounds.resize(bounds.len() + pages, None),
        }
    }
}

/// The type that a column has in a file. Integers of 16 and 32 bits stand there in the same form.
fn stored_type(field: &Field, physical: PhysicalType) -> DataType {
    match (field.data_type(), physical) {
        (DataType::Int64, PhysicalType::INT32) if field.is_nullable() => DataType::Int32,
        (DataType::Float64, PhysicalType::FLOAT) => DataType::Float32,
        (of_table, _) => of_table.clone(),
    }
}

fn locations(metadata: &ParquetMetaData, group: usize, leaf: usize) -> Result<&[PageLocation]> {
    metadata
        .offset_index()
        .and_then(|index| index.get(group)?.get(leaf))
        .map(|index| index.page_locations().as_slice())
        .ok_or_else(|| bad("it has no page index"))
}

/// How many pages a column has.
fn pages(metadata: &ParquetMetaData, leaf: usize) -> Result<usize> {
    let groups = 0..metadata.num_row_groups();
    groups.map(|group| Ok(locations(metadata, group, leaf)?.len())).sum()
}

fn compressed(chunk: &ColumnChunkMetaData) -> Result<bool> {
    match chunk.compression() {
        Compression::UNCOMPRESSED => Ok(false),
        Compression::ZSTD(_) => Ok(true),
        other => Err(bad(&format!("compression {other} is not one this program writes"))),
    }
}

fn dictionary(chunk: &ColumnChunkMetaData) -> Result<Option<Range<u64>>> {
    let Some(from) = chunk.dictionary_page_offset() else { return Ok(None) };
    match (u64::try_from(from), u64::try_from(chunk.data_page_offset())) {
        (Ok(from), Ok(to)) if MAGIC.len() as u64 <= from && from < to => Ok(Some(from..to)),
        _ => Err(bad("a dictionary does not stand before its pages")),
    }
}

fn bad(what: &str) -> Error {
    Error::damage(format!("Parquet page index: {what}"))
}
