//! Fuzz targets of data files: pages behind a right checksum, ends of files, and whole files.

use barograph_fuzz::Target;
use bytes::Bytes;

use super::super::column::{ColumnBuilder, Scratch};
use super::super::dictionary::Dictionary;
use super::super::footer::{self, Parsed};
use super::super::header::{DELTA_BINARY_PACKED, PLAIN, PageHeader, RLE_DICTIONARY};
use super::super::index::Index;
use super::super::keys::KeyRuns;
use super::super::page::{self, Page};
use super::super::value::Kind;
use super::*;

/// Of a page that is unpacked: what it may say of itself is bounded by its file alone.
const UNPACKED_MAX: u64 = 1 << 20;
/// Bytes before the content of a page: its type, its flags, its rows, and those asked for.
const HEAD: usize = 8;

/// A page, as an input has it.
struct Case<'a> {
    data_type: DataType,
    encoding: i32,
    is_packed: bool,
    is_nullable: bool,
    rows: usize,
    range: std::ops::Range<usize>,
    content: &'a [u8],
}

impl<'a> Case<'a> {
    fn of(input: &'a [u8]) -> Option<Self> {
        let (head, content) = input.split_first_chunk::<HEAD>()?;
        let [kind, flags, a, b, c, d, e, f] = head.map(usize::from);
        let types = [
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
        ];
        let rows = (a | b << 8) % 4_096 + 1;
        let start = (c | d << 8) % rows;
        let end = start + (e | f << 8) % (rows - start) + 1;
        let case = Self {
            data_type: types[kind % types.len()].clone(),
            encoding: [PLAIN, RLE_DICTIONARY, DELTA_BINARY_PACKED, 7][flags % 4],
            is_packed: flags & 4 != 0,
            is_nullable: flags & 8 != 0,
            rows,
            range: start..end,
            content,
        };
        Some(case).filter(|case| case.unpacked().is_some())
    }

    /// What the content unpacks to, as its header will say.
    fn unpacked(&self) -> Option<i32> {
        if !self.is_packed {
            return Some(self.content.len() as i32);
        }
        let stated = zstd::zstd_safe::get_frame_content_size(self.content).ok().flatten();
        stated.filter(|size| *size <= UNPACKED_MAX).map(|size| size as i32)
    }

    /// The page as it is stored.
    fn page(&self, dictionary: bool, values: usize) -> Vec<u8> {
        let header = PageHeader {
            dictionary,
            uncompressed: self.unpacked().unwrap_or_default(),
            stored: self.content.len() as i32,
            crc: crc32fast::hash(self.content),
            values: values as i32,
            encoding: if dictionary { PLAIN } else { self.encoding },
        };
        let mut page = Vec::new();
        header.put(&mut page);
        page.extend_from_slice(self.content);
        page
    }

    /// A dictionary of the type, of a few entries.
    fn dictionary(&self) -> Dictionary {
        let texts: Vec<u8> = ["", "a", "wörter"]
            .into_iter()
            .flat_map(|text| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat())
            .collect();
        let content: &[u8] = match self.data_type {
            DataType::Int64 | DataType::Float64 => &[1; 24],
            DataType::Utf8 => &texts,
            _ => &[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0],
        };
        let (data_type, range) = (self.data_type.clone(), self.range.clone());
        let case = Case { content, is_packed: false, data_type, range, ..*self };
        page::dictionary(&case.page(true, 3), Kind::of(&self.data_type), false).unwrap()
    }

    fn read(&self) -> crate::Result<()> {
        let (stored, mut room) = (self.page(false, self.rows), Vec::new());
        let page =
            Page::open(&stored, self.rows as u32, self.is_packed, self.is_nullable, &mut room)?;
        let dictionary = (self.encoding == RLE_DICTIONARY).then(|| self.dictionary());
        if matches!(self.data_type, DataType::Int32 | DataType::Int64) && !self.is_nullable {
            let wide = self.data_type == DataType::Int64;
            if let Ok(runs) = KeyRuns::of(&page, dictionary.as_ref(), wide) {
                let selected = runs.select(&KeySelection::All);
                assert_eq!(selected.iter().map(|range| range.len()).sum::<usize>(), self.rows);
            }
        }
        let mut builder = ColumnBuilder::new(&self.data_type, 0, 0);
        let ranges = [self.range.clone()];
        builder.append(&page, dictionary.as_ref(), &ranges, &mut Scratch::default())?;
        let array = builder.finish()?;
        assert_eq!(array.len(), self.range.len());
        array.to_data().validate_full().unwrap();
        Ok(())
    }
}

/// Pages as files have them, with the bytes before their content.
fn pages() -> Vec<Vec<u8>> {
    let schema = schema(KeyType::Int32, &ALL_TYPES);
    let rows = hour_of_rows(&schema, 12, 30);
    let mut pages = Vec::new();
    for decompression_cost in [f64::INFINITY, -1e9] {
        let layout = Layout { page_rows: 90, decompression_cost, ..Layout::default() };
        let (bytes, entry) =
            encode_as(&layout, &schema, std::slice::from_ref(&rows), path()).unwrap();
        let Parsed::Done(footer) = footer::parse(&bytes, bytes.len() as u64).unwrap() else {
            panic!()
        };
        let index = Index::new(&footer, &schema, &entry).unwrap();
        let kinds = [1, 2, 0, 1, 2, 3, 4, 5, 2, 2];
        for (column, kind) in index.columns.iter().zip(kinds) {
            let column = column.as_ref().unwrap();
            let place = column.places[1];
            let mut stored = &bytes[place.offset as usize..][..place.bytes as usize];
            let header = PageHeader::take(&mut stored).unwrap();
            let encodings = [PLAIN, RLE_DICTIONARY, DELTA_BINARY_PACKED];
            let encoding = encodings.iter().position(|is| *is == header.encoding).unwrap() as u8;
            let packed = u8::from(column.chunks[0].compressed) << 2;
            let nullable = u8::from(column.nullable) << 3;
            let rows = (header.values - 1) as u8;
            let head = [kind, encoding | packed | nullable, rows, 0, 5, 0, 50, 0];
            pages.push([&head[..], stored].concat());
        }
    }
    pages
}

#[test]
fn fuzz_parquet_pages() {
    let target = Target::new("parquet-pages", 60_000).seeds(pages()).bytes_max(8 << 10);
    target.memory(8 << 20, 64).run(|input| {
        let case = Case::of(input).ok_or("no page")?;
        case.read().map_err(|error| error.to_string())?;
        Ok(())
    });
}

#[test]
fn fuzz_parquet_dictionaries() {
    let target = Target::new("parquet-dictionaries", 60_000).seeds(pages()).bytes_max(8 << 10);
    target.memory(8 << 20, 64).run(|input| {
        let case = Case::of(input).ok_or("no page")?;
        let stored = case.page(true, case.rows);
        let read = page::dictionary(&stored, Kind::of(&case.data_type), case.is_packed);
        read.map(drop).map_err(|error| error.to_string())
    });
}

/// A file of two row groups.
fn small_file() -> Fixture {
    let schema = schema(KeyType::Int64, &ALL_TYPES);
    let layout = Layout { page_rows: 8, row_group_rows: 20, ..Layout::default() };
    Fixture::new(&schema, &layout, &[hour_of_rows(&schema, 4, 10)])
}

/// Makes lengths and checksum at the end of a file what they should be.
fn mend_end(end: &mut [u8]) {
    const MARK: &[u8] = b"barograph.checksum\x18\x1d";
    let Some(at) = end.windows(MARK.len()).rposition(|window| window == MARK) else { return };
    let at = at + MARK.len();
    if at + 8 > end.len() {
        return;
    }
    end[at..at + 8].copy_from_slice(b"00000000");
    let crc = format!("{:08x}", crc32fast::hash(end));
    end[at..at + 8].copy_from_slice(crc.as_bytes());
}

#[test]
fn fuzz_parquet_footers() {
    let Fixture { schema, entry, bytes, .. } = &small_file();
    let bytes = Bytes::copy_from_slice(bytes);
    let Parsed::Done(footer) = footer::parse(&bytes, bytes.len() as u64).unwrap() else { panic!() };
    let pages_end = footer.pages_end;
    let end = &bytes[pages_end as usize..];
    let target = Target::new("parquet-footers", 15_000).seeds([end]).mend(mend_end);
    target.memory(16 << 20, 1_024).run(|input| {
        let bytes = Bytes::copy_from_slice(input);
        let refused = |error: crate::Error| error.to_string();
        let parsed = footer::parse(&bytes, pages_end + input.len() as u64).map_err(refused)?;
        let Parsed::Done(footer) = parsed else { return Err("more is needed".to_owned()) };
        let index = Index::new(&footer, schema, entry).map_err(refused)?;
        for page in 0..index.keys.len() {
            for column in 0..index.columns.len() {
                let _ = (index.column(page, column), index.stated_text(page, column));
            }
            assert!(index.group(page) < index.groups.len());
            let _ = (index.times(page), index.long_texts(page, &[7]));
        }
        Ok(())
    });
}

#[test]
fn fuzz_parquet_files() {
    let fixture = small_file();
    let rows = 40;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = Target::new("parquet-files", 1_500).seeds([&fixture.bytes[..]]);
    target.memory(16 << 20, 1_024).run(|input| {
        fixture.put(input);
        let entry =
            Arc::new(FileEntry { bytes: input.len() as u64, ..FileEntry::clone(&fixture.entry) });
        runtime.block_on(async {
            let cache = FileCache::new(1 << 20);
            let open = cache.open(&fixture.store, &fixture.schema, &entry).await;
            let open = open.map_err(|error| error.to_string())?;
            let verified = open.verify().await;
            let read =
                open.read(&everything(&fixture.schema)).await.map_err(|error| error.to_string())?;
            if verified.is_ok() {
                assert_eq!(read.num_rows(), rows);
            }
            verified.map_err(|error| error.to_string())
        })
    });
}
