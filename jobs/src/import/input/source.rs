//! The bytes of a file: unpacked where it is an archive, and text as UTF-8 whatever its encoding.
//!
//! ```text
//! file ─► gzip, zstd (by the first bytes) ─► byte order mark, encoding ─► UTF-8
//! ```

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use encoding_rs::{Decoder, DecoderResult, UTF_8};
use flate2::read::MultiGzDecoder;

use super::format::Encoding;
use crate::{Error, Result};

/// Bytes read from a file at a time.
const BUFFER: usize = 256 << 10;
/// Bytes of text that are decoded at a time.
const DECODED: usize = 64 << 10;
/// What stands for bytes that are no character: no text in UTF-8 has it.
const MALFORMED: u8 = 0xff;

/// Bytes of a file, read in order.
pub(super) type Bytes = Box<dyn Read + Send>;

/// An archive of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// The bytes of a file, unpacked.
pub(super) struct Unpacked {
    pub(super) bytes: Bytes,
    /// How it was packed, if it was.
    pub(super) packing: Option<Packing>,
    /// The first bytes, as many as were asked for if there are as many.
    pub(super) first: Vec<u8>,
}

pub(super) fn open(path: &Path) -> Result<File> {
    let named = |e| Error::request(path.display().to_string()).with_source(e);
    let file = File::open(path).map_err(named)?;
    match file.metadata().map_err(named)?.is_dir() {
        true => Err(Error::request(format!("{} is a folder: name its files", path.display()))),
        false => Ok(file),
    }
}

pub(super) fn unreadable(
    path: &Path,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::input(format!("{} cannot be read", path.display())).with_source(error)
}

/// Opens a file and looks at its first `count` bytes.
pub(super) fn unpacked(path: &Path, count: usize) -> Result<Unpacked> {
    let failed = |e| unreadable(path, e);
    let (bytes, first) = peek(Box::new(open(path)?), 6).map_err(failed)?;
    let packing = match first.as_slice() {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
        [b'P', b'K', 3, 4, ..] => return Err(foreign(path, "a zip archive")),
        [b'B', b'Z', b'h', ..] => return Err(foreign(path, "a bzip2 archive")),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(foreign(path, "an xz archive")),
        _ => None,
    };
    let bytes: Bytes = match packing {
        None => bytes,
        Some(packing) => {
            let packed = BufReader::with_capacity(BUFFER, bytes);
            let inner: Bytes = match packing {
                Packing::Gzip => Box::new(MultiGzDecoder::new(packed)),
                Packing::Zstd => {
                    Box::new(zstd::stream::read::Decoder::with_buffer(packed).map_err(failed)?)
                }
            };
            Box::new(Archive { inner, packing })
        }
    };
    let (bytes, first) = peek(bytes, count).map_err(failed)?;
    Ok(Unpacked { bytes, packing, first })
}

/// The text of a file as UTF-8, without a byte order mark. Bytes that are no character are no UTF-8 there either.
pub(super) fn text(path: &Path, stated: Option<Encoding>) -> Result<(Bytes, Encoding)> {
    let Unpacked { bytes, first, .. } = unpacked(path, 4)?;
    if matches!(first.as_slice(), [0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff]) {
        return Err(foreign(path, "text in UTF-32"));
    }
    let marked = encoding_rs::Encoding::for_bom(&first);
    let mut bytes = bytes;
    if let Some((_, length)) = marked {
        let mut mark = vec![0; length];
        bytes.read_exact(&mut mark).map_err(|e| unreadable(path, e))?;
    }
    let encoding = marked.map(|(encoding, _)| encoding).or(stated.map(|stated| stated.0));
    let encoding = encoding.unwrap_or(UTF_8);
    let text: Bytes = match encoding == UTF_8 {
        true => bytes,
        false => Box::new(Decoded::new(bytes, encoding)),
    };
    Ok((text, Encoding(encoding)))
}

/// What the first bytes of a file tell of a form that is not text.
pub(super) fn disguise(first: &[u8]) -> Option<&'static str> {
    match first {
        [b'P', b'A', b'R', b'1', ..] => Some("a Parquet file: say so with --form parquet"),
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => Some("an Arrow file: say so with --form arrow"),
        [0xff, 0xff, 0xff, 0xff, ..] => Some("an Arrow stream: say so with --form arrow"),
        [0, byte, 0, _, ..] | [_, 0, byte, 0, ..] if *byte != 0 => {
            Some("UTF-16 without a byte order mark: say --encoding utf-16le or utf-16be")
        }
        _ => None,
    }
}

fn foreign(path: &Path, what: &str) -> Error {
    Error::request(format!(
        "{} is {what}, which is not read: unpack or convert it first; gzip and zstd are read",
        path.display()
    ))
}

/// Looks at the first bytes.
fn peek(mut bytes: Bytes, count: usize) -> io::Result<(Bytes, Vec<u8>)> {
    let mut first = Vec::with_capacity(count);
    bytes.by_ref().take(count as u64).read_to_end(&mut first)?;
    Ok((Box::new(Cursor::new(first.clone()).chain(bytes)), first))
}

/// An archive, which says so if it is damaged.
struct Archive {
    inner: Bytes,
    packing: Packing,
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            let what = self.packing.name();
            let kind = e.kind();
            io::Error::new(kind, format!("the {what} archive is cut short or damaged: {e}"))
        })
    }
}

/// Text of another encoding as UTF-8.
struct Decoded {
    inner: Bytes,
    decoder: Decoder,
    input: Vec<u8>,
    waiting: std::ops::Range<usize>,
    ended: bool,
    finished: bool,
    output: Vec<u8>,
    given: usize,
}

impl Decoded {
    fn new(inner: Bytes, encoding: &'static encoding_rs::Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_without_bom_handling(),
            input: vec![0; DECODED],
            waiting: 0..0,
            ended: false,
            finished: false,
            output: Vec::new(),
            given: 0,
        }
    }

    /// Decodes what is next into `output`.
    fn decode(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() && !self.ended {
            let read = self.inner.read(&mut self.input)?;
            (self.ended, self.waiting) = (read == 0, 0..read);
        }
        self.given = 0;
        self.output.resize(DECODED, 0);
        let source = self.input.get(self.waiting.clone()).unwrap_or_default();
        let (result, read, mut written) =
            self.decoder.decode_to_utf8_without_replacement(source, &mut self.output, self.ended);
        self.waiting.start += read;
        match result {
            DecoderResult::InputEmpty => self.finished = self.ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.output.truncate(written);
                self.output.push(MALFORMED);
                written += 1;
            }
        }
        self.output.truncate(written);
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.output.len() && !self.finished {
            self.decode()?;
        }
        let read = self.output.get(self.given..).unwrap_or_default().read(buffer)?;
        self.given += read;
        Ok(read)
    }
}
