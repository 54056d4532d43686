//! What a process tells the others beside rows: versions of tables that answers have to show, through the log, and the
//! groups that it appends, past the store.

use barograph_lake::{LogPosition, Span};
use tokio::sync::oneshot;

use super::State;
use super::follow::FOLLOW_EVERY;
use crate::log::Notice;
use crate::{Error, ErrorKind, Result};

/// A version that the others are to show.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) notice: Notice,
    /// Told a position: who has come past it knows of the version.
    pub(crate) reply: oneshot::Sender<Result<LogPosition>>,
}

impl State {
    /// Appends a notice, unless the log has it. An error given back poisons the writer.
    pub(super) fn announce(&mut self, announcement: Announcement) -> Option<Error> {
        let Announcement { notice, reply } = announcement;
        let announced = self.append_notice(&notice);
        let poison = announced.as_ref().err().map(Error::again);
        let _ = reply.send(announced.flatten());
        poison
    }

    fn append_notice(&mut self, notice: &Notice) -> Result<Result<LogPosition>> {
        if self.awaits_tails {
            return Ok(Err(self.not_read()));
        }
        loop {
            match self.log.announce(notice.clone()) {
                Ok(position) => {
                    // Before it is told how far the views are.
                    self.heard.hear(vec![notice.clone()]);
                    self.apply_shown()?;
                    self.spread();
                    self.measure();
                    self.gauge.applied(self.log.end(), None);
                    return Ok(Ok(position));
                }
                Err(error) if error.kind() == ErrorKind::Behind => {
                    if let Some(error) = self.follow()? {
                        return Ok(Err(error));
                    }
                }
                Err(error) => {
                    return match self.log.stopped() {
                        Some(stopped) => Err(stopped),
                        None => Ok(Err(error)),
                    };
                }
            }
        }
    }

    /// Sends the group that was appended last to those who follow this process.
    pub(super) fn spread(&self) {
        if let Some((position, group)) = self.log.newest() {
            self.feed.send(position, &group);
        }
    }

    /// Applies what the leader has sent. An error poisons the writer.
    pub(super) fn take_offered(&mut self) -> Result<()> {
        let offered = self.offered.take();
        if let Some(at) = &mut self.follow_at
            && !self.offered.is_live()
        {
            *at = (*at).min(self.clock.elapsed() + Span::from_duration(FOLLOW_EVERY));
        }
        if offered.is_empty() || self.awaits_tails || self.follow_at.is_none() {
            return Ok(());
        }
        let (mut found, mut is_to_look) = (Vec::new(), false);
        for group in offered {
            if group.object.is_empty() {
                is_to_look |= group.position >= self.log.end();
                continue;
            }
            let mut visit = |position, record| {
                found.push((position, record));
                Ok(())
            };
            if let Err(error) = self.log.offer(group.position, group.object, &mut visit) {
                tracing::debug!(%error, "could not take a group of the leader: it is looked for");
                is_to_look = true;
            }
        }
        let touched = self.apply_found(&found)?;
        self.publish_all(touched);
        self.apply_shown()?;
        self.measure();
        self.gauge.applied(self.log.end(), None);
        match self.log.stopped() {
            Some(stopped) => Err(stopped),
            None if is_to_look => self.follow().map(drop),
            None => Ok(()),
        }
    }
}
