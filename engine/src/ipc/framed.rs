//! Messages one after the other in bytes: streams, and files, whose end says where their messages are.
//!
//! ```text
//! stream  message, message, …, end          message   [ff ff ff ff] │ length i32 │ header │ body
//! file    "ARROW1" 0 0 │ stream │ footer │ length i32 │ "ARROW1"
//! ```

use std::io::{self, Read, Seek, SeekFrom};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::{Block, root_as_footer};

use super::layout::Layouts;
use super::{Decoded, IpcDecoder, IpcError, Result, message};

const CONTINUATION: [u8; 4] = [0xff; 4];
const MAGIC: &[u8; 6] = b"ARROW1";
/// Length of the footer, and the magic.
const TRAILER: usize = 4 + MAGIC.len();
/// Room that is made before a byte was read; more comes with what is read.
const ROOM: usize = 1 << 20;

/// The rows of a stream.
#[derive(Debug)]
pub struct IpcStream<R> {
    reader: R,
    decoder: IpcDecoder,
    schema: SchemaRef,
}

/// The rows of a file.
#[derive(Debug)]
pub struct IpcFile<R> {
    reader: R,
    decoder: IpcDecoder,
    schema: SchemaRef,
    /// Where messages of dictionaries are, which are read before the first rows.
    dictionaries: std::vec::IntoIter<Block>,
    /// Where messages of rows are.
    blocks: std::vec::IntoIter<Block>,
    bytes: u64,
}

/// All rows of a stream in memory, with the columns that they have.
///
/// # Errors
/// What is wrong with it; each message unpacks to `most` bytes at most.
pub fn read_stream(bytes: &[u8], most: usize) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let stream = IpcStream::open(bytes, most)?;
    let schema = stream.schema();
    Ok((schema, stream.collect::<Result<_>>()?))
}

impl<R: Read> IpcStream<R> {
    /// Reads the schema.
    ///
    /// # Errors
    /// What is wrong with the message of the schema.
    pub fn open(mut reader: R, most: usize) -> Result<Self> {
        let mut decoder = IpcDecoder::new(most);
        let first = read_message(&mut reader, most)?;
        let (header, body) = first.ok_or(IpcError::Malformed("there is no schema"))?;
        match decoder.decode(&header, body)? {
            Decoded::Schema(schema) => Ok(Self { reader, decoder, schema }),
            _ => Err(IpcError::Malformed("it does not begin with a schema")),
        }
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Messages from here on may unpack to so many bytes.
    pub fn bound(&mut self, most: usize) {
        self.decoder.bound(most);
    }

    fn rows(&mut self) -> Result<Option<RecordBatch>> {
        while let Some((header, body)) = read_message(&mut self.reader, self.decoder.most)? {
            match self.decoder.decode(&header, body)? {
                Decoded::Rows(rows) => return Ok(Some(rows)),
                Decoded::Nothing => {}
                Decoded::Schema(_) => return Err(IpcError::Malformed("a second schema")),
            }
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for IpcStream<R> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows().transpose()
    }
}

impl<R: Read + Seek> IpcFile<R> {
    /// Reads the footer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(mut reader: R, most: usize) -> Result<Self> {
        const SHORT: IpcError = IpcError::Malformed("the file is cut short");
        let bytes = reader.seek(SeekFrom::End(0))?;
        let end = bytes.checked_sub(TRAILER as u64).ok_or(SHORT)?;
        let trailer = read_at(&mut reader, end, TRAILER)?;
        let length = trailer.strip_suffix(MAGIC).and_then(|length| length.first_chunk::<4>());
        let length =
            length.ok_or(IpcError::Malformed("the file does not end as Arrow files do"))?;
        let length = u64::from(u32::from_le_bytes(*length));
        let start = end.checked_sub(length).ok_or(SHORT)?;
        let length = usize::try_from(length).map_err(|_| SHORT)?;
        let footer = read_at(&mut reader, start, length)?;
        let footer = root_as_footer(&footer)
            .map_err(|error| IpcError::Arrow(ArrowError::IpcError(error.to_string())))?;
        let schema = footer.schema().ok_or(IpcError::Malformed("the footer has no schema"))?;
        let layouts = Layouts::of(&schema)?;
        let schema = SchemaRef::new(fb_to_schema(schema));
        let mut decoder = IpcDecoder::new(most);
        decoder.schema = Some((SchemaRef::clone(&schema), layouts));
        let blocks: Vec<Block> = footer.recordBatches().into_iter().flatten().copied().collect();
        let dictionaries: Vec<Block> =
            footer.dictionaries().into_iter().flatten().copied().collect();
        let (dictionaries, blocks) = (dictionaries.into_iter(), blocks.into_iter());
        Ok(Self { reader, decoder, schema, dictionaries, blocks, bytes })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// Messages from here on may unpack to so many bytes.
    pub fn bound(&mut self, most: usize) {
        self.decoder.bound(most);
    }

    fn message(&mut self, block: &Block) -> Result<Decoded> {
        const OUTSIDE: IpcError =
            IpcError::Malformed("the footer names a message outside the file");
        let start = u64::try_from(block.offset()).map_err(|_| OUTSIDE)?;
        let header = u64::try_from(block.metaDataLength()).map_err(|_| OUTSIDE)?;
        let body = u64::try_from(block.bodyLength()).map_err(|_| OUTSIDE)?;
        let end = start.checked_add(header).and_then(|end| end.checked_add(body)).ok_or(OUTSIDE)?;
        if end > self.bytes {
            return Err(OUTSIDE);
        }
        self.reader.seek(SeekFrom::Start(start))?;
        let message = read_message(&mut self.reader, self.decoder.most)?;
        let (header, body) = message.ok_or(IpcError::Malformed("the footer names no message"))?;
        self.decoder.decode(&header, body)
    }
}

impl<R: Read + Seek> Iterator for IpcFile<R> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(block) = self.dictionaries.next() {
            match self.message(&block) {
                Ok(Decoded::Nothing) => {}
                Ok(_) => {
                    return Some(Err(IpcError::Malformed("a dictionary of the footer is none")));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        let block = self.blocks.next()?;
        Some(match self.message(&block) {
            Ok(Decoded::Rows(rows)) => Ok(rows),
            Ok(_) => Err(IpcError::Malformed("the footer names rows that are none")),
            Err(error) => Err(error),
        })
    }
}

/// The next message of a stream: header and body. `None` at its end.
fn read_message(reader: &mut impl Read, most: usize) -> Result<Option<(Vec<u8>, Buffer)>> {
    const NEGATIVE: IpcError = IpcError::Malformed("a length is negative");
    let mut prefix = [0; 4];
    match reader.read_exact(&mut prefix) {
        // A stream may end without saying so.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    if prefix == CONTINUATION {
        reader.read_exact(&mut prefix)?;
    }
    let length = usize::try_from(i32::from_le_bytes(prefix)).map_err(|_| NEGATIVE)?;
    if length == 0 {
        return Ok(None);
    }
    let header = read_up_to(reader, length, most)?;
    let body = usize::try_from(message(&header)?.bodyLength()).map_err(|_| NEGATIVE)?;
    let body = read_up_to(reader, body, most)?;
    Ok(Some((header, Buffer::from_vec(body))))
}

fn read_at(reader: &mut (impl Read + Seek), start: u64, length: usize) -> Result<Vec<u8>> {
    reader.seek(SeekFrom::Start(start))?;
    read_up_to(reader, length, length)
}

/// Exactly `length` bytes, of which there may be `most`. Memory is taken as they come.
fn read_up_to(reader: &mut impl Read, length: usize, most: usize) -> Result<Vec<u8>> {
    if length > most {
        return Err(IpcError::TooLarge(length));
    }
    let mut bytes = Vec::with_capacity(length.min(ROOM));
    reader.by_ref().take(length.min(ROOM) as u64).read_to_end(&mut bytes)?;
    if length > ROOM && bytes.len() == ROOM {
        bytes.reserve_exact(length - ROOM);
        reader.by_ref().take((length - ROOM) as u64).read_to_end(&mut bytes)?;
    }
    if bytes.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}
