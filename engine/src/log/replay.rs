//! The replay of a segment file: its records, one after the other.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use barograph_lake::LogPosition;
use bytes::Bytes;

use super::Record;
use super::folder::{Folder, failed};
use super::frame::{Flaw, GROUP_HEADER, GroupHeader};
use super::lost_range::LostRange;
use super::recovery::SegmentRange;
use super::segment::{HEADER_BYTES, file_name};
use crate::{Error, ErrorKind, Result};

const READ_AHEAD: usize = 256 << 10;

/// Shows `visit` the records of `segment` from position `from` on and passes over what is in `lost_range`.
pub(super) fn replay_segment(
    folder: &Folder,
    segment: &SegmentRange,
    lost: &[LostRange],
    from: u64,
    visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
) -> Result<()> {
    let name = file_name(segment.first);
    let path = folder.path().join(&name);
    let reading = |e| failed("reading", &path, e);
    let file = File::open(&path).map_err(reading)?;
    let mut groups = GroupReader::new(file, segment.first, segment.end).map_err(reading)?;
    loop {
        let at = groups.position();
        let flaw = match groups.step().map_err(reading)? {
            Step::End => return Ok(()),
            Step::Group(header) if header.end() <= from => {
                groups.skip(&header).map_err(reading)?;
                continue;
            }
            Step::Group(header) => {
                let mut payload = Vec::new();
                groups.payload(&header, &mut payload).map_err(reading)?;
                match show(&header, payload.into(), from, visit)? {
                    None => continue,
                    Some(flaw) => flaw,
                }
            }
            Step::Incomplete(flaw) | Step::Flaw(flaw) => flaw,
        };
        let accepted = lost.iter().find(|lost| {
            lost.segment == name && lost.positions.start.get() == at && !lost.positions.is_empty()
        });
        let Some(lost) = accepted else {
            let message = format!("{} position {}: {flaw}", path.display(), LogPosition::new(at));
            return Err(Error::new(ErrorKind::Damage, message));
        };
        groups.jump(lost.positions.end.get().min(segment.end)).map_err(reading)?;
    }
}

/// Shows `visit` the records of one group, or says why it is none.
fn show(
    header: &GroupHeader,
    payload: Bytes,
    from: u64,
    visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
) -> Result<Option<Flaw>> {
    match header.records(&payload) {
        Ok(records) => {
            for record in records.iter().filter(|record| record.position.get() >= from) {
                visit(record.position, record.record(&payload))?;
            }
            Ok(None)
        }
        Err(flaw) => Ok(Some(flaw)),
    }
}

/// Reads the groups of one segment in order.
#[derive(Debug)]
pub(super) struct GroupReader {
    file: BufReader<File>,
    first: u64,
    position: u64,
    end: u64,
}

/// What stands at the reader's position.
#[derive(Debug)]
pub(super) enum Step {
    /// The header of a group that lies inside the file; its payload comes next.
    Group(GroupHeader),
    /// The beginning of a group that the file does not hold in full.
    Incomplete(Flaw),
    /// Not a group.
    Flaw(Flaw),
    /// The end.
    End,
}

impl GroupReader {
    /// Reads the positions from `first`, where the file's groups begin, to `end`.
    pub(super) fn new(mut file: File, first: u64, end: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        Ok(Self { file: BufReader::with_capacity(READ_AHEAD, file), first, position: first, end })
    }

    /// Position of what `step` reads next.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at `position`.
    pub(super) fn jump(&mut self, position: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(HEADER_BYTES + (position - self.first)))?;
        self.position = position;
        Ok(())
    }

    /// Reads a group's header and stays at its position until `payload` or `skip` is called.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(Step::End);
        }
        if left < GROUP_HEADER as u64 {
            return Ok(Step::Incomplete("the file ends inside a group header"));
        }
        let mut bytes = [0; GROUP_HEADER];
        self.file.read_exact(&mut bytes)?;
        Ok(match GroupHeader::parse(&bytes, self.position) {
            Err(flaw) => Step::Flaw(flaw),
            Ok(header) if header.end() > self.end => {
                Step::Incomplete("the file ends inside a group")
            }
            Ok(header) => Step::Group(header),
        })
    }

    /// Reads what follows `header` into `payload` and goes to the next group.
    pub(super) fn payload(
        &mut self,
        header: &GroupHeader,
        payload: &mut Vec<u8>,
    ) -> io::Result<()> {
        payload.resize(header.payload as usize, 0);
        self.file.read_exact(payload)?;
        self.position = header.end();
        Ok(())
    }

    /// Goes to the group after `header`.
    pub(super) fn skip(&mut self, header: &GroupHeader) -> io::Result<()> {
        self.file.seek_relative(i64::from(header.payload))?;
        self.position = header.end();
        Ok(())
    }
}
