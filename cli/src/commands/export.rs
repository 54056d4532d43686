//! `barograph export`: the answer to a statement as a file, whole or not at all.
//!
//! Rows are written as they come to a draft beside the file, which takes its name once the last row is on the disk.
#![allow(
    clippy::disallowed_methods,
    reason = "it tells people how long things take, and waits for them"
)]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::sql::{error_place, write_answer};
use crate::arguments::ExportArguments;
use crate::figures::{bytes, duration, grouped};
use crate::output::Format;
use crate::progress::{self, Progress};
use crate::settings::Settings;
use crate::{Error, Result, signals, wiring};

pub(super) async fn run(arguments: ExportArguments, settings: &Settings) -> Result<()> {
    let out = &arguments.out;
    let named = arguments.format.or_else(|| Format::of_name(out));
    let format = named.ok_or_else(|| {
        Error::usage(format!(
            "{}: its name does not tell the format, name one with --format",
            out.display()
        ))
    })?;
    let begun = Instant::now();
    let client = wiring::connect(settings).await?;
    let draft = Draft::new(out, arguments.force)?;
    let mut progress = Progress::new("export", "rows", 0);
    let exported = signals::unless_stopped(async {
        let to = draft.create()?;
        let told = |rows| progress.set(rows);
        let written = write_answer(&client, &arguments.statement, format, to, told).await;
        written.map_err(|e| error_place::with_place(e, &arguments.statement))
    })
    .await;
    progress.finish();
    let (file, rows) = exported?;
    let size = draft.publish(&file)?;
    progress::line(&format!(
        "{}: {} rows, {} in {}",
        out.display(),
        grouped(rows),
        bytes(size),
        duration(begun.elapsed())
    ));
    Ok(())
}

/// A file that is being written under another name. Taken away when dropped.
struct Draft<'a> {
    out: &'a Path,
    path: PathBuf,
    force: bool,
}

impl<'a> Draft<'a> {
    fn new(out: &'a Path, force: bool) -> Result<Self> {
        let Some(name) = out.file_name() else {
            return Err(Error::usage(format!("--out {}: name a file", out.display())));
        };
        let mut draft = name.to_owned();
        draft.push(format!(".part-{}", std::process::id()));
        let draft = Self { out, path: out.with_file_name(draft), force };
        draft.refuse_to_replace()?;
        Ok(draft)
    }

    fn create(&self) -> Result<File> {
        File::create(&self.path).map_err(|e| failed(&self.path, &e))
    }

    /// Puts the file on the disk and gives it its name; tells its size.
    fn publish(&self, file: &File) -> Result<u64> {
        file.sync_all().map_err(|e| failed(&self.path, &e))?;
        let size = file.metadata().map_err(|e| failed(&self.path, &e))?.len();
        self.refuse_to_replace()?;
        fs::rename(&self.path, self.out).map_err(|e| failed(self.out, &e))?;
        let folder = self.out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| failed(folder, &e))?;
        Ok(size)
    }

    fn refuse_to_replace(&self) -> Result<()> {
        match !self.force && self.out.exists() {
            true => Err(Error::usage(format!(
                "{} exists: name another file, or overwrite it with --force",
                self.out.display()
            ))),
            false => Ok(()),
        }
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // It is not there where it was never made or has its name.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::failed(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("rows.csv");
        let left = || fs::read_dir(folder.path()).unwrap().count();
        let draft = Draft::new(&out, false).unwrap();
        draft.create().unwrap().write_all(b"a").unwrap();
        assert!(!out.exists());
        drop(draft);
        assert_eq!(left(), 0);

        for (text, force) in [("first", false), ("second", true)] {
            let draft = Draft::new(&out, force).unwrap();
            let mut file = draft.create().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(draft.publish(&file).unwrap(), text.len() as u64);
            drop(draft);
            assert_eq!((fs::read_to_string(&out).unwrap().as_str(), left()), (text, 1));
        }
        let refused = Draft::new(&out, false).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("--force"), "{refused}");
        assert_eq!(refused.exit_code(), 2);
    }

    #[test]
    fn the_name_says_the_form() {
        let form = |name: &str| Format::of_name(Path::new(name));
        assert_eq!(form("a/rows.PARQUET"), Some(Format::Parquet));
        assert_eq!(form("rows.jsonl"), Some(Format::Json));
        assert_eq!((form("rows"), form("rows.txt")), (None, None));
    }
}
