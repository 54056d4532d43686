//! The check of a table against its log: every active file is read in full and compared with its entry, and the folder
//! is searched for gaps and orphans.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use tokio::runtime::Handle;

use super::LakeTable;
use crate::file::FileCache;
use crate::snapshot::are_disjoint;
use crate::{
    ErrorKind, FileEntry, FilePath, ForeignFile, Hour, Result, Snapshot, TableVersion, blocking,
};

mod bounds;
mod verify;

/// How many files are read at a time.
const READ_AHEAD: usize = 4;
/// Bytes that an open file may keep; it is opened once.
const CACHE_BYTES: usize = 1 << 20;

/// The report of a check.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The version that was checked.
    pub version: TableVersion,
    /// Active files.
    pub files: u64,
    /// Rows found in them.
    pub rows: u64,
    /// Bytes found in them.
    pub bytes: u64,
    /// The findings, in order of time.
    pub findings: Vec<Finding>,
}

/// An irregularity that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind.
    pub kind: FindingKind,
    /// The object or the hour.
    pub subject: String,
    /// The expected and the actual state.
    pub detail: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// An active file does not exist.
    MissingFile,
    /// A file has another size than its entry says.
    SizeDiffers,
    /// A file cannot be decoded.
    Unreadable,
    /// A file's rows are as they should be, but a checksum, its page index or its layout is not.
    Damaged,
    /// A file has other columns than the table.
    ColumnsDiffer,
    /// A file has another number of rows than its entry says.
    RowCountDiffers,
    /// A minimum, maximum or null count in the entry is not that of the file.
    StatisticDiffers,
    /// Rows are not sorted by key and time.
    OutOfOrder,
    /// A key and time stands in more than one row.
    RepeatedKey,
    /// A row's time lies outside the period that the file is for.
    OutsidePeriod,
    /// Two active files are the home of the same rows.
    Overlap,
    /// There is no file for an hour between the first and the last.
    Gap,
    /// An active file that another program wrote, whose rows are not taken over yet.
    Foreign,
    /// An object in the table's folder is not an active file: removed by a commit and not swept yet, not
    /// committed yet, or left behind.
    Orphan,
}

impl FindingKind {
    /// Whether rows are lost, duplicated or wrong. The other kinds are for information: a gap may be hours without
    /// readings, and the next sweep removes orphans.
    pub fn is_damage(self) -> bool {
        !matches!(self, Self::Gap | Self::Foreign | Self::Orphan)
    }
}

impl CheckReport {
    /// Whether no finding is damage.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.kind.is_damage())
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingFile => "missing file",
            Self::SizeDiffers => "size differs",
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
            Self::ColumnsDiffer => "columns differ",
            Self::RowCountDiffers => "row count differs",
            Self::StatisticDiffers => "statistic differs",
            Self::OutOfOrder => "out of order",
            Self::RepeatedKey => "repeated key",
            Self::OutsidePeriod => "row outside its period",
            Self::Overlap => "overlapping files",
            Self::Gap => "gap",
            Self::Foreign => "file of another program",
            Self::Orphan => "orphan",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind, self.subject, self.detail)
    }
}

impl LakeTable {
    /// Reads every active file of `snapshot` in full and compares it with its entry and the table's rules.
    /// `progress` is told how many files are done, of how many.
    ///
    /// # Errors
    /// A store error if the store fails to answer: then nothing is known of the remaining files.
    pub async fn check(
        &self,
        snapshot: &Snapshot,
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<CheckReport> {
        let files = snapshot.files();
        let mut report = CheckReport {
            version: snapshot.version(),
            files: files.len() as u64,
            rows: 0,
            bytes: 0,
            findings: hours(files),
        };
        let mut checked = stream::iter(files)
            .map(|entry| self.check_file(Arc::clone(entry)))
            .buffered(READ_AHEAD);
        let mut done = 0;
        while let Some(mut file) = checked.try_next().await? {
            report.rows += file.rows;
            report.bytes += file.bytes;
            report.findings.append(&mut file.findings);
            done += 1;
            progress(done, files.len());
        }
        drop(checked);
        report.findings.extend(of_others(snapshot));
        report.findings.extend(self.orphans(snapshot).await?);
        Ok(report)
    }

    /// Reads one active file in full and compares it with its entry and the table's rules.
    ///
    /// # Errors
    /// A store error if the store fails to answer: then nothing is known of the file.
    pub async fn check_file(&self, entry: Arc<FileEntry>) -> Result<FileCheck> {
        let mut check = FileCheck { subject: entry.path.to_string(), ..FileCheck::default() };
        let path = self.store().path(&check.subject);
        let bytes: Bytes = match self.store().object().get(&path).await {
            Ok(object) => object.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => {
                let rows = entry.rows;
                check.find(FindingKind::MissingFile, format!("{rows} rows are missing"));
                return Ok(check);
            }
            Err(e) => return Err(e.into()),
        };
        check.bytes = bytes.len() as u64;
        if check.bytes != entry.bytes {
            let detail = format!("{} bytes expected, {} found", entry.bytes, check.bytes);
            check.find(FindingKind::SizeDiffers, detail);
        }
        let (table, runtime) = (self.clone(), Handle::current());
        let subject = check.subject.clone();
        let decoding = tokio::task::spawn_blocking(move || {
            verify::verify(table.schema(), &entry, bytes, &mut check);
            if check.findings.is_empty() {
                // The rows are right as one reader sees them; the table's own reader also knows checksums.
                let verifying = async {
                    FileCache::new(CACHE_BYTES)
                        .open(table.store(), table.schema(), &entry)
                        .await?
                        .verify()
                        .await
                };
                let verified = blocking::may_wait(|| runtime.block_on(verifying));
                match verified {
                    Err(e) if e.kind() == ErrorKind::Damage => {
                        check.find(FindingKind::Damaged, e.to_string());
                    }
                    verified => verified?,
                }
            }
            Ok(check)
        });
        decoding.await.unwrap_or_else(|e| {
            let mut check = FileCheck { subject, ..FileCheck::default() };
            check.find(FindingKind::Unreadable, format!("decoding ended early: {e}"));
            Ok(check)
        })
    }

    /// Compares the active files of `snapshot` with each other and with what lies in the table's folder:
    /// hours without a file or with two, and objects in no entry.
    ///
    /// # Errors
    /// A store error if the store fails to answer.
    pub async fn check_places(&self, snapshot: &Snapshot) -> Result<Vec<Finding>> {
        let mut findings = hours(snapshot.files());
        findings.extend(of_others(snapshot));
        findings.extend(self.orphans(snapshot).await?);
        Ok(findings)
    }

    async fn orphans(&self, snapshot: &Snapshot) -> Result<Vec<Finding>> {
        let objects = self.data_objects().await?;
        // A file that was committed during the check is no orphan.
        let newest = self.refresh().await?;
        let active: HashSet<FilePath> =
            snapshot.files().iter().chain(newest.files()).map(|entry| entry.path).collect();
        let others = snapshot.foreign_files().iter().chain(newest.foreign_files());
        let others: HashSet<String> = others.map(ForeignFile::decoded).collect();
        let orphans = objects
            .into_iter()
            .filter(|(name, _)| !others.contains(name))
            .filter(|(name, _)| !name.parse::<FilePath>().is_ok_and(|path| active.contains(&path)));
        let mut findings: Vec<_> = orphans
            .map(|(subject, meta)| {
                let detail =
                    format!("{} bytes, in no entry of version {}", meta.size, newest.version());
                Finding { kind: FindingKind::Orphan, subject, detail }
            })
            .collect();
        findings.sort_unstable_by(|a, b| a.subject.cmp(&b.subject));
        Ok(findings)
    }
}

/// The result of checking one file.
#[derive(Debug, Default)]
pub struct FileCheck {
    /// Its path below the table's folder.
    pub subject: String,
    /// Rows found in it.
    pub rows: u64,
    /// Bytes found in it.
    pub bytes: u64,
    /// The findings in it.
    pub findings: Vec<Finding>,
}

impl FileCheck {
    fn find(&mut self, kind: FindingKind, detail: String) {
        self.findings.push(Finding { kind, subject: self.subject.clone(), detail });
    }
}

/// Active files of other programs.
fn of_others(snapshot: &Snapshot) -> impl Iterator<Item = Finding> {
    snapshot.foreign_files().iter().map(|file| {
        let detail = format!("{} bytes, which the server takes over", file.bytes);
        Finding { kind: FindingKind::Foreign, subject: file.path.clone(), detail }
    })
}

/// Hours that have no file, and files that share rows.
fn hours(files: &[Arc<FileEntry>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in files.windows(2) {
        let [before, after] = pair else { continue };
        let (period, then) = (before.path.period(), after.path.period());
        if !are_disjoint(before, after) {
            findings.push(Finding {
                kind: FindingKind::Overlap,
                subject: period.to_string(),
                detail: format!("{} and {}", before.path, after.path),
            });
        } else if period != then
            && let (Some(end), Some(next)) = (Hour::of(period.end()), Hour::of(then.start()))
            && end < next
        {
            findings.push(gap(end, next));
        }
    }
    findings
}

/// The hours from `first` until before `next` have no file.
fn gap(first: Hour, next: Hour) -> Finding {
    let count = next.start().since(first.start()).micros() / crate::time::MICROS_PER_HOUR;
    let detail = match count {
        1 => "no file".to_owned(),
        _ => format!("no file for {count} hours, until {next}"),
    };
    Finding { kind: FindingKind::Gap, subject: first.to_string(), detail }
}
