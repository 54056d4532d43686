//! The writer of the log: appends, syncs, rotation and truncation of segment files. After an error that leaves the
//! state of the disk unknown it writes nothing more.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use barograph_lake::{LogId, LogPosition};

use super::folder::{Folder, failed};
use super::frame::{self, Frame};
use super::lost_range::LostRange;
use super::recovery::SegmentRange;
use super::replay::replay_segment;
use super::segment::{self, CreateError, HEADER_BYTES, Header, Mark, file_name};
use super::{Log, LogSettings, Opened, Record};
use crate::{Error, ErrorKind, Result};

/// The log as segment files in a folder of a local disk.
#[derive(Debug)]
pub struct SegmentLog {
    pub(super) id: LogId,
    pub(super) folder: Folder,
    pub(super) settings: LogSettings,
    /// Segments that take no more groups, ascending.
    pub(super) closed: Vec<SegmentRange>,
    pub(super) active: Active,
    /// Accepted damage in the segments, ascending.
    pub(super) lost: Vec<LostRange>,
    pub(super) frame: Frame,
    /// Why nothing more is written.
    pub(super) stopped: Option<String>,
}

/// The segment that takes the groups.
#[derive(Debug)]
pub(super) struct Active {
    pub file: File,
    pub path: PathBuf,
    pub first: u64,
    /// Position of the next group.
    pub end: u64,
    /// Everything below is synced.
    pub synced: u64,
    /// The newest mark written.
    pub mark: Mark,
    /// The newest mark is synced, too.
    pub mark_durable: bool,
}

impl SegmentLog {
    /// Opens the log in `folder`, which is made if it does not exist, and checks every byte of it.
    /// Records get positions of `at_least` or larger. [`ErrorKind::Damage`] names what is damaged or
    /// missing, unless `accept_damage` says to go on without it.
    pub fn open(
        folder: &Path,
        settings: &LogSettings,
        at_least: LogPosition,
        accept_damage: bool,
    ) -> Result<(Self, Opened)> {
        super::open::open(folder, settings, at_least, accept_damage)
    }

    /// The id of the log, which stays with its files.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Closes the active segment and goes on at `first` in a new one.
    pub(super) fn rotate(&mut self, first: u64) -> Result<()> {
        let mut old = self.next_segment(first)?;
        // Over both marks, so that one torn mark never makes it look like the newest segment. Not synced:
        // without this note the new segment's header still says where the old one ended.
        for _ in 0..2 {
            old.note(Mark { synced: old.end, closed: true, ..old.mark });
        }
        // Gives back what was reserved behind the end.
        if let Err(error) = old.file.set_len(old.range().file_bytes) {
            tracing::warn!("log: giving back space of {}: {error}", old.path.display());
        }
        Ok(())
    }

    /// Goes on at `first` in a new segment and returns the one before, synced.
    pub(super) fn next_segment(&mut self, first: u64) -> Result<Active> {
        if self.active.synced < self.active.end {
            self.sync_active()?;
        }
        let header = Header {
            first,
            previous_end: self.active.end,
            oldest: self.active.mark.oldest,
            log: Some(self.id),
        };
        let bytes = self.settings.segment_bytes.get() as u64;
        let file = match segment::create(&self.folder, &header, bytes) {
            Ok(file) => file,
            Err(CreateError::Nothing(error)) => return Err(error),
            Err(CreateError::Unsure(error)) => return Err(self.stop(error)),
        };
        let active = Active::new(file, &self.folder, &header);
        let old = std::mem::replace(&mut self.active, active);
        self.closed.push(old.range());
        Ok(old)
    }

    /// Syncs the active segment and marks it so.
    pub(super) fn sync_active(&mut self) -> Result<()> {
        let active = &mut self.active;
        if let Err(error) = active.file.sync_data() {
            let error = failed("syncing", &active.path, error);
            return Err(self.stop(error));
        }
        active.mark_durable = true;
        active.synced = active.end;
        if active.mark.synced < active.end {
            // What was synced is durable without the mark, too; the next sync tries to mark it again.
            active.note(Mark { synced: active.end, ..active.mark });
        }
        Ok(())
    }

    fn write_records(&mut self, records: &[Record]) -> Result<Vec<LogPosition>> {
        let positions = self.frame.encode(self.active.end, records);
        let held = self.active.end - self.active.first;
        if held > 0 && held + self.frame.bytes() > self.settings.segment_bytes.get() as u64 {
            // The new segment begins where this one ends, so the frame's position stays right.
            self.rotate(self.active.end)?;
        }
        self.write_frame()?;
        self.active.end += self.frame.bytes();
        Ok(positions)
    }

    fn write_frame(&mut self) -> Result<()> {
        let offset = HEADER_BYTES + (self.active.end - self.active.first);
        let Err(error) = write_all_at(&self.active.file, &mut self.frame.slices(), offset) else {
            return Ok(());
        };
        let error = failed("writing to", self.folder.path(), error);
        match self.active.file.set_len(offset) {
            Ok(()) => Err(error),
            Err(cut) => {
                let cut = failed("cutting back a failed write to", &self.active.path, cut);
                Err(self.stop(cut.with_source(error)))
            }
        }
    }

    /// Writes nothing more: what stands on the disk is unknown.
    fn stop(&mut self, error: Error) -> Error {
        let why = format!(
            "log {} has stopped, because it is not known what is on the disk: {error}; check the disk and start again",
            self.folder.path().display()
        );
        tracing::error!("{why}");
        self.stopped = Some(why.clone());
        Error::new(ErrorKind::Unavailable, why)
    }

    fn running(&self) -> Result<()> {
        self.stopped().map_or(Ok(()), Err)
    }
}

impl Log for SegmentLog {
    fn check(&self, records: &[Record]) -> Result<()> {
        frame::check(records, self.settings.record_bytes_max.get())
    }

    fn append(&mut self, records: &[Record], sync: bool) -> Result<Vec<LogPosition>> {
        self.running()?;
        self.check(records)?;
        let mut positions = Vec::new();
        if !records.is_empty() {
            let written = self.write_records(records);
            self.frame.clear();
            positions = written?;
        }
        if sync && self.active.synced < self.active.end {
            self.sync_active()?;
        }
        Ok(positions)
    }

    fn sync(&mut self) -> Result<()> {
        self.running()?;
        if self.active.synced == self.active.end && self.active.mark_durable {
            return Ok(());
        }
        self.sync_active()
    }

    fn replay(
        &mut self,
        from: LogPosition,
        visit: &mut dyn FnMut(LogPosition, Record) -> Result<()>,
    ) -> Result<()> {
        let active = self.active.range();
        let segments =
            self.closed.iter().chain([&active]).filter(|segment| segment.end > from.get());
        for segment in segments {
            replay_segment(&self.folder, segment, &self.lost, from.get(), visit)?;
        }
        Ok(())
    }

    fn truncate(&mut self, below: LogPosition) -> Result<()> {
        self.running()?;
        let given_up = self.closed.partition_point(|segment| segment.end <= below.get());
        if given_up == 0 {
            return Ok(());
        }
        let oldest = self.closed.get(given_up).map_or(self.active.first, |segment| segment.first);
        // Noted durably before a file goes, so that a file that is gone without a note is damage.
        if !self.active.note(Mark { oldest, ..self.active.mark }) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("log: {} cannot be written", self.active.path.display()),
            ));
        }
        self.sync_active()?;
        for segment in self.closed.drain(..given_up) {
            let path = self.folder.path().join(file_name(segment.first));
            // A file that stays is removed by the next opening.
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!("log: removing {}: {error}", path.display());
            }
        }
        self.lost.retain(|lost| lost.positions.end.get() > oldest);
        self.folder.sync()
    }

    fn end(&self) -> LogPosition {
        LogPosition::new(self.active.end)
    }

    fn segments(&self) -> u64 {
        self.closed.len() as u64 + 1
    }

    fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.file_bytes).sum();
        closed + self.active.range().file_bytes
    }

    fn stopped(&self) -> Option<Error> {
        self.stopped.as_ref().map(|why| Error::new(ErrorKind::Unavailable, why.clone()))
    }
}

impl Active {
    /// The segment that was just made with `header`.
    pub(super) fn new(file: File, folder: &Folder, header: &Header) -> Self {
        Self {
            file,
            path: folder.path().join(file_name(header.first)),
            first: header.first,
            end: header.first,
            synced: header.first,
            mark: Mark::first(header),
            mark_durable: true,
        }
    }

    /// Writes `mark` as the next one, or says that it could not.
    pub(super) fn note(&mut self, mark: Mark) -> bool {
        let mark = Mark { sequence: self.mark.sequence + 1, ..mark };
        match mark.write(&self.file) {
            Ok(()) => {
                self.mark = mark;
                self.mark_durable = false;
                true
            }
            Err(error) => {
                tracing::warn!("log: noting the sync of {}: {error}", self.path.display());
                false
            }
        }
    }

    fn range(&self) -> SegmentRange {
        let held = self.end - self.first;
        SegmentRange { first: self.first, end: self.end, file_bytes: HEADER_BYTES + held }
    }
}

/// Writes all of `slices` from `offset` on.
fn write_all_at(file: &File, slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    /// Linux takes no more slices in one call.
    const SLICES_MAX: usize = 1024;
    let mut slices = slices;
    while !slices.is_empty() {
        let some = slices.get(..SLICES_MAX).unwrap_or(slices);
        match rustix::io::pwritev(file, some, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
