//! The encoding of a column chunk, which is one column of one row group: whichever of Parquet's encodings makes it
//! smallest, found by trying each on a few pages. A chunk is compressed only where that saves enough to be worth
//! decompressing on each read.

use arrow::buffer::BooleanBuffer;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use zstd::bulk::Compressor;

use super::bits::{put_hybrid, width_of};
use super::delta;
use super::dictionary;
use super::header::{self, PageHeader};
use super::layout::Layout;
use super::value::Store;
use crate::priority::yield_if_background;
use crate::{Error, ErrorKind, Result};

/// Pages on which the encodings are tried.
const SAMPLE_PAGES: usize = 3;

/// The rows of one column in one row group.
pub(super) struct ChunkRows<V> {
    /// The values that are not null.
    pub(super) values: Vec<V>,
    /// Which rows are not null; `None` for a column that cannot be null.
    pub(super) valid: Option<BooleanBuffer>,
    /// Where pages end, in rows of the row group; the last end is the number of rows.
    pub(super) page_ends: Vec<usize>,
}

/// What was written for a column chunk.
pub(super) struct WrittenChunk<V> {
    pub(super) compression: Compression,
    pub(super) encodings: Vec<Encoding>,
    pub(super) dictionary_offset: Option<u64>,
    pub(super) first_page_offset: u64,
    pub(super) uncompressed_bytes: u64,
    pub(super) stored_bytes: u64,
    pub(super) pages: Vec<WrittenPage<V>>,
    /// Whether every value has a place in minima and maxima.
    pub(super) bounded: bool,
}

/// What was written for a data page.
pub(super) struct WrittenPage<V> {
    pub(super) offset: u64,
    /// With its header.
    pub(super) bytes: usize,
    pub(super) rows: usize,
    pub(super) nulls: usize,
    pub(super) bounds: Option<(V, V)>,
    /// Of all its values, however they are encoded.
    pub(super) text_bytes: u64,
}

/// How a chunk is written.
#[derive(Debug, Clone, Copy)]
struct Choice {
    coding: Coding,
    /// Level of zstd, if it is compressed.
    level: Option<i32>,
    /// Bytes, and what reading them costs in bytes.
    cost: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    /// Dictionary indexes at the fewest bits.
    Dictionary,
    /// Dictionary indexes at whole bytes, for compression.
    DictionaryBytes,
    Delta,
    Plain,
}

/// Appends the pages of a chunk to `file`.
pub(super) fn write<V: Store>(
    rows: &ChunkRows<V>,
    layout: &Layout,
    zstd: &mut Compressor<'_>,
    file: &mut Vec<u8>,
) -> Result<WrittenChunk<V>> {
    let mut writer = ChunkWriter::new(rows, zstd);
    let Choice { coding, level, .. } = writer.choose(layout)?;
    let compress = level.is_some();
    if let Some(level) = level {
        writer.set_level(level)?;
    }
    let bounded = match &writer.dictionary {
        Some((entries, _)) => entries.iter().all(|entry| entry.bounds()),
        None => rows.values.iter().all(|value| value.bounds()),
    };
    let mut chunk = WrittenChunk {
        compression: match level {
            Some(level) => Compression::ZSTD(ZstdLevel::try_new(level)?),
            None => Compression::UNCOMPRESSED,
        },
        encodings: coding.encodings(),
        dictionary_offset: None,
        first_page_offset: 0,
        uncompressed_bytes: 0,
        stored_bytes: 0,
        pages: Vec::with_capacity(rows.page_ends.len()),
        bounded,
    };
    let start = file.len();
    let mut content = Vec::new();
    if let Some((entries, _)) = writer.dictionary.as_ref().filter(|_| coding.is_dictionary()) {
        entries.iter().for_each(|entry| entry.put(&mut content));
        chunk.dictionary_offset = Some(file.len() as u64);
        let (count, encoding) = (entries.len(), header::PLAIN);
        chunk.uncompressed_bytes += writer.page(true, count, encoding, &content, compress, file)?;
    }
    chunk.first_page_offset = file.len() as u64;
    for page in 0..rows.page_ends.len() {
        yield_if_background();
        let offset = file.len();
        content.clear();
        writer.content(page, coding, &mut content);
        let (from, to) = writer.page_rows(page);
        chunk.uncompressed_bytes +=
            writer.page(false, to - from, coding.number(), &content, compress, file)?;
        chunk.pages.push(WrittenPage {
            offset: offset as u64,
            bytes: file.len() - offset,
            rows: to - from,
            nulls: to - from - writer.page_values(page).len(),
            bounds: if bounded { writer.bounds(page) } else { None },
            text_bytes: writer.text_bytes(page),
        });
    }
    chunk.stored_bytes = (file.len() - start) as u64;
    Ok(chunk)
}

struct ChunkWriter<'a, 'z, V> {
    rows: &'a ChunkRows<V>,
    dictionary: Option<(Vec<V>, Vec<u32>)>,
    /// Where the values of each page end in `rows.values`.
    value_ends: Vec<usize>,
    zstd: &'a mut Compressor<'z>,
    compressed: Vec<u8>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "pages are those of the row group, and indexes those of its dictionary"
)]
impl<'a, 'z, V: Store> ChunkWriter<'a, 'z, V> {
    fn new(rows: &'a ChunkRows<V>, zstd: &'a mut Compressor<'z>) -> Self {
        let (mut from, mut values) = (0, 0);
        let value_ends = rows.page_ends.iter().map(|&to| {
            values += match &rows.valid {
                Some(valid) => valid.slice(from, to - from).count_set_bits(),
                None => to - from,
            };
            from = to;
            values
        });
        Self {
            rows,
            dictionary: dictionary::build(&rows.values),
            value_ends: value_ends.collect(),
            zstd,
            compressed: Vec::new(),
        }
    }

    fn page_rows(&self, page: usize) -> (usize, usize) {
        let from = if page == 0 { 0 } else { self.rows.page_ends[page - 1] };
        (from, self.rows.page_ends[page])
    }

    fn page_values(&self, page: usize) -> std::ops::Range<usize> {
        let from = if page == 0 { 0 } else { self.value_ends[page - 1] };
        from..self.value_ends[page]
    }

    fn text_bytes(&self, page: usize) -> u64 {
        let values = self.rows.values.get(self.page_values(page)).unwrap_or_default();
        values.iter().filter_map(|value| value.text_bytes()).sum()
    }

    /// What makes the chunk smallest, at what reading may cost.
    fn choose(&mut self, layout: &Layout) -> Result<Choice> {
        let plain = self.choose_at(layout, layout.zstd_level)?;
        if layout.thorough_gain >= 1.0 {
            return Ok(plain);
        }
        let thorough = self.choose_at(layout, layout.thorough_level)?;
        let gains = thorough.cost <= plain.cost * (1.0 - layout.thorough_gain);
        Ok(if gains { thorough } else { plain })
    }

    fn set_level(&mut self, level: i32) -> Result<()> {
        self.zstd.set_compression_level(level).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("zstd's level {level}")).with_source(e)
        })
    }

    /// What makes the chunk smallest with this level of zstd, by a sample of its pages.
    fn choose_at(&mut self, layout: &Layout, level: i32) -> Result<Choice> {
        self.set_level(level)?;
        let pages = self.rows.page_ends.len();
        let sample: Vec<_> =
            (0..pages.min(SAMPLE_PAGES)).map(|i| i * pages / pages.min(SAMPLE_PAGES)).collect();
        let scale = pages as f64 / sample.len().max(1) as f64;
        // Trying it would take time, and a context of zstd, which is much larger than a page.
        let may_pay = layout.decompression_cost < f64::INFINITY;
        let mut best = Choice { coding: Coding::Plain, level: None, cost: f64::INFINITY };
        for coding in [Coding::Dictionary, Coding::DictionaryBytes, Coding::Delta, Coding::Plain] {
            let possible = match coding {
                Coding::Dictionary => self.dictionary.is_some(),
                Coding::DictionaryBytes => self.dictionary.is_some() && layout.whole_bytes,
                Coding::Delta => V::INTEGER_BITS.is_some(),
                Coding::Plain => match &self.dictionary {
                    Some((entries, _)) => entries.len() > self.rows.values.len() / 4,
                    None => true,
                },
            };
            if !possible {
                continue;
            }
            let (mut raw, mut packed) = (0.0, 0.0);
            let mut content = Vec::new();
            for &page in &sample {
                content.clear();
                self.content(page, coding, &mut content);
                raw += content.len() as f64 * scale;
                if may_pay {
                    packed += self.compress(&content)?.len() as f64 * scale;
                }
            }
            if let Some((entries, _)) = self.dictionary.as_ref().filter(|_| coding.is_dictionary())
            {
                content.clear();
                entries.iter().for_each(|entry| entry.put(&mut content));
                raw += content.len() as f64;
                if may_pay {
                    packed += self.compress(&content)?.len() as f64;
                }
            }
            let unpack = pages as f64 * layout.unpack_page_price + raw * layout.decompression_cost;
            for (level, cost) in [(None, raw), (Some(level), packed + unpack)] {
                if cost < best.cost {
                    best = Choice { coding, level, cost };
                }
            }
        }
        Ok(best)
    }

    fn compress(&mut self, content: &[u8]) -> Result<&[u8]> {
        yield_if_background();
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(content.len()));
        self.zstd.compress_to_buffer(content, &mut self.compressed).map_err(|e| {
            Error::new(ErrorKind::Internal, "zstd could not compress a page").with_source(e)
        })?;
        Ok(&self.compressed)
    }

    /// Appends a page; returns its uncompressed size with the header, as Parquet's sums want it.
    fn page(
        &mut self,
        dictionary: bool,
        values: usize,
        encoding: i32,
        content: &[u8],
        compress: bool,
        file: &mut Vec<u8>,
    ) -> Result<u64> {
        let stored = if compress { self.compress(content)? } else { content };
        let size = |len: usize| {
            i32::try_from(len).map_err(|_| {
                Error::request(format!(
                    "a page of {len} bytes is too large for Parquet: write shorter texts"
                ))
            })
        };
        let header = PageHeader {
            dictionary,
            uncompressed: size(content.len())?,
            stored: size(stored.len())?,
            crc: crc32fast::hash(stored),
            values: size(values)?,
            encoding,
        };
        let start = file.len();
        header.put(file);
        let header_bytes = file.len() - start;
        file.extend_from_slice(stored);
        Ok((header_bytes + content.len()) as u64)
    }

    /// Appends the content of a data page: which rows are null, then the values.
    fn content(&self, page: usize, coding: Coding, out: &mut Vec<u8>) {
        let (from, to) = self.page_rows(page);
        if let Some(valid) = &self.rows.valid {
            let levels: Vec<u32> = valid.slice(from, to - from).iter().map(u32::from).collect();
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            put_hybrid(&levels, 1, out);
            let len = (out.len() - start - 4) as u32;
            out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        }
        let range = self.page_values(page);
        match (coding, &self.dictionary) {
            (Coding::Dictionary | Coding::DictionaryBytes, Some((_, indexes))) => {
                let indexes = &indexes[range];
                let mut width =
                    width_of(u64::from(indexes.iter().copied().max().unwrap_or_default()));
                if coding == Coding::DictionaryBytes {
                    width = width.next_multiple_of(8);
                }
                out.push(width as u8);
                put_hybrid(indexes, width, out);
            }
            (Coding::Delta, _) => {
                let values: Vec<i64> =
                    self.rows.values[range].iter().map(|value| value.integer()).collect();
                delta::put(&values, V::INTEGER_BITS.unwrap_or(64), out);
            }
            _ => self.rows.values[range].iter().for_each(|value| value.put(out)),
        }
    }

    /// Smallest and largest value of a page.
    fn bounds(&self, page: usize) -> Option<(V, V)> {
        let range = self.page_values(page);
        if let Some((entries, indexes)) = &self.dictionary {
            let indexes = &indexes[range];
            let (min, max) = (indexes.iter().copied().min()?, indexes.iter().copied().max()?);
            return Some(V::covering((entries[min as usize], entries[max as usize])));
        }
        let values = self.rows.values[range].iter().copied();
        let min = values.clone().min_by(|a, b| a.order(*b))?;
        Some(V::covering((min, values.max_by(|a, b| a.order(*b))?)))
    }
}

impl Coding {
    fn is_dictionary(self) -> bool {
        matches!(self, Self::Dictionary | Self::DictionaryBytes)
    }

    fn number(self) -> i32 {
        match self {
            Self::Dictionary | Self::DictionaryBytes => header::RLE_DICTIONARY,
            Self::Delta => header::DELTA_BINARY_PACKED,
            Self::Plain => header::PLAIN,
        }
    }

    fn encodings(self) -> Vec<Encoding> {
        match self {
            Self::Dictionary | Self::DictionaryBytes => {
                vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY]
            }
            Self::Delta => vec![Encoding::RLE, Encoding::DELTA_BINARY_PACKED],
            Self::Plain => vec![Encoding::PLAIN, Encoding::RLE],
        }
    }
}
