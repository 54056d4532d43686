//! The format of a segment file: its header, and its marks, which tell of itself and its neighbours.
//!
//! ```text
//!    0  "BAROLOG\n" │ version u32 │ crc u32 │ first u64 │ previous_end u64 │ oldest u64 │ log id [16] │ crc u32
//!  512  mark A: sequence u64 │ synced u64 │ oldest u64 │ flags u32 │ crc u32
//! 1024  mark B: the same
//! 4096  groups, the first at position `first`
//! ```
//! The header is written once; only the id is added to the newest segment of a log that has none (zeros stand for
//! none). A *mark* is written after every successful sync, without a sync of its own, over the older of the two, so
//! that a torn one is harmless. After the death of the process the newer mark is exact; after the death of the
//! machine it is at most one sync behind. It tells a torn end from damage to something that was promised.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::{fs, io};

use barograph_lake::LogId;

use super::folder::{Folder, failed};
use super::frame::{Flaw, u32_at, u64_at};
use crate::{Error, Result};

/// Bytes of a segment file before its first group.
pub(super) const HEADER_BYTES: u64 = 4096;

const MAGIC: &[u8; 8] = b"BAROLOG\n";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 40;
/// Where the id of the log stands: its bytes and their checksum.
const LOG_AT: Range<usize> = 40..60;
const MARK_BYTES: usize = 32;
const MARKS_AT: [usize; 2] = [512, 1024];
const CLOSED: u32 = 1;

/// The part of the header that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Position of the first group.
    pub first: u64,
    /// Position at which the segment before ended. Smaller than `first` if positions were left out.
    pub previous_end: u64,
    /// First position of the oldest segment when this one was made.
    pub oldest: u64,
    /// The log that the segment belongs to, if it says so.
    pub log: Option<LogId>,
}

/// What a segment notes about the state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Grows with each mark of the file.
    pub sequence: u64,
    /// Everything below this position was synced.
    pub synced: u64,
    /// First position of the oldest segment that has to exist.
    pub oldest: u64,
    /// The segment ended at `synced`, and one that follows exists.
    pub closed: bool,
}

/// Name of the segment that begins at `first`.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// Position in the name of a segment, `None` for other files.
pub(super) fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20)?;
    digits.parse().ok().filter(|&first| file_name(first) == name)
}

/// The bytes before the first group of a new segment.
#[expect(clippy::indexing_slicing, reason = "the marks and the id of the log lie in the block")]
pub(super) fn header_block(header: &Header) -> Vec<u8> {
    let mut block = [0; HEADER_BYTES as usize];
    block[..8].copy_from_slice(MAGIC);
    block[8..12].copy_from_slice(&VERSION.to_le_bytes());
    block[16..24].copy_from_slice(&header.first.to_le_bytes());
    block[24..32].copy_from_slice(&header.previous_end.to_le_bytes());
    block[32..40].copy_from_slice(&header.oldest.to_le_bytes());
    if let Some(log) = header.log {
        block[LOG_AT].copy_from_slice(&encode_log(log));
    }
    let crc = fixed_crc(&block);
    block[12..16].copy_from_slice(&crc.to_le_bytes());
    for (sequence, at) in MARKS_AT.into_iter().enumerate() {
        let mark = Mark { sequence: sequence as u64, ..Mark::first(header) };
        block[at..at + MARK_BYTES].copy_from_slice(&mark.encode());
    }
    block.to_vec()
}

/// Reads the header of the segment named after `first`; `Err` inside says how it is damaged.
pub(super) fn read_header(file: &File, path: &Path, first: u64) -> Result<HeaderBlock> {
    let mut block = vec![0; HEADER_BYTES as usize];
    let read = read_up_to(file, &mut block).map_err(|e| failed("reading", path, e))?;
    block.truncate(read);
    let header = parse_fixed(&block, first);
    if header.is_ok() && u32_at(&block, 8) != VERSION {
        return Err(Error::request(format!(
            "{}: the log is of format {}, this program knows format {VERSION}: use the program that \
             wrote it",
            path.display(),
            u32_at(&block, 8)
        )));
    }
    // Of a block that is cut short, the newer mark may be the one that is gone.
    let whole = Some(&block).filter(|block| block.len() == HEADER_BYTES as usize);
    let marks = MARKS_AT.map(|at| whole?.get(at..at + MARK_BYTES).and_then(Mark::parse));
    let mark = marks.into_iter().flatten().max_by_key(|mark| mark.sequence);
    Ok(HeaderBlock { header, mark })
}

/// What could be read of a header block.
#[derive(Debug)]
pub(super) struct HeaderBlock {
    pub header: Result<Header, Flaw>,
    /// The newest mark that is whole.
    pub mark: Option<Mark>,
}

fn parse_fixed(block: &[u8], first: u64) -> Result<Header, Flaw> {
    let block: &[u8; HEADER_BYTES as usize] =
        block.first_chunk().ok_or("the file is shorter than its header")?;
    if &block[..8] != MAGIC || u32_at(block, 12) != fixed_crc(block) {
        return Err("the checksum of the file header is wrong");
    }
    let header = Header {
        first: u64_at(block, 16),
        previous_end: u64_at(block, 24),
        oldest: u64_at(block, 32),
        log: parse_log(&block[LOG_AT])?,
    };
    if header.first != first {
        return Err("the file header belongs to another file name");
    }
    Ok(header)
}

/// Says in the newest segment which log it belongs to.
pub(super) fn write_log(file: &File, log: LogId) -> io::Result<()> {
    file.write_all_at(&encode_log(log), LOG_AT.start as u64)?;
    file.sync_all()
}

fn encode_log(log: LogId) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&log.bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn parse_log(bytes: &[u8]) -> Result<Option<LogId>, Flaw> {
    if bytes.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let (id, _) =
        bytes.split_first_chunk().ok_or("the file header has no room for the id of its log")?;
    match u32_at(bytes, 16) == crc32c::crc32c(id) {
        true => Ok(Some(LogId::of(*id))),
        false => Err("the checksum of the log's id in the file header is wrong"),
    }
}

fn fixed_crc(block: &[u8; HEADER_BYTES as usize]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..FIXED_BYTES])
}

#[expect(clippy::indexing_slicing, reason = "no more is read than there is room for")]
fn read_up_to(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

impl Mark {
    /// The newer mark of a new segment.
    pub(super) fn first(header: &Header) -> Self {
        Self { sequence: 1, synced: header.first, oldest: header.oldest, closed: false }
    }

    fn encode(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.synced.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[24..28].copy_from_slice(&(u32::from(self.closed) * CLOSED).to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; MARK_BYTES] = bytes.try_into().ok()?;
        let whole = u32_at(bytes, 28) == crc32c::crc32c(&bytes[..28]);
        whole.then(|| Self {
            sequence: u64_at(bytes, 0),
            synced: u64_at(bytes, 8),
            oldest: u64_at(bytes, 16),
            closed: u32_at(bytes, 24) & CLOSED != 0,
        })
    }

    /// Writes the mark over the older of the two in `file`.
    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let [even, odd] = MARKS_AT;
        let at = if self.sequence.is_multiple_of(2) { even } else { odd };
        file.write_all_at(&self.encode(), at as u64)
    }
}

/// Asks for the disk space that a segment of `bytes` will take, without growing the file: a sync then
/// has fewer blocks to find room for. A disk that cannot do so, or is short of space, does without.
pub(super) fn reserve(file: &File, bytes: u64) {
    #[cfg(target_os = "linux")]
    {
        let keep_size = rustix::fs::FallocateFlags::KEEP_SIZE;
        let _ = rustix::fs::fallocate(file, keep_size, 0, HEADER_BYTES + bytes);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, bytes);
}

/// Makes the segment of `header`, empty, with space for `bytes`, and returns it once file and name are
/// durable. What is left behind by a failure goes by a name that no log reads.
pub(super) fn create(folder: &Folder, header: &Header, bytes: u64) -> Result<File, CreateError> {
    let path = folder.path().join(file_name(header.first));
    let unfinished = path.with_extension("log.tmp");
    let make = || {
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
        file.write_all_at(&header_block(header), 0)?;
        reserve(&file, bytes);
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        Ok(file)
    };
    let file = make().map_err(|e| {
        // What cannot be removed is removed by the next opening.
        let _ = fs::remove_file(&unfinished);
        CreateError::Nothing(failed("making", &path, e))
    })?;
    folder.sync().map_err(CreateError::Unsure)?;
    Ok(file)
}

/// How the making of a segment failed.
#[derive(Debug)]
pub(super) enum CreateError {
    /// No new segment exists.
    Nothing(Error),
    /// The new segment exists and may be gone after a power loss.
    Unsure(Error),
}
