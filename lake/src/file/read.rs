//! The read of a file: all pages that may hold its rows are fetched at once; then, page by page, the key page tells
//! which rows of the other columns to decode.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use bytes::Bytes;

use super::column::{ColumnBuilder, Scratch};
use super::dictionary::Dictionary;
use super::index::{Chunk, ColumnPages};
use super::keys::KeyRuns;
use super::page::{self, Page};
use super::page_cache::{DecompressedPage, Pages};
use super::slice::dense;
use super::{FileRead, OpenFile};
use crate::schema::{KEY_COLUMN, TIME_COLUMN};
use crate::{Error, ErrorKind, Result, Timestamp};

/// Pages of a column chunk are kept in memory if they take at most this many bytes: those of keys, of
/// instants at a steady pace, and of values that hardly change.
const KEPT_BYTES_MAX: u64 = 40 << 10;

/// Neighbouring pages of one row group, fetched as one range a column.
struct Span {
    pages: Range<usize>,
    group: usize,
}

/// A read's pages.
struct Fetched {
    spans: Vec<Span>,
    /// For each column that the file has, for each span.
    pieces: Vec<Content>,
    /// Where the spans of a column start in `pieces`, by column of the read.
    columns: Vec<Option<usize>>,
}

/// The pages of a span in one column.
struct Content {
    /// As stored; empty if all of them were in memory.
    stored: Bytes,
    /// Those that were in memory, by page; empty if the read does not look for them.
    decompressed: CachedPages,
}

type CachedPages = Vec<Option<Arc<DecompressedPage>>>;

/// What has to be read for a read of pages.
struct Wanted<'a> {
    /// Pages that are in memory, if the read looks for them.
    decompressed: Option<&'a Pages>,
    ranges: Vec<Range<u64>>,
    /// For each column that the file has, for each span; with those of its pages that are in memory unpacked.
    pieces: Vec<(Piece<'a>, CachedPages)>,
    /// Column, row group, and which range holds the dictionary.
    dictionaries: Vec<(&'a ColumnPages, usize, usize)>,
}

/// Where the pages of a span are.
enum Piece<'a> {
    /// In memory, or not needed.
    Kept(Bytes),
    /// In the range with this number.
    Read(usize),
    /// `part` of the range with this number, all of which is to be kept.
    Keep { chunk: &'a Chunk, at: usize, part: Range<usize> },
}

impl<'a> Wanted<'a> {
    fn new(decompressed: Option<&'a Pages>) -> Self {
        Self { decompressed, ranges: Vec::new(), pieces: Vec::new(), dictionaries: Vec::new() }
    }

    fn pages(&mut self, column: usize, pages: &'a ColumnPages, span: &Span) -> Result<()> {
        let look = |kept: &Pages| span.pages.clone().map(|page| kept.get(column, page)).collect();
        let here: CachedPages = self.decompressed.map(look).unwrap_or_default();
        let piece = match !here.is_empty() && here.iter().all(Option::is_some) {
            true => Piece::Kept(Bytes::new()),
            false => self.stored(pages, span)?,
        };
        self.pieces.push((piece, here));
        Ok(())
    }

    fn stored(&mut self, pages: &'a ColumnPages, span: &Span) -> Result<Piece<'a>> {
        let range = pages.range(span.pages.clone())?;
        let at = self.ranges.len();
        let small = |chunk: &&Chunk| chunk.pages.end - chunk.pages.start <= KEPT_BYTES_MAX;
        let Some(chunk) = pages.chunks.get(span.group).filter(small) else {
            self.ranges.push(range);
            return Ok(Piece::Read(at));
        };
        let start = chunk.pages.start;
        let part = (range.start - start) as usize..(range.end - start) as usize;
        Ok(match chunk.kept.get() {
            Some(kept) => Piece::Kept(kept.slice(part)),
            None => {
                self.ranges.push(chunk.pages.clone());
                Piece::Keep { chunk, at, part }
            }
        })
    }

    fn dictionary(&mut self, pages: &'a ColumnPages, group: usize) {
        if let Some(chunk) = pages.chunks.get(group)
            && let Some(range) = &chunk.dictionary
            && chunk.decoded.get().is_none()
        {
            self.dictionaries.push((pages, group, self.ranges.len()));
            self.ranges.push(range.clone());
        }
    }
}

impl OpenFile {
    /// Exactly the rows of the file that match the read's keys and time, in (key, time) order, with the read's
    /// columns, as one batch, which is empty if there are none. Pages are checked as they are read.
    ///
    /// # Errors
    /// A request error if the columns do not start with key and time; damage if a page is not what was written.
    pub async fn read(&self, read: &FileRead) -> Result<RecordBatch> {
        let fields = self.schema().arrow().fields();
        if read.columns.get(..2) != Some(&[KEY_COLUMN, TIME_COLUMN])
            || read.columns.iter().any(|&column| column >= fields.len())
        {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("a read of columns {:?}: it starts with 0 (key), 1 (time)", read.columns),
            ));
        }
        self.read_pages(read, &self.candidates(read), false).await
    }

    /// The rows of `read` in `pages`; `every_page` also decodes key pages that the index tells all about.
    pub(super) async fn read_pages(
        &self,
        read: &FileRead,
        pages: &[usize],
        every_page: bool,
    ) -> Result<RecordBatch> {
        let spans = self.spans(pages);
        let decompressed =
            Some(self.decompressed()).filter(|kept| !every_page && kept.applies_to(&read.keys));
        let fetched = self.fetch(spans, &read.columns, decompressed).await?;
        self.decode(read, &fetched, every_page, decompressed).map_err(|error| {
            Error::new(error.kind(), format!("data file {}", self.entry().path)).with_source(error)
        })
    }

    fn spans(&self, pages: &[usize]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for &page in pages {
            let group_end = spans.last().and_then(|span| self.index().groups.get(span.group + 1));
            match spans.last_mut() {
                Some(span) if span.pages.end == page && Some(&page) < group_end => {
                    span.pages.end += 1
                }
                _ => spans.push(Span { pages: page..page + 1, group: self.index().group(page) }),
            }
        }
        spans
    }

    /// Fetches the pages of `spans`, and the dictionaries they need, as far as they are not in memory.
    async fn fetch(
        &self,
        spans: Vec<Span>,
        columns: &[usize],
        decompressed: Option<&Pages>,
    ) -> Result<Fetched> {
        let mut wanted = Wanted::new(decompressed);
        let mut starts = Vec::with_capacity(columns.len());
        for &column in columns {
            let Some(pages) = self.column(column) else {
                starts.push(None);
                continue;
            };
            starts.push(Some(wanted.pieces.len()));
            let mut last_group = None;
            for span in &spans {
                wanted.pages(column, pages, span)?;
                if last_group.replace(span.group) != Some(span.group) {
                    wanted.dictionary(pages, span.group);
                }
            }
        }
        let mut read = match wanted.ranges.is_empty() {
            true => Vec::new(),
            false => self.source().read(&wanted.ranges).await?,
        };
        for (pages, group, at) in wanted.dictionaries {
            let (Some(chunk), Some(stored)) = (pages.chunks.get(group), read.get(at)) else {
                continue;
            };
            let decoded = page::dictionary(stored, pages.kind, chunk.compressed)?;
            let size = decoded.bytes();
            if chunk.decoded.set(decoded).is_ok() {
                self.memory().add(size);
            }
        }
        let mut pieces = Vec::with_capacity(wanted.pieces.len());
        for (piece, decompressed) in wanted.pieces {
            let stored = match piece {
                Piece::Kept(stored) => stored,
                Piece::Read(at) => read.get_mut(at).map(std::mem::take).unwrap_or_default(),
                Piece::Keep { chunk, at, part } => {
                    let fault = || Error::new(ErrorKind::Internal, "a chunk that was not fetched");
                    let all = read.get(at).filter(|all| part.end <= all.len()).ok_or_else(fault)?;
                    let stored = Bytes::copy_from_slice(all);
                    let part = stored.slice(part);
                    let size = stored.len();
                    if chunk.kept.set(stored).is_ok() {
                        self.memory().add(size);
                    }
                    part
                }
            };
            pieces.push(Content { stored, decompressed });
        }
        Ok(Fetched { spans, pieces, columns: starts })
    }

    fn decode(
        &self,
        read: &FileRead,
        fetched: &Fetched,
        every_page: bool,
        keep: Option<&Pages>,
    ) -> Result<RecordBatch> {
        let schema = self.schema().arrow().project(&read.columns)?;
        // Of pages with several keys, those of a list have few rows, unless one fills pages of its own.
        let pages = fetched.spans.iter().flat_map(|span| span.pages.clone());
        let keys: Vec<_> = pages.clone().filter_map(|page| self.pages().get(page)).collect();
        let is_whole = !matches!(&read.keys, crate::KeySelection::List(_))
            || keys.iter().any(|page| page.first == page.last);
        let rows = keys.iter().map(|page| page.rows as usize);
        let capacity = if is_whole { rows.sum() } else { 0 };
        let texts = |column| {
            let stated = pages.clone().filter_map(|page| self.index().stated_text(page, column));
            if is_whole { stated.sum::<u64>().min(i32::MAX as u64) as usize } else { 0 }
        };
        let builders = read.columns.iter().zip(schema.fields()).map(|(&column, field)| {
            let stored = self.column(column).map_or(field.data_type(), |pages| &pages.data_type);
            ColumnBuilder::new(stored, capacity, texts(column))
        });
        let mut decoder = Decoder {
            file: self,
            read,
            fetched,
            every_page,
            builders: builders.collect(),
            keep,
            kept: None,
            decompressed: Vec::new(),
            scratch: Scratch::default(),
            rows: 0,
        };
        for (s, span) in fetched.spans.iter().enumerate() {
            for page in span.pages.clone() {
                decoder.page(s, page)?;
            }
        }
        let rows = decoder.rows;
        let columns = decoder.builders.into_iter().zip(schema.fields()).map(|(builder, field)| {
            let column = builder.finish()?;
            match column.data_type() == field.data_type() {
                true => Ok(column),
                false => Ok(cast(&column, field.data_type())?),
            }
        });
        let columns = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
    }

    fn column(&self, column: usize) -> Option<&ColumnPages> {
        self.index().columns.get(column)?.as_ref()
    }
}

impl ColumnPages {
    /// Where neighbouring pages stand.
    fn range(&self, pages: Range<usize>) -> Result<Range<u64>> {
        match (
            self.places.get(pages.start),
            pages.end.checked_sub(1).and_then(|last| self.places.get(last)),
        ) {
            (Some(first), Some(last)) => Ok(first.offset..last.offset + u64::from(last.bytes)),
            _ => Err(Error::new(ErrorKind::Internal, "a page that the file does not have")),
        }
    }

    fn dictionary(&self, group: usize) -> Option<&Dictionary> {
        self.chunks.get(group)?.decoded.get()
    }
}

/// Decodes the pages of one read, in order.
struct Decoder<'a> {
    file: &'a OpenFile,
    read: &'a FileRead,
    fetched: &'a Fetched,
    every_page: bool,
    builders: Vec<ColumnBuilder>,
    /// Where decompressed pages go, if they are to be kept.
    keep: Option<&'a Pages>,
    /// The last of them.
    kept: Option<Arc<DecompressedPage>>,
    /// Room for the content of a compressed page that is not.
    decompressed: Vec<u8>,
    scratch: Scratch,
    rows: usize,
}

impl<'a> Decoder<'a> {
    fn page(&mut self, span: usize, page: usize) -> Result<()> {
        let Some(&keys) = self.file.pages().get(page) else { return Ok(()) };
        let rows = keys.rows as usize;
        let runs = if keys.first == keys.last && !self.every_page {
            KeyRuns::single(keys.first, rows)
        } else {
            let (opened, pages, dictionary) = self.open(KEY_COLUMN, span, page)?;
            let wide = pages.kind == super::value::Kind::Int64;
            KeyRuns::of(&opened, dictionary, wide)?
        };
        let mut ranges = runs.select(&self.read.keys);
        let (min, max) = self.file.index().times(page);
        let times = if self.read.time.covers(min, max) {
            None
        } else {
            let (narrowed, times) = self.narrow(span, page, &ranges)?;
            ranges = narrowed;
            Some(times)
        };
        let selected: usize = ranges.iter().map(|range| range.len()).sum();
        if selected == 0 {
            return Ok(());
        }
        self.rows += selected;
        for slot in 0..self.builders.len() {
            let column = self.read.columns.get(slot).copied().unwrap_or_default();
            if column == KEY_COLUMN {
                let Some(builder) = self.builders.get_mut(slot) else { continue };
                runs.visit(&ranges, |key, rows| builder.append_key(key, rows))?;
            } else if let (TIME_COLUMN, Some(times)) = (column, &times) {
                self.builders
                    .get_mut(slot)
                    .map_or(Ok(()), |builder| builder.append_times(times))?;
            } else if self.fetched.columns.get(slot).copied().flatten().is_none() {
                self.builders
                    .get_mut(slot)
                    .into_iter()
                    .for_each(|builder| builder.append_nulls(selected));
            } else {
                let mut builders = std::mem::take(&mut self.builders);
                let mut scratch = std::mem::take(&mut self.scratch);
                let (opened, _, dictionary) = self.open(slot, span, page)?;
                let builder = builders.get_mut(slot);
                builder.map_or(Ok(()), |b| b.append(&opened, dictionary, &ranges, &mut scratch))?;
                (self.builders, self.scratch) = (builders, scratch);
            }
        }
        Ok(())
    }

    /// The rows of `ranges` that lie in the read's time, and their instants.
    fn narrow(
        &mut self,
        span: usize,
        page: usize,
        ranges: &[Range<usize>],
    ) -> Result<(Vec<Range<usize>>, Vec<i64>)> {
        let time = self.read.time;
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Ok((Vec::new(), Vec::new()));
        };
        let start = first.start;
        let (opened, _, dictionary) = self.open(TIME_COLUMN, span, page)?;
        let mut all = Vec::with_capacity(last.end - start);
        match dictionary {
            Some(Dictionary::Int64(entries)) => dense(&opened, entries, start..last.end, &mut all)?,
            _ => dense(&opened, &[], start..last.end, &mut all)?,
        }
        let mut narrowed: Vec<Range<usize>> = Vec::new();
        let mut times = Vec::new();
        for row in ranges.iter().flat_map(|range| range.clone()) {
            let Some(&instant) = all.get(row - start) else { break };
            if time.contains(Timestamp::from_micros(instant)) {
                match narrowed.last_mut() {
                    Some(range) if range.end == row => range.end += 1,
                    _ => narrowed.push(row..row + 1),
                }
                times.push(instant);
            }
        }
        Ok((narrowed, times))
    }

    /// Opens a page of the read's column `slot`.
    fn open(
        &mut self,
        slot: usize,
        span: usize,
        page: usize,
    ) -> Result<(Page<'_>, &'a ColumnPages, Option<&'a Dictionary>)> {
        let fault = || Error::new(ErrorKind::Internal, "a page that was not fetched");
        let fetched = self.fetched;
        let column = self.read.columns.get(slot).copied().ok_or_else(fault)?;
        let pages = self.file.column(column).ok_or_else(fault)?;
        let start = fetched.columns.get(slot).copied().flatten().ok_or_else(fault)?;
        let content = fetched.pieces.get(start + span).ok_or_else(fault)?;
        let span = fetched.spans.get(span).ok_or_else(fault)?;
        let (rows, nullable) = (self.file.page_rows(page), pages.nullable);
        if let Some(Some(decompressed)) = content.decompressed.get(page - span.pages.start) {
            let opened = Page::again(decompressed, rows, nullable)?;
            return Ok((opened, pages, pages.dictionary(span.group)));
        }
        let (first, place) =
            pages.places.get(span.pages.start).zip(pages.places.get(page)).ok_or_else(fault)?;
        let from = (place.offset - first.offset) as usize;
        let stored = content.stored.get(from..from + place.bytes as usize).ok_or_else(fault)?;
        let compressed = pages.chunks.get(span.group).ok_or_else(fault)?.compressed;
        let opened = match self.keep.filter(|keep| keep.was_requested(column, page)) {
            Some(keep) => {
                let decompressed = Arc::new(DecompressedPage::new(stored, compressed)?);
                keep.insert(column, page, Arc::clone(&decompressed));
                Page::again(self.kept.insert(decompressed), rows, nullable)?
            }
            None => Page::open(stored, rows, compressed, nullable, &mut self.decompressed)?,
        };
        Ok((opened, pages, pages.dictionary(span.group)))
    }
}
