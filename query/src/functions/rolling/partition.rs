//! Frames of a partition: the rows that stand in the frame of each of its rows.
//!
//! Rows are numbered from 0 in their partition. A frame of RANGE ends with the last row of the same order as its own
//! row, which is only known when a later one has come, or the partition is over.

/// How a frame is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// By rows: from this many before the row to the row; from the first row if absent.
    Rows(Option<usize>),
    /// By order: from values less by this much to the row's peers; from the first row if absent.
    Range(Option<i64>),
}

impl Frame {
    pub(super) fn is_from_start(self) -> bool {
        matches!(self, Self::Rows(None) | Self::Range(None))
    }
}

/// The rows of a partition, as far as frames need them.
#[derive(Debug)]
pub(super) struct Partition {
    frames: Vec<Frame>,
    /// Where the last frame of each kind began.
    starts: Vec<usize>,
    has_peers: bool,
    rows: usize,
    /// Number of the first peer of the last row.
    peers_from: usize,
    /// Rows whose frames are known.
    done: usize,
    /// Number of the first row whose order is kept.
    first: usize,
    order: Vec<i64>,
}

impl Partition {
    pub(super) fn new(frames: Vec<Frame>) -> Self {
        let has_peers = frames.iter().any(|frame| matches!(frame, Frame::Range(_)));
        let starts = vec![0; frames.len()];
        Self {
            frames,
            starts,
            has_peers,
            rows: 0,
            peers_from: 0,
            done: 0,
            first: 0,
            order: Vec::new(),
        }
    }

    /// Begins a partition.
    pub(super) fn clear(&mut self) {
        self.starts.fill(0);
        (self.rows, self.peers_from, self.done, self.first) = (0, 0, 0, 0);
        self.order.clear();
    }

    /// Appends rows with the order of each, which is not needed where all frames count rows.
    pub(super) fn append(&mut self, rows: usize, order: &[i64]) {
        self.rows += rows;
        if let Some(last) = order.last() {
            let peers = order.iter().rev().take_while(|order| *order == last).count();
            if peers < order.len() || self.order.last() != Some(last) {
                self.peers_from = self.rows - peers;
            }
        }
        self.order.extend_from_slice(order);
    }

    /// The row before which all frames can be known; the end of a partition that is over.
    pub(super) fn until(&self, over: bool) -> usize {
        if self.has_peers && !over { self.peers_from } else { self.rows }
    }

    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// The frames of one kind for the rows up to `until`.
    #[expect(
        clippy::indexing_slicing,
        reason = "frames are those of the task, and the order is kept from the first row that one of them needs"
    )]
    pub(super) fn frames(&mut self, at: usize, until: usize, found: &mut Found) {
        let rows = self.done..until;
        let last = &mut self.starts[at];
        found.starts.clear();
        found.ends.clear();
        match self.frames[at] {
            Frame::Rows(back) => {
                found.ends.extend(rows.clone().map(|row| row + 1));
                found
                    .starts
                    .extend(rows.map(|row| back.map_or(0, |back| row.saturating_sub(back))));
            }
            Frame::Range(back) => {
                let first = self.first;
                let order = &self.order[rows.start - first..until - first];
                ends(order, rows.start, &mut found.ends);
                match back {
                    None => found.starts.resize(order.len(), 0),
                    Some(back) => {
                        let mut start = *last;
                        found.starts.extend(order.iter().map(|&own| {
                            let least = own.saturating_sub(back);
                            while self.order[start - first] < least {
                                start += 1;
                            }
                            start
                        }));
                    }
                }
            }
        }
        *last = found.starts.last().copied().unwrap_or(*last);
    }

    /// Marks all frames up to `until` as done.
    pub(super) fn finish(&mut self, until: usize) {
        self.done = until;
    }

    /// Where the last frame of a kind began.
    #[expect(clippy::indexing_slicing, reason = "frames are those of the task")]
    pub(super) fn start(&self, at: usize) -> usize {
        self.starts[at]
    }

    /// Drops the order of rows that no later frame needs.
    pub(super) fn forget(&mut self) {
        let bounded = self.starts.iter().zip(&self.frames);
        let bounded = bounded.filter(|(_, frame)| matches!(frame, Frame::Range(Some(_))));
        let needed = bounded.map(|(&start, _)| start).min().unwrap_or(self.done).min(self.done);
        let gone = needed.saturating_sub(self.first).min(self.order.len());
        if 2 * gone >= self.order.len() {
            self.order.drain(..gone);
            self.first += gone;
        }
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.order.capacity() * size_of::<i64>()
    }
}

/// Frames row by row: the number of their first row, and of the row after their last.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) starts: Vec<usize>,
    pub(super) ends: Vec<usize>,
}

/// The row after the last peer of each row; the first row has the number `first`. The last row has no peer after it.
#[expect(clippy::indexing_slicing, reason = "there is an end for each row")]
fn ends(order: &[i64], first: usize, ends: &mut Vec<usize>) {
    ends.extend((first..first + order.len()).map(|row| row + 1));
    let repeats = order.array_windows().fold(false, |found, [one, next]| found | (one == next));
    if repeats {
        for row in (1..order.len()).rev() {
            if order[row - 1] == order[row] {
                ends[row - 1] = ends[row];
            }
        }
    }
}
