//! The verdict on the segment files found at opening: a whole log, a torn end, or damage.
//!
//! ```text
//!                            │ synced mark of the newest segment
//!   group  group  group      ▼  group  gro
//!   ├───── promised ─────────┤──────────┬─┤
//!     a flaw here is damage    a whole   └ a flaw here, and nothing whole behind it:
//!                              group is    torn, cut off quietly
//!                              kept
//! ```
//! Everything that does not fit this picture (a flaw followed by whole groups, an older segment that
//! does not reach to the next one, a missing segment, a header) is damage. The judgement is a pure
//! function of what `scan` found.

use barograph_lake::LogPosition;

use super::lost_range::LostRange;
use super::scan::{Hole, Scan};
use super::segment::{HEADER_BYTES, file_name};

/// Positions left out where it is unknown how many were given: more than can have been.
const UNKNOWN: u64 = 1 << 40;

/// What to make of the segments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Damaged and missing ranges, ascending.
    pub lost: Vec<LostRange>,
    /// Segments that a truncation had given up, by first position.
    pub leftovers: Vec<u64>,
    /// The segments of the log, ascending. Never empty.
    pub segments: Vec<SegmentRange>,
    /// Bytes to cut off the newest segment.
    pub torn_bytes: u64,
    /// Where the newest segment ends, what is lost included.
    pub newest_end: u64,
    /// The newest segment can take no more groups.
    pub newest_damaged: bool,
}

/// A segment and the positions of it that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRange {
    pub first: u64,
    pub end: u64,
    pub file_bytes: u64,
}

/// Judges `scans`, ascending. `None` without scans.
pub(super) fn judge(scans: &[Scan]) -> Option<Verdict> {
    let newest = scans.last()?;
    let oldest = oldest(scans).min(newest.first);
    let (given_up, kept) = scans.split_at(scans.partition_point(|scan| scan.first < oldest));
    let mut lost = Vec::new();
    if let Some(scan) = kept.first().filter(|scan| scan.first > oldest) {
        lost.push(missing(oldest, scan.first));
    }
    let mut segments = Vec::new();
    for pair in kept.windows(2) {
        if let [scan, next] = pair {
            segments.push(judge_closed(scan, next, &mut lost));
        }
    }
    let (range, end) = judge_newest(newest, &mut lost);
    segments.push(range);
    Some(Verdict {
        lost,
        leftovers: given_up.iter().map(|scan| scan.first).collect(),
        segments,
        torn_bytes: end.torn_bytes,
        newest_end: end.position,
        newest_damaged: end.damaged,
    })
}

/// First position that has to be there: as the newest segment notes it, which grows with every
/// truncation. If that note is damaged, an older one names too much rather than too little.
fn oldest(scans: &[Scan]) -> u64 {
    let noted = |scan: &Scan| {
        let header = scan.header.ok().map(|header| header.oldest);
        scan.mark.map(|mark| mark.oldest).or(header)
    };
    scans.iter().rev().find_map(noted).unwrap_or(0)
}

/// Judges `scan`, which `next` follows.
fn judge_closed(scan: &Scan, next: &Scan, lost: &mut Vec<LostRange>) -> SegmentRange {
    header_and_holes(scan, lost);
    let mut end = next.header.map_or(next.first, |header| header.previous_end).max(scan.first);
    let mut gap = None;
    if let Some(mark) = scan.mark.filter(|mark| mark.closed && mark.synced < end) {
        gap = Some(missing(mark.synced, end));
        end = mark.synced;
    }
    ending(scan, end, lost);
    lost.extend(gap);
    SegmentRange { first: scan.first, end: scan.whole_end().min(end), file_bytes: scan.file_bytes }
}

/// How the newest segment ends.
struct End {
    position: u64,
    torn_bytes: u64,
    damaged: bool,
}

fn judge_newest(scan: &Scan, lost: &mut Vec<LostRange>) -> (SegmentRange, End) {
    header_and_holes(scan, lost);
    let mut damaged = scan.header.is_err();
    let mut end = scan.file_end();
    let mut torn_bytes = 0;
    let mut file_bytes = scan.file_bytes;
    match (scan.mark, &scan.tail) {
        (None, _) => {
            lost.push(LostRange {
                segment: file_name(scan.first),
                bytes: 0..HEADER_BYTES,
                positions: LogPosition::new(end)..LogPosition::new(end),
                reason: "both notes of how far the file was synced are damaged".to_owned(),
            });
            end += UNKNOWN;
            ending(scan, end, lost);
            damaged = true;
        }
        (Some(mark), _) if mark.closed => {
            ending(scan, mark.synced, lost);
            end = mark.synced + UNKNOWN;
            lost.push(missing(mark.synced, end));
            damaged = true;
        }
        (Some(mark), Some(tail)) if tail.from >= mark.synced => {
            torn_bytes = end - tail.from;
            file_bytes -= torn_bytes;
            end = tail.from;
        }
        (Some(mark), _) if scan.whole_end() < mark.synced => {
            end = end.max(mark.synced);
            ending(scan, end, lost);
            damaged = true;
        }
        _ => {}
    }
    let range = SegmentRange { first: scan.first, end: scan.whole_end().min(end), file_bytes };
    (range, End { position: end, torn_bytes, damaged })
}

/// Notes what is wrong before the end of a segment.
fn header_and_holes(scan: &Scan, lost: &mut Vec<LostRange>) {
    if let Err(reason) = scan.header {
        lost.push(LostRange {
            segment: file_name(scan.first),
            bytes: 0..HEADER_BYTES,
            positions: LogPosition::new(scan.first)..LogPosition::new(scan.first),
            reason: reason.to_owned(),
        });
    }
    lost.extend(scan.holes.iter().map(|hole| range_lost(scan, hole, hole.to)));
}

/// Notes what is wrong at the end of a segment that should end at `end`.
fn ending(scan: &Scan, end: u64, lost: &mut Vec<LostRange>) {
    let file_end = scan.file_end();
    if let Some(tail) = &scan.tail {
        lost.push(range_lost(scan, tail, end.max(tail.from)));
    } else if file_end < end {
        let at = scan.offset(file_end);
        lost.push(LostRange {
            segment: file_name(scan.first),
            bytes: at..at,
            positions: LogPosition::new(file_end)..LogPosition::new(end),
            reason: format!("the file ends at byte {at}, before all that was written"),
        });
    } else if file_end > end {
        lost.push(LostRange {
            segment: file_name(scan.first),
            bytes: scan.offset(end)..scan.file_bytes,
            positions: LogPosition::new(end)..LogPosition::new(end),
            reason: "there are bytes after the end of the segment".to_owned(),
        });
    }
}

fn range_lost(scan: &Scan, hole: &Hole, end: u64) -> LostRange {
    LostRange {
        segment: file_name(scan.first),
        bytes: scan.offset(hole.from)..scan.offset(hole.to),
        positions: LogPosition::new(hole.from)..LogPosition::new(end),
        reason: hole.reason.to_owned(),
    }
}

fn missing(from: u64, to: u64) -> LostRange {
    LostRange {
        segment: file_name(from),
        bytes: 0..0,
        positions: LogPosition::new(from)..LogPosition::new(to),
        reason: "the segment file that begins there is missing".to_owned(),
    }
}
