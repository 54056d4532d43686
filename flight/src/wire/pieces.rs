//! The pieces of an answer, copied and shared bytes in one order: small ones are copied together, large ones stay as
//! they are.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// From this size on a buffer is shared rather than copied: below it one copy costs less than another
/// HTTP/2 frame.
pub(super) const SHARED_BYTES_MIN: usize = 16 << 10;

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    whole: VecDeque<Bytes>,
    /// What follows `whole`, still growing.
    open: BytesMut,
}

impl Pieces {
    /// Where small bytes are appended.
    pub(crate) fn open(&mut self) -> &mut BytesMut {
        &mut self.open
    }

    /// Appends bytes without copying them.
    pub(super) fn share(&mut self, bytes: Bytes) {
        self.close();
        self.whole.push_back(bytes);
    }

    /// Appends a few bytes by copying them.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.open.extend_from_slice(bytes);
    }

    /// Appends what `other` holds.
    pub(crate) fn append(&mut self, mut other: Self) {
        if other.whole.is_empty() {
            self.open.unsplit(other.open);
            return;
        }
        self.close();
        self.whole.append(&mut other.whole);
        self.open = other.open;
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.whole.iter().map(Bytes::len).sum::<usize>() + self.open.len()
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.open.is_empty()
    }

    /// The next bytes to send.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        if self.whole.is_empty() {
            self.close();
        }
        self.whole.pop_front()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.whole.push_back(self.open.split().freeze());
        }
    }
}
