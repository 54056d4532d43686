//! The failed parts of a run. A part of its work that fails stops no others: the run goes on, fails at its end, and
//! its record names each part.

use std::fmt;

use super::context::Context;
use super::job::Finding;
use crate::{Error, ErrorKind, Result};

/// So many parts in a row that fail for want of an answer are an outage: the rest is not tried one by one.
const OUTAGE: usize = 20;

/// The parts that failed in the attempt under way.
#[derive(Debug, Default)]
pub(super) struct Failures {
    parts: Vec<Finding>,
    first: Option<Error>,
    /// One that may work later.
    helped: Option<ErrorKind>,
    unanswered: usize,
}

impl Context {
    /// Notes that a part of the work on a table failed. The run is to go on with the other parts; it ends as
    /// failed, and is tried again if one of the parts may work later.
    ///
    /// # Errors
    /// `error` itself if the run is to stop, or the store has not answered for many parts in a row.
    pub fn failed(&self, table: &str, part: impl fmt::Display, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Stopped {
            return Err(error);
        }
        let part = part.to_string();
        tracing::error!(table, part, %error, "part of a job failed; the other parts continue");
        let mut failures = self.failures.lock();
        failures.parts.push(Finding {
            table: table.to_owned(),
            subject: part,
            detail: error.to_string(),
            damage: error.kind() == ErrorKind::Damage,
        });
        if !error.can_be_helped() {
            failures.first.get_or_insert(error);
            return Ok(());
        }
        failures.helped = Some(error.kind());
        failures.unanswered += 1;
        if failures.unanswered >= OUTAGE {
            return Err(error.during(format!("{OUTAGE} parts failed in a row, the last with")));
        }
        failures.first.get_or_insert(error);
        Ok(())
    }

    /// Forgets the parts that failed: another attempt tries them.
    pub(super) fn begin_attempt(&self) {
        *self.failures.lock() = Failures::default();
    }

    /// Whether the store answers: parts that fail later are no outage yet.
    pub(super) fn answered(&self) {
        self.failures.lock().unanswered = 0;
    }

    /// What an attempt that did all it could comes to.
    pub(super) fn end_attempt(&self) -> Result<()> {
        let mut failures = self.failures.lock();
        let (Some(first), Some(part)) = (failures.first.take(), failures.parts.first()) else {
            return Ok(());
        };
        let (table, subject) = (&part.table, &part.subject);
        let count = failures.parts.len();
        let what = match count {
            1 => format!(
                "one part of the work failed, the rest is done; {subject} of table {table:?}"
            ),
            _ => format!(
                "{count} parts of the work failed (the findings list them), the rest is done; the first is {subject} of table {table:?}"
            ),
        };
        let kind = failures.helped.unwrap_or(first.kind());
        let retry_after = first.retry_after();
        Err(Error::new(kind, what).with_retry_after(retry_after).with_source(first))
    }

    /// The parts that failed in the last attempt.
    pub(super) fn take_failures(&self) -> Vec<Finding> {
        std::mem::take(&mut *self.failures.lock()).parts
    }
}
