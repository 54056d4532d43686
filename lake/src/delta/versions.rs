//! The versions of a table that can be read, and the newest of them at a given time.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use super::history::{head, listed, written};
use super::log_path::{LogKind, LogName, foreign_checkpoint};
use super::times::{Made, in_order};
use crate::store::LakeStore;
use crate::{Error, Result, TableVersion, Timestamp};

/// Commits whose first lines are read at a time.
const READ_AHEAD: usize = 32;

/// The versions that a log can still tell of: all from the first to the newest.
#[derive(Debug)]
pub(crate) struct Versions {
    store: LakeStore,
    /// Without gaps, ascending.
    commits: Vec<(TableVersion, ObjectMeta)>,
}

impl Versions {
    /// Those of the table at `store`.
    pub(crate) async fn of(store: &LakeStore) -> Result<Self> {
        let (mut commits, mut checkpoints) = (Vec::new(), Vec::new());
        for meta in listed(store).await? {
            let Some(name) = meta.location.filename() else { continue };
            checkpoints.extend(foreign_checkpoint(name));
            match name.parse::<LogName>() {
                Ok(LogName { version, kind: LogKind::Commit }) => commits.push((version, meta)),
                Ok(LogName { version, kind: LogKind::Checkpoint }) => checkpoints.push(version),
                _ => {}
            }
        }
        commits.sort_by_key(|(version, _)| *version);
        let first = first_readable(
            &commits.iter().map(|(version, _)| *version).collect::<Vec<_>>(),
            &checkpoints,
        );
        commits.retain(|(version, _)| first.is_some_and(|first| *version >= first));
        Ok(Self { store: store.clone(), commits })
    }

    /// Refuses a version that cannot be read.
    pub(crate) fn check(&self, version: TableVersion) -> Result<()> {
        if self.commits.binary_search_by_key(&version, |(version, _)| *version).is_ok() {
            return Ok(());
        }
        Err(Error::request(format!("there is no version {version} to read: {}", self.kept())))
    }

    /// The newest version that was made at `time` or before; `now` is the clock of who asks.
    pub(crate) async fn at(&self, time: Timestamp, now: Timestamp) -> Result<TableVersion> {
        let commits = self.commits.clone();
        let made: Vec<Made> = stream::iter(commits)
            .map(|(version, meta)| async move {
                let stated = head(&self.store, version).await?.and_then(|head| head.at);
                let by_store = || Made::Written(written(&meta));
                Ok::<_, Error>(stated.map_or_else(by_store, Made::Stated))
            })
            .buffered(READ_AHEAD)
            .try_collect()
            .await?;
        let before = in_order(&made, now).partition_point(|made| *made <= time);
        let found = before.checked_sub(1).and_then(|at| self.commits.get(at));
        found.map(|(version, _)| *version).ok_or_else(|| {
            Error::request(format!("there is no version of {time} to read: {}", self.kept()))
        })
    }

    fn kept(&self) -> String {
        match &self.commits[..] {
            [(first, _), .., (newest, _)] => format!(
                "versions {first} to {newest} are kept, including all of the last seven days"
            ),
            [(only, _)] => format!("version {only} is the only one"),
            [] => "the table has none".to_owned(),
        }
    }
}

/// The first version from which on all can be read: by their commits alone, or from a checkpoint.
fn first_readable(commits: &[TableVersion], checkpoints: &[TableVersion]) -> Option<TableVersion> {
    let gap =
        commits.windows(2).rposition(|pair| !matches!(pair, [a, b] if a.get() + 1 == b.get()));
    let unbroken = commits.get(gap.map_or(0, |gap| gap + 1)..)?;
    let start = |version: &&TableVersion| match version.get().checked_sub(1) {
        None => true,
        Some(before) => {
            checkpoints.contains(version) || checkpoints.contains(&TableVersion::new(before))
        }
    };
    unbroken.iter().find(start).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_creation_or_a_checkpoint() {
        let versions =
            |numbers: &[u64]| numbers.iter().map(|&n| TableVersion::new(n)).collect::<Vec<_>>();
        let first = |commits: &[u64], checkpoints: &[u64]| {
            first_readable(&versions(commits), &versions(checkpoints)).map(|version| version.get())
        };
        assert_eq!(first(&[0, 1, 2, 3], &[2]), Some(0));
        assert_eq!(first(&[3, 4, 5, 6], &[4, 6]), Some(4));
        assert_eq!(first(&[0, 1, 4, 5], &[1, 5]), Some(5));
        assert_eq!(first(&[4, 5], &[3]), Some(4));
        assert_eq!(first(&[4, 5], &[]), None);
        assert_eq!(first(&[], &[]), None);
    }
}
