//! The scan of a segment file: which parts of it are whole and which are damaged.
//!
//! It states facts only; `recovery` judges them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::folder::{Folder, failed};
use super::frame::{ALIGNMENT, Flaw, GROUP_HEADER, GroupHeader};
use super::replay::{GroupReader, Step};
use super::segment::{HEADER_BYTES, Header, Mark, file_name, read_header};
use crate::Result;

/// What stands in one segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// Position in its name.
    pub first: u64,
    pub file_bytes: u64,
    pub header: Result<Header, Flaw>,
    /// The newer whole mark, if one is whole.
    pub mark: Option<Mark>,
    /// Records of whole groups.
    pub records: u64,
    /// Bytes of whole groups.
    pub bytes: u64,
    /// Damage with a whole group behind it.
    pub holes: Vec<Hole>,
    /// Damage with nothing whole behind it.
    pub tail: Option<Hole>,
}

/// A range of positions that is not groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub from: u64,
    pub to: u64,
    pub reason: Flaw,
}

impl Scan {
    /// Position after the last byte of the file.
    pub(super) fn file_end(&self) -> u64 {
        self.first + self.file_bytes.saturating_sub(HEADER_BYTES)
    }

    /// Position after the last whole group.
    pub(super) fn whole_end(&self) -> u64 {
        self.tail.as_ref().map_or(self.file_end(), |tail| tail.from)
    }

    /// Where in the file `position` stands.
    pub(super) fn offset(&self, position: u64) -> u64 {
        HEADER_BYTES + (position - self.first)
    }
}

/// Reads and checks every byte of the segment that begins at `first`.
pub(super) fn scan(folder: &Folder, first: u64) -> Result<Scan> {
    let path = folder.path().join(file_name(first));
    let file = File::open(&path).map_err(|e| failed("opening", &path, e))?;
    let block = read_header(&file, &path, first)?;
    let read = || {
        let mut scan = Scan {
            first,
            file_bytes: file.metadata()?.len(),
            header: block.header,
            mark: block.mark,
            records: 0,
            bytes: 0,
            holes: Vec::new(),
            tail: None,
        };
        groups(file, &mut scan)?;
        Ok(scan)
    };
    read().map_err(|e| failed("reading", &path, e))
}

fn groups(file: File, scan: &mut Scan) -> io::Result<()> {
    let end = scan.file_end();
    let probe = file.try_clone()?;
    let mut reader = GroupReader::new(file, scan.first, end)?;
    let mut payload = Vec::new();
    loop {
        let from = reader.position();
        let (reason, search_from) = match reader.step()? {
            Step::End => return Ok(()),
            // Inside a group whose header is whole there is no other group.
            Step::Group(header) => {
                reader.payload(&header, &mut payload)?;
                match header.records(&payload) {
                    Ok(records) => {
                        scan.records += records.len() as u64;
                        scan.bytes += header.end() - from;
                        continue;
                    }
                    Err(flaw) => (flaw, header.end()),
                }
            }
            Step::Incomplete(flaw) => (flaw, end),
            Step::Flaw(flaw) => (flaw, from + ALIGNMENT),
        };
        match next_group(&probe, scan.first, search_from, end, &mut payload)? {
            Some(to) => {
                scan.holes.push(Hole { from, to, reason });
                reader.jump(to)?;
            }
            None => {
                scan.tail = Some(Hole { from, to: end, reason });
                return Ok(());
            }
        }
    }
}

/// First position in `from..end` at which a whole group stands.
fn next_group(
    file: &File,
    first: u64,
    from: u64,
    end: u64,
    payload: &mut Vec<u8>,
) -> io::Result<Option<u64>> {
    const WINDOW: usize = 1 << 20;
    let mut window = vec![0; WINDOW];
    let mut position = from;
    while position + GROUP_HEADER as u64 <= end {
        let length = WINDOW.min((end - position) as usize);
        #[expect(clippy::indexing_slicing, reason = "`length` is at most that of the window")]
        let window = &mut window[..length];
        file.read_exact_at(window, HEADER_BYTES + (position - first))?;
        let places = (length - GROUP_HEADER) / ALIGNMENT as usize + 1;
        for place in 0..places {
            let at = place * ALIGNMENT as usize;
            let candidate = position + at as u64;
            let bytes = window.get(at..).and_then(<[u8]>::first_chunk::<GROUP_HEADER>);
            let Some(bytes) = bytes else { continue };
            let Ok(header) = GroupHeader::parse(bytes, candidate) else { continue };
            if header.end() > end {
                continue;
            }
            payload.resize(header.payload as usize, 0);
            file.read_exact_at(payload, HEADER_BYTES + (candidate - first) + GROUP_HEADER as u64)?;
            if header.records(payload).is_ok() {
                return Ok(Some(candidate));
            }
        }
        position += (places * ALIGNMENT as usize) as u64;
    }
    Ok(None)
}
