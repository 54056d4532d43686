//! The opening of a log, however it ended before: its segments are scanned and judged, a torn end is cut off, and the
//! rest is made durable.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use barograph_lake::{LogId, LogPosition};

use super::folder::{Folder, failed};
use super::frame::{ALIGNMENT, Frame};
use super::lost_range;
use super::recovery::{self, Verdict};
use super::scan::{Scan, scan};
use super::segment::{self, CreateError, Header, Mark, file_name};
use super::writer::{Active, SegmentLog};
use super::{LogSettings, Opened};
use crate::{Error, Result};

/// See [`SegmentLog::open`]. Nothing is changed on the disk before everything is judged and accepted.
pub(super) fn open(
    path: &Path,
    settings: &LogSettings,
    at_least: LogPosition,
    accept_damage: bool,
) -> Result<(SegmentLog, Opened)> {
    settings.check()?;
    let at_least = at_least.get().max(1).checked_next_multiple_of(ALIGNMENT).ok_or_else(|| {
        Error::request(format!("log position {at_least} is too large to go on from"))
    })?;
    let folder = Folder::take(path)?;
    let (firsts, unfinished) = folder.list()?;
    let scans = firsts.iter().map(|&first| scan(&folder, first)).collect::<Result<Vec<_>>>()?;
    match (recovery::judge(&scans), scans.last()) {
        (Some(verdict), Some(newest)) => {
            lost_range::accept(&folder, &verdict.lost, accept_damage)?;
            remove(&unfinished)?;
            resume(folder, settings, at_least, &scans, verdict, newest)
        }
        _ => {
            remove(&unfinished)?;
            begin(folder, settings, at_least)
        }
    }
}

/// A log where there was none.
fn begin(folder: Folder, settings: &LogSettings, first: u64) -> Result<(SegmentLog, Opened)> {
    let id = LogId::random();
    let header = Header { first, previous_end: first, oldest: first, log: Some(id) };
    let file = segment::create(&folder, &header, settings.segment_bytes.get() as u64).map_err(
        |error| match error {
            CreateError::Nothing(error) | CreateError::Unsure(error) => error,
        },
    )?;
    let active = Active::new(file, &folder, &header);
    let log = SegmentLog {
        id,
        folder,
        settings: settings.clone(),
        closed: Vec::new(),
        active,
        lost: Vec::new(),
        frame: Frame::default(),
        stopped: None,
    };
    Ok((log, Opened { fresh: true, ..Opened::default() }))
}

/// The log that was found.
fn resume(
    folder: Folder,
    settings: &LogSettings,
    at_least: u64,
    scans: &[Scan],
    verdict: Verdict,
    newest: &Scan,
) -> Result<(SegmentLog, Opened)> {
    let leftovers = verdict.leftovers.iter().map(|&first| folder.path().join(file_name(first)));
    remove(&leftovers.collect::<Vec<_>>())?;
    let mut closed = verdict.segments.clone();
    let Some(last) = closed.pop() else {
        return Err(Error::internal("a log that was found has no segment"));
    };
    let kept = scans.get(verdict.leftovers.len()..).unwrap_or_default();
    let mark = newest.mark.unwrap_or(Mark {
        sequence: 1,
        synced: newest.first,
        oldest: kept.first().map_or(newest.first, |scan| scan.first),
        closed: false,
    });
    let active = settle(&folder, newest, mark, last.end, &verdict)?;
    if !verdict.newest_damaged {
        segment::reserve(&active.file, settings.segment_bytes.get() as u64);
    }
    let opened = Opened {
        fresh: false,
        records: kept.iter().map(|scan| scan.records).sum(),
        bytes: kept.iter().map(|scan| scan.bytes).sum(),
        torn_bytes: verdict.torn_bytes,
        lost: verdict.lost.clone(),
    };
    let told = |scan: &Scan| scan.header.ok()?.log;
    let id = scans.iter().rev().find_map(told).unwrap_or_else(LogId::random);
    if told(newest).is_none() && !verdict.newest_damaged {
        segment::write_log(&active.file, id).map_err(|e| failed("writing to", &active.path, e))?;
    }
    let mut log = SegmentLog {
        id,
        folder,
        settings: settings.clone(),
        closed,
        active,
        lost: verdict.lost,
        frame: Frame::default(),
        stopped: None,
    };
    let resume = at_least.max(verdict.newest_end.next_multiple_of(ALIGNMENT));
    if verdict.newest_damaged {
        // Left as it is, and never over the damaged file.
        log.next_segment(resume.max(newest.first + ALIGNMENT))?;
        log.closed.pop();
        log.closed.push(last);
    } else if resume > verdict.newest_end {
        log.rotate(resume)?;
    }
    Ok((log, opened))
}

/// Cuts off the torn end of the newest segment and makes the rest durable.
fn settle(
    folder: &Folder,
    newest: &Scan,
    mark: Mark,
    whole_end: u64,
    verdict: &Verdict,
) -> Result<Active> {
    let (end, torn_bytes) = (verdict.newest_end, verdict.torn_bytes);
    let path = folder.path().join(file_name(newest.first));
    let work = || {
        let file = File::options().read(true).write(true).open(&path)?;
        if torn_bytes > 0 {
            file.set_len(newest.file_bytes - torn_bytes)?;
        }
        let unsynced = mark.synced.clamp(newest.first, whole_end);
        write_again(&file, newest.offset(unsynced), newest.offset(whole_end))?;
        if torn_bytes > 0 || unsynced < whole_end {
            file.sync_all()?;
        }
        Ok(file)
    };
    let file = work().map_err(|e| failed("mending", &path, e))?;
    let mut active =
        Active { file, path, first: newest.first, end, synced: end, mark, mark_durable: true };
    if mark.synced < end && !verdict.newest_damaged {
        active.note(Mark { synced: end, ..mark });
    }
    Ok(active)
}

/// Writes the bytes of `file` from `from` to `to` over themselves. If their sync failed before the
/// restart, the system may hold them in memory as if they were on the disk; written again, the next
/// sync tells the truth.
#[expect(clippy::indexing_slicing, reason = "`length` is at most that of the buffer")]
fn write_again(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; (1 << 20).min(to.saturating_sub(from) as usize)];
    let mut at = from;
    while at < to {
        let length = buffer.len().min((to - at) as usize);
        let bytes = &mut buffer[..length];
        file.read_exact_at(bytes, at)?;
        file.write_all_at(bytes, at)?;
        at += length as u64;
    }
    Ok(())
}

fn remove(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        fs::remove_file(path).map_err(|e| failed("removing", path, e))?;
    }
    Ok(())
}
