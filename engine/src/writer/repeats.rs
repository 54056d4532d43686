//! The repeats of batches to a log that keeps no ids: the newest ids are remembered while the process lives, with what
//! became of their batches. After a restart a batch that is sent again is put again, which changes no reading but the
//! instant at which it came.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use super::{Submission, Written};
use crate::log::BatchId;

/// As many as a shared log remembers.
const BATCHES_MAX: usize = 32_768;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    written: HashMap<BatchId, Written>,
    order: VecDeque<BatchId>,
}

impl Repeats {
    /// Answers the submissions that are known, and gives back the others: those to commit, and those that repeat one of
    /// them.
    pub(super) fn answer(&self, group: Vec<Submission>) -> (Vec<Submission>, Vec<Submission>) {
        let (mut new, mut again) = (Vec::with_capacity(group.len()), Vec::new());
        let mut ids = HashSet::new();
        for submission in group {
            match submission.id {
                Some(id) => match self.written.get(&id) {
                    Some(written) => drop(submission.reply.send(Ok(*written))),
                    None if ids.insert(id) => new.push(submission),
                    None => again.push(submission),
                },
                None => new.push(submission),
            }
        }
        (new, again)
    }

    pub(super) fn add(&mut self, id: BatchId, written: Written) {
        if self.written.insert(id, written).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > BATCHES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.written.remove(&oldest);
        }
    }
}
